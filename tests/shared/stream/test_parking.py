"""Parked records wait durably, keep the order of their key, and come back by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.stream.dispatcher import Dispatcher
from shared.stream.errors import LogUnavailable
from shared.stream.log import Log, TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.parking import Parking
from shared.stream.records import INJECTED, Record
from tests.integration.brokers import every_log
from tests.shared.stream.support import dispatcher, eventually, fill, key_of, topic

NOW = 1_000_000
STEPS = ("park", "again", "release", "due", "wake", "restart")


def command(key: bytes, offset: int, partition: int = 0) -> Record:
    return Record("commands", partition, offset, key, b"c%d" % offset, (("h", b"v"),), 7)


def name_of(record: Record) -> bytes:
    assert record.value is not None
    return record.value


def values(records: Iterable[Record]) -> list[bytes | None]:
    return [record.value for record in records]


async def fresh(log: Log | None = None, **options: int) -> Parking:
    log = log or MemoryLog()
    await log.ensure_topics([TopicSpec("parked", 2, compact=True)])
    return Parking(log, "parked", key_of=key_of, **options)


async def test_what_is_beside_the_queue_holds_nobody_and_joins_its_end() -> None:
    log = MemoryLog()
    parking = await fresh(log)
    await parking.park(command(b"k", 1), b"later", NOW + 100, "not_before", "lane", beside=True)
    assert not parking.holds(b"k")
    assert parking.beside(b"later")
    await parking.park(command(b"k", 2), b"held", NOW + 500, "rate_limited", "lane")
    for one in (parking, await fresh(log)):
        await one.restore([0, 1])
        assert values(one.due(NOW + 99)) == []
        (due,) = one.due(NOW + 100)
        assert due.value == b"c1"
        await one.park(due, b"later", 0, "behind", "lane")
        assert not one.beside(b"later")
        assert values(one.due(NOW + 100)) == []
        await one.park(due, b"later", NOW + 100, "not_before", "lane", beside=True)
    await parking.restore([0, 1])
    (due,) = parking.due(NOW + 100)
    await parking.park(due, b"later", 0, "behind", "lane")
    parking = await fresh(log)
    await parking.restore([0, 1])
    await parking.park(command(b"k", 3), b"last", 0, "behind", "lane")
    order = []
    while found := parking.due(NOW + 500):
        for record in found:
            order.append(record.value)
            await parking.release({b"c1": b"later", b"c2": b"held", b"c3": b"last"}[record.value or b""])
    assert order == [b"c2", b"c1", b"c3"]


async def test_what_is_beside_the_queue_can_be_taken_and_put_back() -> None:
    parking = await fresh()
    await parking.park(command(b"k", 1), b"later", NOW + 100, "not_before", "lane", beside=True)
    (taken,) = parking.take(b"k", lambda record: True)
    assert parking.take(b"k", lambda record: True) == []
    parking.undo(taken)
    assert values(parking.due(NOW + 100)) == [b"c1"]


async def test_a_part_of_a_group_is_woken_heads_only() -> None:
    parking = await fresh()
    for number in range(4):
        await parking.park(command(b"k%d" % number, number), b"c%d" % number, None, "outage", "acc")
    await parking.park(command(b"k0", 9), b"c9", None, "outage", "acc")
    assert parking.wake("acc", 2) == 2
    assert values(parking.due(NOW)) == [b"c0", b"c1"]
    assert parking.wake("acc", 9) == 2
    assert parking.wake("acc", 9) == 0
    assert parking.wake("acc") == 5


async def test_at_its_deadline_a_record_is_due_wherever_it_stands() -> None:
    log = MemoryLog()
    parking = await fresh(log)
    await parking.park(command(b"k", 1), b"c1", NOW + 100, "rate_limited", "acc", deadline_ms=NOW + 200)
    await parking.park(command(b"k", 2), b"c2", 0, "behind", "acc", deadline_ms=NOW)
    for one in (parking, await fresh(log)):
        await one.restore([0, 1])
        assert one.next_due() == NOW
        (late,) = one.due(NOW)
        assert (late.value, one.due(NOW)) == (b"c2", [])
        one.undo(late)
        assert values(one.due(NOW)) == [b"c2"]
    await parking.restore([0, 1])
    await parking.release(b"c2")
    assert parking.next_due() == NOW + 100
    assert values(parking.due(NOW + 100)) == [b"c1"]


async def test_what_has_gone_is_not_kept_until_its_time() -> None:
    parking = await fresh()
    for offset in range(1000):
        await parking.park(command(b"k", offset), b"c%d" % offset, NOW, "why", "acc", deadline_ms=NOW * 2)
        await parking.release(b"c%d" % offset)
    assert len(parking._heap) + len(parking._deadlines) < 200


async def test_what_is_to_end_can_be_taken_out_of_turn() -> None:
    parking = await fresh()
    for offset in (1, 2, 3):
        await parking.park(command(b"k", offset), b"c%d" % offset, NOW if offset == 1 else 0, "why", "acc")
    assert values(parking.take(b"k", lambda record: record.value != b"c2")) == [b"c1", b"c3"]
    assert parking.take(b"k", lambda record: record.value != b"c2") == []
    await parking.release(b"c1")
    assert values(parking.due(NOW)) == [b"c2"]
    assert parking.take(b"other", lambda record: True) == []


async def test_only_the_head_of_a_key_comes_due_and_the_next_follows_its_release() -> None:
    parking = await fresh()
    await parking.park(command(b"k", 1), b"c1", NOW, "rate_limited", "acc")
    await parking.park(command(b"k", 2), b"c2", 0, "behind", "acc")
    await parking.park(command(b"other", 3), b"c3", NOW - 1, "rate_limited", "acc")
    assert parking.due(NOW - 2) == []
    assert parking.next_due() == NOW - 1
    assert values(parking.due(NOW)) == [b"c3", b"c1"]
    assert parking.due(NOW) == []
    assert parking.next_due() is None
    assert parking.holds(b"k")
    assert parking.parked(b"c1")
    await parking.release(b"c1")
    assert values(parking.due(NOW)) == [b"c2"]
    await parking.release(b"c2")
    assert not parking.holds(b"k")
    assert not parking.parked(b"c2")


async def test_what_comes_due_is_an_injected_record_of_the_source() -> None:
    parking = await fresh()
    await parking.park(command(b"k", 1, partition=1), b"c1", 0, "why", "acc")
    assert parking.due(NOW) == [Record("commands", 1, INJECTED, b"k", b"c1", (("h", b"v"),), 7)]


async def test_parking_again_moves_the_time_and_keeps_the_place() -> None:
    parking = await fresh()
    await parking.park(command(b"k", 1), b"c1", NOW, "why", "acc")
    await parking.park(command(b"k", 2), b"c2", 0, "behind", "acc")
    (head,) = parking.due(NOW)
    await parking.park(head, b"c1", NOW + 50, "still", "acc")
    assert parking.due(NOW + 49) == []
    assert values(parking.due(NOW + 50)) == [b"c1"]


async def test_without_a_time_it_waits_for_its_group() -> None:
    parking = await fresh()
    await parking.park(command(b"k", 1), b"c1", None, "reauth", "acc-1")
    await parking.park(command(b"k", 2), b"c2", None, "reauth", "acc-1")
    await parking.park(command(b"z", 3), b"c3", None, "reauth", "acc-2")
    assert parking.groups() == {"acc-1", "acc-2"}
    assert parking.next_due() is None
    parking.changed.clear()
    assert parking.wake("acc-1") == 2
    assert parking.changed.is_set()
    assert values(parking.due(NOW)) == [b"c1"]
    await parking.release(b"c1")
    assert values(parking.due(NOW)) == [b"c2"]
    assert parking.wake("unknown") == 0


async def test_one_that_could_not_be_submitted_is_given_again() -> None:
    parking = await fresh()
    await parking.park(command(b"k", 1), b"c1", 0, "why", "acc")
    (record,) = parking.due(NOW)
    parking.undo(record)
    assert values(parking.due(NOW)) == [b"c1"]


async def test_due_is_limited_and_gives_the_earliest_first() -> None:
    parking = await fresh()
    for n in (3, 1, 2):
        await parking.park(command(b"k%d" % n, n), b"c%d" % n, n, "why", "acc")
    assert values(parking.due(NOW, limit=2)) == [b"c1", b"c2"]
    assert values(parking.due(NOW, limit=2)) == [b"c3"]


async def test_full_says_when_a_partition_holds_too_many() -> None:
    parking = await fresh(capacity=2)
    await parking.park(command(b"a", 1), b"c1", 0, "why", "acc")
    await parking.park(command(b"b", 2, partition=1), b"c2", 0, "why", "acc")
    assert parking.full == frozenset()
    await parking.park(command(b"c", 3), b"c3", 0, "why", "acc")
    assert parking.full == {0}
    assert [parking.has_room(number) for number in range(3)] == [False, True, True]
    assert len(parking) == 3
    parking.drop([0])
    assert parking.full == frozenset()
    assert parking.has_room(0)
    assert len(parking) == 1


async def test_when_the_log_is_away_nothing_is_taken_for_parked_or_released() -> None:
    log = MemoryLog()
    parking = await fresh(log)
    await parking.park(command(b"k", 1), b"c1", 0, "why", "acc")
    log.available = False
    with pytest.raises(LogUnavailable):
        await parking.park(command(b"z", 2), b"c2", 0, "why", "acc")
    with pytest.raises(LogUnavailable):
        await parking.release(b"c1")
    assert not parking.holds(b"z")
    assert parking.parked(b"c1")


async def test_a_tombstone_cannot_be_parked() -> None:
    parking = await fresh()
    with pytest.raises(ValueError, match="tombstone"):
        await parking.park(Record("commands", 0, 1, b"k", None, (), 0), b"c1", 0, "why", "acc")


async def test_an_unreadable_parked_record_does_not_hide_the_others() -> None:
    log = MemoryLog()
    parking = await fresh(log)
    await log.send("parked", b"foreign", b"no envelope", partition=0)
    await parking.park(command(b"k", 1), b"c1", 0, "why", "acc")
    await parking.restore([0])
    assert values(parking.due(NOW)) == [b"c1"]


@every_log
async def test_order_times_and_groups_survive_a_restart(log: Log, unique: Callable[[str], str]) -> None:
    name = await topic(log, unique("parked"), 2, compact=True)
    before = Parking(log, name, key_of=key_of)
    await before.park(command(b"k", 1), b"c1", NOW, "why", "acc-1")
    await before.park(command(b"k", 2), b"c2", 0, "behind", "acc-2")
    await before.park(command(b"k", 3), b"c3", 0, "behind", "acc-1")
    await before.park(command(b"gone", 4), b"c4", 0, "why", "acc-9")
    await before.park(command(b"elsewhere", 5, partition=1), b"c5", None, "why", "acc-8")
    await before.release(b"c4")
    # Parked again, so its record on the topic is younger than those of c2 and c3.
    await before.park(before.due(NOW)[0], b"c1", NOW + 5, "again", "acc-1")

    after = Parking(log, name, key_of=key_of)
    await after.restore([0])
    assert len(after) == 3
    assert after.groups() == {"acc-1", "acc-2"}
    assert after.next_due() == NOW + 5
    given = []
    for expected in (b"c1", b"c2", b"c3"):
        (record,) = after.due(NOW + 5)
        given.append(record.value)
        await after.release(expected)
    assert given == [b"c1", b"c2", b"c3"]

    again = Parking(log, name, key_of=key_of)
    await again.restore([0, 1])
    assert values(again.due(NOW)) == []
    assert again.wake("acc-8") == 1
    assert values(again.due(NOW)) == [b"c5"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9))))
async def test_whatever_happens_a_key_comes_back_in_order(steps: list[tuple[str, int]]) -> None:
    log = MemoryLog()
    parking = await fresh(log)
    waiting: list[int] = []
    offset = 0
    for step, number in steps:
        if step == "park":
            offset += 1
            waiting.append(offset)
            await parking.park(command(b"k", offset), b"c%d" % offset, number, "why", "acc")
        elif step == "again" and waiting:
            given_back = replace(command(b"k", waiting[0]), offset=INJECTED)
            await parking.park(given_back, b"c%d" % waiting[0], number, "why", "acc")
        elif step == "release" and waiting:
            await parking.release(b"c%d" % waiting.pop(0))
        elif step == "due":
            assert values(parking.due(number)) in ([], [b"c%d" % each for each in waiting[:1]])
        elif step == "wake":
            assert parking.wake("acc") == len(waiting)
        elif step == "restart":
            parking = await fresh(log)
            await parking.restore([0])
        assert len(parking) == len(waiting)
        assert parking.holds(b"k") == bool(waiting)


@every_log
async def test_a_parked_conversation_goes_on_in_order_after_a_restart(log: Log, unique: Callable[[str], str]) -> None:
    source, group = await topic(log, unique("commands")), unique("group")
    name = await topic(log, unique("parked"), compact=True)
    await fill(log, source, [(b"k", b"c%d" % n) for n in range(4)])
    delivered: list[bytes] = []
    connected = False

    class Connector:
        """As the runtime does it: park when the account is away, queue behind what is parked."""

        def __init__(self) -> None:
            self.parking = Parking(log, name, key_of=key_of)
            self.dispatcher = dispatcher(
                log, group, source, self.deliver, on_assigned=self.opened, on_revoked=self.closed
            )

        async def opened(self, partitions: Iterable[tuple[str, int]]) -> None:
            await self.parking.restore(number for _, number in partitions)

        async def closed(self, partitions: Iterable[tuple[str, int]]) -> None:
            self.parking.drop(number for _, number in partitions)

        async def deliver(self, record: Record) -> None:
            behind = self.parking.holds(key_of(record)) and not self.parking.parked(name_of(record))
            if behind or not connected:
                until = 0 if behind else None
                await self.parking.park(record, name_of(record), until, "reauth", "acc")
                return
            delivered.append(name_of(record))
            await self.parking.release(name_of(record))

        async def pump(self, running: Dispatcher) -> None:
            while True:
                for record in self.parking.due(NOW):
                    assert running.submit(record)
                await self.parking.changed.wait()
                self.parking.changed.clear()

    first = Connector()
    async with first.dispatcher:
        await eventually(lambda: len(first.parking) == 4)
    assert delivered == []

    connected = True
    await fill(log, source, [(b"k", b"c4")])
    second = Connector()
    async with second.dispatcher as running:
        await eventually(lambda: len(second.parking) == 5)
        assert delivered == []
        second.parking.wake("acc")
        pumping = asyncio.create_task(second.pump(running))
        await eventually(lambda: len(delivered) == 5)
        pumping.cancel()
    assert delivered == [b"c%d" % n for n in range(5)]
