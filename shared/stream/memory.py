"""The log in memory: the twin of `KafkaLog` that passes the same suite."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.stream.errors import LogUnavailable, NoSuchPartition, RecordTooLarge
from shared.stream.log import CaughtUp, Described, Rebalanced, Stored, TopicSpec
from shared.stream.partitioner import partition_of
from shared.stream.records import Headers, Partition, Record


class MemoryLog:
    """See `Log`. One instance is one broker; `available = False` makes it unreachable. Nothing is compacted."""

    def __init__(
        self,
        *,
        rebalance_timeout: float = 30.0,
        max_record_bytes: int = 1_048_576,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.rebalance_timeout = rebalance_timeout
        self.available = True
        self.limits: dict[str, int] = {}
        self._max_bytes = max_record_bytes
        self._now_ms = now_ms
        self._topics: dict[str, list[list[Record]]] = {}
        self._groups: dict[str, _Group] = {}
        self._keyless = itertools.count()
        self._appended: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        self._check()

    async def stop(self) -> None:
        """Nothing is buffered, and what was stored stays."""

    def _check(self) -> None:
        if not self.available:
            raise LogUnavailable("made unavailable")

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        self._check()
        for topic in topics:
            self._topics.setdefault(topic.name, [[] for _ in range(topic.partitions)])

    def _partitions(self, topic: str) -> list[list[Record]]:
        self._check()
        if topic not in self._topics:
            raise LogUnavailable("the topic is not known")
        return self._topics[topic]

    async def describe(self, topics: Sequence[str]) -> dict[str, Described]:
        self._check()
        return {name: Described(len(self._topics[name])) for name in topics if name in self._topics}

    def takes(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Here the headers cost nothing; `limits` has what single topics take, in bytes of key and value."""
        return len(key or b"") + len(value or b"") <= self.limits.get(topic, self._max_bytes)

    async def partitions(self, topic: str) -> int:
        return len(self._partitions(topic))

    async def partition_for(self, topic: str, key: bytes) -> int:
        return partition_of(key, await self.partitions(topic))

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Stored:
        partitions = self._partitions(topic)
        if not self.takes(topic, key, value, headers):
            raise RecordTooLarge("the record is larger than the log accepts")
        count = len(partitions)
        if partition is None:
            partition = next(self._keyless) % count if key is None else partition_of(key, count)
        if not 0 <= partition < count:
            raise NoSuchPartition(f"{topic} has no partition {partition}")
        stored = Stored(partition, len(partitions[partition]))
        partitions[partition].append(Record(topic, *stored, key, value, tuple(headers), self._now_ms()))
        if (appended := self._appended.pop(topic, None)) is not None:
            appended.set()
        for group in self._groups.values():
            group.appended(topic)
        return stored

    async def enqueue(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> asyncio.Future[Stored]:
        future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        future.set_result(await self.send(topic, key, value, headers, partition))
        return future

    async def flush(self) -> None:
        self._check()

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        instance_id: str | None = None,
        on_assigned: Rebalanced,
        on_revoked: Rebalanced,
    ) -> MemoryConsumer:
        """As `Log.consumer`; membership is never static here: leaving rebalances at once."""
        shared = self._groups.setdefault(group, _Group(self))
        return MemoryConsumer(shared, tuple(topics), on_assigned, on_revoked)

    async def ends(self, topic: str) -> dict[int, int]:
        return {number: len(records) for number, records in enumerate(self._partitions(topic))}

    async def read_partition(self, topic: str, partition: int) -> AsyncIterator[Record]:
        records = self._partitions(topic)[partition]
        for record in records[: len(records)]:
            yield record

    async def follow(self, topic: str) -> AsyncIterator[Record | CaughtUp]:
        places = [0] * len(self._partitions(topic))
        said = False
        while True:
            appended = self._appended.setdefault(topic, asyncio.Event())
            for number, partition in enumerate(self._partitions(topic)):
                for record in partition[places[number] :]:
                    places[number] += 1
                    yield record
            if not said:
                said = True
                yield CaughtUp(topic)
            await appended.wait()

    async def reachable(self) -> bool:
        return self.available


@dataclass(eq=False)
class _Group:
    """Members, committed offsets, and the eager rebalance that every join and leave starts."""

    log: MemoryLog
    members: list[MemoryConsumer] = field(default_factory=list)
    committed: dict[Partition, int] = field(default_factory=dict)
    dirty: bool = False
    rebalance: asyncio.Task[None] | None = None

    def changed(self) -> None:
        self.dirty = True
        if self.rebalance is None or self.rebalance.done():
            self.rebalance = asyncio.get_running_loop().create_task(self._rebalance())

    async def _rebalance(self) -> None:
        while self.dirty:
            self.dirty = False
            members = list(self.members)
            await asyncio.gather(*(member.revoke() for member in members))
            members = [member for member in members if member in self.members]
            shares: list[set[Partition]] = [set() for _ in members]
            wanted = sorted({topic for member in members for topic in member.topics})
            everything = [Partition(t, n) for t in wanted for n in range(len(self.log._topics.get(t, ())))]
            for turn, partition in enumerate(everything):
                shares[turn % len(members)].add(partition)
            await asyncio.gather(
                *(member.assign(frozenset(share)) for member, share in zip(members, shares, strict=True))
            )

    def appended(self, topic: str) -> None:
        for member in self.members:
            if topic in member.topics:
                member.wake()


class MemoryConsumer:
    """See `LogConsumer`."""

    def __init__(self, group: _Group, topics: tuple[str, ...], on_assigned: Rebalanced, on_revoked: Rebalanced) -> None:
        self.topics = topics
        self._group = group
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._places: dict[Partition, int] = {}
        self._ours: frozenset[Partition] = frozenset()
        self._woken = asyncio.Event()

    async def start(self) -> None:
        self._group.log._check()
        self._group.members.append(self)
        self._group.changed()

    async def revoke(self) -> None:
        """Called by the group: give everything up, or be left behind after the rebalance timeout."""
        self._places = {}
        try:
            async with asyncio.timeout(self._group.log.rebalance_timeout):
                await self._on_revoked(self._ours)
        except TimeoutError:
            if self in self._group.members:
                self._group.members.remove(self)
        self._ours = frozenset()

    async def assign(self, partitions: frozenset[Partition]) -> None:
        """Called by the group."""
        self._ours = partitions
        self._places = {key: self._group.committed.get(key, 0) for key in partitions}
        await self._on_assigned(partitions)
        self.wake()

    async def poll(self, partitions: Collection[Partition], max_records: int, patience: float) -> Sequence[Record]:
        records = self._take(partitions, max_records)
        if not records:
            try:
                async with asyncio.timeout(patience):
                    await self._woken.wait()
            except TimeoutError:
                return ()
            self._woken.clear()
            records = self._take(partitions, max_records)
        return records

    def _take(self, partitions: Collection[Partition], room: int) -> list[Record]:
        taken: list[Record] = []
        if not self._group.log.available:
            return taken
        for partition in partitions:
            place = self._places.get(partition)
            if place is None or room <= len(taken):
                continue
            records = self._group.log._topics[partition.topic][partition.number]
            some = records[place : place + room - len(taken)]
            self._places[partition] = place + len(some)
            taken += some
        return taken

    async def position(self, partition: Partition) -> int:
        return self._places[partition]

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        ours = [key for key in partitions if key in self._places]
        return {key: len(self._group.log._partitions(key.topic)[key.number]) for key in ours}

    def wake(self) -> None:
        self._woken.set()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._group.log._check()
        if self in self._group.members:
            self._group.committed.update({key: at for key, at in offsets.items() if key in self._ours})

    async def stop(self) -> None:
        self._places = {}
        self._ours = frozenset()
        if self in self._group.members:
            self._group.members.remove(self)
            self._group.changed()
