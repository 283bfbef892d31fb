"""Durable parking: records that wait long, on a compacted topic, in the original order of their key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from shared.stream.log import Log
from shared.stream.records import Record


class Parking:
    """What is parked in the partitions that are ours.

    The topic is compacted and has as many partitions as the source topic: a record of partition n is parked in
    partition n, so whoever owns the source partition owns its parked records. Record key = parking id.

    Per lane key only the head (lowest source offset) can become due. `park` of an id that is parked already
    moves its time and keeps its place. Order, time, reason and group survive a restart.
    """

    changed: asyncio.Event
    """Set when something may have become due earlier than `next_due` said; the waiter clears it."""

    def __init__(
        self, log: Log, topic: str, *, key_of: Callable[[Record], bytes], capacity: int = 10_000
    ) -> None:
        """`capacity`: parked records per partition at which `full` becomes true (nothing is refused)."""

    async def restore(self, partitions: Iterable[int]) -> None:
        """Read these partitions to their end. Await it (in `on_assigned`) before anything is dispatched."""

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget these partitions (in `on_revoked`); what is parked stays on the topic."""

    def holds(self, key: bytes) -> bool:
        """Something of this lane key is parked: a record of it that is not itself parked must queue behind."""

    def parked(self, record_id: bytes) -> bool:
        """This very id is parked: the record in hand is the parked one, come due."""

    async def park(self, record: Record, record_id: bytes, until_ms: int | None, why: str, group: str) -> None:
        """Store the record and return after the ack. `until_ms` None: until its group is woken.

        A record that queues behind another takes `until_ms=0`: due as soon as it is the head.
        Raises LogUnavailable, RecordTooLarge.
        """

    async def release(self, record_id: bytes) -> None:
        """The parked record is finally handled: tombstone it. Unknown ids are ignored. Raises LogUnavailable."""

    def due(self, now_ms: int, limit: int = 100) -> list[Record]:
        """Heads whose time has come, oldest time first, each given once until it is parked again or released.

        They are `INJECTED` records of the source topic and partition, ready for `Dispatcher.submit`.
        """

    def undo(self, record_id: bytes) -> None:
        """A record given by `due` could not be submitted: it is due again at once."""

    def next_due(self) -> int | None:
        """Unix milliseconds of the earliest head, None when nothing waits for a time."""

    def wake(self, group: str) -> int:
        """Make everything parked of a group due now (heads first); returns how many. Not durable: see `groups`."""

    def groups(self) -> frozenset[str]:
        """Groups with something parked: after `restore`, wake those whose reason has gone meanwhile."""

    def __len__(self) -> int: ...

    @property
    def full(self) -> bool:
        """A partition holds `capacity` or more: pause the dispatcher."""
