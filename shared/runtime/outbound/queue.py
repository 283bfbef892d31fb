"""The queue of parked commands: which of them wait, for what, and until when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil

from shared.contract.errors import ERRORS, ErrorClass, ErrorCode
from shared.contract.statuses import Part, State
from shared.runtime import metrics
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.outbound.commands import Job
from shared.runtime.reporting.statuses import StatusBook
from shared.runtime.waiting.lanes import OVERTAKING, account_group, lane_group, outage_group
from shared.stream.parking import Parking

NOT_BEFORE = "not_before"
_ACCOUNT_REASONS = frozenset(str(code) for code, fact in ERRORS.items() if fact.error_class is ErrorClass.ACCOUNT)


class Park(Exception):
    """The command has to wait longer than a lane waits. `until` None: until what it waits for is well again.

    `outage`: it waits for the provider to answer its account again, whatever `until` says.
    """

    def __init__(self, until: datetime | None, why: ErrorCode | str, *, outage: bool = False) -> None:
        super().__init__(why)
        self.until = until
        self.why = str(why)
        self.outage = outage


class CommandQueue:
    """Parks commands, and says which have to. `holds(account_id)`: whether an outage holds the account's commands."""

    def __init__(
        self,
        channel: str,
        parking: Parking,
        health: AccountsHealth,
        book: StatusBook,
        holds: Callable[[str], bool],
    ) -> None:
        self._name = channel
        self._parking = parking
        self._health = health
        self._book = book
        self._holds = holds

    def queues_behind(self, job: Job) -> bool:
        """Whether others of the conversation wait, and this one has to wait behind them.

        What is for later is judged first; it takes its place when it is due.
        """
        if job.kind in OVERTAKING or not self._parking.holds(job.record.key or b""):
            return False
        if self._parking.parked(job.id):
            return self._parking.beside(job.id) and not _is_over(job)
        return not is_for_later(job)

    async def park(self, job: Job, park: Park, until_ms: int | None = None) -> None:
        """Keep a command until it is due (`until_ms`: then at the latest), and say that it is deferred.

        Raises LogUnavailable.
        """
        account_id = job.account.account_id
        until = job.expires_at if park.outage else min(park.until or job.expires_at, job.expires_at)
        due = ceil(until.timestamp() * 1000) if until_ms is None else until_ms
        paused = self._health.why_paused(account_id) is not None
        for_account = park.why in _ACCOUNT_REASONS and (paused or park.until is None)
        group = lane_group(job.record)
        if park.outage:
            group = outage_group(account_id)
        elif for_account:
            group = account_group(account_id)
        deadline = ceil(job.expires_at.timestamp() * 1000)
        beside = park.why == NOT_BEFORE
        await self._parking.park(job.record, job.id, due, park.why, group, deadline_ms=deadline, beside=beside)
        if for_account and self._health.why_paused(account_id) is None:
            self._parking.wake(group)  # it has recovered while this was being written
        if park.outage and not self._holds(account_id):
            self._parking.wake(group)
        metrics.DEFERRED.labels(self._name, park.why).inc()
        metrics.PARKED.labels(self._name).set(len(self._parking))
        told = min(park.until, job.expires_at) if park.until is not None else None
        deferred = self._book.status(
            job.command,
            job.conversation_id,
            Part(),
            State.DEFERRED,
            detail=f"{park.why}:{due}",
            until=told,
            why=park.why,
        )
        await self._book.publish_all([deferred], job.traceparent)


def is_for_later(job: Job) -> bool:
    """Whether its `not_before` is yet to come."""
    not_before = job.command.not_before
    return not_before is not None and not_before > datetime.now(UTC)


def _is_over(job: Job) -> bool:
    return datetime.now(UTC) >= job.expires_at
