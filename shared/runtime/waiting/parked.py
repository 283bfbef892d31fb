"""What a role has parked: taken over with its partitions, submitted when it comes due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time

import structlog
from prometheus_client import Gauge

from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.waiting.lanes import account_group, account_in_outage, account_of
from shared.stream.dispatcher import Dispatcher
from shared.stream.parking import Parking
from shared.stream.records import Partition

log = structlog.get_logger()

_LONGEST_NAP = 1.0

_NOT_OURS_YET = 0.05


def wake_recovered(parking: Parking, health: AccountsHealth, try_first: Callable[[str], None] | None = None) -> None:
    """After `restore`: the reason why an account's records were parked may have gone meanwhile.

    `try_first` finds out whether an account's provider answers again, and wakes what waits for that.
    """
    for group in parking.groups():
        account_id = account_of(group)
        if account_id is not None and health.why_paused(account_id) is None:
            parking.wake(group)
        held_id = account_in_outage(group)
        if held_id is not None and try_first is not None:
            try_first(held_id)


class ParkedRecords:
    """What a role has parked: taken over with its partitions, submitted when it comes due; an account's is woken
    when the account is well again, or gone.

    `assigned`, `revoked` and `has_room` are for the dispatcher: of a partition of which too many wait no more is read,
    for they are all in memory. `waiting` shows how many there are, `full` how many partitions have no room.
    """

    def __init__(
        self,
        parking: Parking,
        accounts: AccountRegistry,
        health: AccountsHealth,
        waiting: Gauge,
        full: Gauge,
        try_first: Callable[[str], None] | None = None,
    ) -> None:
        self._parking = parking
        self._health = health
        self._try_first = try_first
        self._waiting = waiting
        self._full = full
        self._told_full: frozenset[int] = frozenset()
        health.on_recovery(self._wake)
        accounts.on_change(lambda account_id, account: None if account else self._wake(account_id))
        accounts.on_standing(lambda account_id, _: self._wake(account_id))  # it may be opened now

    def _wake(self, account_id: str) -> None:
        self._parking.wake(account_group(account_id))

    async def assigned(self, partitions: frozenset[Partition]) -> None:
        """Raises LogUnavailable."""
        await self._parking.restore([partition.number for partition in partitions])
        wake_recovered(self._parking, self._health, self._try_first)

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        self._parking.drop(partition.number for partition in partitions)

    @property
    def full(self) -> frozenset[int]:
        """The partitions of which no more is read, because too much of them waits."""
        return self._parking.full

    @property
    def oldest_ms(self) -> int | None:
        """Unix milliseconds of the oldest record, None without one: see `Parking.oldest_ms`."""
        return self._parking.oldest_ms

    def has_room(self, partition: Partition) -> bool:
        return self._parking.has_room(partition.number)

    async def run(self, dispatcher: Dispatcher) -> None:
        """Until cancelled."""
        while True:
            now = int(time() * 1000)
            refused = [record for record in self._parking.due(now) if not dispatcher.submit(record)]
            for record in refused:
                self._parking.undo(record)
            self._waiting.set(len(self._parking))
            self._tell_full()
            if refused:  # their partition is being opened, or given up: `changed` would wake us at once
                await asyncio.sleep(_NOT_OURS_YET)
            else:
                await self._nap(now)

    def _tell_full(self) -> None:
        full = self._parking.full
        self._full.set(len(full))
        for partition in full - self._told_full:
            log.warning("parking_full", topic=self._parking.topic, partition=partition)
        for partition in self._told_full - full:
            log.info("parking_has_room", topic=self._parking.topic, partition=partition)
        self._told_full = full

    async def _nap(self, now: int) -> None:
        due = self._parking.next_due()
        wait = _LONGEST_NAP if due is None else min(max((due - now) / 1000, 0.02), _LONGEST_NAP)
        try:
            async with asyncio.timeout(wait):
                await self._parking.changed.wait()
            self._parking.changed.clear()
        except TimeoutError:
            pass
