"""Contacts without a name: asked for once, in the background, told when known, and never in a message's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from shared.channel import Account, Avatar, OpenFile, ProviderError
from shared.contract import ids
from shared.contract.base import Alias, AliasKind, Contact
from shared.contract.errors import ErrorCode
from shared.runtime import metrics
from shared.runtime.inbound import contacts
from shared.runtime.inbound.contacts import ASK_AGAIN_SECONDS
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel, failure, item
from tests.shared.runtime.world import CONVERSATION, World

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
PERSON = {"aliases": [{"kind": "username", "value": "lena.k"}], "address": {"chat": "1"}}


class KnowingChannel(PlainChannel):
    """Knows its contacts by address; `answer` is what it says, raises or waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Contact | Exception | asyncio.Event | None = Contact(
            display_name="Lena K 🌻",
            avatar_url="https://pictures.example/1?x-expires=9",
            aliases=(Alias(kind=AliasKind.PROVIDER_ID, value="u-1"),),
        )
        self.asked: list[dict[str, str]] = []

    async def contact(self, account: Account, address: Mapping[str, str]) -> Contact | None:
        self.asked.append(dict(address))
        if isinstance(self.answer, asyncio.Event):
            await self.answer.wait()
            return None
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> KnowingChannel:
    return ShowingChannel() if "showing" in request.fixturenames else KnowingChannel()


@pytest.fixture
async def world(make_world: MakeWorld, channel: KnowingChannel) -> AsyncIterator[World]:
    made = await make_world(channel)
    yield made
    await made.process.contacts.close()


async def said(world: World) -> None:
    """What is asked for in the background has been answered."""
    await asyncio.gather(*world.process.contacts._tasks)


async def updates(world: World) -> list[dict[str, Any]]:
    return [data for name, data in await world.events() if name == "contact.updated"]


def lookups(outcome: str) -> float:
    return float(metrics.CONTACT_LOOKUPS.labels(CHANNEL, outcome)._value.get())


async def test_a_name_follows_the_first_message(world: World, channel: KnowingChannel) -> None:
    await world.receive(item(id="m1", **PERSON))
    await said(world)
    assert await world.event_types() == ["message.received", "contact.updated"]
    [update] = await updates(world)
    assert update["conversation_id"] == CONVERSATION
    assert update["contact"]["display_name"] == "Lena K 🌻"
    assert update["contact"]["avatar_url"].startswith("https://pictures.example/")
    assert [alias["value"] for alias in update["contact"]["aliases"]] == ["lena.k", "u-1"]
    assert [alias["value"] for alias in update["added"]] == ["u-1"]
    assert channel.asked == [{"chat": "1"}]


async def test_the_name_is_remembered_and_in_the_state_feed(world: World, channel: KnowingChannel) -> None:
    await world.receive(item(id="m1", **PERSON))
    await said(world)
    world.clock.advance(ASK_AGAIN_SECONDS + 1)
    await world.restart()
    await world.forget("f:*")
    await world.receive(item(id="m2", **PERSON))
    await said(world)
    assert len(channel.asked) == 1
    assert (await world.feed())[-1]["display_name"] == "Lena K 🌻"
    last = (await world.events())[-1][1]
    assert last["sender"]["display_name"] == "Lena K 🌻", "what was told is on the messages after it"


async def test_who_has_no_name_is_asked_for_once_in_a_while_by_all_replicas(
    world: World, channel: KnowingChannel
) -> None:
    channel.answer = None
    await world.receive(item(id="m1", **PERSON), item(id="m2", **PERSON))
    await said(world)
    await world.restart()  # as another replica: nothing in its memory
    await world.receive(item(id="m3", **PERSON))
    await said(world)
    assert len(channel.asked) == 1
    world.clock.advance(ASK_AGAIN_SECONDS + 1)
    await world.forget("f:*")
    await world.receive(item(id="m4", **PERSON))
    await said(world)
    assert len(channel.asked) == 2
    assert await updates(world) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "Lena"},
        {"address": {}},
        {"backfill": True},
        {"kind": "echo"},
        {"kind": "blocked"},
    ],
)
async def test_nobody_asks_where_it_is_known_or_cannot_be(
    world: World, channel: KnowingChannel, facts: dict[str, Any]
) -> None:
    await world.receive(item(id="m1", **(PERSON | facts)))
    await said(world)
    assert channel.asked == []


async def test_messages_do_not_wait_for_a_name(world: World, channel: KnowingChannel) -> None:
    channel.answer = asyncio.Event()
    for number in range(20):
        await world.receive(item(id=f"m{number}", peer=f"p{number}", **PERSON))
    assert await world.event_types() == ["message.received"] * 20
    async with asyncio.timeout(5):
        while not channel.asked:
            await asyncio.sleep(0.001)
    assert len(channel.asked) <= contacts._AT_ONCE
    channel.answer.set()
    await said(world)
    assert len(channel.asked) == 20


async def test_what_is_too_much_is_left_for_the_next_message(
    world: World, channel: KnowingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "_MOST", 2)
    known, channel.answer = channel.answer, asyncio.Event()
    before = lookups("dropped")
    for number in range(3):
        await world.receive(item(id=f"m{number}", peer=f"p{number}", **PERSON))
    assert lookups("dropped") == before + 1
    channel.answer.set()
    await said(world)
    channel.answer = known
    await world.receive(item(id="again", peer="p2", **PERSON))
    await said(world)
    [update] = await updates(world)
    assert update["conversation_id"].endswith(":p2")


@pytest.mark.parametrize("trouble", [ProviderError(failure(ErrorCode.RATE_LIMITED)), RuntimeError("a bug")])
async def test_trouble_stays_in_the_background(world: World, channel: KnowingChannel, trouble: Exception) -> None:
    channel.answer = trouble
    outcome = "internal" if isinstance(trouble, RuntimeError) else "rate_limited"
    before = lookups(outcome)
    await world.receive(item(id="m1", **PERSON))
    await said(world)
    assert await world.event_types() == ["message.received"]
    assert lookups(outcome) == before + 1


async def test_a_channel_that_knows_nobody_is_not_asked(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.receive(item(id="m1", **PERSON))
    assert world.process.contacts._tasks == set()


class ShowingChannel(KnowingChannel):
    """Shows a picture of its contacts, too."""

    def __init__(self) -> None:
        super().__init__()
        self.picture: str | None = "first"
        self.content = PNG
        self.fetched: list[str] = []

    async def avatar(self, account: Account, address: Mapping[str, str]) -> Avatar | None:
        return None if self.picture is None else Avatar(self.picture, f"https://pictures.example/{self.picture}")

    async def open_avatar(self, account: Account, avatar: Avatar) -> OpenFile:
        self.fetched.append(avatar.ref)

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(self.content), 50_000):
                yield self.content[start : start + 50_000]

        return OpenFile("face", "image/png", len(self.content), chunks())


@pytest.fixture
def showing(channel: KnowingChannel) -> ShowingChannel:
    assert isinstance(channel, ShowingChannel)
    return channel


async def _writes_on_the_next_day(world: World, number: int) -> None:
    world.clock.advance(25 * 3600)
    await world.restart()
    await world.forget("f:*")
    await world.receive(item(id=f"m{number}", **PERSON))
    await said(world)


async def test_each_picture_is_fetched_once_and_kept_as_a_file(world: World, showing: ShowingChannel) -> None:
    await world.receive(item(id="m1", **PERSON))
    await said(world)
    [update] = await updates(world)
    assert update["contact"]["display_name"] == "Lena K 🌻"
    first = update["contact"]["avatar"]
    assert await world.blobs.read(first) == PNG
    assert ids.is_blob_of(update["workspace_id"], first)
    await world.receive(item(id="m2", **PERSON))  # on the same day nobody asks
    await _writes_on_the_next_day(world, 3)  # and then it is the same
    assert len(await updates(world)) == len(showing.fetched) == 1
    showing.picture = "second"
    await _writes_on_the_next_day(world, 4)
    update = (await updates(world))[-1]
    assert update["contact"]["avatar"] != first
    assert (update["contact"]["display_name"], update["reason"]) == ("Lena K 🌻", "profile")
    assert len(showing.fetched) == 2


@pytest.mark.parametrize("content", [b"<svg onload='alert(1)'/>" * 40, PNG + bytes(2 * 1024 * 1024), b""])
async def test_what_is_no_small_picture_is_not_kept(world: World, showing: ShowingChannel, content: bytes) -> None:
    showing.content = content
    before = metrics.AVATARS.labels(CHANNEL, "stored")._value.get()
    await world.receive(item(id="m1", **PERSON))
    await said(world)
    [update] = await updates(world)
    assert "avatar" not in update["contact"]
    assert update["contact"]["display_name"]
    assert metrics.AVATARS.labels(CHANNEL, "stored")._value.get() == before
