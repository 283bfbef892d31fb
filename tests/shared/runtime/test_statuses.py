"""What providers report: matched to its part, merged so that it never goes back, told once, and never lost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.channel import Call, PlanContext, Receipt
from shared.contract import ids
from shared.contract.base import rfc3339
from shared.contract.commands import Command, CommandType
from shared.contract.errors import ErrorCode
from shared.contract.statuses import RANK, State
from shared.runtime.reporting.statuses import correlation
from shared.stream.errors import NotNow
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import Killed, PlainChannel, failure, item
from tests.shared.runtime.world import World, contents

LOST = failure(ErrorCode.PROVIDER_UNAVAILABLE, certain=False)


def report(state: str, name: str | None = "out-0", **facts: Any) -> dict[str, Any]:
    return item("status", id=name, state=state, **facts)


async def test_receipts_follow_with_the_rollup(world: World) -> None:
    await world.send(text="one|two", command_id="c1")
    for name, state in (("out-0", "delivered"), ("out-1", "delivered"), ("out-1", "read"), ("out-0", "read")):
        await world.receive(report(state, name))
    assert await world.states("c1") == [
        "sent:0",
        "sent:1",
        "delivered:0",
        "delivered:1",
        "read:1",
        "read:0",
    ]
    last = (await world.statuses("c1"))[-1]
    assert last["rollup"] == {"of": 2, "sent": 2, "delivered": 2, "read": 2, "failed": 0}
    assert last["message_id"] == ids.message_id("plain", "acc_1", "out-0")
    assert last["status_id"] == ids.status_id("c1", 0, "read")


@pytest.mark.parametrize("order", list(itertools.permutations(["sent", "delivered", "read", "played"])))
async def test_statuses_never_go_back(world: World, order: tuple[str, ...]) -> None:
    await world.send(command_id="c1")
    for state in order:
        await world.receive(report(state), report(state))
    told = [State(state) for state in await world.states("c1")]
    assert [RANK[state] for state in told] == sorted({RANK[state] for state in told})
    assert told[-1] is State.PLAYED


async def test_a_failure_after_sent_is_believed_after_a_receipt_it_is_not(world: World) -> None:
    await world.send(text="one|two", command_id="c1")
    await world.receive(report("failed", "out-0", code="content_rejected"))
    await world.receive(report("delivered", "out-1"), report("failed", "out-1", code="content_rejected"))
    assert (await world.states("c1"))[2:] == ["failed:0", "delivered:1"]
    failed = (await world.statuses("c1"))[2]
    assert failed["error"]["code"] == "content_rejected"
    assert failed["rollup"]["failed"] == 1


async def test_a_receipt_takes_a_failure_back(world: World) -> None:
    await world.send(command_id="c1")
    await world.receive(report("failed", code="content_rejected"), report("read"))
    assert await world.states("c1") == ["sent", "failed", "read"]
    assert (await world.statuses("c1"))[-1]["rollup"] == {"of": 1, "sent": 1, "delivered": 1, "read": 1, "failed": 0}


# ------------------------------------------------------------------------------------------------------- too early


async def test_a_status_that_comes_before_its_message_is_known_waits_for_it(world: World) -> None:
    await world.receive(report("delivered"), report("read"))
    assert await world.statuses() == []
    await world.send(command_id="c1")
    assert await world.states("c1") == ["sent", "delivered", "read"]


async def test_an_early_failure_keeps_what_the_provider_s_support_asks_for(world: World) -> None:
    await world.receive(report("failed", code="content_rejected", trace="A1b2"))
    await world.send(command_id="c1")
    last = (await world.statuses("c1"))[-1]
    assert (last["state"], last["error"]["trace_id"]) == ("failed", "A1b2")


@pytest.mark.parametrize("early", [True, False])
async def test_a_warning_is_told_with_the_state_the_message_has(world: World, early: bool) -> None:
    warning = report("sent", "out-0", warnings=["content_unavailable"])
    if early:
        await world.receive(warning)
    await world.send(command_id="c1")
    await world.receive(report("read", "out-0"))
    for _ in range(2):
        await world.receive(warning)
    told = await world.statuses("c1")
    before = ["sent", "sent", "read"] if early else ["sent", "read"]
    assert [status["state"] for status in told] == [*before, "read", "read"]
    warned = [status for status in told if status.get("warnings")]
    assert {status["warnings"][0]["code"] for status in warned} == {"content_unavailable"}
    assert len({status["status_id"] for status in warned}) == 1
    assert {status["rollup"]["of"] for status in warned} == {1}
    times = [status["occurred_at"] for status in told]
    assert times == sorted(times)


async def test_early_statuses_are_told_though_the_log_goes_away(world: World) -> None:
    await world.receive(report("delivered"))
    record = await world.command(command_id="c1")
    perform = world.channel.perform

    async def and_lose_the_log(*arguments: Any, **named: Any) -> Receipt:
        receipt = await perform(*arguments, **named)
        world.log.available = False
        return receipt

    world.channel.perform = and_lose_the_log  # type: ignore[method-assign]
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.deliverer.handle(record)
    world.log.available = True
    await world.handle(record)
    assert set(await world.states("c1")) == {"sent", "delivered"}


async def test_early_statuses_are_told_though_the_process_dies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.receive(report("delivered"))
    record = await world.command(command_id="c1")

    async def die(*_: Any, **__: Any) -> None:
        raise Killed

    monkeypatch.setattr(world.process.book, "apply_early", die)
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    await world.handle(record)
    assert "delivered" in await world.states("c1")
    assert world.provider.texts() == ["hello"]


async def test_statuses_of_messages_that_are_not_ours_wait_for_a_day_at_most(world: World) -> None:
    for n in range(40):
        await world.receive(report("read", "never", at=world.clock.ms + n))
    (key,) = await world.client.call("KEYS", "w:*")
    assert await world.client.call("LLEN", key) == 16
    assert 0 < await world.client.call("TTL", key) <= 86400


# ----------------------------------------------------------------------------------------------------- never lost


@pytest.mark.parametrize("method", ["publish", "tell"])
async def test_a_report_that_could_not_be_told_is_told_when_its_record_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The ledger has moved already; whether it was told is another question."""
    await world.send(command_id="c1")
    (record,) = await world.raw(report("delivered"))

    async def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.process.book if method == "publish" else world.store, method, die)
        with pytest.raises(Killed):
            await world.process.normaliser.handle(record)
    await world.restart()
    await world.process.normaliser.handle(record)
    statuses = [s for s in await world.statuses("c1") if s["state"] == "delivered"]
    assert len(statuses) == (1 if method == "publish" else 2)
    assert len(set(contents(statuses, "status_id"))) == 1
    await world.process.normaliser.handle(record)
    assert [s for s in await world.statuses("c1") if s["state"] == "delivered"] == statuses


async def test_a_report_waits_for_the_log(world: World) -> None:
    await world.send(command_id="c1")
    (record,) = await world.raw(report("delivered"))
    world.log.available = False
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.normaliser.handle(record)
    world.log.available = True
    await world.process.normaliser.handle(record)
    assert await world.states("c1") == ["sent", "delivered"]


# ------------------------------------------------------------------------------------------------------ correlation


def test_what_a_provider_brings_back_is_short_whatever_the_command_is_called() -> None:
    assert correlation("c1", 1) == "c1|1"
    long = [correlation("c" * 512, part) for part in range(2)]
    assert max(map(len, long)) <= 200
    assert len(set(long)) == 2


async def test_our_own_id_brought_back_settles_an_uncertain_part(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(answers_uncertain="callback_data"))
    world.provider.will("two", ("done", LOST))
    await world.send(text="one|two", command_id="c1")
    assert world.provider.correlations == ["c1|0", "c1|1"]
    await world.receive(report("sent", "wamid.2", correlation="c1|1"), report("delivered", "wamid.2"))
    assert (await world.states("c1"))[1:] == ["uncertain:1", "sent:1", "delivered:1"]
    sent = (await world.statuses("c1"))[2]
    assert sent["provider_message_id"] == "wamid.2"
    assert "error" not in sent
    await world.send(command_id="c2", reply_to={"message_id": ids.part_message_id("c1", 1)})
    assert world.provider.made[-1].params["reply"] == "wamid.2"


async def test_our_own_id_may_be_faster_than_the_answer(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(answers_uncertain="callback_data"))
    perform = world.channel.perform

    async def reported_first(*arguments: Any, **named: Any) -> Receipt:
        await world.receive(report("delivered", "out-0", correlation="c1|0"))
        return await perform(*arguments, **named)

    world.channel.perform = reported_first  # type: ignore[method-assign]
    await world.send(command_id="c1")
    assert set(await world.states("c1")) >= {"delivered"}
    opened = await world.store.open("plain:acc_1:p1", "c1")
    assert opened.ledger["part:0"].startswith(f"{RANK[State.DELIVERED]}|")


async def test_after_a_crash_our_own_id_settles_what_was_claimed(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(answers_uncertain="callback_data"))
    world.provider.will("hello", ("done", Killed()))
    record = await world.command(command_id="c1")
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    await world.receive(report("sent", "wamid.1", correlation="c1|0"))
    await world.handle(record)
    assert world.provider.texts() == ["hello"]
    assert set(await world.states("c1")) == {"sent"}


# ------------------------------------------------------------------------------------------------- up to a point


async def test_reading_up_to_a_point_reads_every_message_before_it(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(reads_up_to=True))
    for n in range(4):
        await world.send(text=str(n), command_id=f"c{n}")
        world.clock.advance(10)
    until = world.clock.ms - 25_000
    for _ in range(2):
        await world.receive(report("read", None, until=until))
    assert [(await world.states(f"c{n}"))[-1] for n in range(4)] == ["read", "read", "sent", "sent"]
    assert (await world.states()).count("read") == 2
    await world.receive(report("read", None, until=world.clock.ms))
    assert (await world.states()).count("read") == 4


async def test_reading_up_to_a_point_waits_for_the_log(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(reads_up_to=True))
    await world.send(text="one|two", command_id="c1")
    (record,) = await world.raw(report("read", None, until=world.clock.ms + 1))
    world.log.available = False
    with pytest.raises(NotNow):
        await world.process.normaliser.handle(record)
    world.log.available = True
    await world.process.normaliser.handle(record)
    assert (await world.states("c1"))[2:] == ["read:0", "read:1"]


async def test_reading_is_found_under_the_conversation_that_stayed(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(reads_up_to=True))
    await world.receive(item(id="m1", peer="old", names=["old"]))
    await world.send(command_id="c1", conversation_id="plain:acc_1:old")
    await world.receive(item(id="m2", peer="new", supersedes="old"))
    await world.receive(report("read", None, peer="new", until=world.clock.ms + 1))
    assert (await world.states("c1"))[-1] == "read"


async def test_reading_without_messages_tells_nothing(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(reads_up_to=True))
    await world.receive(report("read", None, until=world.clock.ms))
    assert await world.statuses() == []


# ------------------------------------------------------------------------------------------ what is no message


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("message.edit", {"content": {"kind": "text", "text": "better"}}),
        ("message.delete", {}),
        ("reaction.set", {"emoji": "👍"}),
        ("conversation.mark_read", {}),
    ],
)
async def test_what_is_no_message_is_done_and_names_its_target(world: World, kind: str, facts: dict[str, Any]) -> None:
    await world.receive(item(id="m1"))
    target = (await world.events())[0][1]["message_id"]
    await world.send(kind, command_id="c1", message_id=target, **facts)
    (status,) = await world.statuses("c1")
    assert (status["state"], status["target_message_id"]) == ("done", target)
    assert "rollup" not in status
    await world.restart()
    await world.send(kind, command_id="c1", message_id=target, **facts)
    assert (await world.statuses("c1"))[1] == status


async def test_a_read_mark_names_the_last_message_where_the_command_names_none(world: World) -> None:
    await world.receive(item(id="m1"))
    await world.send("conversation.mark_read", command_id="c1")
    (status,) = await world.statuses("c1")
    assert status["target_message_id"] == (await world.events())[-1][1]["message_id"]


async def test_a_refused_edit_names_the_message_too(world: World) -> None:
    await world.receive(item(id="m1"))
    target = (await world.events())[0][1]["message_id"]
    world.provider.will("message.delete", failure(ErrorCode.CONTENT_REJECTED))
    await world.send("message.delete", command_id="c1", message_id=target)
    (status,) = await world.statuses("c1")
    assert (status["state"], status["target_message_id"]) == ("failed", target)


async def test_a_reaction_with_an_id_of_its_own_is_no_message(make_world: MakeWorld) -> None:
    """WhatsApp gives one and reports of it: all it can still become is failed."""
    world = await make_world(NumbersReactions(answers_uncertain="callback_data"))
    await world.receive(item(id="m1"))
    target = (await world.events())[0][1]["message_id"]
    for command_id in ("c1", "c2"):
        await world.send("reaction.set", command_id=command_id, message_id=target, emoji="👍")
    await world.receive(*(report(state) for state in ("sent", "delivered", "read")))
    assert await world.states("c1") == ["done"]
    await world.receive(report("failed", "out-1", code="content_rejected"))
    assert await world.states("c2") == ["done", "failed"]
    assert {status["target_message_id"] for status in await world.statuses()} == {target}


class NumbersReactions(PlainChannel):
    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        calls = super().plan(kind, command, context)
        return [replace(call, parts=1) for call in calls]


# ------------------------------------------------------------------------------------------------------ the time


async def test_the_time_of_a_command_never_runs_backwards(world: World) -> None:
    """Whatever the clocks of the provider say, after a restart too, and of whichever part."""
    await world.send(text="one|two", command_id="c1")
    lags, leads = world.clock.ms - 5000, world.clock.ms + 60_000
    await world.receive(report("delivered", at=lags), report("delivered", "out-1", at=leads))
    await world.restart()
    world.clock.advance(3)
    await world.receive(report("read", at=world.clock.ms), report("read", "out-1", at=lags))
    told = await world.statuses("c1")
    assert len(told) == 6
    times = [status["occurred_at"] for status in told]
    assert times == sorted(times)
    assert times[-1] == rfc3339(world.clock.now)
    await world.send(text="one|two", command_id="c1")
    assert contents((await world.statuses("c1"))[6:], "occurred_at") == times[4:]
