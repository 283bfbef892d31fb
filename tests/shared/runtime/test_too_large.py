"""What every writer does with a record that is larger than its topic takes: told in fewer words, or kept elsewhere."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from shared.channel import HealthChange
from shared.contract.content import CustomPayloadContent, MediaContent, TextContent
from shared.contract.errors import ErrorCode, error
from shared.contract.events import Health, Message
from shared.contract.statuses import MessageStatus, State, Warning, WarningCode
from shared.contract.topics import Topics
from shared.runtime.process.topic_watch import TopicWatch
from shared.runtime.reporting.publish import publish, status_record
from shared.runtime.reporting.shorten import shortened
from shared.stream.deadletter import DeadLetters
from shared.stream.errors import RecordTooLarge
from shared.stream.log import Described, TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.records import INJECTED, Record
from tests.shared.runtime.plain_channel import CHANNEL, item
from tests.shared.runtime.world import ACCOUNT, World

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def status(**facts: Any) -> MessageStatus:
    return MessageStatus(
        status_id="s1",
        channel=CHANNEL,
        workspace_id="ws_1",
        account_id="acc_1",
        command_id="c1",
        conversation_id="plain:acc_1:p1",
        state=State.FAILED,
        occurred_at=NOW,
        **facts,
    )


def message(content: Any) -> Message:
    return Message.model_validate(
        {
            "channel": CHANNEL,
            "workspace_id": "ws_1",
            "account_id": "acc_1",
            "conversation_id": "plain:acc_1:p1",
            "occurred_at": "2026-11-27T12:00:00Z",
            "received_at": "2026-11-27T12:00:00Z",
            "message_id": "m1",
            "sender": {"display_name": "Noor"},
            "provider": {"type": "text"},
            "content": content,
        }
    )


def under(size: int) -> Any:
    return lambda data: len(data.to_json()) <= size


# --------------------------------------------------------------------------------------------------------- shortening


def test_words_are_cut_as_little_as_it_takes() -> None:
    whole = message(
        {
            "kind": "text",
            "text": "word " * 1000,
            "spans": [{"kind": "bold", "offset": 0, "length": 4}, {"kind": "bold", "offset": 4990, "length": 4}],
        }
    )
    short = shortened(whole, under(2000))
    assert short is not None
    assert isinstance(short.content, TextContent)
    assert 1950 < len(short.to_json()) <= 2000
    assert short.content.text.endswith("…")
    assert [span.offset for span in short.content.spans] == [0]
    assert short.shortened is True
    assert short.message_id == whole.message_id


def test_what_is_not_words_is_left_out_before_the_text_is_lost() -> None:
    raw = message({"kind": "custom_payload", "text": "a game", "raw": {str(n): "x" * 50 for n in range(100)}})
    short = shortened(raw, under(1000))
    assert short is not None
    assert isinstance(short.content, CustomPayloadContent)
    assert (short.content.text, short.content.raw) == ("a game", {})


def test_files_stay_as_long_as_there_is_room_and_the_message_is_told_in_any_case() -> None:
    files = [{"attachment_id": f"a{n}", "kind": "image", "blob": f"ws_1/acc_1/{n}"} for n in range(10)]
    whole = message({"kind": "media", "text": "caption " * 500, "attachments": files})
    short = shortened(whole, under(2000))
    assert short is not None
    assert isinstance(short.content, MediaContent)
    assert len(short.content.attachments) == 10
    least = shortened(whole, under(700))
    assert least is not None
    assert (least.content.kind, least.content.text[:7]) == ("unsupported", "caption")
    assert shortened(whole, under(50)) is None


def test_a_status_keeps_what_it_is_about() -> None:
    long = status(
        error=error(ErrorCode.CONTENT_REJECTED, "because " * 500, provider_code="131000", trace_id="t" * 3000),
        warnings=(Warning(code=WarningCode.CONVERTED, detail="why " * 500),),
        pricing={"tier": "x" * 2000},
    )
    short = shortened(long, under(700))
    assert short is not None
    kept = short.model_dump(include={"status_id", "command_id", "state", "conversation_id"})
    assert kept == long.model_dump(include={"status_id", "command_id", "state", "conversation_id"})
    assert short.error is not None
    assert short.error.code is ErrorCode.CONTENT_REJECTED
    assert short.error.detail.startswith("because")


# ------------------------------------------------------------------------------------------------------------ writers


async def test_a_status_too_large_is_told(world: World) -> None:
    world.log.limits[world.topics.statuses(CHANNEL)] = 700
    await world.process.book.publish_all([status(error=error(ErrorCode.CONTENT_REJECTED, "because " * 500))])
    (told,) = await world.statuses("c1")
    assert told["shortened"] is True
    assert told["error"]["detail"].startswith("because")


async def test_an_inbound_event_too_large_is_told_in_order(world: World) -> None:
    world.log.limits[world.topics.inbound(CHANNEL)] = 1000
    await world.receive(item(id="1", text="a"), item(id="2", text="b" * 5000), item(id="3", text="c"))
    events = [data for name, data in await world.events() if name == "message.received"]
    assert [event["content"]["text"][:1] for event in events] == ["a", "b", "c"]
    assert [event.get("shortened") for event in events] == [None, True, None]
    assert await world.dead() == []


async def test_a_health_too_large_is_told(world: World) -> None:
    world.log.limits[world.topics.account_health] = 600
    await world.process.health.set(
        ACCOUNT.workspace_id, ACCOUNT.account_id, HealthChange(Health.BILLING_BLOCKED, detail="owed " * 500)
    )
    (told,) = await world.values(world.topics.account_health)
    assert (told["health"], told["shortened"]) == ("billing_blocked", True)


async def test_a_raw_item_too_large_is_kept_in_the_blob_store(world: World) -> None:
    world.log.limits[world.topics.raw(CHANNEL)] = 500
    await world.receive(item(id="1", text="x" * 2000))
    ((_, data),) = await world.events()
    assert data["content"]["text"] == "x" * 2000


async def test_a_command_that_the_parked_topic_cannot_take_is_refused_before_it_has_to_wait(world: World) -> None:
    world.log.limits[world.topics.parked(CHANNEL)] = 1000
    await world.send(command_id="long", text="x" * 1000)
    await world.send(command_id="short", text="x" * 100)
    (refused,) = await world.statuses("long")
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "invalid_command")
    assert await world.states("short") == ["sent"]


async def test_capabilities_too_large_cost_nothing_else(world: World) -> None:
    world.log.limits[world.topics.capabilities] = 100
    teller = world.process.delivering.teller
    running = asyncio.create_task(teller.run())
    for _ in range(50):
        await asyncio.sleep(0.01)
    assert not running.done()
    assert await world.values(world.topics.capabilities) == []
    running.cancel()


async def test_what_cannot_be_shortened_is_said(world: World) -> None:
    world.log.limits[world.topics.statuses(CHANNEL)] = 100
    with pytest.raises(RecordTooLarge):
        await publish(world.log, world.topics.statuses(CHANNEL), status_record(status()))


async def test_a_dead_letter_whose_headers_are_too_large_is_kept_whole(world: World) -> None:
    class Narrow(MemoryLog):
        """Headers count here, as on a broker."""

        def takes(self, topic: str, key: bytes | None, value: bytes | None, headers: Any) -> bool:
            return len(key or b"") + len(value or b"") + sum(len(n) + len(v) for n, v in headers) <= 600

    log, kept = Narrow(), dict[str, bytes]()
    await log.ensure_topics([TopicSpec("dead", 1)])

    async def aside(content: bytes) -> str:
        kept[f"blob-{len(kept)}"] = content
        return f"blob-{len(kept) - 1}"

    letters = DeadLetters(log, lambda _: "dead", store_body=aside)
    await letters.put(Record("raw", 0, INJECTED, b"k" * 300, b"v" * 900, (("h", b"w" * 900),), 1), "unreadable", "why")
    (letter,) = [record async for record in log.read_partition("dead", 0)]
    headers = dict(letter.headers)
    assert kept[headers["dl_blob"].decode()] == b"v" * 900
    around = orjson.loads(kept[headers["dl_headers"].decode()])
    assert around["headers"][0][0] == "h"
    assert headers["dl_code"] == b"unreadable"


# ---------------------------------------------------------------------------------------------------------- the watch


class Describing(MemoryLog):
    """A log whose topics are as the test says."""

    found: dict[str, Described]

    async def describe(self, topics: Any) -> dict[str, Described]:
        return {name: self.found[name] for name in topics if name in self.found}


async def test_the_watch_names_what_is_missing_and_says_when_it_is_back() -> None:
    log, topics = Describing(), Topics()
    names = [topic.name for topic in (*topics.shared(), *topics.of_channel("plain"))]
    whole = {name: Described(6, 1000) for name in names}
    watch = TopicWatch("plain", log, topics)
    log.found = whole
    await watch.look()
    assert (await watch.missing(), list(watch.uneven())) == ([], [])

    raw, parked = topics.raw("plain"), topics.parked("plain")
    log.found = {name: topic for name, topic in whole.items() if name != parked}
    log.found[raw] = Described(6, 1000, "too few replicas")
    await watch.look()
    assert await watch.missing() == [f"topic {raw} (too few replicas)", f"topic {parked}"]

    log.found = whole | {parked: Described(1, 1000)}  # made anew by somebody who did not know the number
    await watch.look()
    assert await watch.missing() == []
    assert f"{parked} 1" in watch.uneven()
    assert f"{raw} 6" in watch.uneven()
