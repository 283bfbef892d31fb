"""Inbound files: fetched, looked at, stored and told of; a provider that is away is waited for, not for ever."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from shared.channel import ProviderError
from shared.contract.errors import ErrorCode
from shared.media.blobs import BlobMissing, BlobsUnavailable
from shared.runtime.media import message_lane
from shared.stream.errors import NotNow
from shared.stream.records import Record
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, Killed, MediaChannel, PlainChannel, failure, item
from tests.shared.runtime.world import World

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
    return await anext(world.records(world.topics.inbound(CHANNEL)))


async def changes(world: World) -> list[tuple[str, dict[str, Any]]]:
    return [(name, data["attachment"]) for name, data in await world.events() if name.startswith("attachment")]


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
    waits = []
    for _ in range(100):
        try:
            await world.process.media.handle(record)
        except NotNow as wait:
            waits.append(wait.retry_after)
            world.clock.advance(wait.retry_after)
        else:
            break
    ((name, attachment),) = await changes(world)
    assert name == "attachment.failed"
    assert sum(waits) >= 3600
    assert waits[0] in (2.0, 7.0)
    assert waits[-1] == 120.0
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
    await world.process.media.handle(record)
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
