"""Durable parking: records that wait long, on a compacted topic, in the original order of their key."""

from __future__ import annotations

import asyncio
import bisect
import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from shared.stream.log import Log
from shared.stream.records import INJECTED, Headers, Record

logger = logging.getLogger(__name__)

PREFIX = "park_"
_LONGEST_REASON = 200  # characters of a reason, and of a group beside the record's key
_FAR = 2**53  # a number as long as any time or offset


@dataclass(eq=False, slots=True)
class _Parked:
    id: bytes
    key: bytes
    place: tuple[int, int]
    until_ms: int | None
    group: str
    deadline_ms: int | None
    record: Record
    """As the source had it, but `INJECTED`."""
    beside: bool = False
    """It waits for a time of its own, outside of its key's queue."""
    given: bool = False
    """Out with the dispatcher: `due` gave it, and it was neither parked again nor released."""


class Parking:
    """What is parked in the partitions that are ours.

    The topic is compacted and has as many partitions as the source topic: a record of partition n is parked in
    partition n, so whoever owns the source partition owns its parked records. Record key = parking id.

    Per lane key only the head (lowest source offset) can become due; the others at their own deadline, so that they
    end although the head still waits. `park` of an id that is parked already
    moves its time and keeps its place. What is parked `beside` the queue holds nobody, and nobody holds it, until its
    time; if it has to wait then, too, it is parked at the queue's end. Place, time, reason and group survive a restart.
    Whoever takes a parked record must end with `release` or `park`, also when it turns out to be poison.
    """

    def __init__(self, log: Log, topic: str, *, key_of: Callable[[Record], bytes], capacity: int = 10_000) -> None:
        """`capacity`: parked records at which a partition is `full` (nothing is refused)."""
        self.topic = topic
        self.changed = asyncio.Event()
        """Set when something may be due earlier than `next_due` said; the waiter clears it."""
        self._log = log
        self._key_of = key_of
        self._capacity = capacity
        self._parked: dict[bytes, _Parked] = {}
        self._queues: dict[bytes, list[_Parked]] = {}
        self._beside: dict[bytes, dict[bytes, _Parked]] = {}
        self._groups: dict[str, dict[bytes, _Parked]] = {}
        self._counts: Counter[int] = Counter()
        self._heap: list[tuple[int, int, _Parked]] = []
        self._deadlines: list[tuple[int, int, _Parked]] = []
        self._turn = itertools.count()

    async def restore(self, partitions: Iterable[int]) -> None:
        """Read these partitions to their end. Await it (in `on_assigned`) before anything is dispatched.

        Raises LogUnavailable.
        """
        numbers = sorted(partitions)
        self.drop(numbers)
        for number in numbers:
            latest: dict[bytes, Record] = {}
            async for record in self._log.read_partition(self.topic, number):
                if record.key is not None and record.value is not None:
                    latest[record.key] = record
                elif record.key is not None:
                    latest.pop(record.key, None)
            for record in latest.values():
                try:
                    self._insert(self._unpack(record))
                except (KeyError, ValueError) as error:
                    # It stays on the topic, where a fixed reader will find it.
                    logger.error("a parked record cannot be read: %s", type(error).__name__)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget these partitions (in `on_revoked`); what is parked stays on the topic."""
        gone = set(partitions)
        for parked in [parked for parked in self._parked.values() if parked.record.partition in gone]:
            self._remove(parked)

    def holds(self, key: bytes) -> bool:
        """Something of this lane key is parked: a record of it that is not itself parked must queue behind."""
        return key in self._queues

    def parked(self, record_id: bytes) -> bool:
        """This very id is parked: the record in hand is the parked one, come due."""
        return record_id in self._parked

    def parked_elsewhere(self, record: Record, record_id: bytes) -> bool:
        """This very id is parked, under another key than the record's."""
        parked = self._parked.get(record_id)
        return parked is not None and parked.key != self._key_of(record)

    def beside(self, record_id: bytes) -> bool:
        """This very id is parked, beside its key's queue."""
        parked = self._parked.get(record_id)
        return parked is not None and parked.beside

    def takes(self, record: Record, record_id: bytes) -> bool:
        """Whether the record is small enough to be parked: the topic may take less than the source does."""
        room = "x" * (_LONGEST_REASON + len(record.key or b""))
        headers = _pack(record, _FAR, room, room, (_FAR, _FAR), _FAR, beside=True)
        return self._log.takes(self.topic, record_id, record.value, headers)

    async def park(
        self,
        record: Record,
        record_id: bytes,
        until_ms: int | None,
        why: str,
        group: str,
        *,
        deadline_ms: int | None = None,
        beside: bool = False,
    ) -> None:
        """Store the record and return after the ack. `until_ms` None: until its group is woken.

        A record that queues behind another takes `until_ms=0`: due as soon as it is the head. At `deadline_ms` it is
        due wherever it stands: its handler may then end it, and nothing else. `beside`: outside of its key's queue.
        Raises LogUnavailable, RecordTooLarge; ValueError for a tombstone.
        """
        if record.value is None:
            raise ValueError("a tombstone cannot be parked")
        key = self._key_of(record)
        place = self._place(record, record_id, key, beside)
        headers = _pack(record, until_ms, why, group, place, deadline_ms, beside)
        await self._log.send(self.topic, record_id, record.value, headers, record.partition)
        if (before := self._parked.get(record_id)) is not None:
            self._remove(before)
        waiting = replace(record, offset=INJECTED)
        self._insert(_Parked(record_id, key, place, until_ms, group, deadline_ms, waiting, beside))

    def _place(self, record: Record, record_id: bytes, key: bytes, beside: bool) -> tuple[int, int]:
        """Where a record stands in its key's queue: by its offset, and behind all that is there if it was beside it."""
        before = self._parked.get(record_id)
        if before is None:
            return record.offset, 0
        queue = self._queues.get(key)
        if before.beside and not beside and queue:
            order, turn = queue[-1].place
            return order, turn + 1
        return before.place

    async def release(self, record_id: bytes) -> None:
        """The parked record is finally handled: tombstone it. Unknown ids are ignored. Raises LogUnavailable."""
        parked = self._parked.get(record_id)
        if parked is not None:
            await self._log.send(self.topic, record_id, None, (), parked.record.partition)
            # The partition may have been dropped meanwhile.
            if self._parked.get(record_id) is parked:
                self._remove(parked)

    def due(self, now_ms: int, limit: int = 100) -> list[Record]:
        """What is past its deadline, then heads whose time has come, earliest first, each given once until it is
        parked again or released.

        They are `INJECTED` records of the source topic and partition, ready for `Dispatcher.submit`.
        """
        records: list[Record] = []
        for heap, earliest in ((self._deadlines, self._next_deadline), (self._heap, self._next_head)):
            while len(records) < limit and (at := earliest()) is not None and at <= now_ms:
                _, _, parked = heapq.heappop(heap)
                parked.given = True
                records.append(parked.record)
        return records

    def take(self, key: bytes, wanted: Callable[[Record], bool]) -> list[Record]:
        """Records of a lane key out of turn, as `due` gives them: those whose handler will end them at once."""
        waiting = (*self._queues.get(key, ()), *self._beside.get(key, {}).values())
        taken = [parked for parked in waiting if not parked.given and wanted(parked.record)]
        for parked in taken:
            parked.given = True
        return [parked.record for parked in taken]

    def undo(self, record: Record) -> None:
        """A record given by `due` could not be submitted: it may be given again."""
        key = self._key_of(record)
        for parked in (*self._queues.get(key, ()), *self._beside.get(key, {}).values()):
            if parked.record is record:
                parked.given = False
                self._schedule(parked)

    def next_due(self) -> int | None:
        """Unix milliseconds of the earliest head or deadline, None when nothing waits for a time."""
        found = [at for at in (self._next_deadline(), self._next_head()) if at is not None]
        return min(found, default=None)

    def _next_head(self) -> int | None:
        while self._heap:
            until_ms, _, parked = self._heap[0]
            if until_ms == parked.until_ms and not parked.given and self._is_head(parked):
                return until_ms
            heapq.heappop(self._heap)
        return None

    def _next_deadline(self) -> int | None:
        while self._deadlines:
            deadline_ms, _, parked = self._deadlines[0]
            if not parked.given and self._parked.get(parked.id) is parked:
                return deadline_ms
            heapq.heappop(self._deadlines)
        return None

    def wake(self, group: str, most: int | None = None) -> int:
        """Make what is parked of a group due now (heads first), or `most` of its heads; returns how many.

        Not durable: see `groups`.
        """
        waiting = self._groups.get(group, {}).values()
        if most is None:
            woken = list(waiting)
        else:
            woken = list(itertools.islice((p for p in waiting if p.until_ms != 0 and self._is_head(p)), most))
        for parked in woken:
            parked.until_ms = 0
            self._schedule(parked)
        return len(woken)

    def groups(self) -> frozenset[str]:
        """Groups with something parked: after `restore`, wake those whose reason has gone meanwhile."""
        return frozenset(self._groups)

    def __len__(self) -> int:
        return len(self._parked)

    @property
    def oldest_ms(self) -> int | None:
        """Unix milliseconds of the oldest record, None without one; what waits `beside` wishes to, and is left out."""
        return min((parked.record.timestamp_ms for parked in self._parked.values() if not parked.beside), default=None)

    def has_room(self, partition: int) -> bool:
        """It holds fewer than `capacity`: more of it may be read."""
        return self._counts[partition] < self._capacity

    @property
    def full(self) -> frozenset[int]:
        """The partitions without room."""
        return frozenset(partition for partition in self._counts if not self.has_room(partition))

    def _insert(self, parked: _Parked) -> None:
        self._parked[parked.id] = parked
        self._counts[parked.record.partition] += 1
        self._groups.setdefault(parked.group, {})[parked.id] = parked
        if parked.beside:
            self._beside.setdefault(parked.key, {})[parked.id] = parked
        else:
            bisect.insort(self._queues.setdefault(parked.key, []), parked, key=lambda each: each.place)
        self._schedule(parked)

    def _remove(self, parked: _Parked) -> None:
        del self._parked[parked.id]
        self._counts[parked.record.partition] -= 1
        self._tidy()
        _drop(self._groups, parked.group, parked.id)
        if parked.beside:
            _drop(self._beside, parked.key, parked.id)
            return
        queue = self._queues[parked.key]
        queue.remove(parked)
        if queue:
            self._schedule(queue[0])
        else:
            del self._queues[parked.key]

    def _is_head(self, parked: _Parked) -> bool:
        if parked.beside:
            return self._parked.get(parked.id) is parked
        queue = self._queues.get(parked.key)
        return queue is not None and queue[0] is parked

    def _schedule(self, parked: _Parked) -> None:
        """Enter a head, and every deadline, into its heap; what has become wrong there goes when it comes up."""
        if parked.deadline_ms is not None and not parked.given and self._parked.get(parked.id) is parked:
            heapq.heappush(self._deadlines, (parked.deadline_ms, next(self._turn), parked))
            self.changed.set()
        if parked.until_ms is not None and not parked.given and self._is_head(parked):
            heapq.heappush(self._heap, (parked.until_ms, next(self._turn), parked))
            self.changed.set()

    def _tidy(self) -> None:
        """Throw out what has gone when it is the greater part: a deadline may be days away."""
        for heap in (self._heap, self._deadlines):
            if len(heap) > 2 * len(self._parked) + 64:
                heap[:] = [entry for entry in heap if self._parked.get(entry[2].id) is entry[2]]
                heapq.heapify(heap)

    def _unpack(self, record: Record) -> _Parked:
        about = {name[len(PREFIX) :]: value for name, value in record.headers if name.startswith(PREFIX)}
        original = Record(
            about["topic"].decode(),
            record.partition,
            INJECTED,
            about.get("key"),
            record.value,
            tuple((name, value) for name, value in record.headers if not name.startswith(PREFIX)),
            int(about["time"]),
        )
        until_ms = int(about["until"]) if "until" in about else None
        deadline_ms = int(about["deadline"]) if "deadline" in about else None
        assert record.key is not None
        place = int(about["order"]), int(about.get("turn", b"0"))
        group, key = about["group"].decode(), self._key_of(original)
        return _Parked(record.key, key, place, until_ms, group, deadline_ms, original, "beside" in about)


K = TypeVar("K")


def _drop(index: dict[K, dict[bytes, _Parked]], key: K, record_id: bytes) -> None:
    del index[key][record_id]
    if not index[key]:
        del index[key]


def _pack(
    record: Record,
    until_ms: int | None,
    why: str,
    group: str,
    place: tuple[int, int],
    deadline_ms: int | None,
    beside: bool,
) -> Headers:
    order, turn = place
    about = {
        "topic": record.topic.encode(),
        "order": b"%d" % order,
        "turn": b"%d" % turn,
        "time": b"%d" % record.timestamp_ms,
        "why": why.encode(),
        "group": group.encode(),
    }
    if record.key is not None:
        about["key"] = record.key
    if until_ms is not None:
        about["until"] = b"%d" % until_ms
    if deadline_ms is not None:
        about["deadline"] = b"%d" % deadline_ms
    if beside:
        about["beside"] = b"1"
    return (*record.headers, *((PREFIX + name, value) for name, value in about.items()))
