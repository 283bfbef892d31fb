"""Commands that have to wait: briefly in their lane, longer on the parked topic, and never longer than they may."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta

import pytest

from shared.channel import Account, Call, Failure, HealthChange, Receipt
from shared.contract.base import rfc3339
from shared.contract.commands import CommandType
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.stream.errors import NotNow
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, Killed, PlainChannel, ReconcilingChannel, failure
from tests.shared.runtime.world import ACCOUNT, World, soon

AWAY = failure(ErrorCode.PROVIDER_UNAVAILABLE)
REAUTH = failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED)
UNPAID = failure(ErrorCode.ACCOUNT_BILLING_BLOCKED, health=Health.BILLING_BLOCKED)
SECOND = "plain:acc_1:p2"


# -------------------------------------------------------------------------------------------------------- rates


async def test_a_short_limit_waits_in_the_lane(world: World) -> None:
    world.provider.will("hello", failure(ErrorCode.RATE_LIMITED, retry_after=2.0))
    record = await world.command(command_id="c1")
    assert await world.handle(record) == [2.0]
    assert await world.states("c1") == ["sent"]
    assert len(world.process.parking) == 0


async def test_a_long_limit_is_parked_told_and_resumed(world: World) -> None:
    world.provider.will("hello", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    await world.send(command_id="c1")
    (deferred,) = await world.statuses("c1")
    assert (deferred["state"], deferred["why"], deferred["until"]) == (
        "deferred",
        "rate_limited",
        soon(world.clock, 90),
    )
    assert await world.come_due(89) == 0
    assert await world.come_due(1.5) == 1
    assert await world.states("c1") == ["deferred", "sent"]
    assert len(world.process.parking) == 0


async def test_what_is_parked_survives_the_process(world: World) -> None:
    world.provider.will("hello", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    await world.send(command_id="c1")
    await world.restart()
    assert await world.come_due(91) == 1
    assert await world.states("c1") == ["deferred", "sent"]
    await world.restart()
    assert len(world.process.parking) == 0


async def test_a_pair_has_its_own_rate(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(rates={"pair": {"per_second": 0.02, "burst": 1}}))
    await world.send(text="one")
    await world.send(text="two")
    await world.send(text="other", conversation_id=SECOND)
    assert world.provider.texts() == ["one", "other"]
    await world.come_due(51)
    assert world.provider.texts() == ["one", "other", "two"]


async def test_replicas_share_a_rate_and_a_penalty(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(rates={"account": {"per_second": 50, "burst": 50}}))
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0, scope="account"))
    await world.send(text="one", command_id="c1")
    await world.restart()
    await world.send(text="two", command_id="c2", conversation_id=SECOND)
    assert len(world.provider.asked) == 1
    assert (await world.statuses("c2"))[0]["why"] == "rate_limited"


async def test_a_penalty_moves_the_moments_that_were_given_before_it(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(rates={"account": {"per_second": 0.1, "burst": 1}}))
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0, scope="account"))
    first = await world.command(text="one")
    second = await world.command(text="two", conversation_id=SECOND)
    await world.process.pacer.wait_for(world.accounts.get("acc_1"), SECOND, "elsewhere")  # type: ignore[arg-type]
    for record in (first, second):
        await world.handle(record)  # parked: the moments are ten seconds apart
    await world.come_due(11)
    assert len(world.provider.asked) == 1
    await world.come_due(10)
    assert len(world.provider.asked) == 1, "the second came while the provider had asked for silence"
    for _ in range(3):
        await world.come_due(120)  # Valkey's own clock has not moved: it sends them away once more
    assert sorted(world.provider.texts()) == ["one", "two"]


async def test_an_accounts_own_settings_replace_the_channels_rates(make_world: MakeWorld) -> None:
    slow = ACCOUNT.model_copy(update={"settings": {"rates": {"account": {"per_second": 0.01, "burst": 1}}}})
    world = await make_world(accounts=[slow])
    await world.send(text="one")
    await world.send(text="two", conversation_id=SECOND)
    assert world.provider.texts() == ["one"]


async def test_unreadable_rates_of_an_account_are_not_used(make_world: MakeWorld) -> None:
    odd = ACCOUNT.model_copy(update={"settings": {"rates": {"account": {"per_second": -1, "burst": 1}}}})
    world = await make_world(accounts=[odd])
    await world.send(text="one")
    assert world.provider.texts() == ["one"]


async def test_an_account_has_so_many_calls_under_way_and_no_more(world: World) -> None:
    with ExitStack() as slots:
        for _ in range(32):
            slots.enter_context(world.process.pacer.slots.taken("acc_1"))
        record = await world.command()
        with pytest.raises(NotNow, match="account_busy"):
            await world.process.deliverer.handle(record)
        await world.send(account_id="acc_2", workspace_id="ws_2", conversation_id="plain:acc_2:p1", text="other")
    assert world.provider.texts() == ["other"]
    await world.handle(record)
    assert world.provider.texts() == ["other", "hello"]


class CountingChannel(ReconcilingChannel):
    """Says how many slots its account has left while it is asked what has been sent."""

    world: World
    left = 0

    async def find_sent(self, call: Call, account: Account, since: datetime) -> Receipt | None:
        with ExitStack() as taken, suppress(NotNow):
            while True:
                taken.enter_context(self.world.process.pacer.slots.taken(account.account_id))
                self.left += 1
        return Receipt(("found-1",))


async def test_asking_what_has_been_sent_is_a_call_like_others(make_world: MakeWorld) -> None:
    channel = CountingChannel()
    world = channel.world = await make_world(channel)
    world.provider.will("hello", Failure(ErrorCode.UNCERTAIN, certain=False))
    await world.send(command_id="c1")
    assert await world.states("c1") == ["sent"]
    assert channel.left == 31


async def test_the_address_of_an_edits_file_is_fetched_in_a_slot(world: World) -> None:
    await world.send(command_id="c1")
    (sent,) = await world.statuses("c1")
    content = {"kind": "media", "attachments": [{"url": "https://files.example/a.pdf"}]}
    record = await world.command("message.edit", message_id=sent["message_id"], content=content)
    with ExitStack() as slots:
        for _ in range(32):
            slots.enter_context(world.process.pacer.slots.taken("acc_1"))
        with pytest.raises(NotNow, match="account_busy"):
            await world.process.deliverer.handle(record)


async def test_a_hanging_call_of_one_account_leaves_the_others_alone(world: World) -> None:
    answered = asyncio.Event()
    world.provider.will("slow", answered)
    slow = asyncio.create_task(world.send(text="slow"))
    await world.send(account_id="acc_2", workspace_id="ws_2", conversation_id="plain:acc_2:p1", text="quick")
    assert world.provider.texts() == ["quick"]
    answered.set()
    await slow
    assert world.provider.texts() == ["quick", "slow"]


# ---------------------------------------------------------------------------------------------------- transient


async def test_a_provider_that_is_away_is_asked_again_with_growing_pauses(world: World) -> None:
    world.provider.will("hello", *[AWAY] * 5)
    record = await world.command(command_id="c1")
    waits = await world.handle(record)
    assert len(waits) >= 3
    assert waits == sorted(waits)
    assert all(0.5 <= wait <= 5 for wait in waits)
    await world.outage_ends()  # after three answers of this kind its account is held
    assert world.provider.texts() == ["hello"]
    assert (await world.states("c1"))[-1] == "sent"


async def test_an_outage_ends_at_the_commands_own_time(world: World) -> None:
    world.provider.will("hello", *[AWAY] * 100)
    await world.send(command_id="c1", not_after=soon(world.clock, 600))
    for _ in range(40):
        await world.come_due(20)
    assert (await world.states("c1"))[-1] == "expired"
    assert world.provider.texts() == []
    assert len(world.process.parking) == 0


async def test_an_account_error_that_proves_nothing_is_only_tried_again(world: World) -> None:
    world.provider.will("hello", failure(ErrorCode.ACCOUNT_DISCONNECTED))
    record = await world.command(command_id="c1")
    assert len(await world.handle(record)) == 1
    assert await world.states("c1") == ["sent"]
    assert await world.healths() == []


# -------------------------------------------------------------------------------------------- the account is paused


async def test_a_dead_token_fails_nothing(world: World) -> None:
    """All wait, in order, without a call; the health is told once; all are sent when the account is well again."""
    world.provider.will("a0", REAUTH)
    for turn in range(6):
        for peer in ("p1", "p2", "p3"):
            text = f"a{turn}" if peer == "p1" else f"{peer}-{turn}"
            await world.send(text=text, conversation_id=f"plain:acc_1:{peer}")
    assert len(world.provider.asked) == 1
    assert await world.healths() == ["reauth_required"]
    await world.send(account_id="acc_2", workspace_id="ws_2", conversation_id="plain:acc_2:p1", text="other")
    assert world.provider.texts() == ["other"]

    assert await world.come_due(30 * 60) == 0
    await world.process.health.learn(world.accounts.get("acc_1"), HealthChange(Health.CONNECTED))  # type: ignore[arg-type]
    assert await world.come_due() == 18
    sent = world.provider.texts()[1:]
    for peer in ("a", "p2-", "p3-"):
        assert [t for t in sent if t.startswith(peer)] == [f"{peer}{turn}" for turn in range(6)]
    assert not {"failed", "rejected", "expired"} & set(await world.states())
    assert len(world.process.parking) == 0


async def test_a_deferral_without_a_known_end_names_no_time(world: World) -> None:
    world.provider.will("hello", REAUTH)
    await world.send(command_id="c1")
    (deferred,) = await world.statuses("c1")
    assert (deferred["state"], deferred["why"]) == ("deferred", "account_reauth_required")
    assert "until" not in deferred


async def test_a_recovery_while_a_command_is_being_parked_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.accounts.get("acc_1")
    assert account is not None
    await world.process.health.learn(account, HealthChange(Health.REAUTH_REQUIRED))
    send = world.log.send

    async def recover_meanwhile(topic: str, *arguments: object) -> object:
        stored = await send(topic, *arguments)  # type: ignore[arg-type]
        if topic == world.topics.parked(CHANNEL):
            monkeypatch.setattr(world.log, "send", send)
            await world.process.health.learn(account, HealthChange(Health.CONNECTED))
        return stored

    monkeypatch.setattr(world.log, "send", recover_meanwhile)
    await world.send(command_id="c1")
    assert await world.come_due() == 1
    assert (await world.states("c1"))[-1] == "sent"


async def test_a_recovery_while_no_process_was_there_is_not_missed(world: World) -> None:
    from shared.runtime.waiting.parked import wake_recovered

    world.provider.will("hello", REAUTH)
    await world.send(command_id="c1")
    await world.restart()
    world.process.health._set("acc_1", Health.CONNECTED)
    wake_recovered(world.process.parking, world.process.health)
    assert await world.come_due() == 1
    assert world.provider.texts() == ["hello"]


async def test_an_unpaid_account_is_tried_by_one_command_now_and_then(world: World) -> None:
    world.provider.will("p0", UNPAID, UNPAID)
    for peer in range(5):
        await world.send(text=f"p{peer}", conversation_id=f"plain:acc_1:{peer}")
    assert len(world.provider.asked) == 1
    assert await world.healths() == ["billing_blocked"]
    await world.come_due(301)
    assert len(world.provider.asked) == 2, "one try for all of them"
    await world.forget("f:*")
    await world.come_due(301)
    assert sorted(world.provider.texts()) == [f"p{peer}" for peer in range(5)]
    assert await world.healths() == ["billing_blocked", "connected"]


async def test_an_unpaid_account_is_tried_even_if_the_first_command_is_gone(world: World) -> None:
    world.provider.will("first", UNPAID)
    await world.send(text="first", command_id="c1")
    await world.send(text="second", conversation_id=SECOND)
    await world.send(CommandType.MESSAGE_CANCEL, cancel_command_id="c1")
    await world.come_due(601)
    assert world.provider.texts() == ["second"]


async def test_expiry_ends_the_wait_for_an_account(world: World) -> None:
    world.provider.will("one", REAUTH)
    await world.send(text="one", command_id="c1", not_after=soon(world.clock, 100))
    await world.come_due(101)
    assert (await world.states("c1"))[-1] == "expired"
    assert len(world.process.parking) == 0


async def test_a_message_that_was_begun_expires_too(world: World) -> None:
    world.provider.will("two", REAUTH)
    await world.send(text="one|two|three", command_id="c1", not_after=soon(world.clock, 100))
    await world.come_due(101)
    assert (await world.states("c1"))[-2:] == ["expired:1", "expired:2"]
    assert world.provider.texts() == ["one"]
    assert len(world.process.parking) == 0


async def test_an_account_that_goes_takes_its_waiting_commands_with_it(world: World) -> None:
    world.provider.will("one", REAUTH)
    await world.send(text="one", command_id="c1")
    await world.send(text="two", command_id="c2")
    world.account(ACCOUNT.model_copy(update={"enabled": False}))
    world.process.parking.wake("account acc_1")
    await world.come_due()
    for command in ("c1", "c2"):
        status = (await world.statuses(command))[-1]
        assert (status["state"], status["error"]["code"]) == ("rejected", "account_disconnected")
    assert len(world.process.parking) == 0


# ------------------------------------------------------------------------------------------- an address of a file


async def test_an_address_that_does_not_answer_is_asked_for_a_while(world: World) -> None:
    file = {"url": "http://127.0.0.1:9/a.pdf", "kind": "document"}
    record = await world.command(command_id="c1", content={"kind": "media", "attachments": [file]})
    waits = await world.handle(record)
    assert 115 <= sum(waits) <= 130
    (status,) = await world.statuses("c1")
    assert (status["state"], status["error"]["code"]) == ("rejected", "file_unavailable")
    assert status["error"]["detail"] == "The file could not be fetched: its host does not answer as it should."


# ------------------------------------------------------------------------------------------------- its own time


async def test_not_before_is_kept(world: World) -> None:
    await world.send(command_id="c1", not_before=soon(world.clock, 3600))
    (deferred,) = await world.statuses("c1")
    assert (deferred["why"], deferred["until"]) == ("not_before", soon(world.clock, 3600))
    assert await world.come_due(3599) == 0
    assert await world.come_due(2) == 1
    assert await world.states("c1") == ["deferred", "sent"]


async def test_what_is_for_later_holds_nobody_up(world: World) -> None:
    await world.send(text="tomorrow", command_id="c1", not_before=soon(world.clock, 3600))
    await world.send(text="now", command_id="c2")
    assert world.provider.texts() == ["now"]
    await world.restart()
    await world.send(text="soon", command_id="c3")
    await world.come_due(3601)
    assert world.provider.texts() == ["now", "soon", "tomorrow"]
    assert len(world.process.parking) == 0


async def test_what_is_for_later_is_judged_when_it_comes(world: World) -> None:
    later = soon(world.clock, 3600)
    await world.send(command_id="c1", content={"kind": "location", "location": {"latitude": 1, "longitude": 2}},
                     reply_to={"message_id": "nobody-knows"}, reply_policy="strict", not_before=later)  # fmt: skip
    (status,) = await world.statuses("c1")
    assert (status["state"], status["error"]["code"]) == ("rejected", "reply_target_unknown")


async def test_what_could_never_be_in_time_is_no_command(world: World) -> None:
    await world.send(command_id="c1", not_before=soon(world.clock, 61), not_after=soon(world.clock, 60))
    (status,) = await world.statuses("c1")
    assert (status["error"]["code"], status["error"]["field"]) == ("invalid_command", "not_after")


async def test_when_it_is_due_it_queues_behind_those_that_wait_already(world: World) -> None:
    """The order among commands is by the moment they are due."""
    for text, seconds in (("second", 60), ("first", 50)):
        await world.send(text=text, not_before=soon(world.clock, seconds))
    world.provider.will("now", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    await world.send(text="now")
    await world.come_due(55)
    await world.come_due(6)
    assert world.provider.texts() == []
    await world.restart()
    await world.send(text="after them")
    await world.come_due(30)
    assert world.provider.texts() == ["now", "first", "second", "after them"]


async def test_what_is_for_later_is_cancelled_at_once_and_expires_in_time(world: World) -> None:
    later = soon(world.clock, 3600)
    await world.send(text="one", command_id="c1", not_before=later)
    await world.send(text="two", command_id="c2", not_before=later, not_after=soon(world.clock, 3700))
    await world.send(CommandType.MESSAGE_CANCEL, cancel_command_id="c1")
    assert (await world.states("c1"))[-1] == "cancelled"
    world.provider.will("now", failure(ErrorCode.RATE_LIMITED, retry_after=7200.0))
    await world.send(text="now", command_id="c3")
    await world.come_due(3650)
    assert await world.states("c2") == ["deferred", "deferred"]
    await world.come_due(60)
    assert (await world.states("c2"))[-1] == "expired"
    assert world.provider.texts() == []


async def test_a_message_for_next_week_does_not_expire_before_its_time(world: World) -> None:
    await world.send(command_id="c1", content={"kind": "template", "name": "t", "language": "en"},
                     not_before=soon(world.clock, 7 * 86400))  # fmt: skip
    await world.come_due(7 * 86400 + 1)
    assert (await world.states("c1"))[-1] == "sent"


async def test_an_expired_command_is_not_sent(world: World) -> None:
    await world.send(command_id="c1", not_after=soon(world.clock, -1))
    (status,) = await world.statuses("c1")
    assert (status["state"], status["error"]["code"]) == ("expired", "expired")
    assert world.provider.asked == []


async def test_a_command_without_an_end_has_a_days_patience(world: World) -> None:
    record = await world.command(command_id="c1")
    world.clock.advance(24 * 3600 + 1)
    await world.handle(record)
    assert await world.states("c1") == ["expired"]


async def test_a_command_that_comes_again_while_it_waits_changes_nothing(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    record = await world.send(text="one", command_id="c1")
    await world.send(text="two", command_id="c2")
    await world.handle(record)
    await world.handle(await world.command(text="two", command_id="c2"))
    assert world.provider.texts() == []
    await world.come_due(61)
    assert world.provider.texts() == ["one", "two"]


# --------------------------------------------------------------------------------------------- behind one that waits


async def test_a_conversation_queues_behind_its_waiting_command_in_order(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    for text in ("one", "two", "three"):
        await world.send(text=text, command_id=text)
    await world.send(text="other", conversation_id=SECOND)
    assert world.provider.texts() == ["other"]
    assert [s["why"] for s in await world.statuses("two")] == ["behind"]
    await world.come_due(91)
    assert world.provider.texts() == ["other", "one", "two", "three"]


async def test_the_order_survives_a_restart(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    for text in ("one", "two", "three"):
        await world.send(text=text)
    await world.restart()
    await world.send(text="four")
    await world.come_due(91)
    assert world.provider.texts() == ["one", "two", "three", "four"]


async def test_who_queues_behind_expires_at_its_own_time(world: World) -> None:
    world.provider.will("one", REAUTH)
    await world.send(text="one", command_id="c1")
    await world.send(text="two", command_id="c2", not_after=soon(world.clock, 60))
    await world.send(text="three", command_id="c3")
    await world.restart()
    world.process.health._set("acc_1", Health.REAUTH_REQUIRED)
    assert await world.come_due(61) == 1
    assert [(await world.states(name))[-1] for name in ("c1", "c2", "c3")] == ["deferred", "expired", "deferred"]
    await world.process.health.learn(world.accounts.get("acc_1"), HealthChange(Health.CONNECTED))  # type: ignore[arg-type]
    await world.come_due()
    assert world.provider.texts() == ["one", "three"]


async def test_who_queues_behind_is_cancelled_at_once(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=3600.0))
    await world.send(text="one", command_id="c1")
    for name in ("c2", "c3"):
        await world.send(text=name, command_id=name)
    await world.send(CommandType.MESSAGE_CANCEL, cancel_command_id="c2")
    assert [(await world.states(name))[-1] for name in ("c1", "c2", "c3")] == ["deferred", "cancelled", "deferred"]
    await world.come_due(3601)
    assert world.provider.texts() == ["one", "c3"]


async def test_a_cancellation_that_is_interrupted_leaves_nobody_behind(world: World) -> None:
    for name in ("c1", "c2", "c3"):
        await world.send(text=name, command_id=name, not_before=soon(world.clock, 3600))
    world.clock.advance(1)
    record = await world.command(CommandType.MESSAGE_CANCEL, cancel_conversation=True)
    world.log.available = False
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.deliverer.handle(record)
    world.log.available = True
    await world.handle(record)
    assert [(await world.states(name))[-1] for name in ("c1", "c2", "c3")] == ["cancelled"] * 3
    assert len(world.process.parking) == 0


async def test_a_bug_lets_go_of_those_behind(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    record = await world.send(text="one", command_id="c1")
    await world.send(text="two", command_id="c2")
    world.clock.advance(91)
    (due,) = world.process.parking.due(world.clock.ms)
    await world.process.deliverer.poisoned(due)
    await world.come_due()
    assert world.provider.texts() == ["two"]
    status = (await world.statuses("c1"))[-1]
    assert (status["state"], status["error"]["code"]) == ("rejected", "internal")
    await world.handle(record)  # sent back from the dead letters
    assert (await world.states("c1"))[-1] == "sent"


async def test_a_bug_in_the_middle_gives_every_part_an_end(world: World) -> None:
    world.provider.will("two", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    record = await world.send(text="one|two|three", command_id="c1")
    world.clock.advance(91)
    (due,) = world.process.parking.due(world.clock.ms)
    await world.process.deliverer.poisoned(due)
    told = [status for status in await world.statuses("c1") if status["state"] != "deferred"]
    last = {status["part"]["index"]: status for status in told}
    assert [last[index]["state"] for index in range(3)] == ["sent", "failed", "failed"]
    assert last[2]["error"]["code"] == "internal"
    await world.handle(record)  # sent back from the dead letters
    assert world.provider.texts() == ["one"]


async def test_what_was_sent_is_known_for_as_long_as_the_rest_may_wait(world: World) -> None:
    world.provider.will("two", REAUTH)
    await world.send(text="one|two", command_id="c1", not_after=soon(world.clock, 10 * 86_400))
    (ledger,) = await world.client.call("KEYS", "l:*")
    assert await world.client.call("TTL", ledger) > 10 * 86_400
    await world.process.health.learn(world.accounts.get("acc_1"), HealthChange(Health.CONNECTED))
    await world.come_due()
    assert world.provider.texts() == ["one", "two"]
    assert await world.client.call("TTL", ledger) <= 3 * 86_400


# -------------------------------------------------------------------------------------------------------- cancel


@pytest.mark.parametrize(
    ("cancel", "left"),
    [
        ({"cancel_command_id": "human"}, {"ai", "run"}),
        ({"cancel_conversation": True}, set()),
        ({"cancel_actor_kind": "ai_agent"}, {"human", "run"}),
        ({"cancel_workflow_run_id": "run_1"}, {"human", "ai"}),
        ({"cancel_actor_kind": "workflow", "cancel_workflow_run_id": "run_2"}, {"human", "ai", "run"}),
    ],
)
async def test_cancelling_what_is_queued(world: World, cancel: dict[str, str], left: set[str]) -> None:
    queued = [
        await world.command(text="human", command_id="human", actor={"kind": "human"}),
        await world.command(text="ai", command_id="ai", actor={"kind": "ai_agent"}),
        await world.command(text="run", command_id="run", actor={"kind": "workflow"}, workflow_run_id="run_1"),
    ]
    await world.send(CommandType.MESSAGE_CANCEL, command_id="cancel", **cancel)
    for record in queued:
        await world.handle(record)
    assert set(world.provider.texts()) == left
    for name in ("human", "ai", "run"):
        assert await world.states(name) == ["sent" if name in left else "cancelled"]
    assert await world.states("cancel") == ["done"]


async def test_a_command_queued_after_the_cancellation_is_sent(world: World) -> None:
    await world.send(CommandType.MESSAGE_CANCEL, cancel_conversation=True)
    world.clock.advance(1)
    await world.send(text="later")
    assert world.provider.texts() == ["later"]


async def test_other_conversations_are_not_cancelled(world: World) -> None:
    record = await world.command(text="other", conversation_id=SECOND)
    await world.send(CommandType.MESSAGE_CANCEL, cancel_conversation=True)
    await world.handle(record)
    assert world.provider.texts() == ["other"]


@pytest.mark.parametrize("why", [failure(ErrorCode.RATE_LIMITED, retry_after=900.0), REAUTH])
async def test_cancelling_what_is_parked_ends_it_at_once(world: World, why: object) -> None:
    world.provider.will("one", why)
    await world.send(text="one", command_id="c1")
    await world.send(text="two", command_id="c2")
    await world.send(CommandType.MESSAGE_CANCEL, command_id="cancel", cancel_conversation=True)
    (cancelled,) = await world.statuses("cancel")
    assert (cancelled["state"], cancelled["count"]) == ("done", 2)
    await world.come_due()
    assert (await world.states("c1"))[-1] == (await world.states("c2"))[-1] == "cancelled"
    assert len(world.process.parking) == 0


async def test_a_cancellation_leaves_what_waits_elsewhere_alone(world: World) -> None:
    await world.send(text="scheduled", conversation_id=SECOND, not_before=soon(world.clock, 3600))
    await world.send(text="one", command_id="c1", not_before=soon(world.clock, 3600))
    await world.send(CommandType.MESSAGE_CANCEL, cancel_command_id="c1")
    assert (await world.states("c1"))[-1] == "cancelled"
    assert await world.come_due() == 0
    assert len(world.process.parking) == 1


async def test_cancelling_in_the_middle_of_a_message_stops_before_the_next_part(world: World) -> None:
    answered = asyncio.Event()
    world.provider.will("two", answered)
    record = await world.command(text="one|two|three", command_id="c1")
    sending = asyncio.create_task(world.handle(record))
    while len(world.provider.asked) < 2:
        await asyncio.sleep(0)
        await world.client.call("PING")
    await world.send(CommandType.MESSAGE_CANCEL, cancel_conversation=True)
    answered.set()
    await sending
    assert world.provider.texts() == ["one", "two"]
    assert await world.states("c1") == ["sent:0", "sent:1", "cancelled:2"]


async def test_a_part_that_was_cancelled_is_never_sent(world: World) -> None:
    """Not even when the command comes again, queued after the cancellation."""
    world.provider.will("two", failure(ErrorCode.RATE_LIMITED, retry_after=90.0))
    await world.send(text="one|two", command_id="c1")
    await world.send(CommandType.MESSAGE_CANCEL, cancel_command_id="c1")
    await world.come_due(91)
    assert (await world.states("c1"))[-1] == "cancelled:1"
    world.clock.advance(60)
    await world.forget("x:*")
    await world.send(text="one|two", command_id="c1")
    assert world.provider.texts() == ["one"]


async def test_cancelling_what_was_sent_changes_nothing(world: World) -> None:
    record = await world.send(command_id="c1")
    await world.send(CommandType.MESSAGE_CANCEL, cancel_command_id="c1")
    await world.handle(record)
    assert await world.states("c1") == ["sent", "sent"]


async def test_rules_nobody_can_need_any_more_go(world: World) -> None:
    for turn in range(5):
        await world.send(CommandType.MESSAGE_CANCEL, cancel_command_id=f"old_{turn}")
        world.clock.advance(86400)
    opened = await world.store.open("plain:acc_1:p1", "any")
    assert len(opened.cancelled) <= 3


async def test_killed_while_parking_is_made_up_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parked record is durable, the process dies before it says so: the command comes again and waits once."""
    record = await world.command(text="one", command_id="c1", not_before=rfc3339(world.clock.now + timedelta(hours=1)))
    publish = world.process.book.publish_all

    async def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(world.process.book, "publish_all", die)
    with pytest.raises(Killed):
        await world.handle(record)
    monkeypatch.setattr(world.process.book, "publish_all", publish)
    await world.restart()
    await world.handle(record)
    assert await world.come_due(3601) == 1
    assert world.provider.texts() == ["one"]
