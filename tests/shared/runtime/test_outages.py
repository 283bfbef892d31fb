"""A provider that gives no useful answers: its accounts are held, tried and let go on, and doubts are settled."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

import pytest

from shared.channel import Account, Call, Failure, Files, ProviderError, Receipt, StatusUpdate
from shared.contract.accounts import AccountRecord
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.contract.statuses import State
from shared.runtime.reporting.statuses import correlation
from shared.runtime.waiting.outages import SEVERAL
from shared.runtime.waiting.stillness import Stillness
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import PlainChannel, ReconcilingChannel, failure
from tests.shared.runtime.world import ACCOUNT, World, soon

AWAY = failure(ErrorCode.PROVIDER_UNAVAILABLE)
LOST = Failure(ErrorCode.UNCERTAIN, certain=False)
ASKED = Failure(ErrorCode.UNCERTAIN, certain=False, retry_after=120.0)


def conversation(number: int, account_id: str = "acc_1") -> str:
    return f"plain:{account_id}:p{number}"


class CheckedChannel(PlainChannel):
    """Has a harmless call; `reachable` is what it finds, or what it raises."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self.trouble: Failure | None = None
        self.checked: list[str] = []

    async def check_sending(self, account: Account) -> None:
        self.checked.append(account.account_id)
        if self.trouble is not None:
            raise ProviderError(self.trouble)


async def lose(world: World, names: range, trouble: Failure = LOST, account_id: str = "acc_1", **data: Any) -> None:
    """Commands to as many people, whose calls all end so."""
    workspace = world.accounts.get(account_id).workspace_id  # type: ignore[union-attr]
    for number in names:
        world.provider.will(f"m{number}", trouble, trouble)
        await world.send(
            text=f"m{number}",
            command_id=f"c{number}",
            conversation_id=conversation(number, account_id),
            account_id=account_id,
            workspace_id=workspace,
            **data,
        )


class FreezingChannel(CheckedChannel):
    """Its calls are cut while the process stands still."""

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
        if self.trouble is None:
            return await super().perform(call, account, files, correlation)
        time.sleep(0.1)
        raise ProviderError(self.trouble)


async def test_what_is_cut_while_this_process_stands_still_is_no_outage(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.waiting.stillness.LONGEST", 0.05)
    channel = FreezingChannel()
    world = await make_world(channel)
    channel.trouble = LOST
    for number in range(6):
        await world.send(text="lost", command_id=f"c{number}")
    assert [(await world.states(f"c{number}")) for number in range(6)] == [["uncertain"]] * 6
    channel.trouble = None
    await world.send(text="next", command_id="next")
    assert await world.states("next") == ["sent"]
    assert channel.checked == []


async def test_a_process_that_has_stood_still_knows_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.waiting.stillness.LONGEST", 0.05)
    watch = Stillness()
    before = watch.now()
    await asyncio.sleep(0.03)
    assert not watch.since(before)
    time.sleep(0.1)
    await asyncio.sleep(0.03)
    assert watch.since(before)
    assert not watch.since(watch.now())
    watch.close()


async def test_after_three_bad_answers_in_a_row_nothing_is_claimed(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    channel.trouble = AWAY
    await lose(world, range(6))
    assert [(await world.states(f"c{number}")) for number in range(6)] == [["uncertain"]] * 3 + [["deferred"]] * 3
    (deferred,) = await world.statuses("c4")
    assert (deferred["why"], deferred.get("until")) == ("provider_unavailable", None)
    assert len(world.provider.asked) == 3
    world.clock.advance(100)
    await asyncio.sleep(0.01)
    assert await world.come_due() == 0
    assert channel.checked
    assert await world.healths() == ["degraded"]
    channel.trouble = None
    for number in range(3, 6):
        world.provider.script.pop(f"m{number}")
    await world.outage_ends()
    assert sorted(world.provider.texts()) == ["m3", "m4", "m5"]
    assert (await world.healths())[-1] == "connected"
    assert len(world.process.parking) == 0


async def test_a_good_answer_between_them_keeps_it_open(world: World) -> None:
    await lose(world, range(2))
    await world.send(text="good", conversation_id=conversation(9))
    await lose(world, range(2, 4))
    assert [(await world.states(f"c{number}")) for number in range(4)] == [["uncertain"]] * 4
    assert not world.process.outages.holds("acc_1")


async def test_other_accounts_go_on(world: World) -> None:
    await lose(world, range(4))
    await world.send(text="other", account_id="acc_2", workspace_id="ws_2", conversation_id="plain:acc_2:p1")
    assert world.provider.texts() == ["other"]


async def test_what_the_provider_asks_for_is_told_and_kept(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    await lose(world, range(3), ASKED)
    await world.send(text="next", command_id="next", conversation_id=conversation(9))
    (deferred,) = await world.statuses("next")
    assert deferred["until"] == soon(world.clock, 120)
    world.clock.advance(100)
    await asyncio.sleep(0.01)
    assert channel.checked == []
    assert await world.outage_ends() >= 20
    assert world.provider.texts() == ["next"]


async def test_the_order_of_a_conversation_is_kept(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    channel.trouble = AWAY
    await lose(world, range(3))
    for text in ("one", "two|three", "four"):
        await world.send(text=text)
    await world.restart()
    await world.send(text="five")
    channel.trouble = None
    await world.outage_ends()
    assert world.provider.texts() == ["one", "two", "three", "four", "five"]


async def test_several_accounts_in_a_row_put_the_others_to_the_test_first(make_world: MakeWorld) -> None:
    records = [replace_id(f"acc_{number}") for number in range(1, SEVERAL + 2)]
    channel = CheckedChannel()
    world = await make_world(channel, accounts=records)
    channel.trouble = AWAY
    for number, record in enumerate(records[:SEVERAL]):
        await lose(world, range(10 * number, 10 * number + 3), account_id=record.account_id)
    last = records[-1].account_id
    await lose(world, range(100, 101), account_id=last)
    assert await world.states("c100") == ["deferred"]
    assert len(world.provider.asked) == 3 * SEVERAL
    channel.trouble = None
    world.provider.script.clear()
    await world.outage_ends(last)
    assert (await world.states("c100"))[-1] == "sent"


def replace_id(account_id: str) -> AccountRecord:
    return ACCOUNT.model_copy(update={"account_id": account_id, "external_id": account_id})


async def test_an_account_that_another_replica_calls_degraded_is_tried_first(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    channel.trouble = AWAY
    world.process.health._set("acc_1", Health.DEGRADED)
    await world.send(command_id="c1")
    assert await world.states("c1") == ["deferred"]
    channel.trouble = None
    await world.outage_ends()
    assert (await world.states("c1"))[-1] == "sent"


async def test_a_channel_without_a_harmless_call_is_tried_with_one_message_at_a_time(world: World) -> None:
    await lose(world, range(3))
    for number in range(10, 14):
        await world.send(text=f"m{number}", conversation_id=conversation(number))
    world.provider.will("m10", LOST)
    await world.outage_ends()
    assert world.provider.texts() == ["m11", "m12", "m13"]


async def test_nothing_stays_silent_past_its_end(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    channel.trouble = AWAY
    await lose(world, range(3))
    await world.send(command_id="late", not_after=soon(world.clock, 60), conversation_id=conversation(9))
    await world.come_due(61)
    assert await world.states("late") == ["deferred", "expired"]


async def test_a_trouble_of_ours_is_none_of_the_providers(world: World) -> None:
    for number in range(5):
        world.provider.will(f"m{number}", RuntimeError("a bug"))
        await world.send(text=f"m{number}", conversation_id=conversation(number))
    assert not world.process.outages.holds("acc_1")


# -------------------------------------------------------------------------------------------------------- doubts


async def test_who_can_be_asked_is_asked_after_the_outage(make_world: MakeWorld) -> None:
    class Asked(CheckedChannel, ReconcilingChannel):
        async def find_sent(self, call: Call, account: Account, since: datetime) -> Receipt | None:
            found = await super().find_sent(call, account, since)
            return found and Receipt((f"found-{next(self.provider.numbers)}",))

    channel = Asked()
    world = await make_world(channel)
    channel.trouble, channel.found = AWAY, ProviderError(AWAY)
    await lose(world, range(3))
    for number in range(3):
        assert set(await world.states(f"c{number}")) <= {"deferred"}
    channel.trouble, channel.found = None, Receipt()
    await world.outage_ends()
    await world.come_due(60)
    for number in range(3):
        assert (await world.states(f"c{number}"))[-1] == "sent"
    assert len(world.provider.asked) == 3


async def test_reports_that_come_after_the_outage_settle_doubts(make_world: MakeWorld) -> None:
    channel = CheckedChannel(answers_uncertain="callback_data")
    world = await make_world(channel)
    channel.trouble = AWAY
    await lose(world, range(3))
    assert [await world.states(f"c{number}") for number in range(3)] == [["uncertain"], ["uncertain"], ["deferred"]]
    channel.trouble = None
    await world.outage_ends()
    account = world.accounts.get("acc_1")
    assert account is not None
    report = StatusUpdate("late-1", State.DELIVERED, world.clock.now, correlation=correlation("c2", 0))
    await world.process.book.report(account, report, None)
    await world.come_due(20)
    assert (await world.states("c2"))[-1] == "delivered"
    assert len(world.provider.asked) == 3


async def test_a_doubt_that_no_report_settles_is_told_soon_after_the_outage(make_world: MakeWorld) -> None:
    channel = CheckedChannel(answers_uncertain="callback_data")
    world = await make_world(channel)
    channel.trouble = AWAY
    await lose(world, range(3))
    channel.trouble = None
    await world.outage_ends()
    for _ in range(4):
        await world.come_due(6)
    assert (await world.states("c2"))[-1] == "uncertain"


async def test_who_asks_for_it_is_sent_again_after_the_outage_once(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    channel.trouble = AWAY
    await lose(world, range(4), LOST, on_uncertain="resend")
    assert len(world.provider.asked) == 1
    channel.trouble = None
    world.provider.script.clear()
    await world.outage_ends()
    assert sorted(world.provider.texts()) == ["m0", "m1", "m2", "m3"]
    warned = [[w["code"] for w in (await world.statuses(f"c{number}"))[-1]["warnings"]] for number in range(4)]
    assert warned == [["may_be_duplicate"], [], [], []]


async def test_one_part_in_doubt_is_enough_and_the_others_wait_for_the_end_in_order(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    channel.trouble = AWAY
    world.provider.will("two", LOST)
    await world.send(text="one|two|three|four", command_id="c1")
    await world.send(text="behind", command_id="c2")
    assert await world.states("c1") == ["sent:0", "uncertain:1", "deferred"]
    assert await world.states("c2") == ["deferred"]
    channel.trouble = None
    await world.outage_ends()
    assert world.provider.texts() == ["one", "three", "four", "behind"]
    assert (await world.states("c1"))[-2:] == ["sent:2", "sent:3"]


async def test_parts_in_doubt_are_sent_again_by_a_command(world: World) -> None:
    world.provider.will("two", LOST)
    await world.send(text="one|two|three", command_id="c1")
    await world.outage_ends()
    assert await world.states("c1") == ["sent:0", "uncertain:1", "deferred", "sent:2"]
    await world.restart()
    await world.send("message.resend", command_id="again", resend_command_id="c1")
    assert world.provider.texts() == ["one", "three", "two"]
    told = [s for s in await world.statuses("c1") if s["state"] == "sent" and s["part"]["index"] == 1]
    assert [w["code"] for w in told[-1]["warnings"]] == ["may_be_duplicate"]
    assert (await world.statuses("c1"))[-1]["rollup"]["sent"] == 3
    (resent,) = await world.statuses("again")
    assert (resent["state"], resent["count"]) == ("done", 1)
    await world.send("message.resend", command_id="once-more", resend_command_id="c1")
    assert len(world.provider.texts()) == 3


async def test_a_resend_that_finds_no_message_says_so(world: World) -> None:
    await world.send("message.resend", command_id="again", resend_command_id="never-seen")
    (status,) = await world.statuses("again")
    assert (status["state"], status["error"]["code"], status["error"]["field"]) == (
        "rejected",
        "message_unknown",
        "resend_command_id",
    )


async def test_a_resend_waits_for_an_outage_like_a_message(make_world: MakeWorld) -> None:
    channel = CheckedChannel()
    world = await make_world(channel)
    channel.trouble = AWAY
    await lose(world, range(3))
    await world.send("message.resend", command_id="again", resend_command_id="c0", conversation_id=conversation(0))
    assert await world.states("again") == ["deferred"]
    channel.trouble = None
    world.provider.script.clear()
    await world.outage_ends()
    assert world.provider.texts() == ["m0"]
    assert (await world.states("again"))[-1] == "done"
    assert (await world.states("c0"))[-1] == "sent"
