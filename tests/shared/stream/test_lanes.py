"""What happens to one record: tries, waits, admission, slots, giving up. In memory, without real waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext

import pytest
import pytest_asyncio

from shared.stream.errors import LogUnavailable, NotNow
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.records import INJECTED, Partition, Record
from tests.shared.stream.support import Seen, dispatcher, eventually, fill, key_of

TOPIC, GROUP = "commands", "deliver"


@pytest_asyncio.fixture
async def log() -> AsyncIterator[MemoryLog]:
    log = MemoryLog()
    await log.ensure_topics([TopicSpec(TOPIC, 1)])
    yield log


class Sleep:
    """Takes no time and remembers what was asked for; `hold` makes it last."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.hold = False

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        if self.hold:
            await asyncio.Event().wait()
        await asyncio.sleep(0)


def committed(log: MemoryLog) -> int:
    return log._groups[GROUP].committed.get(Partition(TOPIC, 0), 0)


async def test_a_failing_record_is_tried_again_then_poisoned_and_the_next_goes_on(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"bad"), (b"k", b"good")])
    tried: Counter[bytes | None] = Counter()
    poisoned: list[tuple[bytes | None, str]] = []
    outcomes: Counter[str] = Counter()
    sleep = Sleep()

    async def work(record: Record) -> None:
        tried[record.value] += 1
        if record.value == b"bad":
            raise KeyError("field")

    async def poison(record: Record, error: Exception) -> None:
        poisoned.append((record.value, type(error).__name__))

    def observe(outcome: str, record: Record, seconds: float) -> None:
        outcomes[outcome] += 1

    options = {"on_poison": poison, "tries": 4, "sleep": sleep, "observe": observe}
    async with dispatcher(log, GROUP, TOPIC, work, **options):
        await eventually(lambda: tried[b"good"] == 1)
    assert tried[b"bad"] == 4
    assert poisoned == [(b"bad", "KeyError")]
    assert outcomes == {"retried": 3, "poisoned": 1, "handled": 1}
    assert len(sleep.asked) == 3
    assert all(low <= asked <= 1.2 * low for asked, low in zip(sleep.asked, (0.1, 0.2, 0.4), strict=True))
    assert committed(log) == 2


async def test_what_waits_too_long_is_offered_another_place_and_the_next_goes_on(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"waits"), (b"k", b"goes")])
    offered: list[tuple[bytes | None, str]] = []
    outcomes: Counter[str] = Counter()
    handled: list[bytes | None] = []
    now = 0.0

    def clock() -> float:
        return now

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        await asyncio.sleep(0)

    async def work(record: Record) -> None:
        if record.value == b"waits":
            raise NotNow(7.0, "blobs_unavailable")
        handled.append(record.value)

    async def overdue(record: Record, why: str) -> bool:
        offered.append((record.value, why))
        if len(offered) == 1:
            raise LogUnavailable("gone")
        return len(offered) > 2

    def observe(outcome: str, record: Record, seconds: float) -> None:
        outcomes[outcome] += 1

    options = {"on_overdue": overdue, "longest_wait": 60.0, "sleep": sleep, "clock": clock, "observe": observe}
    async with dispatcher(log, GROUP, TOPIC, work, **options):
        await eventually(lambda: handled == [b"goes"])
    assert {value for value, _ in offered} == {b"waits"}
    assert (offered[0][1], len(offered)) == ("blobs_unavailable", 3)
    assert outcomes["overdue"] == 1
    assert now >= 60
    assert committed(log) == 2


@pytest.mark.parametrize("away", [NotNow(3.0, "state_unavailable"), LogUnavailable("gone")])
async def test_a_dependency_that_is_away_is_waited_for_and_counts_as_no_try(log: MemoryLog, away: Exception) -> None:
    await fill(log, TOPIC, [(b"k", b"1"), (b"other", b"2")])
    calls: Counter[bytes] = Counter()
    back = asyncio.Event()
    sleep = Sleep()

    async def work(record: Record) -> None:
        calls[key_of(record)] += 1
        if record.key == b"k" and not back.is_set():
            raise away

    async with dispatcher(log, GROUP, TOPIC, work, tries=1, sleep=sleep) as consumer:
        await eventually(lambda: calls[b"k"] > 20)
        assert calls[b"other"] == 1
        assert consumer.stalled == {getattr(away, "why", "log_unavailable"): 1}
        back.set()
        await eventually(lambda: consumer.lanes == 0)
        assert consumer.stalled == {}
    asked = getattr(away, "retry_after", 1.0)
    assert asked <= min(sleep.asked) <= max(sleep.asked) <= 1.2 * asked
    assert committed(log) == 2


async def test_when_dead_letters_cannot_be_written_the_record_waits(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"bad")])
    attempts = 0

    async def work(record: Record) -> None:
        raise ValueError

    async def poison(record: Record, error: Exception) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise LogUnavailable("gone")

    async with dispatcher(log, GROUP, TOPIC, work, on_poison=poison, tries=1, sleep=Sleep()) as consumer:
        await eventually(lambda: attempts == 3 and consumer.lanes == 0)
    assert committed(log) == 1


async def test_a_bug_in_a_callback_stops_the_dispatcher(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"bad")])

    async def work(record: Record) -> None:
        raise ValueError

    async def poison(record: Record, error: Exception) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await dispatcher(log, GROUP, TOPIC, work, on_poison=poison, tries=1, sleep=Sleep()).run()
    assert committed(log) == 0


async def test_no_more_handlers_than_slots_and_those_who_wait_for_tokens_take_none(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k%d" % n, b"v") for n in range(50)])
    poor, tokens, seen, running, most = b"k0", asyncio.Event(), Seen(), 0, 0

    async def admit(record: Record) -> AbstractContextManager[None]:
        if record.key == poor:
            await tokens.wait()
        return nullcontext()

    async def work(record: Record) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await seen(record)
        running -= 1

    async with dispatcher(log, GROUP, TOPIC, work, slots=1, admit=admit):
        await eventually(lambda: len(seen) == 49)
        assert poor not in seen.by_key
        tokens.set()
        await eventually(lambda: len(seen) == 50)
    assert most == 1


async def test_ephemeral_records_pass_by_the_lanes_and_are_bounded(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"text"), *[(b"k", b"typing")] * 5])
    gate = asyncio.Event()
    outcomes: Counter[str] = Counter()

    async def stuck(record: Record) -> None:
        await gate.wait()

    async def show_typing(record: Record) -> None:
        await asyncio.sleep(0)
        raise OSError

    def observe(outcome: str, record: Record, seconds: float) -> None:
        outcomes[outcome] += 1

    def ephemeral(record: Record) -> bool:
        return record.value == b"typing"

    options = {"is_ephemeral": ephemeral, "on_ephemeral": show_typing, "slots": 3, "observe": observe}
    async with dispatcher(log, GROUP, TOPIC, stuck, **options):
        await eventually(lambda: outcomes.total() == 5)
        assert outcomes == {"ephemeral_failed": 3, "ephemeral_dropped": 2}
        gate.set()
    assert committed(log) == 6


async def test_a_submitted_record_queues_in_its_lane_and_is_not_committed(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"first")])
    gate, seen = asyncio.Event(), Seen()

    async def work(record: Record) -> None:
        await gate.wait()
        await seen(record)

    def parked(topic: str) -> Record:
        return Record(topic, 0, INJECTED, b"k", b"parked", (), 0)

    async with dispatcher(log, GROUP, TOPIC, work) as consumer:
        await eventually(lambda: consumer.open_records == 1)
        assert consumer.submit(parked(TOPIC))
        assert not consumer.submit(parked("foreign"))
        assert (consumer.open_records, consumer.lanes) == (2, 1)
        gate.set()
        await eventually(lambda: len(seen) == 2)
    assert seen.values == [b"first", b"parked"]
    assert committed(log) == 1
    assert not consumer.submit(parked(TOPIC))


async def test_stopping_finishes_what_was_fetched_and_gives_up_what_only_waits(log: MemoryLog) -> None:
    pairs = [(b"slow", b"0"), (b"slow", b"1"), (b"away", b"2"), (b"away", b"3"), (b"poor", b"4")]
    await fill(log, TOPIC, pairs)
    sleep, gate, done = Sleep(), asyncio.Event(), []
    sleep.hold = True
    given_up: list[bytes | None] = []

    async def admit(record: Record) -> AbstractContextManager[None]:
        if record.key == b"poor":
            await asyncio.Event().wait()
        return nullcontext()

    async def work(record: Record) -> None:
        if record.key == b"away":
            raise NotNow(60.0, "provider")
        await gate.wait()
        done.append(record.value)

    def observe(outcome: str, record: Record, seconds: float) -> None:
        if outcome == "given_up":
            given_up.append(record.value)

    consumer = dispatcher(log, GROUP, TOPIC, work, admit=admit, sleep=sleep, observe=observe)
    await consumer.start()
    await eventually(lambda: consumer.stalled == {"provider": 1} and consumer.lanes == 3)
    stopping = asyncio.create_task(consumer.stop())
    await eventually(lambda: consumer.lanes == 1)
    assert not stopping.done()
    gate.set()
    await stopping
    assert done == [b"0", b"1"]
    assert sorted(given_up) == [b"2", b"3", b"4"]
    assert committed(log) == 2


async def test_a_handler_that_outlasts_the_drain_is_cancelled(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"stuck"), (b"k", b"behind")])
    ended: list[str] = []

    async def work(record: Record) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with dispatcher(log, GROUP, TOPIC, work, drain_timeout=0.01) as consumer:
        await eventually(lambda: consumer.open_records == 2)
    assert ended == ["cancelled"]
    assert consumer.open_records == 0
    assert committed(log) == 0


async def test_opening_partitions_waits_for_a_dependency(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.stream.dispatcher.AWAY_SECONDS", 0)
    await fill(log, TOPIC, [(b"k", b"v")])
    asked, seen = 0, Seen()

    async def opened(partitions: frozenset[Partition]) -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise LogUnavailable("gone")

    async with dispatcher(log, GROUP, TOPIC, seen, on_assigned=opened):
        await eventually(lambda: len(seen) == 1)
    assert asked == 3


async def test_a_failed_opening_is_fatal(log: MemoryLog) -> None:
    async def opened(partitions: frozenset[Partition]) -> None:
        raise RuntimeError("no such table")

    with pytest.raises(RuntimeError, match="no such table"):
        async with dispatcher(log, GROUP, TOPIC, Seen(), on_assigned=opened) as consumer:
            await consumer.wait()


async def test_without_the_broker_commits_wait_and_work_goes_on(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"1")])
    gate, seen = asyncio.Event(), Seen()

    async def work(record: Record) -> None:
        await gate.wait()
        await seen(record)

    async with dispatcher(log, GROUP, TOPIC, work, commit_interval=0.001) as consumer:
        await eventually(lambda: consumer.open_records == 1)
        log.available = False
        gate.set()
        await eventually(lambda: len(seen) == 1)
        assert committed(log) == 0
        log.available = True
        await eventually(lambda: committed(log) == 1)


async def test_a_cancellation_that_is_not_ours_is_fatal(log: MemoryLog) -> None:
    await fill(log, TOPIC, [(b"k", b"v")])

    async def work(record: Record) -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled"):
        await dispatcher(log, GROUP, TOPIC, work).run()
    assert committed(log) == 0


async def test_a_passing_fault_of_reading_is_waited_out_and_another_is_fatal(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stream.dispatcher.AWAY_SECONDS", 0)
    faults: list[Exception] = [LogUnavailable("gone"), LogUnavailable("gone"), PermissionError("group")]
    consumer = dispatcher(log, GROUP, TOPIC, Seen())

    async def poll(*_: object) -> list[Record]:
        raise faults.pop(0)

    monkeypatch.setattr(consumer._consumer, "poll", poll)
    with pytest.raises(PermissionError):
        await consumer.run()
    assert faults == []


async def test_a_start_that_failed_may_be_repeated(log: MemoryLog) -> None:
    seen = Seen()
    consumer = dispatcher(log, GROUP, TOPIC, seen)
    log.available = False
    with pytest.raises(LogUnavailable):
        await consumer.start()
    log.available = True
    await fill(log, TOPIC, [(b"k", b"v")])
    async with consumer:
        await eventually(lambda: len(seen) == 1)


def test_the_two_about_ephemeral_records_come_together() -> None:
    with pytest.raises(ValueError, match="together"):
        dispatcher(MemoryLog(), GROUP, TOPIC, Seen(), is_ephemeral=lambda record: True)
