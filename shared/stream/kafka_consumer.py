"""Reading from Kafka: as a member of a group, a partition to its end, or a whole topic for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from shared.stream.errors import LogUnavailable
from shared.stream.log import CaughtUp, Rebalanced
from shared.stream.records import Partition, Record

logger = logging.getLogger(__name__)

# Naming no partition means all of them to aiokafka; naming this one means none.
NOTHING = TopicPartition("", 0)
READ_AT_ONCE = 1000
FETCH_MS = 100


class KafkaConsumer:
    """See `LogConsumer`."""

    def __init__(
        self,
        make: Callable[[], AIOKafkaConsumer],
        topics: Sequence[str],
        on_assigned: Rebalanced,
        on_revoked: Rebalanced,
        *,
        patience: float,
    ) -> None:
        self._make = make
        self._consumer: AIOKafkaConsumer | None = None
        self._topics = list(topics)
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._patience = patience
        self._settled = False
        self._next: dict[Partition, int] = {}
        self._changing = asyncio.Lock()
        self._woken = asyncio.Event()
        self._reading: asyncio.Future[dict[TopicPartition, list[ConsumerRecord]]] | None = None

    async def start(self) -> None:
        consumer = self._make()
        try:
            async with asyncio.timeout(self._patience):
                await consumer.start()
        except (KafkaError, OSError) as error:
            await _stop(consumer, self._patience)
            raise LogUnavailable(type(error).__name__) from error
        # After start, so that start does not wait for an assignment that may take a whole rebalance.
        consumer.subscribe(self._topics, listener=_Listener(self._assigned, self._revoked))
        self._consumer = consumer

    async def _assigned(self, partitions: frozenset[Partition]) -> None:
        self._settled = True
        self._next.clear()
        await self._on_assigned(partitions)
        self.wake()

    async def _revoked(self, partitions: frozenset[Partition]) -> None:
        self._settled = False
        if self._reading is not None:
            # aiokafka lets a waiting read survive the rebalance; it would then take records of the new
            # assignment that nobody asked for yet.
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        async with self._changing:
            await self._on_revoked(partitions)

    async def poll(self, partitions: Collection[Partition], max_records: int, patience: float) -> Sequence[Record]:
        consumer = self._started()
        named = [TopicPartition(*partition) for partition in partitions] or [NOTHING]
        try:
            batch = await consumer.getmany(*named, max_records=max_records) if self._settled else {}
            records = _records(batch or await self._wait(named, max_records, patience))
            if self._begins_anew(records):
                await self._begin_anew(records)
                return ()
        except KafkaError as error:
            if consumer._coordinator._coordination_task.done():  # a bug: nobody keeps the membership any more
                raise
            # A right that was taken away, too: it is given back by somebody, and everything goes on.
            _revive(consumer)
            raise LogUnavailable(type(error).__name__) from error
        for record in records:
            self._next[record.source] = record.offset + 1
        return records

    def _begins_anew(self, records: Sequence[Record]) -> bool:
        """A topic that was deleted and made again counts from zero; so does one that has lost its end."""
        firsts = {record.source: record.offset for record in reversed(records)}
        return any(offset < self._next.get(partition, 0) for partition, offset in firsts.items())

    async def _begin_anew(self, records: Sequence[Record]) -> None:
        """Give all partitions up and take them again, as in a rebalance; these records are read once more."""
        logger.warning("a topic begins anew: its offsets have gone back")
        consumer = self._started()
        ours = frozenset(Partition(*partition) for partition in consumer.assignment())
        async with self._changing:
            for first in {record.source: record for record in reversed(records)}.values():
                consumer.seek(TopicPartition(*first.source), first.offset)
            self._next.clear()
            await self._on_revoked(ours)
            await self._on_assigned(ours)

    async def _wait(
        self, named: list[TopicPartition], max_records: int, patience: float
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        read = self._reading = asyncio.ensure_future(
            self._started().getmany(*named, timeout_ms=int(patience * 1000), max_records=max_records)
        )
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            # While partitions change hands a read waits without a limit, hence the timeout here.
            await asyncio.wait((read, woken), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            # Cancelling loses nothing: a read takes records from the buffer in its last step only.
            read.cancel()
        await asyncio.wait((read,))
        self._reading = None
        self._woken.clear()
        return {} if read.cancelled() else read.result()

    async def position(self, partition: Partition) -> int:
        try:
            async with asyncio.timeout(self._patience):
                at: int = await self._started().position(TopicPartition(*partition))
                return at
        except (KafkaError, TimeoutError) as error:
            raise LogUnavailable(type(error).__name__) from error

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        if not partitions:
            return {}
        consumer = self._started()
        try:
            async with asyncio.timeout(self._patience):
                listed = await consumer.end_offsets([TopicPartition(*partition) for partition in partitions])
                # As in `_ends`: what a fetch has said may be more.
                return {Partition(*key): max(end, consumer.highwater(key) or 0) for key, end in listed.items()}
        except IllegalStateError:
            return {}  # given up meanwhile
        except (KafkaError, TimeoutError) as error:
            raise LogUnavailable(type(error).__name__) from error

    def wake(self) -> None:
        self._woken.set()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._started().commit({TopicPartition(*key): offset for key, offset in offsets.items()})
        except (CommitFailedError, IllegalStateError):
            return  # The group went on without us; the new owner begins at the last commit.
        except (KafkaError, TimeoutError) as error:
            raise LogUnavailable(type(error).__name__) from error

    async def stop(self) -> None:
        if self._consumer is not None:
            await _stop(self._consumer, self._patience)

    def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogUnavailable("not started")
        return self._consumer


def _revive(consumer: AIOKafkaConsumer) -> None:
    """Join the group anew when nobody sends heartbeats any more: aiokafka's task dies of a right that is missing."""
    coordinator = consumer._coordinator
    tasks = (coordinator._heartbeat_task, coordinator._commit_refresh_task)
    if any(task is not None and task.done() and not task.cancelled() and task.exception() for task in tasks):
        coordinator.request_rejoin()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, assigned: Rebalanced, revoked: Rebalanced) -> None:
        self._assigned = assigned
        self._revoked = revoked

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._assigned(frozenset(Partition(*partition) for partition in assigned))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._revoked(frozenset(Partition(*partition) for partition in revoked))


async def ends(consumer: AIOKafkaConsumer, topic: str, *, patience: float) -> dict[int, int]:
    """See `Log.ends`."""
    try:
        async with asyncio.timeout(patience):
            await consumer.start()
            partitions = await _partitions(consumer, topic)
            consumer.assign(partitions)
            return {key.partition: end for key, end in (await _ends(consumer)).items()}
    except (KafkaError, OSError) as error:
        raise LogUnavailable(type(error).__name__) from error
    finally:
        await _stop(consumer, patience)


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    known = await consumer._client._wait_on_metadata(topic)
    return [TopicPartition(topic, number) for number in sorted(known)]


async def _ends(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """Where the assigned partitions end. Afterwards the consumer stands somewhere near."""
    listed: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
    # The embedded broker lists the first offset of the last batch, plus one. What a fetch says is right.
    filled = [key for key, end in listed.items() if end > 0]
    for key in filled:
        consumer.seek(key, listed[key] - 1)
    while any(consumer.last_stable_offset(key) is None for key in filled):
        await consumer.getmany(timeout_ms=FETCH_MS)
    return {key: max(end, consumer.last_stable_offset(key) or 0) for key, end in listed.items()}


async def read_partition(
    consumer: AIOKafkaConsumer, topic: str, partition: int, *, patience: float
) -> AsyncIterator[Record]:
    """See `Log.read_partition`. Raises LogUnavailable after `patience` seconds without progress."""
    async for records in _read(consumer, topic, partition, patience):
        for record in records or ():
            yield record


async def follow(consumer: AIOKafkaConsumer, topic: str, *, patience: float) -> AsyncIterator[Record | CaughtUp]:
    """See `Log.follow`. Raises LogUnavailable after `patience` seconds without progress before it caught up, and when
    the topic is deleted or has grown: following begins anew then.
    """
    async for records in _read(consumer, topic, None, patience):
        if records is None:
            yield CaughtUp(topic)
        for record in records or ():
            yield record


async def _read(
    consumer: AIOKafkaConsumer, topic: str, only: int | None, patience: float
) -> AsyncIterator[Sequence[Record] | None]:
    """Batches up to the end at the time of the call, and that is all of `only`; of all partitions: None, and on."""
    try:
        async with asyncio.timeout(patience):
            await consumer.start()
            partitions = await _partitions(consumer, topic) if only is None else [TopicPartition(topic, only)]
            consumer.assign(partitions)
            ends = await _ends(consumer)
            await consumer.seek_to_beginning(*partitions)
        behind = set(partitions)
        while behind := await _still_behind(consumer, behind, ends):
            async with asyncio.timeout(patience):
                batch = await consumer.getmany(timeout_ms=FETCH_MS, max_records=READ_AT_ONCE)
                while not batch and await _still_behind(consumer, behind, ends):
                    batch = await consumer.getmany(timeout_ms=FETCH_MS, max_records=READ_AT_ONCE)
            yield _records(batch) if only is None else [r for r in _records(batch) if r.offset < ends[partitions[0]]]
        if only is not None:
            return
        yield None
        while consumer._client.cluster.partitions_for_topic(topic) == {key.partition for key in partitions}:
            if batch := await consumer.getmany(timeout_ms=1000, max_records=READ_AT_ONCE):
                yield _records(batch)
        raise LogUnavailable("the topic is gone, or has other partitions now")
    except (KafkaError, OSError) as error:
        raise LogUnavailable(type(error).__name__) from error
    finally:
        await _stop(consumer, patience)


async def _still_behind(
    consumer: AIOKafkaConsumer, behind: set[TopicPartition], ends: dict[TopicPartition, int]
) -> set[TopicPartition]:
    # The position, not the last record's offset: compaction and transactions leave nothing to read at the end.
    return {key for key in behind if await consumer.position(key) < ends[key]}


async def _stop(consumer: AIOKafkaConsumer, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await consumer.stop()
    except (KafkaError, TimeoutError):
        # Without a broker nobody can be told; the session times out by itself.
        await consumer._client.close()


def _records(batch: dict[TopicPartition, list[ConsumerRecord]]) -> list[Record]:
    return [
        Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers), r.timestamp)
        for records in batch.values()
        for r in records
    ]
