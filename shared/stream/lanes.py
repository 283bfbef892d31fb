"""The lanes of one partition: one FIFO per key, one record of a key at a time, tries and waits inside."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from shared.stream.errors import Fatal, LogUnavailable, NotNow
from shared.stream.records import INJECTED, Partition, Record
from shared.stream.tracker import Tracker
from shared.stream.waves import Waves

Handler = Callable[[Record], Awaitable[None]]
# Waits until a record may be handled; inside of the context it is.
Admit = Callable[[Record], Awaitable[AbstractContextManager[object]]]

FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 5.0
# While a partition is given up, an account token must be there or nearly so: nobody waits for the next one.
ADMIT_GRACE = 0.1
CANCEL_GRACE = 5.0
_OBJECTS = 1000  # bytes that a record takes beside its own
AWAY = NotNow(1.0, "log_unavailable")
_FREELY = nullcontext()


class Observe(Protocol):
    """Called after every step worth counting.

    `outcome` is one of: handled, retried, not_now, overdue, poisoned, given_up, ephemeral, ephemeral_failed,
    ephemeral_dropped.
    """

    def __call__(self, outcome: str, record: Record, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with a record, and what all partitions share."""

    handler: Handler
    on_poison: Callable[[Record, Exception], Awaitable[None]]
    on_overdue: Callable[[Record, str], Awaitable[bool]] | None
    longest_wait: float
    admit: Admit | None
    tries: int
    slots: asyncio.Semaphore
    observe: Observe
    die: Callable[[Exception], None]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    waves: Waves | None = None


class Lane:
    """The records of one key; the first is in hand."""

    __slots__ = ("records", "stalled", "task", "waiting")

    def __init__(self, record: Record) -> None:
        self.records = deque((record,))
        self.task: asyncio.Task[None] | None = None
        self.waiting = False
        """Nothing has begun that must be finished: the lane may be cancelled."""
        self.stalled: str | None = None


class PartitionLanes:
    """An assigned partition: its open offsets and its lanes."""

    def __init__(self, partition: Partition, work: Work, room: Callable[[PartitionLanes], None]) -> None:
        """`room(self)` is called after every record that is done with while `starved` is set."""
        self.partition = partition
        self.tracker = Tracker()
        self.lanes: dict[bytes, Lane] = {}
        self.ready = False
        self.draining = False
        self.starved = False
        self.bytes = 0  # of its open records, about
        self.work = work
        self._room = room

    def put(self, record: Record, key: bytes) -> None:
        """Append a record to the lane of its key; the lane runs by itself."""
        if record.offset != INJECTED:
            self.tracker.open(record.offset)
            self.bytes += _size(record)
        lane = self.lanes.get(key)
        if lane is not None:
            lane.records.append(record)
            return
        lane = self.lanes[key] = Lane(record)
        if self.work.waves is None:
            self.start(key, lane)
        else:
            self.work.waves.put(_InWave(self, key, lane))

    def start(self, key: bytes, lane: Lane) -> None:
        """Handle the records of a lane one by one."""
        lane.task = asyncio.create_task(self._run(key, lane))

    async def drain(self, patience: float, longest: int) -> None:
        """Finish what was fetched, of each lane the first `longest`; what only waits is dropped; cancel what outlasts
        `patience` seconds."""
        self.draining = True
        for lane in self.lanes.values():
            while len(lane.records) > longest:
                self.work.observe("given_up", lane.records.pop(), 0.0)
            if lane.waiting and lane.task is not None:
                lane.task.cancel()
        loop = asyncio.get_running_loop()
        ends = loop.time() + patience
        # A wave that ends may leave records to tasks of their own.
        while (tasks := self._tasks()) and (left := ends - loop.time()) > 0:
            await asyncio.wait(tasks, timeout=left)
        if late := self._tasks():
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=CANCEL_GRACE)

    def _tasks(self) -> set[asyncio.Task[None]]:
        tasks = {lane.task for lane in self.lanes.values() if lane.task is not None}
        if self.work.waves is not None and len(tasks) < len(self.lanes):
            tasks |= self.work.waves.tasks
        return tasks

    async def _run(self, key: bytes, lane: Lane) -> None:
        records = lane.records
        try:
            while records and await self._finish(records[0], lane):
                self.done(lane)
        except asyncio.CancelledError:
            if not self.draining:
                # Not ours: the handler let somebody else's cancellation through, and the record stays open.
                self.work.die(RuntimeError("a handler was cancelled"))
            raise
        except Exception as error:
            self.work.die(error)
        finally:
            del self.lanes[key]
            for record in records:
                self.work.observe("given_up", record, 0.0)

    def done(self, lane: Lane) -> None:
        """The first record of a lane is done with."""
        record = lane.records.popleft()
        if record.offset != INJECTED:
            self.tracker.close(record.offset)
            self.bytes -= _size(record)
        if self.starved:
            self._room(self)

    async def _finish(self, record: Record, lane: Lane) -> bool:
        """Handle a record until it is done with. False: it was given up, and all behind it."""
        work = self.work
        failures = 0
        waits_since: float | None = None
        while True:
            began = work.clock()
            try:
                if waits_since is not None and await self._overdue(record, lane, began - waits_since):
                    return True
                admitted = _FREELY if work.admit is None else await self._admit(work.admit, record, lane)
                if admitted is None:
                    return False
                with admitted:
                    await work.slots.acquire()
                    try:
                        began = work.clock()
                        await work.handler(record)
                    finally:
                        work.slots.release()
            except (NotNow, LogUnavailable) as error:
                patience = _patience(error, lane)
                waits_since = began if waits_since is None else waits_since
                work.observe("not_now", record, work.clock() - began)
            except Fatal:
                raise
            except Exception as error:
                failures += 1
                lane.stalled = None
                if failures >= work.tries:
                    return await self._poison(record, error, lane)
                patience = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (failures - 1))
                work.observe("retried", record, work.clock() - began)
            else:
                lane.stalled = None
                work.observe("handled", record, work.clock() - began)
                return True
            if not await self._wait(patience, lane):
                return False

    async def _overdue(self, record: Record, lane: Lane, seconds: float) -> bool:
        """Whether a record that has waited longer than a lane waits has found another place. Raises as handlers do."""
        work = self.work
        if work.on_overdue is None or seconds < work.longest_wait or self.draining:
            return False
        if not await work.on_overdue(record, lane.stalled or ""):
            return False
        lane.stalled = None
        work.observe("overdue", record, seconds)
        return True

    async def _admit(self, admit: Admit, record: Record, lane: Lane) -> AbstractContextManager[object] | None:
        """None: not while the partition is given up."""
        lane.waiting = True
        try:
            if not self.draining:
                return await admit(record)
            async with asyncio.timeout(ADMIT_GRACE) as grace:
                return await admit(record)
        except TimeoutError:
            if not self.draining or not grace.expired():
                raise
            return None
        finally:
            lane.waiting = False

    async def _poison(self, record: Record, error: Exception, lane: Lane) -> bool:
        while True:
            try:
                await self.work.on_poison(record, error)
            except (NotNow, LogUnavailable) as away:
                if not await self._wait(_patience(away, lane), lane):
                    return False
            else:
                lane.stalled = None
                self.work.observe("poisoned", record, 0.0)
                return True

    async def _wait(self, seconds: float, lane: Lane) -> bool:
        if self.draining:
            return False
        lane.waiting = True
        try:
            # Never earlier than was asked for, and not everybody in the same moment.
            await self.work.sleep(seconds * random.uniform(1.0, 1.2))
        finally:
            lane.waiting = False
        return True


class _InWave:
    """A lane without a task of its own, whose first record waits for a wave or is in one."""

    __slots__ = ("_began", "_key", "_lane", "_share")

    def __init__(self, share: PartitionLanes, key: bytes, lane: Lane) -> None:
        self._share = share
        self._key = key
        self._lane = lane
        self._began = 0.0

    @property
    def first(self) -> Record:
        self._began = self._share.work.clock()
        return self._lane.records[0]

    def done(self) -> bool:
        share, lane = self._share, self._lane
        share.work.observe("handled", lane.records[0], share.work.clock() - self._began)
        share.done(lane)
        if not lane.records:
            del share.lanes[self._key]
        return bool(lane.records)

    def alone(self) -> None:
        self._share.start(self._key, self._lane)


def _size(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"") + _OBJECTS


def _patience(error: NotNow | LogUnavailable, lane: Lane) -> float:
    away = error if isinstance(error, NotNow) else AWAY
    lane.stalled = away.why
    return away.retry_after
