"""Commands that are refused before any provider call, and refusals of the provider that correct what we believe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.contract.base import rfc3339
from shared.contract.commands import CommandType
from shared.contract.errors import ErrorCode
from shared.runtime.outbound.commands import LARGEST_RECORD
from shared.stream.errors import LogUnavailable
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import (
    WINDOW,
    InitiatingChannel,
    Killed,
    PlainChannel,
    VaryingChannel,
    failure,
    item,
)
from tests.shared.runtime.world import CONVERSATION, OTHER, World, soon
from tests.shared.stream.support import eventually

QUOTA = WINDOW.model_copy(update={"quota": 3, "counts_echoes": True, "templates_outside": False})
DAY = timedelta(days=1)


async def refusal(world: World, command_id: str) -> dict[str, Any]:
    """The one status of a command that was refused without a call."""
    (status,) = await world.statuses(command_id)
    assert status["state"] == "rejected"
    assert world.provider.asked == []
    error: dict[str, Any] = status["error"]
    return error


# ------------------------------------------------------------------------------------------------- unreadable, unknown


async def test_a_command_too_large_to_wait_is_refused(world: World) -> None:
    world.log._max_bytes *= 2  # what whoever writes commands may have been allowed
    record = await world.command(text="x" * LARGEST_RECORD, command_id="c1", not_before=soon(world.clock, 3600))
    world.log._max_bytes //= 2
    await world.handle(record)
    assert (await refusal(world, "c1"))["code"] == "invalid_command"


async def test_what_is_no_command_and_too_large_is_kept_whole(world: World) -> None:
    world.log._max_bytes *= 2
    record = await world.record(b"x" * (LARGEST_RECORD + 1))
    world.log._max_bytes //= 2
    await world.handle(record)
    ((code, letter),) = await world.dead()
    assert code == "unreadable"
    assert await world.blobs.read(dict(letter.headers)["dl_blob"].decode()) == record.value


@pytest.mark.parametrize(
    "value", [b"", b"nonsense", b"[]", b'"text"', b"{}", b'{"command_id": 7}', b'{"command_id": ""}']
)
async def test_what_names_no_command_is_a_dead_letter(world: World, value: bytes) -> None:
    await world.handle(await world.record(value))
    ((code, record),) = await world.dead()
    assert (code, record.value) == ("unreadable", value)
    assert await world.statuses() == []


@pytest.mark.parametrize(
    ("kind", "data", "code", "field"),
    [
        ("message.explode", {}, "invalid_command", "type"),
        ("channels.message.send.v2", {}, "invalid_command", "type"),
        ("nonsense", {}, "invalid_command", "type"),
        ("message.send", {"visibility": "internal"}, "not_sendable", "visibility"),
        ("message.send", {"content": {"kind": "comment", "text": "a secret"}}, "invalid_command", "content.kind"),
        ("message.send", {"content": {"kind": "text", "text": ""}}, "invalid_command", "content.text"),
        ("message.send", {"workspace_id": "ws_2"}, "invalid_command", "workspace_id"),
        ("message.send", {"account_id": "acc_9"}, "account_disconnected", "account_id"),
        ("message.send", {"conversation_id": "plain:acc_2:p1"}, "invalid_command", "conversation_id"),
        ("message.send", {"conversation_id": "other:acc_1:p1"}, "invalid_command", "conversation_id"),
        ("message.send", {"conversation_id": "nonsense"}, "invalid_command", "conversation_id"),
        ("message.cancel", {}, "invalid_command", None),
    ],
)
async def test_what_is_no_valid_command_is_rejected(
    world: World, kind: str, data: dict[str, Any], code: str, field: str | None
) -> None:
    await world.send(kind, command_id="c1", **data)
    error = await refusal(world, "c1")
    assert (error["code"], error.get("field")) == (code, field)
    assert "secret" not in str(error)


async def test_a_command_for_a_new_contact_needs_a_channel_that_may_write_first(world: World) -> None:
    await world.send(command_id="c1", conversation_id=None, to=[{"kind": "phone", "value": "+4915112345678"}])
    assert (await refusal(world, "c1"))["code"] == "cannot_initiate"


async def test_a_new_contact_gets_a_conversation_that_stays(make_world: MakeWorld) -> None:
    world = await make_world(InitiatingChannel())
    phone = [{"kind": "phone", "value": "+4915112345678"}]
    await world.send(text="one", command_id="c1", conversation_id=None, to=phone)
    await world.send(text="two", command_id="c2", conversation_id=None, to=phone)
    (first,), (second,) = await world.statuses("c1"), await world.statuses("c2")
    assert first["conversation_id"] == second["conversation_id"]
    assert first["conversation_id"].startswith("plain:acc_1:p-")
    assert "4915112345678" not in str([first, second])
    await world.send(command_id="c3", conversation_id=None, to=[{"kind": "email", "value": "a@example.org"}])
    assert (await world.statuses("c3"))[0]["error"]["code"] == "recipient_unknown"


async def test_who_may_write_first_with_a_template_only(make_world: MakeWorld) -> None:
    world = await make_world(InitiatingChannel(initiates="template"))
    phone = [{"kind": "phone", "value": "+4915112345678"}]
    await world.send(command_id="c1", conversation_id=None, to=phone)
    refused = await refusal(world, "c1")
    assert (refused["code"], refused["allowed"], refused["remedy"]) == (
        "cannot_initiate",
        ["template"],
        "Send a template.",
    )
    template = {"kind": "template", "name": "welcome", "language": "en"}
    await world.send(command_id="c2", conversation_id=None, to=phone, content=template)
    assert await world.states("c2") == ["sent"]


@pytest.mark.parametrize(
    ("kind", "grade", "data"),
    [
        (CommandType.MESSAGE_EDIT, "edit", {"message_id": "m", "content": {"kind": "text", "text": "x"}}),
        (CommandType.MESSAGE_DELETE, "delete", {"message_id": "m"}),
        (CommandType.REACTION_SET, "reaction", {"message_id": "m", "emoji": "👍"}),
        (CommandType.MARK_READ, "mark_read", {}),
    ],
)
async def test_what_the_channel_cannot_do(
    make_world: MakeWorld, kind: CommandType, grade: str, data: dict[str, Any]
) -> None:
    world = await make_world(PlainChannel(**{grade: "rejected"}))
    await world.send(kind, command_id="c1", **data)
    assert (await refusal(world, "c1"))["code"] == "unsupported_by_channel"


# ------------------------------------------------------------------------------------------------------- the window


async def test_a_closed_window_says_when_it_closed_and_what_is_allowed(world: World) -> None:
    opened = world.clock.now
    await world.receive(item())
    world.clock.advance(24 * 3600 - 59)  # inside the guard
    await world.send(command_id="c1")
    error = await refusal(world, "c1")
    assert error["code"] == "window_closed"
    assert error["expires_at"] == rfc3339(opened + DAY - timedelta(seconds=60))
    assert error["allowed"] == ["template"]
    await world.send(command_id="c2", content={"kind": "template", "name": "t", "language": "en"})
    assert await world.states("c2") == ["sent"]


async def test_what_an_account_may_is_its_own(make_world: MakeWorld) -> None:
    world = await make_world(VaryingChannel())
    world.account(OTHER.model_copy(update={"settings": {"able": {"direct_send": ("utility",)}}}))
    theirs = {"workspace_id": "ws_2", "account_id": "acc_2", "conversation_id": "plain:acc_2:p1"}
    for account in ("acc_1", "acc_2"):
        await world.receive(item(account=account))
    world.clock.advance(25 * 3600)
    await world.send(command_id="c1", category="utility")
    assert (await refusal(world, "c1"))["field"] == "category"
    await world.send(command_id="c2", **theirs)
    assert (await refusal(world, "c2"))["code"] == "window_closed"
    await world.send(command_id="c3", category="utility", **theirs)
    assert await world.states("c3") == ["sent"]


async def test_an_open_window_takes_messages_to_its_last_second(world: World) -> None:
    await world.receive(item())
    world.clock.advance(24 * 3600 - 61)
    await world.send(command_id="c1")
    assert await world.states("c1") == ["sent"]


async def test_an_unknown_window_lets_the_provider_decide(world: World) -> None:
    await world.send(command_id="c1")
    assert await world.states("c1") == ["sent"]


async def test_the_providers_refusal_closes_the_window_until_the_contact_writes(world: World) -> None:
    await world.receive(item(id="m1"))
    world.provider.will("hello", failure(ErrorCode.WINDOW_CLOSED))
    await world.send(command_id="c1")
    assert await world.states("c1") == ["failed"]
    told = (await world.feed())[-1]
    assert (told["window"]["open"], told["window"]["closed_by_provider"]) == (False, True)
    assert told["reasons"] == ["window_closed"]
    await world.send(command_id="c2")
    assert (await world.statuses("c2"))[0]["error"]["code"] == "window_closed"
    assert len(world.provider.asked) == 1

    await world.receive(item(id="m0", at=world.clock.ms - 60_000))  # an old message that comes late opens nothing
    await world.send(command_id="c3")
    assert await world.states("c3") == ["rejected"]

    world.clock.advance(10)
    await world.receive(item(id="m2"))
    assert (await world.feed())[-1]["window"]["open"] is True
    await world.send(command_id="c4")
    assert await world.states("c4") == ["sent"]


async def test_a_refusal_of_an_older_message_does_not_close_a_window_opened_since(world: World) -> None:
    await world.send(command_id="c1")
    refused_at = world.clock.ms
    world.clock.advance(60)
    await world.receive(item())
    await world.receive(item("status", id="out-0", state="failed", code="window_closed", at=refused_at))
    assert (await world.states("c1"))[-1] == "failed"
    await world.send(command_id="c2")
    assert await world.states("c2") == ["sent"]


# -------------------------------------------------------------------------------------------------------- the quota


async def test_the_quota_is_reserved_for_the_whole_message(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    await world.receive(item(id="m1"))
    await world.send(text="one|two", command_id="c1")
    await world.send(text="three|four", command_id="c2")
    (status,) = await world.statuses("c2")
    assert (status["state"], status["error"]["code"]) == ("rejected", "quota_exhausted")
    assert (status["error"]["limit"], status["error"]["actual"]) == (3, 2)
    await world.send(text="five", command_id="c3")
    assert world.provider.texts() == ["one", "two", "five"]
    told = (await world.feed())[-1]
    assert (told["window"]["quota_used"], told["allowed"]["text"]) == (3, False)
    assert told["reasons"] == ["quota_exhausted"]

    world.clock.advance(5)
    await world.receive(item(id="m2"))
    assert (await world.feed())[-1]["window"]["quota_used"] == 0
    await world.send(text="six", command_id="c4")
    assert await world.states("c4") == ["sent"]


@pytest.mark.parametrize(
    ("behaviour", "used"),
    [
        (failure(ErrorCode.CONTENT_REJECTED), 0),
        (("done", failure(ErrorCode.PROVIDER_UNAVAILABLE, certain=False)), 1),
        (None, 1),
    ],
)
async def test_the_quota_is_released_on_certain_failure_and_kept_on_doubt(
    make_world: MakeWorld, behaviour: object, used: int
) -> None:
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    await world.receive(item())
    world.provider.will("hello", behaviour)
    await world.send()
    opened = await world.store.open(CONVERSATION, "any")
    assert opened.quota_used == used


async def test_the_quota_of_what_never_was_sent_is_released(make_world: MakeWorld) -> None:
    """Claimed, put off, and then cancelled or expired: nothing of it stays reserved."""
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    await world.receive(item())
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    await world.send(text="one|two|three", command_id="c1", not_after=soon(world.clock, 90))
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    await world.come_due(61)
    await world.come_due(60)
    assert (await world.states("c1"))[-1] == "expired"
    assert (await world.store.open(CONVERSATION, "any")).quota_used == 0


async def test_the_parts_behind_a_failure_release_their_quota(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    await world.receive(item())
    world.provider.will("two", failure(ErrorCode.CONTENT_REJECTED))
    await world.send(text="one|two|three")
    assert (await world.store.open(CONVERSATION, "any")).quota_used == 1


async def test_a_crash_keeps_the_quota_once(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    await world.receive(item())
    world.provider.will("two", ("done", Killed()))
    record = await world.command(text="one|two|three", command_id="c1")
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    await world.handle(record)
    assert (await world.store.open(CONVERSATION, "any")).quota_used == 3


async def test_messages_written_in_the_app_count(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    await world.receive(item(id="m1"))
    world.clock.advance(1)
    for turn in range(3):
        await world.receive(item("echo", id=f"e{turn}"), item("echo", id=f"e{turn}"))
    assert (await world.feed())[-1]["window"]["quota_used"] == 3
    await world.send(command_id="c1")
    assert (await world.statuses("c1"))[0]["error"]["code"] == "quota_exhausted"


async def test_what_was_written_before_the_window_opened_does_not_count(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(windows=(QUOTA,)))
    await world.receive(item(id="m1"))
    await world.receive(item("echo", id="late", at=world.clock.ms - 1000))
    await world.receive(item("echo", id="history", backfill=True))
    assert (await world.store.open(CONVERSATION, "any")).quota_used == 0


async def test_automatic_messages_count_where_the_channel_says_so(make_world: MakeWorld) -> None:
    spared = QUOTA.model_copy(update={"counts_automatic": False})
    world = await make_world(PlainChannel(windows=(spared,)))
    await world.receive(item(id="m1"))
    world.clock.advance(1)
    await world.receive(item("echo", id="away", automatic=True), item("echo", id="typed"))
    assert (await world.store.open(CONVERSATION, "any")).quota_used == 1


async def test_a_quota_until_the_reply_ends_with_the_second_message(make_world: MakeWorld) -> None:
    relaxed = QUOTA.model_copy(update={"quota_until_reply": True})
    world = await make_world(PlainChannel(windows=(relaxed,)))
    await world.receive(item(id="m1"))
    await world.send(text="1|2|3|4", command_id="c1")
    assert (await world.statuses("c1"))[0]["error"]["code"] == "quota_exhausted"
    world.clock.advance(1)
    await world.receive(item(id="m2"))
    await world.send(text="1|2|3|4", command_id="c2")
    assert len(world.provider.texts()) == 4


# ----------------------------------------------------------------------------------------------------- the contact


async def test_a_contact_that_blocked_us_is_told_of_once(world: World) -> None:
    await world.receive(item(id="m1"))
    world.provider.will("hello", failure(ErrorCode.RECIPIENT_BLOCKED))
    await world.send(command_id="c1")
    assert await world.event_types() == ["message.received", "contact.blocked"]
    told = (await world.feed())[-1]
    assert (told["reachable"], told["allowed"]["text"], told["reasons"]) == (False, False, ["recipient_blocked"])
    await world.send(command_id="c2")
    assert (await world.statuses("c2"))[0]["error"]["code"] == "recipient_blocked"
    assert len(world.provider.asked) == 1
    assert await world.event_types() == ["message.received", "contact.blocked"]

    world.clock.advance(60)
    await world.receive(item(id="m2"))
    assert (await world.feed())[-1]["reachable"] is True
    await world.send(command_id="c3")
    assert await world.states("c3") == ["sent"]


async def test_a_contact_that_blocked_us_is_the_same_event_when_it_is_told_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.provider.will("hello", failure(ErrorCode.RECIPIENT_BLOCKED))
    record = await world.command(command_id="c1")
    enqueue, outages = world.log.enqueue, [LogUnavailable("away")]

    async def away_once(topic: str, *arguments: Any, **named: Any) -> Any:
        if topic == world.topics.state("plain") and outages:
            raise outages.pop()
        return await enqueue(topic, *arguments, **named)

    monkeypatch.setattr(world.log, "enqueue", away_once)
    await world.handle(record)
    told = [dict(event.headers)["ce_id"] async for event in world.records(world.topics.inbound("plain"))]
    assert len(told) == 2
    assert len(set(told)) == 1


async def test_what_was_learned_from_a_refusal_outlives_an_outage_of_the_log(world: World) -> None:
    world.provider.will("hello", failure(ErrorCode.RECIPIENT_BLOCKED))
    record = await world.command(command_id="c1")
    perform = world.channel.perform

    async def and_lose_the_log(*arguments: Any, **named: Any) -> Any:
        world.log.available = False
        return await perform(*arguments, **named)

    world.channel.perform = and_lose_the_log  # type: ignore[method-assign]
    with pytest.raises(Exception, match="log_unavailable"):
        await world.process.deliverer.handle(record)
    world.log.available = True
    await world.handle(record)
    assert (await world.states("c1"))[-1] == "failed"
    assert await world.event_types() == ["contact.blocked"]
    assert (await world.feed())[-1]["reachable"] is False


async def test_marketing_needs_consent(world: World) -> None:
    await world.receive(item("consent", consent="opted_out", id="o1"))
    marketing = {"kind": "template", "name": "sale", "language": "en", "category": "MARKETING"}
    await world.send(command_id="c1", content=marketing)
    assert (await refusal(world, "c1"))["code"] == "opted_out"
    await world.send(command_id="c2", content=marketing | {"category": "utility"})
    assert await world.states("c2") == ["sent"]
    await world.receive(item("consent", consent="opted_in", id="o2"))
    await world.send(command_id="c3", content=marketing)
    assert await world.states("c3") == ["sent"]


async def test_blocking_holds_here_whatever_the_provider_says(world: World) -> None:
    world.provider.will("contact.block", failure(ErrorCode.CONTENT_REJECTED))
    await world.send(CommandType.CONTACT_BLOCK, command_id="c1")
    assert await world.states("c1") == ["failed"]
    assert (await world.feed())[-1]["blocked"] is True
    await world.receive(item(id="m1"))
    assert (await world.events())[-1][1]["contact_blocked"] is True
    await world.send(CommandType.CONTACT_UNBLOCK, command_id="c2")
    await world.receive(item(id="m2"))
    assert (await world.events())[-1][1]["contact_blocked"] is False


async def test_blocking_on_a_channel_that_cannot_is_done_here(world: World) -> None:
    await world.receive(item(address={"unblockable": "1"}))
    await world.send(CommandType.CONTACT_BLOCK, command_id="c1")
    assert await world.states("c1") == ["done"]
    assert world.provider.asked == []


# ------------------------------------------------------------------------------------------------------- the reply


async def test_a_reply_names_the_providers_message(world: World) -> None:
    await world.receive(item(id="m1"))
    ours = (await world.events())[0][1]["message_id"]
    await world.send(reply_to={"message_id": ours})
    await world.send(reply_to={"provider_message_id": "given"})
    assert [call.params["reply"] for call in world.provider.made] == ["p1:m1", "given"]


async def test_a_reply_to_a_message_of_ours_by_either_id(world: World) -> None:
    await world.send(text="first", command_id="c1")
    from shared.contract import ids

    for target in (ids.part_message_id("c1", 0), ids.message_id("plain", "acc_1", "out-0")):
        await world.send(reply_to={"message_id": target})
    assert [call.params["reply"] for call in world.provider.made[1:]] == ["out-0", "out-0"]


async def test_a_reply_to_what_is_not_sent_yet_is_refused(world: World) -> None:
    from shared.contract import ids

    world.provider.will("first", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    await world.send(text="first", command_id="c1")
    target = ids.part_message_id("c1", 0)
    record = await world.command(command_id="c2", reply_to={"message_id": target})
    await world.process.deliverer._carry_out(await _job(world, record))
    assert (await world.statuses("c2"))[0]["error"]["code"] == "reply_target_pending"


async def _job(world: World, record: Any) -> Any:
    return await world.process.deliverer._reader.job(record)


async def test_a_reply_to_an_unknown_message_goes_without_or_not_at_all(world: World) -> None:
    await world.send(command_id="c1", reply_to={"message_id": "never"})
    (status,) = await world.statuses("c1")
    assert [w["code"] for w in status["warnings"]] == ["reply_to_dropped"]
    assert "reply" not in world.provider.made[0].params
    await world.send(command_id="c2", reply_to={"message_id": "never"}, reply_policy="strict")
    assert (await world.statuses("c2"))[0]["error"]["code"] == "reply_target_unknown"


UNKNOWN = [
    (CommandType.REACTION_SET, {"emoji": "👍"}),
    (CommandType.MESSAGE_DELETE, {}),
    (CommandType.MESSAGE_EDIT, {"content": {"kind": "text", "text": "better"}}),
]


@pytest.mark.parametrize(("kind", "facts"), UNKNOWN)
async def test_what_is_about_an_unknown_message_says_so(world: World, kind: CommandType, facts: dict[str, Any]) -> None:
    await world.send(kind, command_id="c1", message_id="never", **facts)
    refused = await refusal(world, "c1")
    assert (refused["code"], refused["field"]) == ("message_unknown", "message_id")
    assert "repl" not in refused["detail"] + refused["remedy"]


@pytest.mark.parametrize(("kind", "facts"), UNKNOWN)
async def test_what_is_about_a_message_in_doubt_says_so(world: World, kind: CommandType, facts: dict[str, Any]) -> None:
    world.provider.will("first", failure(ErrorCode.UNCERTAIN, certain=False))
    await world.send(text="first", command_id="c1")
    (sent,) = await world.statuses("c1")
    await world.send(kind, command_id="c2", message_id=sent["message_id"], **facts)
    (status,) = await world.statuses("c2")
    refused = status["error"]
    assert (refused["code"], refused["field"]) == ("message_pending", "message_id")


# --------------------------------------------------------------------------------------------------------- the key


@pytest.mark.parametrize("key", ["plain:acc_1:somebody_else", "plain:acc_2:p1", "c1", "", None])
async def test_a_record_that_is_not_in_its_conversations_order_is_refused(world: World, key: str | None) -> None:
    record = replace(await world.command(command_id="c1"), key=None if key is None else key.encode())
    await world.handle(record)
    (status,) = await world.statuses("c1")
    assert (status["error"]["code"], status["error"]["field"]) == ("invalid_command", "key")
    assert "conversation_id" in status["error"]["detail"]
    assert status["conversation_id"] == CONVERSATION  # its own order, not that of the key
    assert world.provider.asked == []


async def test_a_first_message_has_a_key_of_its_account(make_world: MakeWorld) -> None:
    world = await make_world(InitiatingChannel())
    to = [{"kind": "phone", "value": "+4915112345678"}]
    record = await world.command(command_id="c1", conversation_id=None, to=to)
    for wrong in (b"", b"plain:acc_2:somebody", b"other:acc_1:somebody"):
        await world.handle(replace(record, key=wrong))
    refused = await world.statuses("c1")
    assert [status["error"]["field"] for status in refused] == ["key"] * 3
    assert {status.get("conversation_id") for status in refused} == {None}
    for good in (b"plain:acc_1:contact-7", b"contact-7"):
        await world.handle(replace(record, key=good))
        assert (await world.states("c1"))[-1] == "sent"


async def test_a_refusal_stands_in_no_order_of_another_account(world: World) -> None:
    await world.send(command_id="c1", conversation_id="plain:acc_2:p1")
    (status,) = await world.statuses("c1")
    assert status["state"] == "rejected"
    assert "conversation_id" not in status


async def test_what_has_waited_keeps_its_key(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    await world.send(text="one", command_id="c1")
    await world.restart()
    await world.come_due(61)
    assert await world.states("c1") == ["deferred", "sent"]


# ------------------------------------------------------------------------------------------------------- the files


async def test_a_file_goes_out_with_its_size_and_type_as_they_are(world: World) -> None:
    content = b"\x89PNG\r\n\x1a\n" + b"pixels" * 100
    blob = await world.blob(content)
    await world.send(content={"kind": "media", "text": "look", "attachments": [{"blob": blob}]}, command_id="c1")
    (call,) = world.provider.made
    assert (call.params["size"], call.params["mime"]) == (len(content), "image/png")
    assert world.provider.bodies == [content]


async def test_a_missing_file_is_said_by_its_place(world: World) -> None:
    blob = await world.blob(b"text")
    files = [{"blob": blob}, {"blob": "ws_1/acc_1/gone"}]
    await world.send(content={"kind": "media", "attachments": files}, command_id="c1")
    error = await refusal(world, "c1")
    assert (error["code"], error["field"]) == ("file_unavailable", "content.attachments.1")


@pytest.mark.parametrize(("extra", "state"), [(0, "sent"), (1, "rejected")])
async def test_twenty_mebibytes_and_not_a_byte_more(world: World, extra: int, state: str) -> None:
    blob = await world.blob(b"x" * (20 * 1024 * 1024 + extra))
    await world.send(content={"kind": "media", "attachments": [{"blob": blob}]}, command_id="c1")
    (status,) = await world.statuses("c1")
    assert status["state"] == state
    if extra:
        assert status["error"]["code"] == "file_too_large"
        assert (status["error"]["limit"], status["error"]["actual"]) == (20 * 1024 * 1024, 20 * 1024 * 1024 + 1)
        assert world.provider.bodies == []


async def test_a_program_that_calls_itself_a_picture_is_refused(world: World) -> None:
    blob = await world.blob(b"MZ\x90\x00 this program", key="ws_1/acc_1/holiday.jpg")
    file = {"blob": blob, "filename": "holiday.jpg", "mime_type": "image/jpeg"}
    await world.send(content={"kind": "media", "attachments": [file]}, command_id="c1")
    assert (await refusal(world, "c1"))["code"] == "file_type_mismatch"


async def test_too_many_files(world: World) -> None:
    blob = await world.blob(b"text")
    await world.send(content={"kind": "media", "attachments": [{"blob": blob}] * 51}, command_id="c1")
    error = await refusal(world, "c1")
    assert (error["code"], error["limit"], error["actual"]) == ("too_many_files", 50, 51)


async def test_fifty_files_go_out_in_order_and_resume_where_they_were(world: World) -> None:
    files = [{"blob": await world.blob(b"text %d" % n, key=f"ws_1/acc_1/{n}")} for n in range(50)]
    world.provider.will("part20", Killed())
    record = await world.command(content={"kind": "media", "text": "part", "attachments": files}, command_id="c1")
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    await world.handle(record)
    expected = [b"text %d" % n for n in range(50)]
    assert world.provider.bodies == expected
    assert [s["state"] for s in await world.statuses("c1")].count("uncertain") == 1


async def test_a_file_of_an_earlier_message_is_named_by_its_attachment(world: World) -> None:
    await world.blob(b"kept", key="ws_1/acc_1/at/att-1")
    await world.send(content={"kind": "media", "attachments": [{"attachment_id": "att-1"}]})
    assert world.provider.bodies == [b"kept"]


async def test_copies_of_addresses_are_kept_apart_from_the_files_of_messages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's own rules, which know prefixes only, can delete them after a while."""
    import obstore

    async def fetch(url: str, *, max_bytes: int) -> AsyncIterator[bytes]:
        yield b"fetched"

    monkeypatch.setattr(world.process.preparer._fetcher, "fetch", fetch)
    await world.send(content={"kind": "media", "attachments": [{"url": "https://files.example/1.png"}]})
    assert world.provider.bodies == [b"fetched"]
    (kept,) = [blob["path"] for page in obstore.list(world.blobs._store) for blob in page]
    assert kept.startswith("fetched/ws_1/acc_1/")


async def test_files_that_went_after_the_first_part_fail_the_rest_only(world: World) -> None:
    first, second = await world.blob(b"one", key="ws_1/acc_1/1"), await world.blob(b"two", key="ws_1/acc_1/2")
    files = [{"blob": first}, {"blob": second}]
    world.provider.will("part1", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    await world.send(content={"kind": "media", "text": "part", "attachments": files}, command_id="c1")
    import obstore

    await obstore.delete_async(world.blobs._store, "ws_1/acc_1/2")
    await world.come_due(61)
    by_part = {s["part"]["index"]: s for s in await world.statuses("c1") if s["state"] != "deferred"}
    assert by_part[0]["state"] == "sent"
    assert (by_part[1]["state"], by_part[1]["error"]["code"]) == ("failed", "file_unavailable")
    assert len(world.process.parking) == 0


# ------------------------------------------------------------------------------------------- fields nobody knows


async def warnings(world: World, command_id: str) -> list[list[str]]:
    """The codes and fields of the warnings of each status."""
    told = await world.statuses(command_id)
    return [[f"{w['code']} {w.get('field', '')}".strip() for w in status["warnings"]] for status in told]


async def test_a_field_nobody_knows_is_told_once_on_the_first_part(world: World) -> None:
    await world.send(text="one|two", command_id="c1", reply_too={"message_id": "m"}, silennt=True)
    assert await world.states("c1") == ["sent:0", "sent:1"]
    assert await warnings(world, "c1") == [["field_ignored reply_too", "field_ignored silennt", "text_split"], []]
    (first, _) = await world.statuses("c1")
    assert [warning["nearest"] for warning in first["warnings"][:2]] == ["reply_to", "silent"]


async def test_a_field_nobody_knows_is_told_once_after_a_wait(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    await world.send(text="one", command_id="c1", reply_too=1, reply_to={"message_id": "never"})
    await world.restart()
    await world.come_due(61)
    assert await warnings(world, "c1") == [[], ["field_ignored reply_too", "reply_to_dropped"]]


@pytest.mark.parametrize(
    ("kind", "facts", "state"),
    [
        (CommandType.MESSAGE_CANCEL, {"cancel_conversation": True}, "done"),
        (CommandType.CONTACT_BLOCK, {}, "done"),
        (CommandType.MESSAGE_DELETE, {"message_id": "never"}, "rejected"),
        (CommandType.MESSAGE_DELETE, {"mesage_id": "never"}, "rejected"),
        (CommandType.MESSAGE_SEND, {"text": "late", "not_after": "2026-01-01T00:00:00Z"}, "expired"),
    ],
)
async def test_whatever_becomes_of_it_an_ignored_field_is_told(
    world: World, kind: CommandType, facts: dict[str, Any], state: str
) -> None:
    ignored = "mesage_id" if "mesage_id" in facts else "conversation_idd"
    await world.send(kind, command_id="c1", **{ignored: "x"} | facts)
    assert await world.states("c1") == [state]
    assert await warnings(world, "c1") == [[f"field_ignored {ignored}"]]


# ------------------------------------------------------------------------------------------ an id that is taken


async def test_an_id_is_of_one_conversation_at_a_time(world: World) -> None:
    await world.receive(item(), item(id="2", peer="p2"))
    answered = asyncio.Event()
    world.provider.will("first", answered)
    first = asyncio.create_task(world.handle(await world.command(command_id="c1", text="first")))
    await eventually(lambda: len(world.provider.asked) == 1)
    await world.handle(await world.command(command_id="c1", conversation_id="plain:acc_1:p2", text="second"))
    (status,) = await world.statuses("c1")
    assert (status["state"], status["conversation_id"]) == ("rejected", "plain:acc_1:p2")
    assert (status["error"]["code"], status["error"]["field"]) == ("invalid_command", "command_id")
    answered.set()
    await first
    assert await world.states("c1") == ["rejected", "sent"]
    assert len(world.provider.made) == 1


async def test_an_id_that_waits_in_another_conversation_is_taken(world: World) -> None:
    await world.receive(item(), item(id="2", peer="p2"))
    await world.handle(await world.command(command_id="c1", not_before=soon(world.clock, 3600)))
    await world.handle(await world.command(command_id="c1", conversation_id="plain:acc_1:p2"))
    assert await world.states("c1") == ["deferred", "rejected"]
    assert world.provider.asked == []
