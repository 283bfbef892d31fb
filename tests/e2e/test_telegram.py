"""What only Telegram does: edits, deletions, reactions, albums, buttons, long polling, webhooks of its own."""

from __future__ import annotations

import hashlib

import pytest_asyncio

from tests.e2e.conftest import REPLICAS
from tests.e2e.providers import Person
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import WORKSPACE, ChannelUnderTest, World, image, number


@pytest_asyncio.fixture(loop_scope="session")
async def telegram(world: World) -> ChannelUnderTest:
    return await world.channel("telegram", REPLICAS)


async def test_an_edit_and_a_reaction_of_a_person(telegram: ChannelUnderTest, world: World) -> None:
    person = await telegram.person(await telegram.account())
    sim, bot = telegram.provider.sim, person.account.handle
    text = f"befor {number()}"
    provider_id = int(await telegram.write(person, text))
    written = await telegram.inbound.one(person.conversation_id, lambda s: s.text == text)
    sim.customer.edit(bot, person.handle, provider_id, text="before")
    edited = await telegram.inbound.event(person.conversation_id, "message.edited")
    assert edited.data["message_id"] == written.data["message_id"]
    assert edited.data["content"]["text"] == "before"
    (status,) = await telegram.sends(person, "Good?")
    sim.customer.react(bot, person.handle, int(status["provider_message_id"]), ["👍"])
    reaction = await telegram.inbound.event(person.conversation_id, "reaction.changed")
    assert (reaction.data["action"], reaction.data["emoji"]) == ("added", "👍")
    assert reaction.data["message_id"] == status["message_id"]
    assert reaction.data["resolved"] is True
    sim.customer.react(bot, person.handle, int(status["provider_message_id"]), [])
    await telegram.inbound.event(person.conversation_id, "reaction.changed", action="removed")


async def test_a_document_and_an_album_of_a_person(telegram: ChannelUnderTest, world: World) -> None:
    person = await telegram.person(await telegram.account())
    sim, bot = telegram.provider.sim, person.account.handle
    content = b"%PDF-1.7\n" + b"page " * 20_000
    await telegram.provider.send_file(person.account, person.handle, "document", content, "Räkning 11.pdf")
    stored = await telegram.inbound.event(person.conversation_id, "attachment.stored")
    attachment = stored.data["attachment"]
    assert attachment["filename"] == "Räkning 11.pdf"
    assert attachment["sha256"] == hashlib.sha256(content).hexdigest()
    assert await world.blobs.read(attachment["blob"]) == content
    photos = [image() for _ in range(3)]
    uploads = [sim.upload(photo, f"{n}.jpg", "image/jpeg") for n, photo in enumerate(photos)]
    await sim.customer.album(bot, person.handle, "photo", uploads, caption="three")

    def all_stored() -> list[str] | None:
        found = [s.data["attachment"] for s in telegram.inbound.of(person.conversation_id, "attachment.stored")][1:]
        return [a["blob"] for a in found] if len(found) == 3 else None

    blobs = await eventually(all_stored, what="three stored photos")
    assert sorted([await world.blobs.read(blob) for blob in blobs]) == sorted(photos)


async def test_a_button_is_pressed_and_answered(telegram: ChannelUnderTest, world: World) -> None:
    person = await telegram.person(await telegram.account())
    sim, bot = telegram.provider.sim, person.account.handle
    buttons = [[{"kind": "reply", "title": "Yes", "id": "yes-1"}, {"kind": "reply", "title": "No", "id": "no-1"}]]
    command = await telegram.command(person, content={"kind": "text", "text": "Shall we?", "buttons": buttons})
    (status,) = await telegram.statuses.end(command.id)
    sim.customer.press(bot, person.handle, int(status["provider_message_id"]), "yes-1")
    postback = await telegram.inbound.event(person.conversation_id, "postback.received")
    assert postback.data["content"]["kind"] == "postback"
    assert postback.text == "Yes"
    await eventually(
        lambda: [c for c in sim.calls if c.bot_id == bot and c.method == "answerCallbackQuery" and c.status == 200],
        what="the answer to the callback query",
    )


async def test_an_album_goes_out_as_one_and_can_be_changed(telegram: ChannelUnderTest, world: World) -> None:
    person = await telegram.person(await telegram.account())
    sim, bot = telegram.provider.sim, person.account.handle
    files = [
        {"blob": await world.blobs.put_content(f"{WORKSPACE}/test", image()), "kind": "image", "filename": f"{n}.jpg"}
        for n in range(3)
    ]
    command = await telegram.command(person, content={"kind": "media", "text": "ours", "attachments": files})
    statuses = await telegram.statuses.end(command.id)
    assert [s["state"] for s in statuses] == ["sent"] * 3
    assert [c.method for c in sim.calls if c.bot_id == bot and c.method.startswith("send")] == ["sendMediaGroup"]
    (sent,) = await telegram.sends(person, "frist")
    edit = await telegram.command(
        person, "message.edit", message_id=sent["message_id"], content={"kind": "text", "text": "first"}
    )
    (edited,) = await telegram.statuses.end(edit.id)
    assert (edited["state"], edited["target_message_id"]) == ("done", sent["message_id"])
    assert telegram.provider.sim.conversation(bot, person.handle)["messages"][-1]["text"] == "first"
    react = await telegram.command(person, "reaction.set", message_id=await _inbound(telegram, person), emoji="🔥")
    (reacted,) = await telegram.statuses.end(react.id)
    assert (reacted["state"], reacted["target_message_id"]) == ("done", await _inbound(telegram, person))
    messages = sim.conversation(bot, person.handle)["messages"]
    assert [r["emoji"] for m in messages for given in m.get("reactions", {}).values() for r in given] == ["🔥"]
    delete = await telegram.command(person, "message.delete", message_id=sent["message_id"])
    (deleted,) = await telegram.statuses.end(delete.id)
    assert (deleted["state"], deleted["target_message_id"]) == ("done", sent["message_id"])
    assert sim.conversation(bot, person.handle)["messages"][-1]["deleted"] is True
    assert sim.violations == []


async def _inbound(telegram: ChannelUnderTest, person: Person) -> str:
    return str(telegram.inbound.of(person.conversation_id, "message.received")[0].data["message_id"])


async def test_a_person_who_blocks_the_bot_is_known_to_be_gone(telegram: ChannelUnderTest, world: World) -> None:
    person = await telegram.person(await telegram.account())
    telegram.provider.sim.setup.block(person.account.handle, person.handle)
    await telegram.inbound.event(person.conversation_id, "contact.blocked")
    (status,) = await telegram.sends(person, "Still there?")
    assert status["state"] in ("failed", "rejected")
    assert status["error"]["code"] == "recipient_blocked"
    telegram.provider.sim.setup.block(person.account.handle, person.handle, blocked=False)
    await telegram.inbound.event(person.conversation_id, "contact.unblocked")
    (status,) = await telegram.sends(person, "Welcome back")
    assert status["state"] in SENT


async def test_a_bot_without_a_webhook_is_polled_by_one_replica_and_confirms_late(
    telegram: ChannelUnderTest, world: World
) -> None:
    account = await telegram.account(mode="pull")
    sim, bot = telegram.provider.sim, account.handle
    person = await telegram.person(account)
    texts = [f"pulled {number()}" for _ in range(50)]
    for text in texts:
        await telegram.write(person, text)
    await telegram.inbound.one(person.conversation_id, lambda s: s.text == texts[-1])
    received = [s.text for s in telegram.inbound.of(person.conversation_id) if s.text.startswith("pulled")]
    assert received == texts
    with world.broker.frozen():
        late = f"pulled {number()}"
        await telegram.write(person, late)
        calls = len([c for c in sim.calls if c.method == "getUpdates" and c.bot_id == bot])
        pending = sim.world.bots[bot].updates.pending
        await eventually(
            lambda: len([c for c in sim.calls if c.method == "getUpdates" and c.bot_id == bot]) > calls,
            what="a poll that brings it",
        )
        assert pending, "confirmed before Kafka had it"
    await telegram.inbound.one(person.conversation_id, lambda s: s.text == late)
    await eventually(lambda: not sim.world.bots[bot].updates.pending, what="the confirmation")
    conflicts = [c for c in sim.calls if c.bot_id == bot and c.status == 409]
    assert conflicts == []
    assert len({s.id for s in telegram.inbound.of(person.conversation_id) if s.text == late}) == 1


async def test_webhooks_are_registered_and_checked_by_a_command(telegram: ChannelUnderTest, world: World) -> None:
    account = await telegram.account(connect=False)
    public = {"HTTP_PUBLIC_URL": telegram.service.balancer.url}
    found = await telegram.run("webhook", "check", "--account", account.id, status=1, **public)
    assert account.id in found
    registered = await telegram.run("webhook", "register", "--account", account.id, **public)
    assert registered.endswith(f"{account.id}: ok")
    person = await telegram.person(account)
    assert person.conversation_id
    webhook = telegram.provider.sim.world.bots[account.handle].updates.webhook
    assert webhook.secret_token == account.credentials["webhook_secret"]
