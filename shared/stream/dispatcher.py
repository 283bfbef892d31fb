"""The keyed dispatcher: reads partitions, runs one handler per key at a time, commits what is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Protocol

from shared.stream.log import Log, Rebalanced
from shared.stream.records import Partition, Record

Handler = Callable[[Record], Awaitable[None]]


class Observe(Protocol):
    """Called after every step worth counting.

    `outcome` is one of: handled, retried, not_now, poisoned, given_up, aside, aside_failed, aside_dropped.
    """

    def __call__(self, outcome: str, record: Record, seconds: float) -> None: ...


class Dispatcher:
    """One consumer of a group with a lane per key.

    A lane is a FIFO with one task while it is not empty. `slots` lanes run at once; `admit` (account tokens) is
    awaited before a slot is taken. A partition holds at most `window` offsets open. The handler may raise
    `NotNow` (wait, ask again, not a try), `Fatal` (stop), anything else counts as a failed try: after `tries`
    of them `on_poison(record, error)` is awaited and the record is done with; `on_poison` may raise `NotNow`,
    `LogUnavailable` (asked again) or `Fatal` (`BrakePulled`).

    Before a partition is given up: everything fetched is finished, except what waits in `admit`, `NotNow` or a
    back-off, which is dropped, uncommitted; then offsets are committed; then `on_revoked` runs.

    Records for which `bypass` says yes (ephemeral ones, such as typing) go to `aside` at once, outside the
    lanes, at most `slots` at a time; more are dropped, failures are not tried again.

    `on_assigned(partitions)` is awaited before the first record of these partitions is dispatched; it may
    raise `NotNow` or `LogUnavailable` and is then asked again.
    """

    stalled: dict[str, int]
    """`NotNow.why` → how many lanes wait for it now."""
    heartbeat: float
    """`time.monotonic()` of the last turn of the poll loop, for a liveness probe."""
    open_records: int
    """Records fetched or submitted and not done with."""
    lanes: int
    """Keys with something to do."""

    def __init__(
        self,
        log: Log,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        *,
        key_of: Callable[[Record], bytes],
        on_poison: Callable[[Record, Exception], Awaitable[None]],
        slots: int = 64,
        window: int = 200,
        tries: int = 5,
        admit: Handler | None = None,
        bypass: Callable[[Record], bool] | None = None,
        aside: Handler | None = None,
        on_assigned: Rebalanced | None = None,
        on_revoked: Rebalanced | None = None,
        instance_id: str | None = None,
        commit_interval: float = 1.0,
        drain_timeout: float | None = None,
        observe: Observe | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`drain_timeout` (seconds) defaults to two thirds of the log's rebalance timeout."""

    async def start(self) -> None:
        """Join the group and begin. Raises LogUnavailable."""

    async def wait(self) -> None:
        """Return when the dispatcher has been stopped; raise what has killed it, if something has."""

    async def run(self) -> None:
        """`start`, then `wait`."""

    async def stop(self) -> None:
        """Stop polling → drain → flush → commit → leave the group. Idempotent; never raises the fatal error."""

    async def __aenter__(self) -> Dispatcher: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def submit(self, record: Record) -> bool:
        """Put a record (a parked one) at the end of its lane. False: its partition is not ours (now)."""

    def pause(self, why: str) -> None:
        """Fetch nothing until every `why` has been resumed; lanes go on. Survives rebalances."""

    def resume(self, why: str) -> None:
        """Take back one `pause`."""

    @property
    def paused(self) -> frozenset[str]:
        """The active reasons of `pause`."""

    @property
    def assigned(self) -> frozenset[Partition]:
        """The partitions that are ours and open for dispatch."""
