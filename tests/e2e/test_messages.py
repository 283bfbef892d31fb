"""From the provider to the topics and from the topics to the provider: what is the same on every channel."""

from __future__ import annotations

import hashlib

import pytest

from tests.e2e.providers import NAMES
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import WORKSPACE, ChannelUnderTest, World, image, number

TALKING = [name for name in NAMES if name != "email"]  # a mail is written out of sight, and sent as one


async def test_a_text_becomes_one_event(channel: ChannelUnderTest, world: World) -> None:
    account = await channel.account()
    person = await channel.person(account)
    text = f"Is it open? {number()}"
    provider_id = await channel.write(person, text)
    event = await channel.inbound.one(person.conversation_id, lambda s: s.text == text)
    assert event.type == "message.received"
    assert event.data["provider"]["message_id"] == provider_id
    assert event.data["account_id"] == account.id
    assert event.data["direction"] == "inbound"
    assert event.attributes["subject"] == event.key == person.conversation_id


async def test_a_text_goes_out_and_its_status_comes_back(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    text = f"It is open {number()}"
    (status,) = await channel.sends(person, text)
    assert status["state"] in SENT
    (got,) = channel.provider.got(person)
    assert got.text == text
    assert got.id == status["provider_message_id"]


async def test_the_file_of_a_message_is_stored_as_it_was_sent(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    content = image()
    await channel.provider.send_file(person.account, person.handle, "image", content, "café.jpg")
    message = await channel.inbound.one(
        person.conversation_id, lambda s: s.type == "message.received" and s.data["content"].get("attachments")
    )
    (pending,) = message.data["content"]["attachments"]
    assert pending["status"] == "pending"
    stored = await channel.inbound.event(
        person.conversation_id, "attachment.stored", message_id=message.data["message_id"]
    )
    attachment = stored.data["attachment"]
    assert attachment["blob"] == pending["blob"]
    assert attachment["mime_type"] == "image/jpeg"
    assert attachment["sha256"] == hashlib.sha256(content).hexdigest()
    assert await world.blobs.read(attachment["blob"]) == content


async def test_a_photo_goes_out_from_the_blob_store(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    blob = await world.blobs.put_content(f"{WORKSPACE}/test", image())
    attachment = {"blob": blob, "kind": "image", "filename": "Übersicht.jpg"}
    content = {"kind": "media", "text": "Here it is", "attachments": [attachment]}
    command = await channel.command(person, content=content)
    statuses = await channel.statuses.end(command.id)
    assert all(s["state"] in SENT for s in statuses)
    got = channel.provider.got(person)
    assert [g.id for g in got] == [s["provider_message_id"] for s in statuses]
    assert {g.kind for g in got} & {"image", "photo"}
    assert "Here it is" in [g.text for g in got]


@pytest.mark.parametrize("channel", TALKING, indirect=True)
async def test_a_long_text_goes_out_in_parts_that_make_it_whole_again(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    text = " ".join(f"word{n}" for n in range(1600))  # longer than two messages of any channel
    statuses = await channel.sends(person, text)
    assert len(statuses) >= 2
    assert all(s["state"] in SENT for s in statuses)
    assert [s["part"]["index"] for s in statuses] == list(range(len(statuses)))
    parts = channel.texts(person)
    assert len(parts) == len(statuses)
    assert " ".join(parts).split() == text.split()
    assert statuses[-1]["rollup"] == {
        "of": len(statuses),
        "sent": len(statuses),
        "delivered": statuses[-1]["rollup"]["delivered"],
        "read": 0,
        "failed": 0,
    }


async def test_a_reply_points_at_its_message_or_says_why_not(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    text = f"Which one? {number()}"
    provider_id = await channel.write(person, text)
    event = await channel.inbound.one(person.conversation_id, lambda s: s.text == text)
    (status,) = await channel.sends(person, "The second", reply_to={"message_id": event.data["message_id"]})
    assert status["state"] in SENT
    (got,) = channel.provider.got(person)
    warned = [w["code"] for w in status.get("warnings", ())]
    assert (got.reply_to, warned) in ((provider_id, []), (None, ["reply_to_unsupported"]))


@pytest.mark.parametrize("channel", TALKING, indirect=True)
async def test_typing_shows_until_the_message_is_there(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    await channel.command(person, "typing.start")
    await eventually(lambda: channel.provider.shows_typing(person), what="typing")
    await channel.command(person, "typing.stop")
    await channel.sends(person, "Done")
    assert channel.texts(person) == ["Done"]


async def test_typing_for_agents_never_leaves(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    await channel.command(person, "typing.start", audience="agents")
    await channel.sends(person, "Done")  # behind it on the same partition
    assert not channel.provider.shows_typing(person)


async def test_the_same_command_twice_is_one_call_and_one_answer(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    first = await channel.command(person, text="Once")
    (told,) = await channel.statuses.end(first.id)
    await channel.command(person, text="Once", command_id=first.id)
    behind = await channel.command(person, text="Behind it")
    await channel.statuses.end(behind.id)
    assert channel.texts(person) == ["Once", "Behind it"]
    statuses = channel.statuses.by_command[first.id]
    assert len(statuses) > len({s["status_id"] for s in statuses}), "nothing was told a second time"
    assert {s["provider_message_id"] for s in statuses} == {told["provider_message_id"]}


async def test_the_feeds_say_what_can_be_done(channel: ChannelUnderTest, world: World) -> None:
    account = await channel.account()
    person = await channel.person(account)
    capabilities = await eventually(lambda: world.capabilities.of(account.id), what="capabilities")
    assert capabilities[-1].data["capabilities"]["channel"] == channel.name
    state = await eventually(lambda: channel.state.of(person.conversation_id), what="conversation state")
    assert state[-1].data["allowed"]["text"] is True


async def test_preflight_says_what_delivery_does_and_sends_nothing(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    text = "x" * 13_000
    plan = await channel.ask(person, text=text)
    assert plan["accepted"] is True
    statuses = await channel.sends(person, text)
    assert len(statuses) == plan["parts"] == len(channel.texts(person))
    unable = (
        {"kind": "template", "name": "x", "language": "de"}
        if channel.name == "email"
        else {"kind": "email", "text": "x"}
    )
    refusal = await channel.ask(person, content=unable)
    assert refusal["accepted"] is False
    command = await channel.command(person, content=unable)
    (status,) = await channel.statuses.end(command.id)
    assert (status["state"], status["error"]["code"]) == ("rejected", refusal["refused"]["code"])
    assert len(channel.texts(person)) == plan["parts"]
