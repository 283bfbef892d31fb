"""Fixtures of the chaos tests: a fresh world for each, numbers and times that can be scaled, a record of the findings.

`CHAOS_SCALE=0.1` takes a tenth of the messages and of the kills, `CHAOS_TIME=0.5` half of every outage. With
`CHAOS_WRITE=1` what was measured goes into `RESULTS.md`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.results import write
from tests.e2e.world import World, make_broker, running

SCALE = float(os.environ.get("CHAOS_SCALE", "1"))
TIME = float(os.environ.get("CHAOS_TIME", "1"))
RESULTS = Path(__file__).parent / "RESULTS.md"

Measured = Callable[..., None]
_rows: dict[str, str] = {}


def count(full: int) -> int:
    """So many, or fewer when scaled down."""
    return max(1, round(full * SCALE))


def seconds(full: float) -> float:
    """So long, or shorter when scaled down."""
    return full * TIME


@pytest_asyncio.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world of its own for every test; `request.param` names the broker."""
    async with running(make_broker(request.param)) as world:
        yield world


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Iterator[Measured]:
    """Takes numbers by name; they are kept when the test passes."""
    began = time.monotonic()
    found: dict[str, object] = {}
    yield found.update
    found["seconds"] = round(time.monotonic() - began)
    report = getattr(request.node, "called", None)
    if report is not None and report.passed:
        numbers = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.items())
        _rows[request.node.name] = f"{datetime.now(UTC):%Y-%m-%d} | {numbers}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """A failed test shows the last words of the services."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, World):
        report.sections.append(("logs of the services", world.logs_of_services()))
    if report.when == "call":
        item.called = report  # type: ignore[attr-defined]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, row in _rows.items():
        terminalreporter.write_line(f"{name}: {row}")


def pytest_sessionfinish() -> None:
    if _rows and os.environ.get("CHAOS_WRITE") == "1":
        write(RESULTS, _rows)
