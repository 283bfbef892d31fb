"""Row 38: messages of the same second keep the provider's order, by their sequence."""

from __future__ import annotations

import random
import time
from pathlib import Path

import orjson
import pytest

from shared.channel import Event, ReceivedItem, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.events import Message
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.inbound.raw import RawWriter, body_store
from shared.stream.deadletter import DeadLetters
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from tests.channels import goldens
from tests.e2e.providers import NAMES, Connected, Said, provider
from tests.requirements.inside import Channel

PAIRS = 10_000  # over all channels
PER_WEBHOOK = 500  # messages, two of each person, in any order among the others


SEVERAL = [name for name in NAMES if provider(name).tells_several]


@pytest.mark.parametrize("name", SEVERAL)
async def test_pairs_of_one_second_keep_their_order(name: str, tmp_path: Path) -> None:
    """From the webhook over the raw topic to the events, for all conversations of it."""
    rng, topics, log = random.Random(38), Topics(), MemoryLog()
    await log.ensure_topics([TopicSpec(topics.raw(name), 4)])
    blobs = Blobs(tmp_path.as_uri())
    dead = DeadLetters(log, lambda _: topics.deadletter(name), store_body=body_store(blobs))
    writer = RawWriter(name, log, topics, blobs, dead)
    channel = goldens.channel(name)
    record = AccountRecord(account_id="a", workspace_id="w", channel=name, external_id="b")
    played = provider(name)
    webhooks = -(-2 * PAIRS // len(SEVERAL) // PER_WEBHOOK)
    for webhook in range(webhooks):
        people = [person for person in range(PER_WEBHOOK // 2) for _ in range(2)]
        rng.shuffle(people)
        first = 1 + webhook * PER_WEBHOOK
        said = [Said(person, first + n, f"{webhook}", at=1_795_340_000) for n, person in enumerate(people)]
        body = orjson.dumps(played.wrote(Connected(record, "b"), *said))
        await writer.write(channel.unbatch(WebhookRequest("POST", "a", {}, {}, body)))
    order: dict[tuple[str, str], list[Message]] = {}
    for partition in range(4):
        async for raw in log.read_partition(topics.raw(name), partition):
            item = ReceivedItem(record, raw.value or b"", goldens.RECEIVED_AT, raw.offset)
            for event in channel.normalise(item):
                assert isinstance(event, Event)
                assert isinstance(event.data, Message)
                order.setdefault((event.data.conversation_id, event.data.content.text), []).append(event.data)
    assert len(order) == webhooks * PER_WEBHOOK // 2
    number = {played.message_id(n): n for n in range(1, webhooks * PER_WEBHOOK + 1)}
    for pair in order.values():
        first_, second = sorted(pair, key=lambda message: message.sequence or 0)
        assert first_.occurred_at == second.occurred_at
        assert number[first_.provider.message_id or ""] < number[second.provider.message_id or ""]


@pytest.mark.asyncio(loop_scope="session")
async def test_an_event_has_the_providers_time_ours_and_a_sequence(channel: Channel) -> None:
    account = await channel.account()
    at = int(time.time()) - 600
    said = [Said(1, 100 + number, f"message {number}", at=at) for number in range(50)]
    for together in [said] if channel.provider.tells_several else [[one] for one in said]:
        await channel.webhook(account, channel.provider.wrote(account, *together))
    events = await channel.events(account, 50)
    assert [seen.text for seen in sorted(events, key=lambda seen: seen.data["sequence"])] == [one.text for one in said]
    assert len({seen.data["sequence"] for seen in events}) == 50
    assert {seen.data["occurred_at"] for seen in events} == {events[0].attributes["time"]}
    assert all(seen.data["occurred_at"] < seen.data["received_at"] for seen in events)
    assert all(seen.data["occurred_at"].endswith(".000Z") for seen in events)
