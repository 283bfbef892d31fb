"""Three Kafka brokers lose two: nothing is acknowledged that is not on two of them, and nothing of what was."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from sandbox.broker import kafka_missing
from tests.chaos.conftest import Measured, count, seconds
from tests.chaos.test_replicas import loaded, numbers
from tests.e2e.load import Load
from tests.e2e.providers import NAMES
from tests.e2e.topics import eventually
from tests.e2e.world import ChannelUnderTest, World

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.kafka,
    pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
    pytest.mark.timeout(1200),
]


@pytest.mark.parametrize("world", ["cluster"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
async def test_two_of_three_brokers_are_gone_for_thirty_seconds(world: World, name: str, measured: Measured) -> None:
    channel = await loaded(world, name)
    people = await channel.people(await channel.account(), 50)
    load = Load(channel, people, messages=count(2000), commands=count(2000))
    await load.command()
    traffic = asyncio.ensure_future(load.write(per_second=60))
    await eventually(lambda: load.ended() > 20 and load.arrived() > 20, 60, what="the load")
    _, second, third = world.broker.nodes
    await asyncio.gather(second.kill(), third.kill())
    said = await too_few(channel)
    channel.service.balancer.answers.clear()
    before = load.ended(), load.arrived()
    await asyncio.sleep(seconds(30))
    answered = Counter(channel.service.balancer.answers)
    during = load.ended(), load.arrived()
    await asyncio.gather(second.start(), third.start())
    await traffic
    await load.settled(300)
    result = load.result()
    measured(
        **numbers(result), webhooks_answered_503=answered[503], webhooks_acknowledged=answered[200], topics_named=said
    )
    assert answered[200] == 0
    assert answered[503] > 0
    assert during == before
    result.assert_exact()
    replica = channel.service.replicas[0]
    await eventually_ready(channel)
    assert await channel.service.metric(replica, "connector_topic_missing") == 0


async def too_few(channel: ChannelUnderTest) -> int:
    """How many topics `/readyz` names once it says that they have too few replicas."""
    async with asyncio.timeout(60):
        while True:
            answer = await channel.service.readyz(channel.service.replicas[0])
            named = [what for what in answer["missing"] if str(what).endswith("(too few replicas)")]  # type: ignore[attr-defined]
            if len(named) >= 8:
                return len(named)
            await asyncio.sleep(0.2)


async def eventually_ready(channel: ChannelUnderTest) -> None:
    async with asyncio.timeout(60):
        while not (await channel.service.readyz(channel.service.replicas[0]))["ready"]:
            await asyncio.sleep(0.2)
