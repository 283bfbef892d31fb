"""Strangers come by the thousand, while genuine webhooks go on: what it costs in memory and in time."""

from __future__ import annotations

import pytest

from tests.chaos.conftest import Measured, seconds
from tests.e2e.test_strangers import BUDGET, besieged
from tests.e2e.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.mark.parametrize("world", ["tansu"], indirect=True)
async def test_strangers_attack_the_listener(world: World, measured: Measured) -> None:
    channel = await world.channel("whatsapp", 1, ROLES="ingress")
    siege = await besieged(channel.service.replicas[0], seconds=seconds(60), scale=1.0)
    measured(
        memory_grown_MB=siege.grown // 2**20,
        of_a_budget_of_MB=BUDGET // 2**20,
        genuine_p99_idle_ms=round(siege.idle_p99 * 1000),
        genuine_p99_under_attack_ms=round(siege.p99 * 1000),
        genuine_refused=siege.refused,
        answers_to_strangers="; ".join(f"{what} {count}" for what, count in sorted(siege.answers.items())),
    )
    assert siege.grown < BUDGET, siege
    assert siege.p99 < 2.0, siege
    assert siege.refused == 0, siege
