"""Keeps the tests that start heavy processes on one worker, so that two cores are enough for all of them."""

from __future__ import annotations

import pytest

_HEAVY_MARKERS = ("kafka", "browser", "chaos")
_HEAVY_FOLDERS = ("tests/e2e/", "tests/integration/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`--dist loadgroup` runs what has the same group on the same worker, one test after the other."""
    for item in items:
        heavy = any(item.get_closest_marker(name) for name in _HEAVY_MARKERS)
        if (heavy or item.nodeid.startswith(_HEAVY_FOLDERS)) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("heavy"))
