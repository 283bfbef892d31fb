"""One suite for every log: in memory, on the embedded broker, on Apache Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from shared.stream.errors import RecordTooLarge
from shared.stream.kafka import KafkaLog
from shared.stream.log import CaughtUp, Log, LogConsumer, TopicSpec
from shared.stream.records import Partition, Record, header
from tests.integration.brokers import every_log, memory_and_kafka
from tests.shared.stream.support import eventually, fill, topic

Unique = Callable[[str], str]


async def whole(log: Log, name: str, partition: int = 0) -> list[Record]:
    return [record async for record in log.read_partition(name, partition)]


@every_log
async def test_a_record_comes_back_as_it_was_sent(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("plain"))
    headers = (("trace", b"\x00\xff"), ("trace", b"second"), ("empty", b""))
    stored = await log.send(name, b"\x00key", b"\xfe value", headers)
    (record,) = await whole(log, name)
    assert (record.topic, record.partition, record.offset) == (name, *stored)
    assert (record.key, record.value, record.headers) == (b"\x00key", b"\xfe value", headers)
    assert header(record, "trace") == b"\x00\xff"
    assert header(record, "absent") is None
    assert record.timestamp_ms > 1_700_000_000_000


@every_log
async def test_tombstones_and_records_without_a_key(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("bare"))
    await log.send(name, b"k", None)
    await log.send(name, None, b"v")
    assert [(record.key, record.value) for record in await whole(log, name)] == [(b"k", None), (None, b"v")]


@every_log
async def test_a_key_has_one_partition_and_its_order(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("keyed"), 4)
    assert await log.partitions(name) == 4
    await fill(log, name, [(b"k%d" % (n % 7), b"%d" % n) for n in range(100)])
    for key in range(7):
        partition = await log.partition_for(name, b"k%d" % key)
        values = [record.value for record in await whole(log, name, partition) if record.key == b"k%d" % key]
        assert values == [b"%d" % n for n in range(100) if n % 7 == key]
    assert sum((await log.ends(name)).values()) == 100


@every_log
async def test_a_partition_may_be_chosen(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("chosen"), 3)
    assert (await log.send(name, b"k", b"v", partition=2)).partition == 2
    assert await log.ends(name) == {0: 0, 1: 0, 2: 1}
    with pytest.raises(ValueError, match="no partition 3"):
        await log.send(name, b"k", b"v", partition=3)
    assert await whole(log, name, 1) == []


@every_log
async def test_topics_are_created_once(log: Log, unique: Unique) -> None:
    specs = [TopicSpec(unique("one"), 2), TopicSpec(unique("two"), 3, compact=True)]
    await log.ensure_topics(specs)
    await log.ensure_topics([*specs, TopicSpec(unique("three"), 1, retention_ms=60_000)])
    assert [await log.partitions(spec.name) for spec in specs] == [2, 3]


@pytest.mark.parametrize(("brokers", "replicas", "in_sync"), [(1, 1, None), (2, 2, None), (3, 3, "2"), (5, 3, "2")])
async def test_with_three_replicas_two_must_hold_what_is_acknowledged(
    brokers: int, replicas: int, in_sync: str | None
) -> None:
    made = KafkaLog("127.0.0.1:9092", client_id="test")._new_topic(TopicSpec("any", 1), brokers)
    assert (made.replication_factor, made.topic_configs.get("min.insync.replicas")) == (replicas, in_sync)


@every_log
async def test_a_record_too_large_is_refused_at_once(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("large"))
    with pytest.raises(RecordTooLarge):
        await log.send(name, b"k", b"x" * 2_000_000)
    await log.send(name, b"k", b"x" * 1_000_000)
    assert [len(record.value or b"") for record in await whole(log, name)] == [1_000_000]


@every_log
async def test_following_gives_what_was_there_then_what_comes(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("followed"), 2)
    await fill(log, name, [(b"k%d" % n, b"old") for n in range(20)])
    items = log.follow(name)
    before = [await anext(items) for _ in range(20)]
    assert {item.key for item in before if isinstance(item, Record)} == {b"k%d" % n for n in range(20)}
    assert await anext(items) == CaughtUp(name)
    await log.send(name, b"k1", b"new")
    item = await anext(items)
    assert isinstance(item, Record)
    assert item.value == b"new"
    await items.aclose()  # type: ignore[attr-defined]


@every_log
async def test_following_an_empty_topic_is_caught_up_at_once(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("empty"), 2)
    items = log.follow(name)
    assert await anext(items) == CaughtUp(name)
    await items.aclose()  # type: ignore[attr-defined]


@every_log
async def test_it_says_that_it_is_reachable(log: Log) -> None:
    assert await log.reachable()


class Member:
    """A consumer that keeps what it was assigned."""

    def __init__(self, log: Log, group: str, name: str) -> None:
        self.partitions: frozenset[Partition] = frozenset()
        self.consumer: LogConsumer = log.consumer(group, [name], on_assigned=self.assigned, on_revoked=self.revoked)

    async def assigned(self, partitions: frozenset[Partition]) -> None:
        self.partitions = partitions

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        self.partitions = frozenset()

    async def join(self) -> None:
        await self.consumer.start()
        await eventually(lambda: bool(self.partitions))

    async def read(self, count: int, at_once: int = 1000) -> list[Record]:
        records: list[Record] = []
        async with asyncio.timeout(20):
            while len(records) < count:
                records += await self.consumer.poll(self.partitions, min(at_once, count - len(records)), 1.0)
        return records


@memory_and_kafka
async def test_a_group_goes_on_where_it_committed(log: Log, unique: Unique) -> None:
    name, group = await topic(log, unique("committed")), unique("group")
    await fill(log, name, [(b"k", b"%d" % n) for n in range(10)])
    first = Member(log, group, name)
    await first.join()
    only = Partition(name, 0)
    assert [record.offset for record in await first.read(10, at_once=3)] == list(range(10))
    assert await first.consumer.position(only) == 10
    await first.consumer.commit({only: 4})
    await first.consumer.stop()
    second = Member(log, group, name)
    await second.join()
    assert [record.value for record in await second.read(6)] == [b"%d" % n for n in range(4, 10)]
    await second.consumer.stop()


@memory_and_kafka
async def test_a_poll_reads_only_what_it_names_and_keeps_the_place_of_the_rest(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("named"), 2)
    for partition in (0, 1):
        for n in range(5):
            await log.send(name, b"k", b"%d" % n, partition=partition)
    member = Member(log, unique("group"), name)
    await member.join()
    read = await poll_until(member, [Partition(name, 1)], 5)
    assert [(record.partition, record.offset) for record in read] == [(1, n) for n in range(5)]
    assert len(await member.consumer.poll([], 10, 0.05)) == 0
    read = await poll_until(member, [Partition(name, 0), Partition(name, 1)], 5)
    assert [(record.partition, record.offset) for record in read] == [(0, n) for n in range(5)]
    await member.consumer.stop()


async def poll_until(member: Member, partitions: list[Partition], count: int) -> list[Record]:
    records: list[Record] = []
    async with asyncio.timeout(10):
        while len(records) < count:
            records += await member.consumer.poll(partitions, 100, 1.0)
    return records


@memory_and_kafka
async def test_waking_ends_a_poll(log: Log, unique: Unique) -> None:
    member = Member(log, unique("group"), await topic(log, unique("quiet")))
    await member.join()
    poll = asyncio.create_task(member.consumer.poll(member.partitions, 10, 60.0))
    await asyncio.sleep(0)
    member.consumer.wake()
    assert len(await asyncio.wait_for(poll, 5)) == 0
    await member.consumer.stop()
