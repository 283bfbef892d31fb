"""Tries a test on real brokers and processes a second time when it failed, and names what passed only then."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import pytest

# What runs here has brokers, browsers and replicas beside it: the machine itself fails one now and then.
_TRIED_AGAIN = ("tests/chaos/", "tests/e2e/", "tests/integration/", "tests/requirements/", "tests/sandbox/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(_TRIED_AGAIN):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Runs around all other summaries, so that these lines are among the last before the totals."""
    yield
    for line in passed_only_again(terminalreporter.stats):
        terminalreporter.write_line(line, yellow=True)


def passed_only_again(stats: Mapping[str, Sequence[object]]) -> list[str]:
    """One line for each test that failed once and then passed; `stats` has the reports by what came of them."""
    tried, passed, failed, errors = (
        {report.nodeid: None for report in stats.get(outcome, ()) if isinstance(report, pytest.TestReport)}
        for outcome in ("rerun", "passed", "failed", "error")
    )
    return [
        f"passed only when tried again: {nodeid}"
        for nodeid in tried
        if nodeid in passed and nodeid not in failed and nodeid not in errors
    ]
