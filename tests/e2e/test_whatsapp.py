"""What only WhatsApp does: batches, statuses that come early, reactions, edits, deletions, receipts."""

from __future__ import annotations

import asyncio
import hashlib
import time

import orjson
import pytest
import pytest_asyncio

from sandbox.simulators.whatsapp.model import wamid
from tests.e2e.conftest import REPLICAS
from tests.e2e.topics import eventually
from tests.e2e.world import ChannelUnderTest, World, number


@pytest_asyncio.fixture(loop_scope="session")
async def whatsapp(world: World) -> ChannelUnderTest:
    return await world.channel("whatsapp", REPLICAS)


async def test_a_reaction_an_edit_and_a_deletion_of_a_person(whatsapp: ChannelUnderTest, world: World) -> None:
    person = await whatsapp.person(await whatsapp.account())
    sim, line = whatsapp.provider.sim, whatsapp.provider.sim.world.number(person.account.handle)
    (status,) = await whatsapp.sends(person, "Good?")
    sim.customers.say(person.handle, "reaction", number=line, message_id=status["provider_message_id"], emoji="👍")
    reaction = await whatsapp.inbound.event(person.conversation_id, "reaction.changed")
    assert (reaction.data["action"], reaction.data["emoji"]) == ("added", "👍")
    assert reaction.data["message_id"] == status["message_id"]
    assert reaction.data["resolved"] is True
    text = f"befor {number()}"
    provider_id = await whatsapp.write(person, text)
    written = await whatsapp.inbound.one(person.conversation_id, lambda s: s.text == text)
    sim.customers.say(person.handle, "edit", number=line, original_message_id=provider_id, message=_text("before"))
    edited = await whatsapp.inbound.event(person.conversation_id, "message.edited")
    assert edited.data["message_id"] == written.data["message_id"]
    sim.customers.say(person.handle, "revoke", number=line, original_message_id=provider_id)
    deleted = await whatsapp.inbound.event(person.conversation_id, "message.deleted")
    assert deleted.data["message_id"] == written.data["message_id"]


def _text(body: str) -> dict[str, object]:
    return {"type": "text", "text": {"body": body}}


async def test_a_document_of_a_person_is_stored_as_it_was_sent(whatsapp: ChannelUnderTest, world: World) -> None:
    person = await whatsapp.person(await whatsapp.account())
    content = b"%PDF-1.7\n" + b"page " * 20_000
    await whatsapp.provider.send_file(person.account, person.handle, "document", content, "Räkning 11.pdf")
    stored = await whatsapp.inbound.event(person.conversation_id, "attachment.stored")
    attachment = stored.data["attachment"]
    assert attachment["filename"] == "Räkning 11.pdf"
    assert attachment["sha256"] == hashlib.sha256(content).hexdigest()
    assert await world.blobs.read(attachment["blob"]) == content


async def test_receipts_follow_a_message_and_never_go_back(whatsapp: ChannelUnderTest, world: World) -> None:
    person = await whatsapp.person(await whatsapp.account())
    command = await whatsapp.command(person, text="Read me")
    await whatsapp.statuses.state(command.id, "delivered")
    whatsapp.provider.sim.customers.read(person.handle)
    read = await whatsapp.statuses.state(command.id, "read")
    assert read["rollup"] == {"of": 1, "sent": 1, "delivered": 1, "read": 1, "failed": 0}
    told = [s["state"] for s in whatsapp.statuses.by_command[command.id]]
    assert told == sorted(told, key=["accepted", "sent", "delivered", "read"].index)
    warning = {"id": read["provider_message_id"], "status": "warning", "timestamp": str(int(time.time()))}
    line = whatsapp.provider.sim.world.number(person.account.handle)
    for _ in range(2):
        whatsapp.provider.sim.business.change("messages", "statuses", warning, number=line)
    statuses = whatsapp.statuses.by_command[command.id]
    await eventually(lambda: len(statuses) == len(told) + 2, 5, what=lambda: f"{statuses[-1]}")
    assert [w["code"] for w in statuses[-1]["warnings"]] == ["content_unavailable"]
    assert (statuses[-1]["state"], statuses[-1]["message_id"]) == ("read", read["message_id"])
    assert statuses[-1]["status_id"] == statuses[-2]["status_id"] not in {s["status_id"] for s in statuses[:-2]}


async def test_a_status_that_comes_before_its_answer_waits_for_it(whatsapp: ChannelUnderTest, world: World) -> None:
    person = await whatsapp.person(await whatsapp.account())
    sim = whatsapp.provider.sim
    sim.behaviour.change(early=1.0, delivered_after=0.0)
    whatsapp.provider.fail_sends("slow", seconds=0.3, count=1)
    try:
        command = await whatsapp.command(person, text="Quick")
        await whatsapp.statuses.state(command.id, "delivered")
    finally:
        sim.behaviour.change(early=0.0, delivered_after=0.02)
        whatsapp.provider.behave()
    told = [s["state"] for s in whatsapp.statuses.by_command[command.id]]
    assert told == sorted(set(told), key=["accepted", "sent", "delivered"].index), "a state was told twice or went back"
    assert {s["command_id"] for s in whatsapp.statuses.by_command[command.id]} == {command.id}


def message(phone: str, text: str) -> dict[str, object]:
    """One inbound text in Meta's shape."""
    return {"from": phone, "id": wamid(phone), "timestamp": str(int(time.time())), **_text(text)}


def entry(phone_number_id: str, changes: list[list[object]]) -> dict[str, object]:
    """One entry with a change for each list of messages."""
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": phone_number_id}}
    return {"id": "1", "changes": [{"field": "messages", "value": {**value, "messages": m}} for m in changes]}


def envelope(entries: list[dict[str, object]]) -> bytes:
    """A POST's body."""
    return orjson.dumps({"object": "whatsapp_business_account", "entry": entries})


def batch(numbers: list[str], people: list[str], tag: int) -> tuple[bytes, list[str]]:
    """3 entries of 2 changes with 5 messages each, one of them poisoned; and the texts of the good ones."""
    texts, entries = [], []
    for first, (phone_number_id, phone) in enumerate(zip(numbers, people, strict=True)):
        changes: list[list[object]] = []
        for second in range(2):
            words = [f"batch {tag} {first}/{second}/{index}" for index in range(5)]
            messages: list[object] = [message(phone, text) for text in words]
            if (first, second) == (1, 1):
                messages[2] = ["no message at all", {"deep": [None]}]
                del words[2]
            changes.append(messages)
            texts += words
        entries.append(entry(phone_number_id, changes))
    return envelope(entries), texts


@pytest.mark.timeout(120)
async def test_the_same_post_a_hundred_times_at_once_is_every_event_once(
    whatsapp: ChannelUnderTest, world: World
) -> None:
    accounts = [await whatsapp.account() for _ in range(3)]
    people = [f"4670{number():07}" for _ in range(3)]
    tag = number()
    body, texts = batch([account.handle for account in accounts], people, tag)
    path, headers = whatsapp.provider.genuine(accounts[0], body)
    letters = len(whatsapp.dead.all)
    answers = await asyncio.gather(
        *(whatsapp.service.post(f"/webhooks/whatsapp{path}", data=body, headers=headers) for _ in range(100))
    )
    assert {status for status, _ in answers} == {200}

    def found() -> list[str]:
        return [s.text for s in whatsapp.inbound.all if s.text.startswith(f"batch {tag} ")]

    await eventually(lambda: set(found()) >= set(texts), 60, every=0.1, what=lambda: f"{len(set(found()))} of 29")
    # Behind the last repetition of every key, something else: then all repetitions have been handled.
    last = [f"last {tag} {n}" for n in range(3)]
    for account, phone, text in zip(accounts, people, last, strict=True):
        closing = envelope([entry(account.handle, [[message(phone, text)]])])
        path, headers = whatsapp.provider.genuine(account, closing)
        await whatsapp.service.post(f"/webhooks/whatsapp{path}", data=closing, headers=headers)
    await eventually(
        lambda: {s.text for s in whatsapp.inbound.all} >= set(last), 60, every=0.1, what="what came behind"
    )
    assert sorted(found()) == sorted(texts), "an event came twice"
    poisoned = len(whatsapp.dead.all) - letters
    assert poisoned in (0, 100), "the poisoned item is kept every time it comes, or shown as unsupported"
