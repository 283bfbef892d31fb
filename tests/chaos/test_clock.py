"""The clock of one replica is ten minutes off, while messages flow in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.conftest import Measured
from tests.chaos.test_dependencies import NAMES, flowing
from tests.chaos.test_replicas import loaded, numbers
from tests.e2e.conftest import KAFKA
from tests.e2e.world import World

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(LIBRARY is None, reason="the system package faketime is missing"),
]


@pytest.mark.parametrize("world", [KAFKA], indirect=True)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("off", [pytest.param(-600, id="behind"), pytest.param(600, id="ahead")])
async def test_a_clock_is_ten_minutes_off_on_one_replica(world: World, name: str, off: int, measured: Measured) -> None:
    channel = await loaded(world, name)
    await channel.service.let_go(channel.service.replicas.pop())
    # Only what the wall clock says: a machine with a wrong time still counts seconds rightly.
    wrong = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"{off:+}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    replica = await channel.service.add(**wrong)
    async with flowing(channel) as load:
        pass
    result = load.result()
    by_the_one = await channel.service.metric(replica, "connector_events_total")
    measured(**numbers(result), events_published_by_the_one=round(by_the_one))
    assert by_the_one > 0
    assert result.uncertain == 0
    result.assert_exact()
