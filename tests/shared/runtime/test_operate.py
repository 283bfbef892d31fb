"""What operators do: follow a message, replay what a mended mapper makes otherwise, erase a contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any

import orjson
import pytest

from shared.channel import Event, Outcome, ReceivedItem
from shared.contract.content import TextContent
from shared.contract.events import Message
from shared.contract.topics import Topics
from shared.runtime.tools.erase import Erasure
from shared.runtime.tools.replay import Replay, Replayed
from shared.runtime.tools.trace import trace
from shared.state.keys import ConversationKeys
from shared.stream.records import Record, header
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel, item
from tests.shared.runtime.world import CONVERSATION, World

TOPICS = Topics()
DAY = timedelta(days=1)


async def test_a_message_is_followed_from_webhook_to_status(world: World) -> None:
    await world.receive(item(id="m1", peer="p1"), item(id="m2", peer="p2"))
    events = [r async for r in world.records(TOPICS.inbound(CHANNEL))]
    (first,) = [r for r in events if orjson.loads(r.value or b"")["provider"]["message_id"] == "m1"]
    event = orjson.loads(first.value or b"")
    command = await world.command(text="secret words")
    await world.handle(command)
    (status,) = await world.statuses()

    for name in (event["message_id"], "m1", (header(first, "ce_id") or b"").decode()):
        steps = await trace(world.log, TOPICS, CHANNEL, name)
        assert [step["what"] for step in steps] == ["webhook", "raw", "event"]
        assert steps[-1]["message_id"] == event["message_id"]
    for name in (status["command_id"], status["message_id"], status["provider_message_id"]):
        steps = await trace(world.log, TOPICS, CHANNEL, name)
        assert [step["what"] for step in steps] == ["command", "status"]
        assert (steps[-1]["state"], steps[-1]["command_id"]) == ("sent", status["command_id"])
        assert all(step["ms"] >= 0 and step["ms_since_last"] >= 0 for step in steps)
        assert "secret words" not in orjson.dumps(steps).decode()
    assert await trace(world.log, TOPICS, CHANNEL, "nobody") == []


class MendedChannel(PlainChannel):
    """Its mapper has learned to read what it cut before, and to make something of what it left out."""

    def normalise(self, raw: ReceivedItem) -> Sequence[Outcome]:
        made: list[Outcome] = []
        for outcome in super().normalise(raw):
            if isinstance(outcome, Event) and isinstance(outcome.data, Message):
                content = outcome.data.content
                if isinstance(content, TextContent) and content.text.startswith("cut"):
                    told = content.model_copy(update={"text": "all of it"})
                    outcome = replace(outcome, data=outcome.data.model_copy(update={"content": told}))
            made.append(outcome)
        return made


def replaying(world: World, channel: PlainChannel, *, dry: bool = False) -> Replay:
    return Replay(channel, world.accounts, world.log, world.process.common, TOPICS, dry=dry)


async def events(world: World) -> list[tuple[Record, dict[str, Any]]]:
    return [(r, orjson.loads(r.value or b"")) async for r in world.records(TOPICS.inbound(CHANNEL))]


async def test_what_a_mended_mapper_makes_otherwise_is_published_again(world: World) -> None:
    await world.receive(*(item(id=f"m{n}", text="cut" if n == 3 else "whole") for n in range(6)))
    await world.raw(item(id="m9", text="never normalised"))
    before = await events(world)
    now = datetime.now(UTC)  # the log's records have the machine's time
    assert await replaying(world, PlainChannel()).run(now - 2 * DAY, now - DAY) == Replayed()
    mended = MendedChannel()
    would = Replayed(records=7, same=5, changed=1, new=1)
    assert await replaying(world, mended, dry=True).run(now - DAY, now + DAY) == would
    assert await events(world) == before
    assert await replaying(world, mended).run(now - DAY, now + DAY) == would
    changed, new = (await events(world))[len(before) :]
    (old,) = [(r, data) for r, data in before if data["provider"]["message_id"] == "m3"]
    assert changed[1] == {**old[1], "content": {**old[1]["content"], "text": "all of it"}}
    assert (changed[0].key, changed[0].headers) == (old[0].key, old[0].headers)
    assert new[1]["provider"]["message_id"] == "m9"
    assert await replaying(world, mended).run(now - DAY, now + DAY) == Replayed(records=7, same=7)


async def test_what_only_state_knew_is_no_difference(world: World) -> None:
    await world.receive(item(id="m1", name="Ida"))
    await world.receive(item(id="m2", reply_to="m1"))
    now = datetime.now(UTC)
    done = await replaying(world, PlainChannel()).run(now - DAY, now + DAY)
    assert (done.same, done.changed, done.new) == (done.records, 0, 0)


async def test_two_thousand_records_a_second_are_compared(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.raw(*(item(id=f"m{n}", peer=f"p{n}") for n in range(4000)))
    replay, now = replaying(world, PlainChannel(), dry=True), datetime.now(UTC)
    began = process_time()  # of our own: others may have the machine
    assert (await replay.run(now - DAY, now + DAY)).records == 4000
    assert 4000 / (process_time() - began) > 2000


async def test_a_contact_is_erased(world: World) -> None:
    blob = await world.blob(b"a picture", "ws_1/acc_1/picture")
    await world.receive(item(id="m1", name="Ida"), item(id="m2", peer="p2"))
    await world.send(text="answer")
    (record, data) = (await events(world))[0]
    stored = {**data, "content": {"kind": "media", "attachments": [{"blob": blob}, {"blob": "ws_1/theirs/file"}]}}
    await world.log.send(TOPICS.inbound(CHANNEL), record.key, orjson.dumps(stored), record.headers)
    others = ConversationKeys("plain:acc_1:p2")
    at = ConversationKeys(CONVERSATION)
    assert await world.client.call("EXISTS", at.record, others.record) == 2

    def erasure(*, dry: bool) -> Erasure:
        return Erasure(CHANNEL, world.log, TOPICS, world.store, world.blobs, dry=dry)

    would = await erasure(dry=True).erase(CONVERSATION)
    assert await world.blobs.exists(blob)
    done = await erasure(dry=False).erase(CONVERSATION)
    assert (would.blobs, would.tombstones) == (done.blobs, done.tombstones) == (1, 1)
    assert not await world.blobs.exists(blob)
    assert 0 < done.state_keys <= would.state_keys
    assert await world.client.call("EXISTS", at.record, others.record) == 1
    last = [r async for r in world.records(TOPICS.state(CHANNEL)) if r.key == CONVERSATION.encode()][-1]
    assert last.value is None
    assert done.left[TOPICS.inbound(CHANNEL)]["records"] == 2
    assert done.left[TOPICS.raw(CHANNEL)]["records"] == 1
    assert datetime.fromisoformat(done.left[TOPICS.raw(CHANNEL)]["until"]) > datetime.now(UTC) + 7 * DAY
    again = await erasure(dry=False).erase(CONVERSATION)
    assert (again.tombstones, again.state_keys, again.blobs, again.blobs_missing) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="another channel"):
        await erasure(dry=True).erase("telegram:acc_1:p1")
