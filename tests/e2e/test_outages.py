"""Dependencies go away and come back: what was acknowledged is not lost, what was not is asked for again."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.e2e.conftest import REPLICAS
from tests.e2e.providers import NAMES
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import World, number


@pytest.mark.timeout(120)
async def test_kafka_away_means_503_and_not_one_acknowledged_update_lost(world: World) -> None:
    channels = [await world.channel(name, REPLICAS) for name in NAMES]
    people = [await channel.person(await channel.account()) for channel in channels]
    texts = [f"during {number()}" for _ in channels]
    for channel in channels:
        channel.service.balancer.answers.clear()
    with world.broker.frozen():
        for channel, person, text in zip(channels, people, texts, strict=True):
            await channel.write(person, text)
        for channel in channels:
            await eventually(lambda c=channel: 503 in c.service.balancer.answers, 20, what="a 503 to the provider")
            answer = await channel.service.readyz(channel.service.replicas[0])
            assert answer["ready"] is False
            assert "kafka" in answer["missing"]
        assert not any(200 in channel.service.balancer.answers for channel in channels)
    for channel, person, text in zip(channels, people, texts, strict=True):
        event = await channel.inbound.one(person.conversation_id, lambda s, t=text: s.text == t, 60)
        assert len({s.id for s in channel.inbound.of(person.conversation_id) if s.text == text}) == 1
        assert event.type == "message.received"
        (status,) = await channel.sends(person, f"after {number()}")
        assert status["state"] in SENT


@pytest.mark.timeout(120)
async def test_valkey_away_means_waiting_and_nothing_is_guessed(world: World) -> None:
    channels = [await world.channel(name, REPLICAS) for name in NAMES]
    people = [await channel.person(await channel.account()) for channel in channels]
    texts = [f"during {number()}" for _ in channels]
    for channel in channels:
        channel.service.balancer.answers.clear()
    world.state.node.pause()
    try:
        for channel, person, text in zip(channels, people, texts, strict=True):
            await channel.write(person, text)
            await channel.command(person, text=f"answer to {text}", command_id=text.replace(" ", "-"))
        for channel, person in zip(channels, people, strict=True):
            await eventually(lambda c=channel: 200 in c.service.balancer.answers, 20, what="ingress goes on")
            answer = await channel.service.readyz(channel.service.replicas[0])
            assert answer["missing"] == ["state"]
            assert channel.texts(person) == []
    finally:
        world.state.node.resume()
    for channel, person, text in zip(channels, people, texts, strict=True):
        await channel.inbound.one(person.conversation_id, lambda s, t=text: s.text == t, 30)
        (status,) = await channel.statuses.end(text.replace(" ", "-"))
        assert status["state"] in SENT
        assert channel.texts(person) == [f"answer to {text}"]


@pytest.mark.parametrize("kind", ["error", "refuse"])
async def test_a_provider_that_fails_a_while_costs_nothing_but_time(world: World, kind: str) -> None:
    channel = await world.channel("telegram", REPLICAS)
    person = await channel.person(await channel.account())
    settings = {"status": 502} if kind == "error" else {}
    channel.provider.fail_sends(kind, count=2, where={"bot": person.account.handle}, **settings)
    first = await channel.command(person, text="first")
    second = await channel.command(person, text="second")
    for command in (first, second):
        (status,) = await channel.statuses.end(command.id)
        assert status["state"] in SENT | {"uncertain"}
    received = channel.texts(person)
    assert received == sorted(set(received), key=["first", "second"].index)
    assert all(
        (command.text in received) or channel.statuses.states(command.id) >= {"uncertain"}
        for command in (first, second)
    )


async def test_a_lost_answer_is_uncertain_or_found_but_never_sent_again(world: World) -> None:
    for name in NAMES:
        channel = await world.channel(name, REPLICAS)
        person = await channel.person(await channel.account())
        channel.provider.fail_sends("drop_answer", count=1)
        (status,) = await channel.sends(person, "only once")
        assert status["state"] in SENT | {"uncertain"}
        (behind,) = await channel.sends(person, "behind it")
        assert behind["state"] in SENT
        assert channel.texts(person) == ["only once", "behind it"]
        channel.provider.behave()


async def test_metrics_and_liveness_are_served(world: World) -> None:
    async with aiohttp.ClientSession() as session:
        for name in NAMES:
            channel = await world.channel(name, REPLICAS)
            replica = channel.service.replicas[0]
            async with session.get(f"{replica.url}/livez") as answer:
                assert (answer.status, await answer.json()) == (200, {"alive": True})
            async with session.get(f"{replica.url}/metrics") as answer:
                assert answer.status == 200
                assert await answer.text()
    await asyncio.sleep(0)
