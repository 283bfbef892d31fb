"""Keeps the tests that start heavy processes on one worker, so that two cores are enough for all of them."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_HEAVY = ("tests/e2e/", "tests/integration/", "tests/sandbox/console/", "[kafka")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _HeavyTogether:
    """Not `--dist loadgroup`: under pytest 9.2 pytest-xdist 3.8 no longer finds the groups it has marked."""
    return _HeavyTogether(config, log)


class _HeavyTogether(LoadScopeScheduling):
    """All heavy tests are one piece of work, handed out first; every other test is one by itself."""

    def _split_scope(self, nodeid: str) -> str:
        return "heavy" if any(mark in nodeid for mark in _HEAVY) else nodeid
