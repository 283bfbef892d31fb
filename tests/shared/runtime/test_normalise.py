"""Raw records become events: each once, in order, enriched with what only state knows."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import AsyncMock

import pytest

from shared.contract import ids
from shared.media.blobs import BlobsUnavailable
from shared.runtime.accounts.registry import AWAITED_SECONDS
from shared.stream.errors import NotNow
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, Killed, PlainChannel, item
from tests.shared.runtime.world import ACCOUNT, CONVERSATION, OTHER, Away, World

PHONE = {"kind": "phone", "value": "+4915112345678"}
NEW_PHONE = {"kind": "phone", "value": "+4915187654321"}
NAME = {"kind": "username", "value": "ida"}


async def test_every_kind_of_outcome_arrives(world: World) -> None:
    await world.receive(
        item("message", id="1"),
        item("postback", id="2"),
        item("echo", id="3"),
        item("reaction", id="4", target="1"),
        item("deleted", id="5", target="1"),
        item("referred", id="6"),
        item("blocked", id="7"),
        item("unblocked", id="8"),
        item("consent", id="9", consent="opted_out"),
        item("notice", id="10"),
        item("health", health="degraded"),
        item("status", id="unknown", state="read"),
    )
    assert await world.event_types() == [
        "message.received",
        "postback.received",
        "message.echoed",
        "reaction.changed",
        "message.deleted",
        "conversation.referred",
        "contact.blocked",
        "contact.unblocked",
        "contact.consent_changed",
        "account.notice",
    ]
    assert await world.healths() == ["degraded"]
    assert await world.statuses() == []
    assert await world.dead() == []


async def test_an_event_is_a_cloud_event_with_the_trace_of_its_webhook(world: World) -> None:
    await world.receive(item(id="m1"))
    (record,) = [record async for record in world.records(world.topics.inbound(CHANNEL))]
    headers = dict(record.headers)
    assert record.key == CONVERSATION.encode()
    assert headers["ce_id"].decode() == ids.event_id(CHANNEL, "acc_1", "m1", "message.received")
    assert headers["ce_subject"] == CONVERSATION.encode()
    (raw,) = [record async for record in world.records(world.topics.raw(CHANNEL))]
    assert headers["traceparent"] == dict(raw.headers)["traceparent"]


async def test_workspaces_are_kept_apart(world: World) -> None:
    await world.receive(item(id="1"), item(id="1", account="acc_2"), item(id="2", account=None, external="ext-2"))
    assert [data["workspace_id"] for _, data in await world.events()] == ["ws_1", "ws_2", "ws_2"]
    assert len({data["message_id"] for _, data in await world.events()}) == 3


async def test_what_is_told_of_several_accounts_is_published_for_each(world: World) -> None:
    for account in (ACCOUNT, OTHER):
        world.account(account.model_copy(update={"parent_id": "business-1"}))
    await world.receive(item("notice", id="n1", account=None, external="business-1"))
    told = [(kind, data["account_id"], data["workspace_id"]) for kind, data in await world.events()]
    assert told == [("account.notice", "acc_1", "ws_1"), ("account.notice", "acc_2", "ws_2")]
    await world.receive(item("notice", id="n1", account=None, external="business-1"))
    assert len(await world.events()) == 2


# ---------------------------------------------------------------------------------------------------- what is no event


async def test_an_unknown_account_is_a_dead_letter(world: World) -> None:
    await world.receive(item(account="acc_9"), item(account=None, external="ext-9"))
    assert [code for code, _ in await world.dead()] == ["unknown_account", "unknown_account"]


async def test_an_account_may_be_heard_of_a_moment_later(world: World) -> None:
    (record,) = await world.raw(item(account="acc_9"))
    with pytest.raises(NotNow, match="account_unknown"):
        await world.process.normaliser.handle(record)
    world.account(ACCOUNT.model_copy(update={"account_id": "acc_9", "external_id": "ext-9"}))
    await world.process.normaliser.handle(record)
    assert [data["account_id"] for _, data in await world.events()] == ["acc_9"]
    world.account(ACCOUNT.model_copy(update={"account_id": "acc_9", "external_id": "ext-9", "enabled": False}))
    with pytest.raises(NotNow, match="account_unknown"):  # it may be on its way back
        await world.process.normaliser.handle(record)


async def test_nobody_waits_longer_for_an_account_than_a_replica_takes_to_hear_of_it(world: World) -> None:
    waiting = await world.raw(*(item(id=f"m{n}", account="acc_9") for n in range(3)))
    began = world.clock.seconds
    for record in waiting:
        await world.normalise(record)
    assert AWAITED_SECONDS <= world.clock.seconds - began < AWAITED_SECONDS + 1
    assert len(await world.dead()) == 3


async def test_an_account_that_comes_back_late_is_waited_for_too(world: World) -> None:
    await world.receive(item(id="m1", account="acc_9"))
    (record,) = await world.raw(item(id="m2", account="acc_9"))
    with pytest.raises(NotNow, match="account_unknown"):
        await world.process.normaliser.handle(record)


@pytest.mark.parametrize("odd", ["text", 7, None, []])
async def test_what_is_no_item_of_the_channel_is_a_dead_letter(world: World, odd: object) -> None:
    (record,) = await world.raw(item())
    from dataclasses import replace

    await world.process.normaliser.handle(replace(record, value=json.dumps(odd).encode()))
    ((code, dead),) = await world.dead()
    assert (code, dead.value) == ("unreadable", json.dumps(odd).encode())


async def test_a_dead_letter_says_nothing_of_its_contents(world: World) -> None:
    (record,) = await world.raw(item("a kind with a +4915112345678 in it"))
    await world.process.normaliser.handle(record)
    ((_, dead),) = await world.dead()
    assert "49151" not in dict(dead.headers)["dl_detail"].decode()


async def test_a_bug_in_a_mapper_is_no_dead_letter_at_once(world: World) -> None:
    """It is raised, tried again by the lane, and only then kept: a fixed mapper may read it."""
    (record,) = await world.raw(item("bug"))
    with pytest.raises(RuntimeError):
        await world.process.normaliser.handle(record)
    assert await world.dead() == []


async def test_a_blob_that_is_gone_is_a_dead_letter_one_that_is_away_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log._max_bytes = 1000
    (record,) = await world.raw(item(text="x" * 2000))
    assert record.value == b""

    async def away(_: str) -> bytes:
        raise BlobsUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(world.blobs, "read", away)
        with pytest.raises(NotNow, match="blobs_unavailable"):
            await world.process.normaliser.handle(record)
    world.log._max_bytes = 1_000_000
    await world.process.normaliser.handle(record)
    assert (await world.events())[0][1]["content"]["text"] == "x" * 2000

    import obstore

    await obstore.delete_async(world.blobs._store, dict(record.headers)["blob"].decode())
    await world.process.normaliser.handle(record)
    assert [code for code, _ in await world.dead()] == ["body_missing"]


async def test_a_body_that_alone_cannot_be_had_does_not_hold_its_conversation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log._max_bytes = 1000
    (record,) = await world.raw(item(text="x" * 2000))
    normaliser = world.process.normaliser
    with monkeypatch.context() as patch:
        patch.setattr(world.blobs, "read", AsyncMock(side_effect=BlobsUnavailable))
        assert not await normaliser.overdue(record, "blobs_unavailable")  # the whole store is away: everybody waits
    assert await world.dead() == []
    assert not await normaliser.overdue(record, "state_unavailable")
    assert await normaliser.overdue(record, "blobs_unavailable")
    assert [code for code, _ in await world.dead()] == ["body_unavailable"]


# ------------------------------------------------------------------------------------------------------------- once


async def test_the_same_webhook_twice_is_one_event(world: World) -> None:
    for _ in range(3):
        await world.receive(item(id="m1"), item("postback", id="m1"))
    assert await world.event_types() == ["message.received", "postback.received"]


async def test_killed_between_ack_and_confirm_publishes_again_with_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = await world.raw(item(id="m1", aliases=[PHONE]))

    async def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "confirm_all", die)
        with pytest.raises(Killed):
            await world.process.normaliser.handle(record)
    await world.restart()
    await world.process.normaliser.handle(record)
    await world.process.normaliser.handle(record)
    found = [record async for record in world.records(world.topics.inbound(CHANNEL))]
    assert len(found) == 2
    assert len({dict(record.headers)["ce_id"] for record in found}) == 1
    assert found[0].value == found[1].value


async def test_an_old_event_that_comes_again_moves_nothing_back(world: World) -> None:
    await world.receive(item("blocked", id="b1"), item("unblocked", id="u1"))
    await world.receive(item("blocked", id="b1"))
    await world.send(command_id="c1")
    assert await world.states("c1") == ["sent"]


async def test_order_is_the_order_of_the_items(world: World) -> None:
    await world.receive(*[item(id=str(n), peer=f"p{n % 3}") for n in range(30)])
    found = [data["provider"]["message_id"] for _, data in await world.events()]
    assert found == [str(n) for n in range(30)]
    sequences = [data["sequence"] for _, data in await world.events()]
    assert sequences == sorted(sequences)


async def test_without_valkey_nothing_is_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = await world.raw(item())
    connection = world.client._connection
    monkeypatch.setattr(world.client, "_connection", Away())
    with pytest.raises(NotNow, match="state_unavailable"):
        await world.process.normaliser.handle(record)
    assert await world.events() == []
    monkeypatch.setattr(world.client, "_connection", connection)
    await world.process.normaliser.handle(record)
    assert await world.event_types() == ["message.received"]


@pytest.mark.parametrize("found", [item(), item("health", health="degraded")])
async def test_without_the_log_it_waits(world: World, found: dict[str, Any]) -> None:
    (record,) = await world.raw(found)
    world.log.available = False
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.normaliser.handle(record)
    world.log.available = True
    await world.process.normaliser.handle(record)
    assert len(await world.events()) + len(await world.healths()) == 1


async def test_a_dead_letter_waits_for_the_log(world: World) -> None:
    (record,) = await world.raw(item(account="acc_9"))
    with pytest.raises(NotNow, match="account_unknown"):
        await world.process.normaliser.handle(record)
    world.clock.advance(60)
    world.log.available = False
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.normaliser.handle(record)
    world.log.available = True
    await world.process.normaliser.handle(record)
    assert [code for code, _ in await world.dead()] == ["unknown_account"]


async def test_an_answer_is_made_once(world: World) -> None:
    for _ in range(2):
        await world.receive(item(id="m1", answer=True))
    await world.process.answers.close()
    assert world.provider.methods() == ["answer"]


async def test_a_failing_answer_hurts_nobody(world: World) -> None:
    world.provider.will("answer", RuntimeError("a bug"))
    await world.receive(item(id="m1", answer=True))
    await world.process.answers.close()
    assert await world.event_types() == ["message.received"]


# ------------------------------------------------------------------------------------------------------- enriched


async def test_a_reply_to_what_passed_through_us_is_resolved(world: World) -> None:
    await world.receive(item(id="m1"), item(id="m2", reply_to="p1:m1"), item(id="m3", reply_to="p1:never"))
    replies = [data.get("reply_to") for _, data in await world.events()]
    assert replies[0] is None
    assert [(reply["resolved"], reply["message_id"]) for reply in replies[1:]] == [
        (True, ids.message_id(CHANNEL, "acc_1", "p1:m1")),
        (False, ids.message_id(CHANNEL, "acc_1", "p1:never")),
    ]


async def test_a_reaction_to_a_message_of_ours_is_resolved(world: World) -> None:
    await world.receive(item(id="m1"), item("reaction", id="r1", target="m1"), item("reaction", id="r2", target="m9"))
    assert [data["resolved"] for name, data in await world.events() if name == "reaction.changed"] == [True, False]


async def test_a_referral_is_repeated_on_the_next_message_and_then_forgotten(world: World) -> None:
    await world.receive(item("referred", id="r1", ad="ad-7"))
    await world.receive(item(id="m1"), item(id="m2"))
    referrals = [data.get("referral", {}).get("id") for name, data in await world.events() if name.startswith("mess")]
    assert referrals == ["ad-7", None]


async def test_a_referral_that_comes_with_its_message_is_repeated_on_it(world: World) -> None:
    both = {"kind": "message", "account": "acc_1", "peer": "p1", "at": world.clock.ms}
    await world.receive(
        item(all=[{**both, "kind": "referred", "id": "r1"}, {**both, "id": "m1"}, {**both, "id": "m2"}])
    )
    referrals = [data.get("referral", {}).get("id") for name, data in await world.events() if name.startswith("mess")]
    assert referrals == ["ad-1", None]


async def test_a_new_name_of_a_known_contact_is_told_before_the_message(world: World) -> None:
    await world.receive(item(id="m1", aliases=[PHONE]))
    await world.receive(item(id="m2", aliases=[PHONE, NAME]))
    await world.receive(item(id="m3", aliases=[PHONE]))
    await world.receive(item(id="m4", aliases=[NEW_PHONE]))
    assert await world.event_types() == [
        "message.received",
        "contact.updated",
        "message.received",
        "message.received",
        "contact.updated",
        "message.received",
    ]
    first, second = [data for name, data in await world.events() if name == "contact.updated"]
    assert (first["added"], first["removed"]) == ([NAME], [])
    assert (second["added"], second["removed"]) == ([NEW_PHONE], [PHONE])
    assert first["conversation_id"] == second["conversation_id"] == CONVERSATION


async def test_two_messages_with_the_same_new_name_tell_it_once(world: World) -> None:
    await world.receive(item(id="m1", aliases=[PHONE]))
    both = {"kind": "message", "account": "acc_1", "peer": "p1", "at": world.clock.ms}
    new = [{**both, "id": "m2", "aliases": [PHONE, NAME]}, {**both, "id": "m3", "aliases": [NAME]}]
    await world.receive(item(all=new))
    await world.receive(item(id="m4", aliases=[PHONE, NAME]))
    assert (await world.event_types()).count("contact.updated") == 1


async def test_a_conversation_keeps_its_id_when_the_contact_comes_by_another_name(world: World) -> None:
    await world.receive(item(id="m1", peer="phone", names=["scoped"]))
    await world.receive(item(id="m2", peer="scoped", names=["scoped"]))
    await world.restart()
    await world.receive(item(id="m3", peer="scoped", names=["phone"]))
    assert {data["conversation_id"] for _, data in await world.events()} == {"plain:acc_1:phone"}


async def test_a_conversation_keeps_its_id_when_its_peer_is_replaced(world: World) -> None:
    await world.receive(item(id="m1", peer="group"))
    await world.receive(item(id="m2", peer="supergroup", supersedes="group"))
    await world.restart()
    await world.receive(item(id="m3", peer="supergroup", names=["supergroup"]))
    assert {data["conversation_id"] for _, data in await world.events()} == {"plain:acc_1:group"}


async def test_deliver_finds_a_contact_under_the_name_normalise_has_learned(make_world: MakeWorld) -> None:
    from tests.shared.runtime.plain_channel import InitiatingChannel

    world = await make_world(InitiatingChannel())
    peer = ids.personal_peer(PHONE["value"])
    phone = [PHONE]
    await world.send(command_id="c1", conversation_id=None, to=phone)
    await world.receive(item(id="m1", peer="scoped", names=[peer]))
    await world.send(command_id="c2", conversation_id=None, to=phone)
    told = {status["conversation_id"] for status in await world.statuses()}
    assert told == {data["conversation_id"] for _, data in await world.events()} == {f"plain:acc_1:{peer}"}


# --------------------------------------------------------------------------------------------------------- blocked


async def test_a_blocked_contact_is_flagged_or_dropped_as_the_account_says(make_world: MakeWorld) -> None:
    drops = OTHER.model_copy(update={"blocked_policy": "drop"})
    world = await make_world(accounts=[ACCOUNT, drops])
    await world.send("contact.block")
    await world.send("contact.block", account_id="acc_2", workspace_id="ws_2", conversation_id="plain:acc_2:p1")
    for n in range(3):
        await world.receive(item(id=str(n)), item(id=str(n), account="acc_2"), item(id=str(n), account="acc_2"))
    found = await world.events()
    assert [(data["account_id"], data["contact_blocked"]) for _, data in found] == [("acc_1", True)] * 3
    assert _count("connector_blocked_dropped_total") == 3


async def test_an_unblocked_contact_arrives_unflagged(make_world: MakeWorld) -> None:
    world = await make_world(accounts=[ACCOUNT.model_copy(update={"blocked_policy": "drop"})])
    await world.send("contact.block")
    await world.receive(item(id="m1"))
    await world.send("contact.unblock")
    await world.receive(item(id="m2"))
    ((_, data),) = await world.events()
    assert (data["provider"]["message_id"], data["contact_blocked"]) == ("m2", False)


def _count(name: str) -> float:
    from shared.runtime import metrics

    value = metrics.REGISTRY.get_sample_value(name, {"channel": CHANNEL})
    return 0.0 if value is None else value - _BEFORE.get(name, 0.0)


_BEFORE: dict[str, float] = {}


@pytest.fixture(autouse=True)
def _remember_counters() -> None:
    from shared.runtime import metrics

    _BEFORE["connector_blocked_dropped_total"] = (
        metrics.REGISTRY.get_sample_value("connector_blocked_dropped_total", {"channel": CHANNEL}) or 0
    )


# ------------------------------------------------------------------------------------------------------- the feed


async def test_the_feed_speaks_only_when_something_has_changed(world: World) -> None:
    await world.receive(item(id="m1"))
    assert len(await world.feed()) == 1
    await world.receive(item(id="m1"), item("reaction", id="r1"), item("echo", id="e1"), item("deleted", id="d1"))
    assert len(await world.feed()) == 1
    world.clock.advance(1)
    await world.receive(item(id="m2"))
    await world.receive(item("blocked", id="b1"))
    states = await world.feed()
    assert len(states) == 3
    assert [state["reachable"] for state in states] == [True, True, False]
    assert states[1]["window"]["opened_at"] == "2026-11-22T10:00:01.000Z"


async def test_a_channel_without_windows_tells_the_last_inbound_by_the_minute(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(windows=()))
    for n in range(10):
        await world.receive(item(id=str(n)))
        world.clock.advance(5)
    assert len(await world.feed()) == 1
    world.clock.advance(60)
    await world.receive(item(id="later"))
    assert len(await world.feed()) == 2


async def test_a_window_never_moves_back(world: World) -> None:
    newest = world.clock.ms
    for at in (newest, newest - 5000, newest - 1000):
        await world.receive(item(id=str(at), at=at))
    assert len(await world.feed()) == 1
    assert (await world.feed())[-1]["last_inbound_at"] == "2026-11-22T10:00:00.000Z"


async def test_a_message_from_the_future_opens_the_window_now(world: World) -> None:
    await world.receive(item(id="m1", at=world.clock.ms + 3_600_000))
    assert (await world.feed())[-1]["last_inbound_at"] == "2026-11-22T10:00:00.000Z"


async def test_a_notice_about_the_account_is_no_conversation(world: World) -> None:
    await world.receive(item("notice", id="n1"))
    assert await world.event_types() == ["account.notice"]
    assert await world.values(world.topics.state(CHANNEL)) == []


async def test_two_writers_leave_the_newest_state_on_the_feed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliver reads the state, normalise changes and tells it, deliver writes what it read: it must look again."""
    await world.receive(item(id="m1"))
    book, observe = world.process.book, world.store.observe
    world.clock.advance(60)

    async def slow(conversation_id: str, **options: Any) -> Any:
        found = await observe(conversation_id, **options)
        monkeypatch.setattr(world.store, "observe", observe)
        await world.receive(item(id="m2"))
        return found

    await world.store.note(CONVERSATION, {"opted_out": "1"})
    monkeypatch.setattr(world.store, "observe", slow)
    await book.feed(ACCOUNT, CONVERSATION)
    last = (await world.feed())[-1]
    assert (last["opted_out"], last["last_inbound_at"]) == (True, "2026-11-22T10:01:00.000Z")


async def test_everything_has_a_time_to_live(world: World) -> None:
    await world.receive(
        item("echo", id="e1"), item(id="m1", aliases=[PHONE], names=["n"]), item("status", id="x", state="read")
    )
    await world.send(text="one|two")
    await world.send("contact.block")
    await world.send("message.cancel", cancel_conversation=True)
    for key in await world.client.call("KEYS", "*"):
        assert await world.client.call("TTL", key) > 0, key
