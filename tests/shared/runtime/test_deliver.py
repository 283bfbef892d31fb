"""Commands that go out: one call per part, a status for each, the same result for the same command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.channel import ProviderError, Receipt
from shared.contract import ids
from shared.contract.commands import CommandType
from shared.contract.errors import ErrorCode
from shared.contract.statuses import State
from shared.runtime.outbound.pacing import app_bucket
from shared.stream.errors import LogUnavailable, NotNow
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import (
    CHANNEL,
    AdjustingChannel,
    Killed,
    PlainChannel,
    ReconcilingChannel,
    failure,
)
from tests.shared.runtime.world import CONVERSATION, Away, World, contents

LOST = failure(ErrorCode.PROVIDER_UNAVAILABLE, certain=False)
NO = failure(ErrorCode.CONTENT_REJECTED, provider_code="77")


async def test_one_text_is_one_call_and_one_status(world: World) -> None:
    await world.send(text="good morning", command_id="c1")
    assert world.provider.texts() == ["good morning"]
    (status,) = await world.statuses()
    assert (status["state"], status["command_id"], status["conversation_id"]) == ("sent", "c1", CONVERSATION)
    assert status["provider_message_id"] == "out-0"
    assert status["message_id"] == ids.message_id("plain", "acc_1", "out-0")
    assert status["status_id"] == ids.status_id("c1", 0, "sent")
    assert status["rollup"] == {"of": 1, "sent": 1, "delivered": 0, "read": 0, "failed": 0}


async def test_a_status_is_a_cloud_event_on_the_conversations_key(world: World) -> None:
    await world.send(command_id="c1")
    (record,) = [record async for record in world.records(world.topics.statuses("plain"))]
    headers = dict(record.headers)
    assert record.key == CONVERSATION.encode()
    assert headers["ce_type"] == b"channels.message.status.v1"
    assert headers["ce_id"].decode() == ids.status_id("c1", 0, "sent")
    assert headers["ce_source"] == b"/channels/plain/acc_1"


async def test_every_part_has_its_own_status_and_the_rollup_counts_them(world: World) -> None:
    await world.send(text="one|two|three", command_id="c1")
    assert world.provider.texts() == ["one", "two", "three"]
    statuses = await world.statuses("c1")
    assert [s["part"] for s in statuses] == [{"index": i, "of": 3} for i in range(3)]
    assert contents(statuses, "provider_message_id") == ["out-0", "out-1", "out-2"]
    assert [s["rollup"]["sent"] for s in statuses] == [1, 2, 3]
    assert [[w["code"] for w in s["warnings"]] for s in statuses] == [["text_split"], [], []]
    assert len({s["status_id"] for s in statuses}) == len({s["message_id"] for s in statuses}) == 3


async def test_an_album_is_one_call_of_many_parts(world: World) -> None:
    blob = await world.blob(b"\xff\xd8\xff picture")
    files = [{"blob": blob}] * 3
    await world.send(content={"kind": "media", "text": "album", "attachments": files}, command_id="c1")
    assert world.provider.methods() == ["album"]
    assert await world.states("c1") == ["sent:0", "sent:1", "sent:2"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (CommandType.REACTION_SET, {"message_id": "m", "provider_message_id": "in-1", "emoji": "👍"}),
        (CommandType.MARK_READ, {}),
        (CommandType.MESSAGE_DELETE, {"message_id": "m", "provider_message_id": "out-1"}),
        (CommandType.CONTACT_BLOCK, {}),
    ],
)
async def test_a_command_without_a_message_ends_once_and_repeats_the_same(
    world: World, kind: CommandType, data: dict[str, str]
) -> None:
    record = await world.send(kind, command_id="c1", **data)
    await world.handle(record)
    assert world.provider.methods() == [str(kind)]
    first, second = await world.statuses("c1")
    assert (first["state"], first) == ("done", second)


# ------------------------------------------------------------------------------------------------------- never twice


async def test_the_same_command_twice_is_one_call_and_the_same_result_twice(world: World) -> None:
    record = await world.send(text="one|two", command_id="c1")
    again = await world.command(text="one|two", command_id="c1")
    await world.handle(record)
    await world.handle(again)
    assert world.provider.texts() == ["one", "two"]
    ids_told = contents(await world.statuses("c1"), "status_id")
    assert ids_told[:2] == ids_told[2:4] == ids_told[4:6]


async def test_a_refused_command_twice_is_refused_twice_the_same(world: World) -> None:
    record = await world.send(text="refuse:text_too_long", command_id="c1")
    await world.handle(record)
    first, second = await world.statuses("c1")
    assert first == second
    assert (first["state"], first["error"]["code"]) == ("rejected", "text_too_long")


@pytest.mark.parametrize("part", ["one", "two", "three"])
async def test_killed_between_claim_and_answer_is_reported_uncertain_and_not_sent_again(
    world: World, part: str
) -> None:
    world.provider.will(part, ("done", Killed()))
    record = await world.command(text="one|two|three", command_id="c1")
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    await world.handle(record)
    assert world.provider.texts() == ["one", "two", "three"]
    ends = {s["part"]["index"]: s["state"] for s in await world.statuses("c1")}
    at = ["one", "two", "three"].index(part)
    assert ends == {0: "sent", 1: "sent", 2: "sent"} | {at: "uncertain"}


async def test_killed_before_the_provider_was_asked_resumes_at_the_next_part(world: World) -> None:
    world.provider.will("two", Killed())
    record = await world.command(text="one|two|three", command_id="c1")
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    await world.handle(record)
    assert world.provider.texts() == ["one", "three"]  # nobody can know that the second was not sent
    assert (await world.states("c1")).count("uncertain:1") >= 1


async def test_a_message_of_fifty_files_that_is_killed_three_times_goes_on_where_it_was(world: World) -> None:
    """As `tests/chaos/test_files.py` kills processes: each file once, in order, in doubt those that were under way."""
    files_ = [b"%02d" % number for number in range(50)]
    blobs = [await world.blob(content, f"ws_1/acc_1/{number}") for number, content in enumerate(files_)]
    lost = (7, 23, 41)
    for number in lost:
        world.provider.will(str(number), ("done", Killed()))  # the channel calls every file by its place
    attachments = [{"blob": blob} for blob in blobs]
    record = await world.command(content={"kind": "media", "attachments": attachments}, command_id="c1")
    for _ in lost:
        with pytest.raises(Killed):
            await world.handle(record)
        await world.restart()
    await world.handle(record)
    assert world.provider.bodies == files_
    ends = {s["part"]["index"]: s["state"] for s in await world.statuses("c1")}
    assert ends == {number: "uncertain" if number in lost else "sent" for number in range(50)}


async def test_an_answer_that_never_came_is_uncertain_and_the_rest_goes_on(world: World) -> None:
    world.provider.will("two", ("done", LOST))
    await world.send(text="one|two|three", command_id="c1")
    await world.outage_ends()
    assert world.provider.texts() == ["one", "two", "three"]
    assert await world.states("c1") == ["sent:0", "uncertain:1", "deferred", "sent:2"]
    uncertain = (await world.statuses("c1"))[1]
    assert (uncertain["error"]["code"], uncertain["error"]["retryable"]) == ("uncertain", False)


async def test_an_error_of_ours_inside_a_call_is_uncertain_not_repeated(world: World) -> None:
    world.provider.will("hello", ("done", KeyError("somebody's number")))
    record = await world.send(command_id="c1")
    await world.handle(record)
    assert world.provider.texts() == ["hello"]
    assert set(await world.states("c1")) == {"uncertain"}
    assert "somebody" not in str(await world.statuses())


async def test_resend_sends_an_uncertain_part_once_more_and_says_so(world: World) -> None:
    world.provider.will("hello", ("done", LOST))
    await world.send(command_id="c1", on_uncertain="resend")
    await world.outage_ends()  # it is none, and a moment shows that
    assert world.provider.texts() == ["hello", "hello"]
    _, status = await world.statuses("c1")
    assert status["state"] == "sent"
    assert [w["code"] for w in status["warnings"]] == ["may_be_duplicate"]


async def test_resend_gives_up_after_one_more_time(world: World) -> None:
    world.provider.will("hello", LOST, LOST, LOST)
    await world.send(command_id="c1", on_uncertain="resend")
    await world.outage_ends()
    assert len(world.provider.asked) == 2
    assert await world.states("c1") == ["deferred", "uncertain"]


async def test_resend_does_not_repeat_what_the_provider_has_reported_meanwhile(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(answers_uncertain="callback_data"))
    hang_up = ProviderError(LOST)

    async def perform(*arguments: object, **named: object) -> Receipt:
        world.provider.made.append(arguments[0])  # type: ignore[arg-type]
        await world.receive(
            {"kind": "status", "account": "acc_1", "id": "out-0", "state": "sent", "correlation": "c1|0"}
        )
        raise hang_up

    world.channel.perform = perform  # type: ignore[method-assign, assignment]
    await world.send(command_id="c1", on_uncertain="resend")
    assert world.provider.texts() == ["hello"]
    assert await world.states("c1") == ["sent"]


async def test_what_the_provider_has_found_is_sent(make_world: MakeWorld) -> None:
    channel = ReconcilingChannel()
    world = await make_world(channel)
    world.provider.will("hello", LOST)
    channel.found = Receipt(("found-1",))
    await world.send(command_id="c1")
    (status,) = await world.statuses("c1")
    assert (status["state"], status["provider_message_id"]) == ("sent", "found-1")


async def test_what_the_provider_surely_has_not_is_sent_again(make_world: MakeWorld) -> None:
    world = await make_world(ReconcilingChannel())
    world.provider.will("hello", LOST)
    record = await world.command(command_id="c1")
    assert len(await world.handle(record)) == 1
    assert world.provider.texts() == ["hello"]
    assert set(await world.states("c1")) == {"sent"}


@pytest.mark.parametrize(
    ("trouble", "told"),
    [(ProviderError(LOST), ["deferred"] * 4 + ["uncertain"]), (RuntimeError("a bug in find_sent"), ["uncertain"])],
)
async def test_what_cannot_be_told_is_uncertain(make_world: MakeWorld, trouble: Exception, told: list[str]) -> None:
    """The provider is asked for some minutes when it does not answer."""
    channel = ReconcilingChannel()
    world = await make_world(channel)
    world.provider.will("hello", LOST)
    channel.found = trouble
    await world.send(command_id="c1")
    for _ in range(10):
        await world.come_due(60)
    assert await world.states("c1") == told
    assert len(world.provider.asked) == 1


async def test_a_crash_is_reconciled_too(make_world: MakeWorld) -> None:
    channel = ReconcilingChannel()
    world = await make_world(channel)
    world.provider.will("two", ("done", Killed()))
    record = await world.command(text="one|two", command_id="c1")
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    channel.found = Receipt(("out-1",))
    await world.handle(record)
    assert world.provider.texts() == ["one", "two"]
    assert {s["part"]["index"]: s["state"] for s in await world.statuses("c1")} == {0: "sent", 1: "sent"}


async def test_the_part_before_it_is_not_taken_for_the_one_in_doubt(make_world: MakeWorld) -> None:
    """Pictures in a row look the same in a history: what is known as another part is no sign of this one."""
    channel = ReconcilingChannel(receipts=(State.SENT, State.READ))
    world = await make_world(channel)
    world.provider.will("two", Killed())  # before the provider got it
    record = await world.command(text="one|two", command_id="c1")
    with pytest.raises(Killed):
        await world.handle(record)
    await world.restart()
    (first,) = [s["provider_message_id"] for s in await world.statuses("c1") if s["part"]["index"] == 0]
    channel.found = Receipt((first,))
    await world.handle(record)
    assert world.provider.texts() == ["one", "two"]
    assert {s["part"]["index"]: s["state"] for s in await world.statuses("c1")} == {0: "sent", 1: "sent"}


# ------------------------------------------------------------------------------------------------- certain refusals


async def test_a_certain_refusal_fails_the_part_and_cancels_those_behind_it(world: World) -> None:
    world.provider.will("two", NO)
    record = await world.send(text="one|two|three", command_id="c1")
    assert world.provider.texts() == ["one"]
    assert await world.states("c1") == ["sent:0", "failed:1", "cancelled:2"]
    failed = (await world.statuses("c1"))[1]
    assert (failed["error"]["code"], failed["error"]["provider_code"]) == ("content_rejected", "77")
    assert failed["rollup"] == {"of": 3, "sent": 1, "delivered": 0, "read": 0, "failed": 2}
    await world.handle(record)
    assert len(world.provider.asked) == 2
    assert (await world.states("c1"))[3:] == ["sent:0", "failed:1", "cancelled:2"]


async def test_another_way_is_tried_when_the_channel_knows_one(make_world: MakeWorld) -> None:
    world = await make_world(AdjustingChannel())
    world.provider.will("x", NO)
    world.provider.will("x~", NO)
    await world.send(text="x", command_id="c1")
    assert world.provider.texts() == ["x~~"]
    (status,) = await world.statuses("c1")
    assert [w["code"] for w in status["warnings"]] == ["converted"]


async def test_other_ways_come_to_an_end(make_world: MakeWorld) -> None:
    world = await make_world(AdjustingChannel())
    for tildes in range(10):
        world.provider.will("x" + "~" * tildes, NO)
    await world.send(text="x", command_id="c1")
    assert len(world.provider.asked) == 4
    assert await world.states("c1") == ["failed"]


async def test_another_way_needs_no_second_moment_of_the_rate(make_world: MakeWorld) -> None:
    rates = {"pair": {"per_second": 0.001, "burst": 1}}
    world = await make_world(AdjustingChannel(rates=rates))
    world.provider.will("x", NO)
    await world.send(text="x", command_id="c1")
    assert world.provider.texts() == ["x~"]
    assert await world.states("c1") == ["sent"]


@pytest.mark.parametrize(("text", "answers"), [("x", 2), ("plain", 1)])
async def test_a_message_sent_again_counts_against_the_rate_of_the_app(
    make_world: MakeWorld, text: str, answers: int
) -> None:
    world = await make_world(AdjustingChannel(rates={"app": {"per_second": 0.01, "burst": 1}}))
    world.provider.will("x", NO)
    await world.send(text=text, command_id="c1")
    assert len(world.provider.asked) == answers
    _, wait, _ = await world.store.take([(app_bucket(CHANNEL), 0.01, 1)], longest_wait=900)
    assert wait == pytest.approx(100 * answers, abs=5)


# ----------------------------------------------------------------------------------------------- log and state away


async def test_when_the_log_comes_back_every_status_is_told(world: World) -> None:
    record = await world.command(text="one|two", command_id="c1")
    perform = world.channel.perform

    async def and_lose_the_log(*arguments: object, **named: object) -> Receipt:
        receipt = await perform(*arguments, **named)  # type: ignore[arg-type]
        world.log.available = False
        return receipt

    world.channel.perform = and_lose_the_log  # type: ignore[method-assign, assignment]
    with pytest.raises(NotNow, match="log_unavailable"):
        await world.process.deliverer.handle(record)
    world.log.available = True
    world.channel.perform = perform  # type: ignore[method-assign]
    await world.process.deliverer.handle(record)
    assert world.provider.texts() == ["one", "two"]
    assert {(s["part"]["index"], s["state"]) for s in await world.statuses("c1")} == {(0, "sent"), (1, "sent")}


async def test_without_valkey_nothing_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.client.close()
    monkeypatch.setattr(world.client, "_connection", Away())
    record = await world.command(command_id="c1")
    with pytest.raises(NotNow, match="state_unavailable"):
        await world.process.deliverer.handle(record)
    assert world.provider.asked == []
    assert await world.statuses() == []


async def test_a_failed_call_is_remembered_while_valkey_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process knows how its call ended: an outage of Valkey makes nothing uncertain."""
    record = await world.command(command_id="c1")
    connection = world.client._connection
    perform = world.channel.perform

    async def and_lose_valkey(*arguments: object, **named: object) -> Receipt:
        receipt = await perform(*arguments, **named)  # type: ignore[arg-type]
        monkeypatch.setattr(world.client, "_connection", Away())
        return receipt

    world.channel.perform = and_lose_valkey  # type: ignore[method-assign, assignment]
    with pytest.raises(NotNow, match="state_unavailable"):
        await world.process.deliverer.handle(record)
    monkeypatch.setattr(world.client, "_connection", connection)
    await world.process.deliverer.handle(record)
    assert world.provider.texts() == ["hello"]
    assert set(await world.states("c1")) == {"sent"}


# ------------------------------------------------------------------------------------------------------- memory


async def test_nothing_of_a_finished_command_stays_in_memory(make_world: MakeWorld) -> None:
    world = await make_world(PlainChannel(rates={"account": {"per_second": 100, "burst": 100}}))
    world.provider.will("a", NO)
    world.provider.will("b", LOST)
    world.provider.will("c", failure(ErrorCode.PROVIDER_UNAVAILABLE), None)
    for text in ("a", "b", "c", "d|e", "refuse:text_too_long"):
        await world.send(text=text)
    sender, deliverer = world.process.sender, world.process.deliverer
    assert sender._failures == sender._unwritten == world.process.pacer._granted == {}
    assert len(deliverer._told) == len(deliverer._under_way) == 0


async def test_the_first_status_of_a_second_process_has_the_ids_of_the_first(world: World) -> None:
    """Ids are made of the command: whoever tells a status, tells the same one."""
    record = await world.send(command_id="c1")
    await world.restart()
    await world.handle(replace(record, offset=record.offset))
    first, second = await world.statuses("c1")
    assert first == second


async def test_an_accepted_receipt_is_told_as_such(world: World) -> None:
    world.provider.will("hello", Receipt(("out-9",), state=State.ACCEPTED))
    await world.send(command_id="c1")
    (status,) = await world.statuses("c1")
    assert (status["state"], status["provider_message_id"]) == ("accepted", "out-9")


async def test_a_log_that_is_away_at_the_first_moment_costs_nothing(world: World) -> None:
    record = await world.command(text="refuse:text_too_long", command_id="c1")
    world.log.available = False
    with pytest.raises(NotNow):
        await world.process.deliverer.handle(record)
    world.log.available = True
    await world.handle(record)
    assert await world.states("c1") == ["rejected"]
    assert not isinstance(LogUnavailable(), NotNow)
