"""Inbound files: fetched, looked at, stored and told of; a provider that is away is waited for, not for ever."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from shared.channel import Account, HealthChange, OpenFile, ProviderError
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode
from shared.contract.events import Health, Message
from shared.media.blobs import BlobMissing, BlobsUnavailable
from shared.runtime import metrics
from shared.runtime.accounts import teller
from shared.runtime.accounts.registry import AWAITED_SECONDS
from shared.runtime.inbound.downloads import Downloads, Unfetched
from shared.runtime.inbound.media import ACCOUNT_SLOTS, IN_LANE_FOR, message_lane
from shared.runtime.inbound.previews import Previews
from shared.runtime.waiting.parked import ParkedRecords
from shared.stream.dispatcher import Dispatcher
from shared.stream.errors import NotNow
from shared.stream.records import Record, header
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, Killed, MediaChannel, PlainChannel, failure, item
from tests.shared.runtime.world import World

REAUTH = ProviderError(failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED))
AWAY = ProviderError(failure(ErrorCode.PROVIDER_UNAVAILABLE))
SLOW_DOWN = ProviderError(failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(MediaChannel())


def media(world: World) -> dict[str, list[bytes | Exception]]:
    assert isinstance(world.channel, MediaChannel)
    return world.channel.media


async def published(world: World, *files: str) -> Record:
    """A message with these files, as its record on the inbound topic."""
    await world.receive(item(id="m1", files=list(files)))
    record = await anext(world.records(world.topics.inbound(CHANNEL)))
    return replace(record, timestamp_ms=world.clock.ms)


async def changes(world: World) -> list[tuple[str, dict[str, Any]]]:
    return [(name, data["attachment"]) for name, data in await world.events() if name.startswith("attachment")]


def opened(world: World) -> list[str]:
    assert isinstance(world.channel, MediaChannel)
    return world.channel.opened


async def handled(world: World, record: Record) -> list[float]:
    """Handle a record, and again whenever it comes due, to its end. Returns the waits in seconds."""
    waits = await world._as_a_lane(world.process.media.handle, record)
    while (due := world.process.parked_files.next_due()) is not None:
        waits.append(due / 1000 - world.clock.seconds)
        waits += await come_due(world, waits[-1])
    return waits


async def come_due(world: World, seconds: float = 0.0) -> list[float]:
    """Let time pass, and hand over once what is due then. Returns the waits in the lanes."""
    world.clock.advance(seconds)
    due = world.process.parked_files.due(world.clock.ms)
    return [wait for record in due for wait in await world._as_a_lane(world.process.media.handle, record)]


async def reconnected(world: World) -> None:
    account = world.accounts.get("acc_1")
    assert account is not None
    await world.process.health.learn(account, HealthChange(Health.CONNECTED))


async def test_a_file_is_stored_with_what_it_is(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [PNG[:5], PNG[5:]]
    await world.process.media.handle(record)
    ((name, attachment),) = await changes(world)
    assert (name, attachment["status"]) == ("attachment.stored", "stored")
    assert (attachment["mime_type"], attachment["claimed_mime_type"]) == ("image/png", "image/jpeg")
    assert (attachment["size"], attachment["sha256"]) == (len(PNG), hashlib.sha256(PNG).hexdigest())
    assert attachment["filename"] == "f1.bin"
    assert await world.blobs.read(attachment["blob"]) == PNG


async def test_the_event_names_its_message(world: World) -> None:
    record = await published(world, "f1", "f2")
    media(world).update(f1=[PNG], f2=[b"text"])
    await world.process.media.handle(record)
    first, second, third = [data for _, data in await world.events()]
    assert second["message_id"] == third["message_id"] == first["message_id"]
    assert second["conversation_id"] == first["conversation_id"]
    wanted = [a["attachment_id"] for a in first["content"]["attachments"]]
    assert [second["attachment"]["attachment_id"], third["attachment"]["attachment_id"]] == wanted


async def test_the_files_of_an_edited_message_are_fetched_and_told_anew(world: World) -> None:
    """Also of a file that was stored before: whoever has the edit reads there that it is pending."""
    await world.receive(item(id="m1", files=["f1"]), item("edited", id="e1", target="m1", text="new", files=["f1"]))
    media(world)["f1"] = [PNG]
    for record in [record async for record in world.records(world.topics.inbound(CHANNEL))]:
        await handled(world, record)
    first, again = await changes(world)
    assert first == again
    assert first[0] == "attachment.stored"
    told = [record async for record in world.records(world.topics.inbound(CHANNEL))][2:]
    assert len({header(record, "ce_id") for record in told}) == 2


async def test_messages_without_files_and_other_events_are_passed_over(world: World) -> None:
    await world.receive(item(id="m1", text='the word "pending" in quotes'), item("reaction", id="r1"))
    for record in [record async for record in world.records(world.topics.inbound(CHANNEL))]:
        await world.process.media.handle(record)
    assert await changes(world) == []


async def test_a_file_that_is_stored_is_not_fetched_again(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [PNG]
    await world.process.media.handle(record)
    told = [record async for record in world.records(world.topics.inbound(CHANNEL))][1]
    await world.process.media.handle(told)
    assert len(await changes(world)) == 1


async def test_a_file_over_the_limit_is_stopped_while_it_comes(world: World) -> None:
    record = await published(world, "f1")
    endless = [b"x" * 600_000] * 5
    media(world)["f1"] = list(endless)
    await world.process.media.handle(record)
    ((name, attachment),) = await changes(world)
    assert name == "attachment.failed"
    assert attachment["error"]["code"] == "file_too_large"
    assert attachment["error"]["limit"] == 1024 * 1024
    assert attachment["error"]["actual"] == 1_200_000
    with pytest.raises(BlobMissing):
        await world.blobs.size(attachment["blob"])


@pytest.mark.parametrize("end", ["read", "too large", "broken off", "not taken by the store"])
async def test_a_download_is_closed_however_it_ends(world: World, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    async def away(*_: object) -> None:
        raise BlobsUnavailable("Away")

    await published(world, "f1")
    endings = {"too large": [b"x" * 600_000] * 5, "broken off": [PNG[:5], OSError("gone")]}
    media(world)["f1"] = [*endings.get(end, [PNG])]
    if end == "not taken by the store":
        monkeypatch.setattr(world.blobs, "put", away)
    [event] = [data for _, data in await world.events()]
    message = Message.model_validate(event)
    [attachment] = message.content.attachments  # type: ignore[union-attr]
    account = world.accounts.get("acc_1")
    assert account is not None and isinstance(world.channel, MediaChannel)
    previews = Previews(CHANNEL, world.blobs, world.process.common.processor)
    fetcher = Downloads(world.channel, world.blobs, previews, 1024 * 1024)
    with suppress(Unfetched):
        await fetcher.fetch(account, message, attachment)
    assert world.channel.closed == world.channel.opened == ["f1"]


async def test_a_file_that_is_gone_is_told_as_failed(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [ProviderError(failure(ErrorCode.FILE_UNAVAILABLE, provider_code="404"))]
    await world.process.media.handle(record)
    ((name, attachment),) = await changes(world)
    assert (name, attachment["error"]["provider_code"]) == ("attachment.failed", "404")


@pytest.mark.parametrize(
    "trouble",
    [
        ProviderError(failure(ErrorCode.PROVIDER_UNAVAILABLE)),
        ProviderError(failure(ErrorCode.RATE_LIMITED, retry_after=7.0)),
        ConnectionResetError(),
        RuntimeError("a payload that ended early"),
        BlobsUnavailable(),
    ],
)
async def test_what_passes_is_tried_again_for_an_hour(world: World, trouble: Exception) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [trouble] if isinstance(trouble, ProviderError) else [PNG, trouble]
    waits = await handled(world, record)
    ((name, attachment),) = await changes(world)
    assert name == "attachment.failed"
    assert 3600 <= sum(waits) < 3700
    assert waits[0] in (2.0, 7.0)
    assert max(waits) == 120.0
    assert len(world.process.parked_files) == 0
    with pytest.raises(BlobMissing):
        await world.blobs.size(attachment["blob"])


async def test_what_has_passed_is_stored(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [ProviderError(failure(ErrorCode.PROVIDER_UNAVAILABLE))]
    with pytest.raises(NotNow, match="provider_unavailable"):
        await world.process.media.handle(record)
    media(world)["f1"] = [PNG]
    await world.process.media.handle(record)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"]


async def test_without_the_log_it_is_told_later(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [PNG]
    world.log.available = False
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.media.handle(record)
    world.log.available = True
    await world.process.media.handle(record)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"]


async def test_killed_in_the_middle_it_is_told_again_with_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await published(world, "f1", "f2")
    media(world).update(f1=[PNG], f2=[b"text"])
    open_media = world.channel.open_media  # type: ignore[attr-defined]

    async def die_at_the_second(attachment: Any, *others: Any) -> Any:
        if attachment.provider_ref == "f2":
            raise Killed
        return await open_media(attachment, *others)

    with monkeypatch.context() as patch:
        patch.setattr(world.channel, "open_media", die_at_the_second, raising=False)
        with pytest.raises(Killed):
            await world.process.media.handle(record)
    await world.process.media.handle(record)
    found = [r async for r in world.records(world.topics.inbound(CHANNEL))][1:]
    names = [dict(r.headers)["ce_id"] for r in found]
    assert len(names) == 3
    assert names[0] == names[1] != names[2]


async def test_files_of_an_account_that_is_gone_fail(make_world: MakeWorld) -> None:
    world = await make_world(MediaChannel())
    record = await published(world, "f1")
    world.accounts.apply(b"acc_1", None)
    assert sum(await handled(world, record)) >= AWAITED_SECONDS, "a new account may not be known here yet"
    assert [name for name, _ in await changes(world)] == ["attachment.failed"]


async def test_a_channel_that_opens_no_media_says_so(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel())
    await world.process.media.handle(await published(world, "f1"))
    assert [name for name, _ in await changes(world)] == ["attachment.failed"]


async def test_messages_do_not_wait_for_each_others_files(world: World) -> None:
    await world.receive(item(id="m1", files=["f1"]), item(id="m2", files=["f2"]))
    first, second = [record async for record in world.records(world.topics.inbound(CHANNEL))]
    assert message_lane(first) != message_lane(second)
    assert first.key == second.key


# ------------------------------------------------------------------------------------------------------- waiting long


async def test_a_short_wait_stays_in_the_lane_and_a_longer_one_is_parked(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [AWAY]
    waits = await world._as_a_lane(world.process.media.handle, record)
    assert waits == [2.0] * 4
    assert len(world.process.parked_files) == 1
    media(world)["f1"] = [PNG]
    await come_due(world, 1.9)
    assert len(opened(world)) == 5
    await come_due(world, 0.2)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"]
    assert len(world.process.parked_files) == 0


async def test_files_of_a_dead_token_wait_until_the_account_is_back(world: World) -> None:
    await world.receive(*(item(id=f"m{n}", peer=f"p{n}", files=["f1"]) for n in range(3)))
    media(world)["f1"] = [REAUTH]
    for record in [record async for record in world.records(world.topics.inbound(CHANNEL))]:
        await world.process.media.handle(record)
    assert await world.healths() == ["reauth_required"]
    assert opened(world) == ["f1"], "who knows that the token is dead does not ask again"
    await come_due(world, 23 * 3600)
    assert await changes(world) == []
    media(world)["f1"] = [PNG]
    await reconnected(world)
    await come_due(world)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"] * 3
    assert len(world.process.parked_files) == 0


async def test_an_account_that_stays_dead_loses_its_files_after_a_day(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [REAUTH]
    assert sum(await handled(world, record)) == pytest.approx(24 * 3600)
    ((name, attachment),) = await changes(world)
    assert (name, attachment["error"]["code"]) == ("attachment.failed", "account_reauth_required")


async def test_an_account_s_trouble_that_says_nothing_of_its_health_is_tried_again(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [ProviderError(failure(ErrorCode.ACCOUNT_DISCONNECTED))]
    await world.process.media.handle(record)
    assert world.process.parked_files.groups() == {"account acc_1"}
    media(world)["f1"] = [PNG]
    await come_due(world, 2.0)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"]


async def test_an_account_that_is_back_gets_an_hour_for_the_providers_trouble(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [REAUTH]
    await world.process.media.handle(record)
    world.clock.advance(5 * 3600)
    media(world)["f1"] = [SLOW_DOWN]
    await reconnected(world)
    await come_due(world)
    assert await changes(world) == []
    media(world)["f1"] = [PNG]
    await come_due(world, 60.0)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"]


async def test_an_account_that_recovers_while_its_file_is_parked_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [REAUTH]
    park = world.process.parked_files.park

    async def recover_meanwhile(*arguments: Any) -> None:
        await reconnected(world)
        await park(*arguments)

    monkeypatch.setattr(world.process.parked_files, "park", recover_meanwhile)
    await world.process.media.handle(record)
    media(world)["f1"] = [PNG]
    await come_due(world)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"]


async def test_files_of_a_message_come_in_order_and_once_across_a_wait(world: World) -> None:
    record = await published(world, "f1", "f2", "f3")
    media(world).update(f1=[PNG], f2=[AWAY], f3=[PNG])
    await world.process.media.handle(record)
    await world.process.media.handle(record)  # the process died before it had committed
    await come_due(world, 2.0)
    media(world)["f2"] = [PNG]
    await come_due(world, 2.0)
    assert opened(world) == ["f1", "f2", "f2", "f2", "f3"]
    wanted = [
        a["attachment_id"] for _, data in await world.events() for a in data.get("content", {}).get("attachments", ())
    ]
    assert [attachment["attachment_id"] for _, attachment in await changes(world)] == wanted


async def test_a_restart_loses_nothing_that_waits(world: World) -> None:
    record = await published(world, "f1", "f2")
    media(world).update(f1=[PNG], f2=[SLOW_DOWN])
    await world.process.media.handle(record)
    world.clock.advance(1800)
    await come_due(world)
    await world.restart()
    await world.process.media.handle(record)
    assert opened(world) == ["f1", "f2", "f2"]
    assert sum(await handled(world, record)) == pytest.approx(1800), "the hour goes on"
    (stored, failed_) = await changes(world)
    assert (stored[0], failed_[0]) == ("attachment.stored", "attachment.failed")
    assert failed_[1]["error"]["code"] == "rate_limited"


async def test_what_cannot_be_parked_now_is_parked_later(world: World) -> None:
    record = await published(world, "f1")
    media(world)["f1"] = [SLOW_DOWN]
    world.log.available = False
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.media.handle(record)
    world.log.available = True
    await world.process.media.handle(record)
    assert len(world.process.parked_files) == 1


# ------------------------------------------------------------------------------------------------- beside each other


@asynccontextmanager
async def fetching(world: World) -> AsyncIterator[None]:
    """Media as it runs: a dispatcher on the inbound topic, and what is parked submitted to it."""
    process = world.process

    async def poisoned(record: Record, bug: Exception) -> None:
        raise bug

    gauges = metrics.PARKED_FILES.labels(CHANNEL), metrics.PARKING_FULL.labels(CHANNEL, "media")
    parked = ParkedRecords(process.parked_files, world.accounts, process.health, *gauges)
    topics = [world.topics.inbound(CHANNEL)]
    dispatcher = Dispatcher(
        world.log,
        "media",
        topics,
        process.media.handle,
        key_of=message_lane,
        on_poison=poisoned,
        slots=16,
        admit=process.media.admit,
        on_assigned=parked.assigned,
        on_revoked=parked.revoked,
    )
    async with dispatcher:
        task = asyncio.create_task(parked.run(dispatcher))
        yield
        assert not task.done()
        task.cancel()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.002)


async def pictures(world: World, count: int) -> None:
    """So many messages with a file for one account, then one for another."""
    names = [f"f{n}" for n in range(count)]
    await world.receive(*(item(id=name, peer=f"p{at}", files=[name]) for at, name in enumerate(names)))
    await world.receive(item(id="other", account="acc_2", files=["other"]))
    media(world).update({name: [PNG] for name in names}, other=[PNG])


def hang_for(world: World, monkeypatch: pytest.MonkeyPatch, account_id: str) -> tuple[asyncio.Event, list[str | None]]:
    """Downloads of this account hang until the event is set; the list has those that do."""
    answered, hanging = asyncio.Event(), list[str | None]()
    open_media = world.channel.open_media  # type: ignore[attr-defined]

    async def hang(attachment: Attachment, message: Message, account: Account) -> OpenFile:
        if account.account_id == account_id and not answered.is_set():
            hanging.append(attachment.provider_ref)
            await answered.wait()
        opened: OpenFile = await open_media(attachment, message, account)
        return opened

    monkeypatch.setattr(world.channel, "open_media", hang, raising=False)
    return answered, hanging


async def test_hanging_files_of_one_account_leave_room_for_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, hanging = hang_for(world, monkeypatch, "acc_1")
    await pictures(world, 40)
    async with fetching(world):
        await until(lambda: opened(world) == ["other"])
        assert len(hanging) == ACCOUNT_SLOTS
        answered.set()
        await until(lambda: len(world._written(world.topics.inbound(CHANNEL))) == 2 * 41)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"] * 41


async def test_more_hanging_files_than_a_partition_holds_open_are_parked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "_LONGEST_NAP", 0.01)
    answered, hanging = hang_for(world, monkeypatch, "acc_1")
    await pictures(world, 250)
    async with fetching(world):
        await until(lambda: len(hanging) == ACCOUNT_SLOTS)
        assert opened(world) == []
        assert len(world.process.parked_files) == 0, "most are done in a moment: so long they wait in their lanes"
        world.clock.advance(IN_LANE_FOR.total_seconds())
        await until(lambda: opened(world) == ["other"])
        assert len(hanging) == ACCOUNT_SLOTS
        answered.set()
        for _ in range(20):
            world.clock.advance(10)
            await asyncio.sleep(0.05)
        await until(lambda: len(world._written(world.topics.inbound(CHANNEL))) == 2 * 251)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"] * 251


async def test_five_hundred_files_of_a_dead_token_do_not_delay_another_accounts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "_LONGEST_NAP", 0.01)
    names = [f"f{n}" for n in range(500)]
    await world.receive(*(item(id=name, peer=f"p{at % 7}", files=[name]) for at, name in enumerate(names)))
    await world.receive(item(id="other", account="acc_2", files=["other"]))
    media(world).update({name: [REAUTH] for name in names}, other=[PNG])
    asked, began = opened(world), world.clock.seconds
    written = world._written(world.topics.inbound(CHANNEL))
    async with fetching(world):
        await until(lambda: len(written) == 502 and len(world.process.parked_files) == 500)
    assert [name for name, _ in await changes(world)] == ["attachment.stored"]
    assert asked[-1] == "other"
    assert len(asked) <= 16 + 1, "who knows that the token is dead does not ask again"
    assert world.clock.seconds == began, "nobody has waited"
    await world.restart()
    media(world).update({name: [PNG] for name in names})
    refused = len(asked)
    async with fetching(world):
        assert len(asked) == refused
        await reconnected(world)
        await until(lambda: len(asked) == refused + 500 and len(world.process.parked_files) == 0)
    told = await changes(world)
    assert [name for name, _ in told] == ["attachment.stored"] * 501
    assert len({attachment["attachment_id"] for _, attachment in told}) == 501
