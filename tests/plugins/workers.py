"""Keeps the tests that start heavy processes on one worker, so that two cores are enough for all of them."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_HEAVY = ("tests/e2e/", "tests/integration/", "tests/sandbox/console/", "[kafka")
# Files whose tests take long and share nothing.
_APART = ("tests/contract/test_channels.py",)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _HeavyTogether:
    """Not `--dist loadgroup`: under pytest 9.2 pytest-xdist 3.8 no longer finds the groups it has marked."""
    return _HeavyTogether(config, log)


class _HeavyTogether(LoadScopeScheduling):
    """All heavy tests are one piece of work; the other ones are one by file, so that a fixture of a file is made once.

    The piece with the most tests is handed out first, which is the heavy one; the smallest are left for the end.
    """

    def _split_scope(self, nodeid: str) -> str:
        if any(mark in nodeid for mark in _HEAVY):
            return "heavy"
        return nodeid if nodeid.startswith(_APART) else nodeid.partition("::")[0]
