"""Names, in the last lines of a run, what was not run here and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest

_OWN_TARGETS = {"not chaos": "not run here: chaos tests (they take minutes: `make chaos`)"}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """Runs around all other summaries, so that these lines are the last before the totals."""
    yield
    for line in not_run(terminalreporter.stats.get("skipped", []), config.option.markexpr):
        terminalreporter.write_line(line, yellow=True)


def not_run(skipped: list[pytest.TestReport], markers: str) -> list[str]:
    """One line per folder and reason, and one per kind of test that has a target of its own."""
    counted = Counter((report.nodeid.partition("::")[0].rpartition("/")[0], _reason(report)) for report in skipped)
    lines = [
        f"not run here: {number} {'test' if number == 1 else 'tests'} of {folder} ({reason})"
        for (folder, reason), number in sorted(counted.items())
    ]
    return lines + [line for deselected, line in _OWN_TARGETS.items() if deselected in markers]


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
