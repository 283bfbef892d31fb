"""Working off a backlog: how fast a process gets from one topic to another, and what that costs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from bench.channels import Profile
from bench.stage import PARTITIONS, BenchFailed, Side, Stage
from shared.runtime.settings import Role

PATIENCE = 120.0
Fill = Callable[[Side, int, int], Awaitable[None]]
Check = Callable[[ConsumerRecord], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """Records a second, and microseconds of processor time for each."""

    rate: float
    cpu: float


class Backlog:
    """One side with a full topic in front of it. `fill(side, first, count)` puts records into that topic."""

    def __init__(
        self,
        side: Side,
        group: str,
        partitions: list[TopicPartition],
        fill: Fill,
        output: AIOKafkaConsumer,
        admin: AIOKafkaAdminClient,
    ) -> None:
        self._side = side
        self._group = group
        self._partitions = partitions
        self._fill = fill
        self._output = output
        self._admin = admin
        self._filled = 0

    async def work_off(self, count: int, check: Check) -> Pace:
        """Let the process do `count` records; every one must have come out, and `check` must not raise.

        It is frozen while the topic is filled. The clock runs until the time stamp of the last record written.
        """
        process = self._side.process
        process.pause()
        try:
            await self._fill(self._side, self._filled, count)
            self._filled += count
            cpu, began = process.cpu_seconds(), time.time()
        finally:
            process.resume()
        await self._until_committed()
        cpu = process.cpu_seconds() - cpu
        ended = await self._count(count, check) / 1000
        return Pace(count / (ended - began), cpu / count * 1e6)

    async def _until_committed(self) -> None:
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            offsets = await self._admin.list_consumer_group_offsets(self._group, partitions=self._partitions)
            if sum(max(0, found.offset) for found in offsets.values()) >= self._filled:
                return
            await asyncio.sleep(0.2)
        raise BenchFailed(f"{self._side.process.name} did not work its backlog off; {self._side.process.last_words()}")

    async def _count(self, count: int, check: Check) -> int:
        """Read what came out; the newest time stamp, in milliseconds."""
        newest = found = 0
        self._output.resume(*self._output.assignment())
        while found < count:
            batches = await self._output.getmany(timeout_ms=5000)
            if not batches:
                raise BenchFailed(f"{count - found} of {count} records did not come out of {self._side.process.name}")
            for records in batches.values():
                for record in records:
                    check(record)
                    newest = max(newest, record.timestamp)
                found += len(records)
        self._output.pause(*self._output.assignment())
        return newest


@asynccontextmanager
async def backlog(
    stage: Stage, side: Side, of: Profile, role: Role, source: str, output: str, fill: Fill
) -> AsyncIterator[Backlog]:
    """A backlog on the topic `source` in front of a running side that writes to `output`."""
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(stage.reader(output))
        # A reader that is not paused fetches while the others are measured.
        reader.pause(*reader.assignment())
        admin = await stack.enter_async_context(stage.admin())
        partitions = [TopicPartition(source, number) for number in range(PARTITIONS)]
        group = f"{side.topics.prefix}.{of.name}.{role}"
        yield Backlog(side, group, partitions, fill, reader, admin)


def unchecked(record: ConsumerRecord) -> None:
    """That it came out is enough."""
