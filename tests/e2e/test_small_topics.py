"""On Apache Kafka whose topics take little, and whose topics are deleted: all channels, through the running service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sandbox.broker import Kafka, kafka_missing
from shared.contract.topics import Topics
from tests.e2e.providers import NAMES
from tests.e2e.topics import SENT, Statuses, eventually
from tests.e2e.world import PARTITIONS, World, number, running
from tests.integration.admin import operator

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}"),
    pytest.mark.timeout(180),
]

SMALL = 4096
LONG = "長い話 " * 900  # 3,600 characters, of which each channel takes at least as many; more than 8 KB


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world() -> AsyncIterator[World]:
    """Every topic of a channel takes 4 KB, but for the one on which others write."""
    async with running(Kafka()) as world:
        topics = Topics()
        async with operator(world.broker) as by_hand:
            for channel in NAMES:
                for topic in topics.of_channel(channel):
                    small = {} if topic.name == topics.outbound(channel) else {"max_message_bytes": SMALL}
                    policy = "compact" if topic.compacted else "delete"
                    await by_hand.create(topic.name, PARTITIONS, cleanup_policy=policy, **small)
        await asyncio.gather(*(world.channel(name, 1) for name in NAMES))
        yield world


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_too_large_is_told_all_the_same(world: World, name: str) -> None:
    channel = await world.channel(name, 1)
    (replica,) = channel.service.replicas
    person, other = await channel.people(await channel.account(), 2)
    channel.service.balancer.answers.clear()
    texts = [f"{index} {LONG if index % 3 == 1 else 'short'} {number()}" for index in range(9)]
    for text in texts:
        await channel.write(person, text)
        await channel.write(other, f"beside {text[:20]}")
    received = await eventually(
        lambda: got if len(got := channel.inbound.of(person.conversation_id, "message.received")) == 11 else None, 40
    )
    for text, event in zip(texts, received[2:], strict=True):
        if text in event.text:
            assert "shortened" not in event.data
        else:
            assert len(text) > 1000
            assert event.data["shortened"] is True
            assert text.startswith(event.text.removesuffix("…"))
            assert len(event.text) > 500  # as much as there is room for
        assert len(event.record.value or b"") < SMALL
    assert any("shortened" in event.data for event in received)
    await eventually(lambda: len(channel.inbound.of(other.conversation_id, "message.received")) == 2 + len(texts))
    assert set(channel.service.balancer.answers) == {200}
    assert await channel.service.metric(replica, "connector_records_too_large_total") > 0
    assert await channel.service.metric(replica, "connector_producer_renewals_total") == 0

    (sent,) = await channel.sends(person, "an ordinary answer")
    assert sent["state"] in SENT
    (refused,) = await channel.sends(person, LONG)
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "invalid_command")
    (after,) = await channel.sends(person, "and one after it")
    assert after["state"] in SENT
    assert channel.texts(person)[-2:] == ["an ordinary answer", "and one after it"]
    assert (await channel.service.readyz(replica))["ready"] is True


async def test_a_limit_that_is_lowered_while_it_runs_costs_nothing(world: World) -> None:
    channel = await world.channel("telegram", 1)
    (replica,) = channel.service.replicas
    person = await channel.person(await channel.account())
    async with operator(world.broker) as by_hand:
        await by_hand.limit(world.topics.raw("telegram"), 1500)
        texts = [f"{'x' * 1800 if index == 3 else 'short'} {number()}" for index in range(8)]
        for text in texts:
            await channel.write(person, text)
        await channel.inbound.one(person.conversation_id, lambda seen: seen.text == texts[-1], 40)
        await by_hand.limit(world.topics.raw("telegram"), SMALL)
    received = [event.text for event in channel.inbound.of(person.conversation_id, "message.received")]
    assert received[2:] == texts
    assert replica.exit_status is None


@pytest.mark.parametrize(
    "what",
    [
        # A member of a group learns of it from the metadata, ten seconds later at the most.
        *(pytest.param(read, marks=pytest.mark.chaos) for read in ("raw", "outbound")),
        "parked",
        "statuses",
    ],
)
async def test_a_topic_that_is_deleted_is_named_and_waited_for(world: World, what: str) -> None:
    channel = await world.channel("whatsapp", 1)
    (replica,) = channel.service.replicas
    person = await channel.person(await channel.account())
    topic = f"{world.topics.prefix}.whatsapp.{what}"
    before = channel.texts(person)
    async with operator(world.broker) as by_hand:
        await by_hand.delete(topic)
        await unready(channel, replica, [f"topic {topic}"])
        text = f"during {number()}"
        await channel.write(person, text)
        if what != "outbound":
            await channel.command(person, text=text, command_id=text.replace(" ", "-"))
        await asyncio.sleep(2)
        assert topic not in await by_hand.topics()  # nobody made it by asking for it
        await by_hand.create(topic, PARTITIONS, max_message_bytes=SMALL)
    if what == "statuses":  # the reader of before takes what it has kept for read
        await channel.statuses.stop()
        channel.statuses = Statuses(world.log, topic)
    await unready(channel, replica, [])
    await channel.inbound.one(person.conversation_id, lambda seen: seen.text == text, 40)
    if what != "outbound":
        await eventually(lambda: channel.texts(person) == [*before, text], 40)
        await channel.statuses.end(text.replace(" ", "-"))
    (status,) = await channel.sends(person, f"after {number()}")
    assert status["state"] in SENT
    assert replica.exit_status is None
    lines = replica.log_text().splitlines()
    assert sum(topic in line and '"topic_missing"' in line for line in lines) == 1
    assert sum(topic in line and '"topic_back"' in line for line in lines) == 1


async def unready(channel, replica, missing: list[str]) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(30):
        while (answer := await channel.service.readyz(replica))["missing"] != missing:
            assert replica.exit_status is None, replica.last_words()
            await asyncio.sleep(0.1)
    assert answer["ready"] is (not missing)
