"""A replica with a wrong sealing key, beside the right one and alone: nothing is lost, rejected or said wrongly."""

from __future__ import annotations

import asyncio
import time

import pytest

from shared.runtime.accounts.sealing import new_key
from tests.chaos.conftest import Measured, count
from tests.chaos.test_dependencies import NAMES
from tests.chaos.test_replicas import numbers
from tests.e2e.conftest import KAFKA
from tests.e2e.load import Load
from tests.e2e.test_keys import missing, replica, said_wrongly
from tests.e2e.topics import eventually
from tests.e2e.world import World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.mark.parametrize("world", [KAFKA], indirect=True)
@pytest.mark.parametrize("name", NAMES)
async def test_a_wrong_key_beside_the_right_one_and_alone(world: World, name: str, measured: Measured) -> None:
    channel = await world.channel(name, 2)
    account = await channel.account()
    people = await channel.people(account, 50)  # TikTok takes ten messages from each window
    sick = replica(channel, world, SEALING_KEY=new_key())
    await sick.start()
    try:
        await missing(channel, sick, "sealing_key")
        beside = Load(channel, people, messages=count(200), commands=count(200))
        await asyncio.gather(beside.write(per_second=40), beside.command(per_second=40))
        await beside.settled(120)
        await asyncio.gather(*(channel.service.let_go(healthy) for healthy in channel.service.replicas))
        alone = Load(channel, people, messages=0, commands=count(200))
        await alone.command()
        await asyncio.sleep(10)
        ended_alone = alone.ended()
        assert await sick.terminate() == 0
    finally:
        await sick.kill()
    began = time.monotonic()
    await channel.service.heal(2)
    await alone.settled(120)
    statuses = [seen.data["state"] for seen in channel.statuses.all]
    measured(
        **numbers(beside.result()),
        ended_while_alone=ended_alone,
        sent_once_the_right_key_was_there=alone.ended(),
        seconds_to_recover=round(time.monotonic() - began),
        rejected=statuses.count("rejected"),
        tombstones_and_removals=len(said_wrongly(world, account)),
    )
    beside.result().assert_exact()
    alone.result().assert_exact()
    assert (ended_alone, statuses.count("rejected"), said_wrongly(world, account)) == (0, 0, [])
    await eventually(lambda: world.capabilities.of(account.id), what="capabilities")
