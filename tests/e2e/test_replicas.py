"""Replicas join, leave and are killed while messages flow: nothing lost, nothing twice, every conversation in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.e2e.conftest import KAFKA
from tests.e2e.load import Load
from tests.e2e.topics import eventually
from tests.e2e.world import World

# On the embedded broker too they are chaos tests: now and then it leaves a whole group without an answer.
on_kafka = pytest.mark.parametrize("world", [KAFKA], indirect=True)


@on_kafka
@pytest.mark.timeout(240)
async def test_replicas_leave_and_join_under_load(world: World) -> None:
    channel = await world.channel("telegram")
    people = await channel.people(await channel.account(), 50)
    load = Load(channel, people, messages=1000, commands=1000)
    traffic = asyncio.gather(load.write(per_second=300), load.command(per_second=300))
    service = channel.service
    first, second, _ = service.replicas
    await service.let_go(first)
    await asyncio.gather(service.bring_back(first), service.add())
    await service.let_go(second)
    await traffic
    await load.settled(120)
    result = load.result()
    result.assert_exact()
    assert result.uncertain == 0
    assert result.repeated_in == 0
    assert channel.provider.bad_requests() == []


@on_kafka
@pytest.mark.timeout(240)
async def test_replicas_are_killed_while_they_send(world: World) -> None:
    channel = await world.channel("telegram")
    people = await channel.people(await channel.account(), 20)
    load = Load(channel, people, messages=200, commands=800)
    traffic = asyncio.gather(load.write(per_second=60), load.command(per_second=150))
    service, chance = channel.service, random.Random(7)
    for victims in (2, 1):
        moment = load.ended() + chance.randint(20, 80)
        await eventually(lambda m=moment: load.ended() >= min(m, load.commands), 60, what="sends between the kills")
        killed = chance.sample(service.replicas, victims)
        await asyncio.gather(*(service.kill(replica) for replica in killed))
        await asyncio.gather(*(service.bring_back(replica) for replica in killed))
    await traffic
    await load.settled(120)
    result = load.result()
    result.assert_exact()
    assert result.uncertain <= 3 * 20, "only what was under way in a killed replica can be uncertain"


@pytest.mark.timeout(120)
async def test_a_replica_that_is_told_to_stop_finishes_what_it_has_begun(world: World) -> None:
    channel = await world.channel("tiktok")
    people = await channel.people(await channel.account(), 30)
    channel.provider.fail_sends("slow", seconds=0.3)
    load = Load(channel, people, messages=0, commands=150)
    await load.command()
    victim = channel.service.replicas[0]
    channel.service.balancer.targets.remove(victim)
    victim.ask_to_stop()
    assert await victim.terminate() == 0
    channel.provider.behave()
    await load.settled(60)
    result = load.result()
    result.assert_exact()
    assert result.uncertain == 0
