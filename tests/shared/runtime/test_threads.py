"""Threads inside a conversation, and the names that we give to messages of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.channel import Call, Event, Failure, InThread, Outcome, PlanContext, Receipt, ReceivedItem, StatusUpdate
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.commands import Command, CommandType
from shared.contract.errors import ErrorCode
from shared.runtime.tools.rebuild import rebuild
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import PlainChannel, failure, item
from tests.shared.runtime.world import CONVERSATION, World

NAMES = ("id-of-c1", "v:token-of-c1")


class ThreadedChannel(PlainChannel):
    """Messages say by which keys they are in a thread; `planned` are the notes that `plan` was given."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self.planned: list[dict[str, str]] = []

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        read = orjson.loads(item.body)
        return [self._with(outcome, read) for outcome in super().normalise(item)]

    def _with(self, outcome: Outcome, read: dict[str, Any]) -> Outcome:
        if isinstance(outcome, Event) and "keys" in read:
            thread = InThread(tuple(read["keys"]), {"last": read.get("text", "")}, read.get("topic"))
            return replace(outcome, thread=thread, provider_ref=read["id"])
        if isinstance(outcome, Event) and "about" in read:
            return replace(outcome, of_message=tuple(read["about"]))
        if isinstance(outcome, StatusUpdate):
            return replace(outcome, bounce=read.get("bounce"), candidates=tuple(read.get("candidates", ())))
        return outcome

    def names_of(self, account: AccountRecord, command_id: str) -> Sequence[str]:
        return f"id-of-{command_id}", f"v:token-of-{command_id}"

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        self.planned.append(dict(context.thread))
        names = self.names_of(context.account, command.command_id)
        own = names[0]
        thread = InThread((f"m:{own}", "root"), {"last": own})
        calls = super().plan(kind, command, context)
        return [replace(call, names=names, thread=thread) for call in calls]


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(ThreadedChannel())


def mail(name: str, *keys: str, **facts: Any) -> dict[str, Any]:
    return item(id=name, keys=keys, text=name, **facts)


async def threads(world: World) -> list[tuple[str, bool | None]]:
    found = [data["thread"] for kind, data in await world.events() if kind == "message.received"]
    return [(thread["id"], thread.get("subject_changed")) for thread in found]


# ---------------------------------------------------------------------------------------------------- inbound


async def test_the_first_known_key_says_which_thread_it_is_and_all_keys_lead_there(world: World) -> None:
    await world.receive(mail("one", "m:one"))
    await world.receive(mail("two", "m:two", "m:one"))
    await world.receive(mail("three", "m:three", "m:two", "m:lost"))  # whoever wrote it has cut the chain
    await world.receive(mail("four", "m:four", "m:lost"))
    await world.receive(mail("other", "m:other"))
    assert [thread for thread, _ in await threads(world)] == ["m:one"] * 4 + ["m:other"]


async def test_a_thread_that_nobody_knows_is_named_after_its_root(world: World) -> None:
    await world.receive(mail("two", "m:two", "m:root"))
    await world.receive(mail("three", "m:three", "m:root"))
    assert [thread for thread, _ in await threads(world)] == ["m:root", "m:root"]


async def test_threads_of_other_conversations_are_not_found(world: World) -> None:
    await world.receive(mail("one", "m:one"), mail("two", "m:two", "m:one", peer="p2"))
    await world.receive(mail("three", "m:three", "m:two", peer="p3"))
    assert [thread for thread, _ in await threads(world)] == ["m:one", "m:one", "m:two"]


async def test_another_topic_in_a_thread_is_said_once(world: World) -> None:
    for name, topic in (("a", "cats"), ("b", "cats"), ("c", "dogs"), ("d", "dogs"), ("e", "cats")):
        await world.receive(mail(name, f"m:{name}", "m:a", topic=topic))
    assert [changed for _, changed in await threads(world)] == [None, None, True, None, True]


async def test_a_mail_that_comes_twice_changes_nothing_of_its_thread(world: World) -> None:
    await world.receive(mail("a", "m:a", topic="cats"), mail("b", "m:b", "m:a", topic="dogs"))
    await world.receive(mail("a", "m:a", topic="cats"))
    await world.receive(mail("c", "m:c", "m:b", topic="dogs"))
    assert [changed for _, changed in await threads(world)] == [None, True, None]


async def test_what_died_before_it_was_out_is_told_again_as_it_was(world: World, monkeypatch: Any) -> None:
    await world.receive(mail("a", "m:a", topic="cats"))
    [record] = await world.raw(mail("b", "m:b", "m:a", topic="dogs"))
    confirm_all = world.store.confirm_all
    with monkeypatch.context() as broken:
        broken.setattr(world.store, "confirm_all", None)
        with pytest.raises(TypeError):
            await world.process.normaliser.handle(record)
    assert world.store.confirm_all == confirm_all
    await world.normalise(record)
    assert [changed for _, changed in await threads(world)] == [None, True, True]  # the same event, twice


async def test_threads_of_a_conversation_that_became_part_of_another_are_known_there(world: World) -> None:
    await world.receive(mail("one", "m:one", "m:root", peer="p1", names=["x"], topic="cats"))
    await world.receive(mail("two", "m:two", peer="p2", names=["y"]))
    await world.receive(mail("three", "m:three", "m:two", peer="p2", names=["x"], topic="dogs"))
    assert [thread for thread, _ in await threads(world)] == ["m:root", "m:two", "m:two"]


# --------------------------------------------------------------------------------------------------- outbound


async def test_a_command_gets_the_note_of_its_targets_thread_or_of_the_newest(world: World) -> None:
    await world.receive(mail("one", "m:one"))
    await world.receive(mail("two", "m:two"))
    await world.send()
    await world.send(reply_to={"provider_message_id": "one"})
    await world.send(reply_to={"provider_message_id": "never-heard-of"})
    assert [note["last"] for note in _planned(world)] == ["two", "one", "id-of-cmd_2"]


async def test_an_answer_to_our_mail_is_in_its_thread(world: World) -> None:
    await world.receive(mail("one", "root"))
    await world.send(command_id="c1")
    await world.receive(mail("two", "m:two", "m:id-of-c1", "unknown-root"))
    assert [thread for thread, _ in await threads(world)] == ["root", "root"]
    await world.send(reply_to={"provider_message_id": "id-of-c1"})
    assert _planned(world)[-1]["last"] == "two"


async def test_an_uncertain_mail_is_in_its_thread_too(world: World) -> None:
    world.provider.will("hello", failure(ErrorCode.UNCERTAIN, certain=False))
    await world.send(command_id="c1")
    assert await world.states("c1") == ["uncertain"]
    await world.receive(mail("two", "m:two", "m:id-of-c1", "unknown-root"))
    assert [thread for thread, _ in await threads(world)] == ["root"]


async def test_after_a_rebuild_threads_are_what_they_were(world: World) -> None:
    await world.receive(mail("one", "m:one"), mail("two", "m:two", "m:one"))
    await world.forget("*")
    await rebuild(world.channel, world.accounts, world.log, world.store, world.blobs, world.topics)
    await world.restart()
    await world.receive(mail("three", "m:three", "m:two", "unknown-root"))
    assert [thread for thread, _ in await threads(world)] == ["m:one"] * 3


# ------------------------------------------------------------------------------------------- names and bounces


def bounce(kind: str, *names: str) -> dict[str, Any]:
    return item("status", id=names[0], candidates=names[1:], state="failed", code="undelivered", bounce=kind)


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[1:], ("v:nobody's", "id-of-c1"), ("x", "y", "v:token-of-c1")])
async def test_a_bounce_finds_its_message_by_any_of_its_names(world: World, names: tuple[str, ...]) -> None:
    world.provider.will("hello", Receipt(("id-of-c1",)))
    await world.send(command_id="c1")
    await world.receive(bounce("soft", *names))
    failed = (await world.statuses("c1"))[-1]
    assert (failed["state"], failed["bounce"]) == ("failed", "soft")
    assert failed["provider_message_id"] == "id-of-c1"
    assert failed["message_id"] == ids.message_id("plain", "acc_1", "id-of-c1")


@pytest.mark.parametrize("answer", [Receipt(("id-of-c1",)), failure(ErrorCode.UNCERTAIN, certain=False)])
async def test_a_bounce_finds_its_message_when_the_state_was_rebuilt(world: World, answer: Receipt | Failure) -> None:
    world.provider.will("hello", answer)
    await world.send(command_id="c1")
    await world.client.call("FLUSHALL")
    await rebuild(world.channel, world.accounts, world.log, world.store, world.blobs, world.topics)
    await world.receive(bounce("soft", "v:token-of-c1"))
    failed = (await world.statuses("c1"))[-1]
    assert (failed["state"], failed["bounce"], failed["provider_message_id"]) == ("failed", "soft", "id-of-c1")


@pytest.mark.parametrize("named", ["p1", "somebody else"])
async def test_who_complains_about_a_message_of_ours_opts_out_for_whom_it_was_and_nobody_else(
    world: World, named: str
) -> None:
    world.provider.will("hello", Receipt(("id-of-c1",)))
    await world.send(command_id="c1")
    await world.receive(item("consent", peer=named, consent="opted_out", about=["id-of-other", "v:token-of-other"]))
    assert [kind for kind, _ in await world.events()] == []
    await world.receive(item("consent", peer=named, consent="opted_out", about=["x", "v:token-of-c1"]))
    ((kind, data),) = await world.events()
    assert (kind, data["consent"], data["conversation_id"]) == ("contact.consent_changed", "opted_out", CONVERSATION)
    assert ("contact" in data) == (named == "p1")
    assert (await world.store.observe(CONVERSATION)).conversation["opted_out"] == "1"
    assert not (await world.store.observe("plain:acc_1:somebody else")).conversation


async def test_a_bounce_that_comes_before_the_answer_finds_its_message(world: World) -> None:
    world.provider.will("hello", failure(ErrorCode.UNCERTAIN, certain=False))
    await world.send(command_id="c1")
    await world.receive(bounce("hard", "v:token-of-c1"))
    assert await world.states("c1") == ["uncertain", "failed"]


async def test_a_bounce_that_waited_for_its_message_is_still_one(world: World) -> None:
    await world.receive(bounce("hard", "v:lost", "id-of-c1"))
    world.provider.will("hello", Receipt(("id-of-c1",)))
    await world.send(command_id="c1")
    failed = (await world.statuses("c1"))[-1]
    assert (failed["state"], failed["bounce"], failed["provider_message_id"]) == ("failed", "hard", "id-of-c1")


async def test_a_contact_whose_mail_comes_back_for_good_is_undeliverable_until_they_write(world: World) -> None:
    await world.receive(mail("one", "m:one"))
    world.provider.will("hello", Receipt(("id-of-c1",)))
    await world.send(command_id="c1")
    world.clock.advance(1)
    await world.receive(bounce("hard", "id-of-c1"))
    told = (await world.feed(CONVERSATION))[-1]
    assert (told["reachable"], told["reasons"], told["allowed"]["text"]) == (False, ["undelivered"], True)
    assert "contact.blocked" not in await world.event_types()
    await world.send(command_id="c2", text="once more")
    assert await world.states("c2") == ["sent"]
    world.clock.advance(1)
    await world.receive(mail("two", "m:two"))
    told = (await world.feed(CONVERSATION))[-1]
    assert (told["reachable"], told["reasons"]) == (True, [])


async def test_a_soft_bounce_says_nothing_of_the_contact(world: World) -> None:
    await world.receive(mail("one", "m:one"))
    world.provider.will("hello", Receipt(("id-of-c1",)))
    await world.send(command_id="c1")
    await world.receive(bounce("soft", "id-of-c1"))
    assert all(told["reachable"] for told in await world.feed(CONVERSATION))


def _planned(world: World) -> list[dict[str, str]]:
    assert isinstance(world.channel, ThreadedChannel)
    return world.channel.planned
