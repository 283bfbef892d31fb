"""What the connectors need of a broker: a port with two implementations, `KafkaLog` and `MemoryLog`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shared.stream.records import Headers, Partition, Record

Rebalanced = Callable[[frozenset[Partition]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be. `retention_ms` None leaves the broker's default; ignored when compacted."""

    name: str
    partitions: int
    compact: bool = False
    retention_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as the broker has it.

    `largest`: bytes of the largest batch it takes, None where the broker does not say. `trouble`: why nothing can be
    stored on it now, in a few words, or None.
    """

    partitions: int
    largest: int | None = None
    trouble: str | None = None


class Stored(NamedTuple):
    """Where the broker put a record."""

    partition: int
    offset: int


async def acknowledged(acks: Sequence[asyncio.Future[Stored]]) -> None:
    """Wait for the acks of `Log.enqueue`. Raises what the first broken one raises: LogUnavailable, RecordTooLarge."""
    if len(acks) == 1:  # by far the most frequent, and gathering costs as much as all the rest of waiting
        await acks[0]
    elif acks:
        await asyncio.gather(*acks)


class CaughtUp(NamedTuple):
    """Said once by `Log.follow`: everything that was in the topic when following began has been given."""

    topic: str


class LogConsumer(Protocol):
    """One member of a consumer group. Offsets are committed by hand only."""

    async def start(self) -> None:
        """Join the group and return; partitions arrive through `on_assigned`.

        Raises LogUnavailable when the broker cannot be reached.
        """

    async def poll(self, partitions: Collection[Partition], max_records: int, patience: float) -> Sequence[Record]:
        """Up to `max_records` records of these partitions, in order per partition; () after `patience` seconds.

        Partitions not named keep their place: naming is how a caller pauses and resumes. Returns early, empty,
        after `wake()`. Raises LogUnavailable for a passing fault, anything else is fatal.
        """

    async def position(self, partition: Partition) -> int:
        """The next offset `poll` will give of an assigned partition."""

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The offset that the next record of each partition will get; one that has been given up is left out.

        Raises LogUnavailable.
        """

    def wake(self) -> None:
        """End the running (or the next) poll at once: the caller wants to name other partitions."""

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Store the next offset to read per partition.

        Raises LogUnavailable when it was not stored. A partition that has been given to another member
        meanwhile is skipped: the new owner begins where the last commit is.
        """

    async def stop(self) -> None:
        """Leave the group without calling `on_revoked`: drain and commit first."""


class Log(Protocol):
    """A partitioned, replicated log."""

    rebalance_timeout: float
    """Seconds a member has to give up its partitions before the group goes on without it."""

    async def start(self) -> None:
        """Connect. Raises LogUnavailable when the broker cannot be reached in time."""

    async def stop(self) -> None:
        """Flush and disconnect."""

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """Create the topics that do not exist; one that exists is left as it is."""

    async def describe(self, topics: Sequence[str]) -> Mapping[str, Described]:
        """These topics, but for those that do not exist. Creates none, and sends by what it finds from now on.

        Raises LogUnavailable.
        """

    def takes(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Whether a record is small enough for a topic, as far as is known."""

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises LogUnavailable when it is not known in time."""

    async def partition_for(self, topic: str, key: bytes) -> int:
        """The partition of a key, as Kafka's default partitioner chooses it (murmur2)."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Stored:
        """Append a record and wait until all in-sync replicas have it.

        Raises LogUnavailable within the send timeout, RecordTooLarge and NoSuchPartition at once.
        """

    async def enqueue(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> asyncio.Future[Stored]:
        """Append a record; the future is what `send` would have returned or raised.

        For many records at once: `futures = [await log.enqueue(...) for ...]`, then await them. Suspends only
        when the buffer is full (back-pressure). Raises as `send` does.
        """

    async def flush(self) -> None:
        """Wait until nothing enqueued is pending. Raises LogUnavailable after the send timeout."""

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        instance_id: str | None = None,
        on_assigned: Rebalanced,
        on_revoked: Rebalanced,
    ) -> LogConsumer:
        """A member of `group`, not started. A group without an offset begins at the start of a partition.

        `on_revoked` is awaited before the partitions go to another member, at most `rebalance_timeout`;
        `on_assigned` must return quickly (no heartbeat runs meanwhile). Rebalances are eager: all partitions
        are revoked, then assigned anew. With an `instance_id` the membership is static: a member that comes
        back within the session timeout gets its partitions back without a rebalance.
        """

    async def ends(self, topic: str) -> dict[int, int]:
        """Partition number → the offset its next record will get. Raises LogUnavailable."""

    def read_partition(self, topic: str, partition: int) -> AsyncIterator[Record]:
        """All records of a partition from its start to its end at the time of the call."""

    def follow(self, topic: str) -> AsyncIterator[Record | CaughtUp]:
        """All partitions from the beginning, without a group, then live. Says `CaughtUp` once.

        Raises LogUnavailable.
        """

    async def reachable(self) -> bool:
        """Whether the broker answers now (bounded by the send timeout)."""
