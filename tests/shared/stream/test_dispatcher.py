"""The dispatcher on every log: order per key, bounded windows, commits, rebalances without loss."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from shared.stream.dispatcher import AHEAD
from shared.stream.errors import BrakePulled
from shared.stream.log import Log
from shared.stream.records import Record
from tests.integration.brokers import every_log, memory_and_kafka
from tests.shared.stream.support import Seen, dispatcher, eventually, fill, key_of, topic

Unique = Callable[[str], str]


async def committed_rest(log: Log, group: str, name: str) -> list[bytes | None]:
    """What a new member of the group would still be given."""
    rest = Seen()
    ends = sum((await log.ends(name)).values())
    await log.send(name, b"end", b"end")
    async with dispatcher(log, group, name, rest):
        await eventually(lambda: b"end" in rest.values)
    assert len(rest) <= ends + 1
    return [value for value in rest.values if value != b"end"]


@every_log
async def test_order_per_key_and_nothing_left_after_a_clean_stop(log: Log, unique: Unique) -> None:
    name, group = await topic(log, unique("ordered"), 4), unique("group")
    await fill(log, name, [(b"k%d" % (n % 23), b"%d" % n) for n in range(1000)])
    seen = Seen()
    async with dispatcher(log, group, name, seen):
        await eventually(lambda: len(seen) == 1000)
    assert seen.overlaps == 0
    assert seen.most_busy > 1
    for key, values in seen.by_key.items():
        assert values == [b"%d" % n for n in range(1000) if b"k%d" % (n % 23) == key]
    assert await committed_rest(log, group, name) == []


@every_log
async def test_members_come_and_go_and_nothing_is_lost_repeated_or_out_of_order(log: Log, unique: Unique) -> None:
    total, keys, partitions = 5100, 100, 6
    name, group = await topic(log, unique("rebalanced"), partitions), unique("group")
    seen = Seen()

    async def work(record: Record) -> None:
        await asyncio.sleep(random.uniform(0, 0.002))
        await seen(record)

    def member() -> object:
        return dispatcher(log, group, name, work, slots=16, commit_interval=0.2)

    def produce(third: int) -> asyncio.Task[None]:
        return asyncio.create_task(produce_range(range(third * total // 3, (third + 1) * total // 3)))

    async def produce_range(numbers: range) -> None:
        for n in numbers[::50]:
            await fill(log, name, [(b"k%d" % (m % keys), b"%d" % m) for m in range(n, n + 50)])
            await asyncio.sleep(0.01)

    first, second, third = member(), member(), member()
    await first.start()
    joining = produce(0)
    await eventually(lambda: len(seen) > 200)
    await asyncio.gather(second.start(), third.start())
    await eventually(lambda: bool(second.assigned) and bool(third.assigned))
    await joining
    # One after the other: the embedded broker does not survive two leaving in the same moment.
    leaving = produce(1)
    await eventually(lambda: len(seen) > total * 0.4)
    await first.stop()
    assert len(seen) < total * 2 // 3
    await leaving
    await eventually(lambda: len(second.assigned | third.assigned) == partitions)
    leaving = produce(2)
    await eventually(lambda: len(seen) > total * 0.75)
    await second.stop()
    assert len(seen) < total
    await leaving
    await eventually(lambda: len(seen) >= total)
    await third.stop()
    for one in (first, second, third):
        await one.wait()

    assert Counter(seen.values) == Counter(b"%d" % n for n in range(total))
    for key in range(keys):
        assert seen.by_key[b"k%d" % key] == [b"%d" % n for n in range(total) if n % keys == key]
    assert seen.overlaps == 0


@memory_and_kafka
async def test_a_window_bounds_what_is_open_in_a_partition(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("bounded"))
    await fill(log, name, [(b"k%d" % n, b"v") for n in range(300)])
    gate, begun = asyncio.Event(), 0

    async def blocked(record: Record) -> None:
        nonlocal begun
        begun += 1
        await gate.wait()

    async with dispatcher(log, unique("group"), name, blocked, window=20, slots=500) as consumer:
        await eventually(lambda: begun == 20)
        heartbeat = consumer.heartbeat
        await eventually(lambda: consumer.heartbeat > heartbeat)
        assert (begun, consumer.open_records, consumer.lanes) == (20, 20, 20)
        gate.set()
        await eventually(lambda: begun == 300)


@memory_and_kafka
async def test_a_key_with_many_records_delays_no_other(log: Log, unique: Unique) -> None:
    name, group = await topic(log, unique("many")), unique("group")
    await fill(log, name, [(b"many", b"%d" % n) for n in range(2000)] + [(b"k%d" % n, b"v") for n in range(50)])
    gate, done = asyncio.Event(), Seen()

    async def work(record: Record) -> None:
        if record.key == b"many":
            await gate.wait()
        await done(record)

    async with dispatcher(log, group, name, work, window=20) as consumer:
        await eventually(lambda: len(done) == 50)
        assert (consumer.lanes, consumer.open_records) == (1, 2000)
        gate.set()
        await eventually(lambda: len(done) == 2050)
    assert done.by_key[b"many"] == [b"%d" % n for n in range(2000)]
    assert await committed_rest(log, group, name) == []


@memory_and_kafka
async def test_what_stands_behind_others_of_its_key_is_bounded_by_its_size_too(
    log: Log, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stream.dispatcher.BACKLOG_BYTES", 100_000)
    name = await topic(log, unique("large"))
    await fill(log, name, [(b"many", bytes(1000)) for _ in range(500)])
    gate = asyncio.Event()

    async with dispatcher(log, unique("group"), name, lambda _: gate.wait(), window=20) as consumer:
        await eventually(lambda: consumer.open_records >= 50)
        heartbeat = consumer.heartbeat
        await eventually(lambda: consumer.heartbeat > heartbeat)
        assert consumer.open_records <= 60
        gate.set()


@memory_and_kafka
async def test_a_record_that_hangs_is_passed_by_others_up_to_a_bound(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("passed"))
    await fill(log, name, [(b"hangs", b"v")] + [(b"k%d" % (n % 7), b"v") for n in range(2 * 10 * AHEAD)])
    gate, others = asyncio.Event(), 0

    async def work(record: Record) -> None:
        nonlocal others
        if record.key == b"hangs":
            await gate.wait()
        else:
            others += 1

    async with dispatcher(log, unique("group"), name, work, window=20) as consumer:
        await eventually(lambda: others >= 10 * AHEAD)
        heartbeat = consumer.heartbeat
        await eventually(lambda: consumer.heartbeat > heartbeat)
        assert others <= 10 * AHEAD + 20
        gate.set()
        await eventually(lambda: others == 2 * 10 * AHEAD)


@memory_and_kafka
async def test_an_open_record_holds_the_commit_back(log: Log, unique: Unique) -> None:
    name, group = await topic(log, unique("held")), unique("group")
    await fill(log, name, [(b"slow", b"0"), (b"quick", b"1"), (b"quick", b"2")])
    handled: list[bytes | None] = []

    async def work(record: Record) -> None:
        if record.key == b"slow":
            await asyncio.Event().wait()
        handled.append(record.value)

    async with dispatcher(log, group, name, work, drain_timeout=0.05, commit_interval=0.01):
        await eventually(lambda: len(handled) == 2)
    assert await committed_rest(log, group, name) == [b"0", b"1", b"2"]


@memory_and_kafka
async def test_partitions_are_opened_before_anything_is_dispatched(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("opened"), 2)
    await fill(log, name, [(b"k%d" % n, b"v") for n in range(10)])
    steps: list[str] = []
    gate = asyncio.Event()

    async def opened(partitions: frozenset[object]) -> None:
        await gate.wait()
        steps.append(f"opened {len(partitions)}")

    async def closed(partitions: frozenset[object]) -> None:
        steps.append(f"closed {len(partitions)}")

    async def work(record: Record) -> None:
        steps.append("handled")

    options = {"on_assigned": opened, "on_revoked": closed}
    async with dispatcher(log, unique("group"), name, work, **options) as consumer:
        heartbeat = consumer.heartbeat
        await eventually(lambda: consumer.heartbeat > heartbeat)
        assert consumer.assigned == frozenset()
        gate.set()
        await eventually(lambda: len(steps) == 11)
    assert steps == ["opened 2", *["handled"] * 10, "closed 2"]


@memory_and_kafka
async def test_a_partition_that_is_not_accepted_waits_and_the_others_go_on(log: Log, unique: Unique) -> None:
    name, group = await topic(log, unique("refused"), 2), unique("group")
    seen, others, refused = Seen(), Seen(), {0, 1}
    options = {"accepts": lambda partition: partition.number not in refused}
    async with dispatcher(log, group, name, seen, **options) as consumer:
        await eventually(lambda: len(consumer.assigned) == 2)
        async with dispatcher(log, group, name, others) as other:
            await eventually(lambda: len(consumer.assigned) == len(other.assigned) == 1)
        await eventually(lambda: len(consumer.assigned) == 2)
        for number in range(10):
            await log.send(name, b"k%d" % number, b"v", (), number % 2)
        heartbeat = consumer.heartbeat
        await eventually(lambda: consumer.heartbeat > heartbeat)
        assert len(seen) == 0
        refused.remove(1)
        await eventually(lambda: len(seen) == 5)
        heartbeat = consumer.heartbeat
        await eventually(lambda: consumer.heartbeat > heartbeat)
        assert {record.partition for record in seen.records} == {1}
        refused.clear()
        await eventually(lambda: len(seen) == 10)


@memory_and_kafka
async def test_a_fatal_error_surfaces_and_commits_nothing_of_it(log: Log, unique: Unique) -> None:
    name, group = await topic(log, unique("fatal")), unique("group")
    await fill(log, name, [(b"a", b"0"), (b"b", b"1"), (b"c", b"2")])

    async def work(record: Record) -> None:
        if key_of(record) == b"b":
            raise BrakePulled("enough")

    with pytest.raises(BrakePulled):
        await dispatcher(log, group, name, work).run()
    assert (await committed_rest(log, group, name))[0] == b"1"


@memory_and_kafka
async def test_how_far_it_is_can_be_asked(log: Log, unique: Unique) -> None:
    name, group = await topic(log, unique("progress"), 2), unique("group")
    await fill(log, name, [(b"k%d" % n, b"%d" % n) for n in range(30)])
    gate, seen = asyncio.Event(), Seen()

    async def wait(record: Record) -> None:
        await gate.wait()
        await seen(record)

    async with dispatcher(log, group, name, wait) as reader:
        await eventually(lambda: reader.open_records == 30)
        assert await reader.progress.lag() == 30
        oldest = [record.timestamp_ms for n in range(2) async for record in log.read_partition(name, n)]
        assert reader.progress.oldest_ms == min(oldest)
        gate.set()
        await eventually(lambda: len(seen) == 30 and not reader.open_records)
        assert await reader.progress.lag() == 0
        assert reader.progress.oldest_ms is None
