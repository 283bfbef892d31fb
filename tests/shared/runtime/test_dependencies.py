"""What is away is said once, and what is back; a gauge shows it between."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from shared.runtime import metrics
from shared.runtime.http import dependencies
from shared.runtime.http.dependencies import QUIET_SECONDS, Dependencies
from shared.runtime.http.server import HealthChecks
from tests.shared.runtime.clock import Clock
from tests.shared.runtime.plain_channel import CHANNEL


def up(name: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("connector_dependency_up", {"channel": CHANNEL, "dependency": name})


def test_it_is_said_once_that_it_goes_and_once_that_it_is_back(clock: Clock) -> None:
    known = Dependencies(CHANNEL, clock.read)
    with capture_logs() as lines:
        known.answered("one")
        assert up("one") == 1
        for _ in range(10_000):
            known.failed("one", "OOM")
            known.answered("one")  # what refuses to write can still be read
        assert up("one") == 0
        clock.advance(QUIET_SECONDS - 0.1)
        known.answered("one")
        assert up("one") == 0
        clock.advance(0.2)
        known.answered("one")
        known.answered("one")
        assert up("one") == 1
    assert [(line["event"], line["dependency"], line["log_level"]) for line in lines] == [
        ("dependency_away", "one", "warning"),
        ("dependency_back", "one", "info"),
    ]
    assert (lines[0]["reply"], lines[1]["seconds"]) == ("OOM", QUIET_SECONDS + 0.1)


async def test_every_check_of_a_service_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "QUIET_SECONDS", 0.0)
    checks, there = HealthChecks(CHANNEL), {"bad": False, "good": True, "odd": True}

    def check(name: str) -> bool:
        if name == "odd" and not there["good"]:
            raise RuntimeError("a bug of the check")
        return there[name]

    for name in there:

        async def ask(name: str = name) -> bool:
            return check(name)

        checks.require(name, ask)
    with capture_logs() as lines:
        assert await checks.missing() == ["accepting", "bad"]
        assert lines == []  # a start is not an outage
        checks.accepting = True
        assert await checks.missing() == ["bad"]
        assert lines == []  # nor is a single miss: the process may have had no time
        assert await checks.missing() == ["bad"]
        checks.failed("bad", "OOM")
        checks.failed("nobody asks for it", "OOM")
        there["good"] = False
        for _ in range(3):
            assert await checks.missing() == ["bad", "good", "odd"]
        there.update(bad=True, good=True)
        assert await checks.missing() == []
    said = [(line["event"], line["dependency"], line.get("reply")) for line in lines]
    assert said == [
        ("dependency_away", "bad", "no answer"),
        ("dependency_away", "good", "no answer"),
        ("dependency_away", "odd", "RuntimeError"),
        ("dependency_back", "bad", None),
        ("dependency_back", "good", None),
        ("dependency_back", "odd", None),
    ]
