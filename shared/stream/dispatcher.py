"""The keyed dispatcher: reads partitions, runs one handler per key at a time, commits what is done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType

from shared.stream.ephemeral import EphemeralRecords
from shared.stream.errors import LogUnavailable, NotNow
from shared.stream.lanes import Admit, Handler, Observe, PartitionLanes, Work
from shared.stream.log import Log, Rebalanced
from shared.stream.progress import Progress
from shared.stream.records import Partition, Record
from shared.stream.waves import Wave, Waves

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
AWAY_SECONDS = 0.5
AHEAD = 20
"""How many windows a partition may be ahead of the record it waits for: so many are handled again after a crash."""
BACKLOG = 20_000
"""Records of a partition that are read although those of their key before them are not done with: what one key has too
many of delays the others no longer than it takes to read them."""
BACKLOG_BYTES = 32 * 1024 * 1024
"""What all of these may take, in all partitions together."""


def _unobserved(outcome: str, record: Record, seconds: float) -> None:
    pass


def _every(partition: Partition) -> bool:
    return True


class Saying:
    """One line when something cannot be done, and one when it can be again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lasts = False

    def begins(self, error: Exception) -> None:
        if not self._lasts:
            logger.warning("%s: %s", self._what, error)
        self._lasts = True

    def ends(self) -> None:
        if self._lasts:
            logger.info("no more: %s", self._what)
        self._lasts = False


class Dispatcher:
    """One consumer of a group with a lane per key (of one partition: a key must always come on the same one).

    A lane is a FIFO with one task while it is not empty. `slots` handlers run at once; `admit` (account tokens)
    is awaited before a slot is taken. A partition has at most `window` lanes with something to do, `BACKLOG` records
    behind others of their lanes, and passes a record that hangs by `AHEAD` windows. The handler may raise
    `NotNow` (wait, ask again, not a try; so does `LogUnavailable`), `Fatal` (stop); anything else is a failed
    try: after `tries` of them, with growing pauses, `on_poison(record, error)` is awaited and the record is done
    with. `on_poison` may raise `NotNow` or `LogUnavailable` (asked again); anything else from it is fatal.

    With `wave`, the first records of idle lanes are given to it together, at most one of a lane at a time; those that
    it returns, and all of them when it raises, are handled as without. `slots` do not bound it.

    Before a partition is given up: everything fetched is finished, except what waits in `admit`, `NotNow` or a
    back-off, or behind a window of its own key: that is dropped, uncommitted. Then offsets are committed; then
    `on_revoked` is awaited.

    Records for which `is_ephemeral` says yes (ephemeral ones, such as typing) go to `on_ephemeral` at once, outside the
    lanes, at most `slots` at a time; more are dropped, failures are not tried again, nothing waits for them.

    A record that has been put off by `NotNow` for `longest_wait` seconds is offered to `on_overdue(record, why)`, which
    says whether it has found it another place (it is then done with here) and may raise what the handler may.

    `on_assigned(partitions)` is awaited before the first record of these partitions is fetched; it may
    raise `NotNow` or `LogUnavailable` and is then asked again. Other errors of callbacks are fatal.

    `accepts(partition)` is asked before every poll: while it says no, nothing more of this partition is fetched; its
    lanes go on, and so do the other partitions.

    With an `instance_id` (unique per running process, stable over its restarts) the membership is static:
    stopping does not leave the group, the partitions wait for the session timeout.
    """

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
        on_overdue: Callable[[Record, str], Awaitable[bool]] | None = None,
        longest_wait: float = 60.0,
        admit: Admit | None = None,
        wave: Wave | None = None,
        is_ephemeral: Callable[[Record], bool] | None = None,
        on_ephemeral: Handler | None = None,
        on_assigned: Rebalanced | None = None,
        on_revoked: Rebalanced | None = None,
        accepts: Callable[[Partition], bool] = _every,
        instance_id: str | None = None,
        commit_interval: float = 1.0,
        drain_timeout: float | None = None,
        observe: Observe = _unobserved,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`drain_timeout` (seconds) defaults to two thirds of the log's rebalance timeout.

        The other third is for the flush and the commit (a send timeout each); beyond it the group goes on
        without this member and its open records are handled twice.
        """
        if (is_ephemeral is None) != (on_ephemeral is None):
            raise ValueError("is_ephemeral and on_ephemeral come together")
        if wave is not None and admit is not None:
            raise ValueError("what is admitted one by one cannot be handled together")
        self.heartbeat = clock()
        self._log = log
        self._key_of = key_of
        self._is_ephemeral = is_ephemeral
        self._ephemeral = None if on_ephemeral is None else EphemeralRecords(on_ephemeral, slots, observe, clock)
        self._quantum = max(1, window // 2)
        self._ceiling = window - self._quantum
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._accepts = accepts
        self._commit_interval = commit_interval
        self._drain_timeout = log.rebalance_timeout * 2 / 3 if drain_timeout is None else drain_timeout
        self._clock = clock
        self._work = Work(
            handler,
            on_poison,
            on_overdue,
            longest_wait,
            admit,
            tries,
            asyncio.Semaphore(slots),
            observe,
            self._die,
            clock,
            sleep,
            None if wave is None else Waves(wave, self._die),
        )
        self._consumer = log.consumer(
            group, topics, instance_id=instance_id, on_assigned=self._assigned, on_revoked=self._revoked
        )
        self._shares: dict[tuple[str, int], PartitionLanes] = {}
        self.progress = Progress(self._consumer, self._shares)
        self._generation = 0
        self._committing = asyncio.Lock()
        self._stopping = False
        self._error: Exception | None = None
        self._opening: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None
        self._committer: asyncio.Task[None] | None = None
        self._stopper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join the group and begin. Raises LogUnavailable."""
        await self._consumer.start()
        self._poller = asyncio.create_task(self._poll())
        self._committer = asyncio.create_task(self._commit_regularly())

    async def wait(self) -> None:
        """Return when the dispatcher has been stopped; raise what has killed it, if something has."""
        if self._poller is not None:
            await asyncio.wait((self._poller,))
            self._poller.result()

    async def run(self) -> None:
        """Start, wait, stop. Raises as `start` and `wait` do."""
        await self.start()
        try:
            await self.wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop polling → drain → flush → commit → leave the group. Idempotent; `wait` has the fatal error.

        Takes at most the drain timeout, `CANCEL_GRACE` for what outlasts it, and four send timeouts of the log: the
        flush, a commit under way, the last commit, leaving. With a log's default timeouts: 20 s + 5 s + 4 × 5 s.
        """
        if self._stopper is None:
            self._stopper = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopper)

    async def __aenter__(self) -> Dispatcher:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if error is None:
            await self.wait()

    def submit(self, record: Record) -> bool:
        """Put a record (a parked one) at the end of its lane. False: its partition is not ours (now)."""
        share = self._shares.get((record.topic, record.partition))
        if share is None or share.draining or not share.ready:
            return False
        share.put(record, self._key_of(record))
        return True

    @property
    def assigned(self) -> frozenset[Partition]:
        """The partitions that are ours and open for dispatch."""
        return frozenset(share.partition for share in self._shares.values() if share.ready)

    @property
    def stalled(self) -> dict[str, int]:
        """`NotNow.why` → how many lanes wait for it now."""
        lanes = (lane for share in self._shares.values() for lane in share.lanes.values())
        return dict(Counter(lane.stalled for lane in lanes if lane.stalled is not None))

    @property
    def open_records(self) -> int:
        """Records in lanes: fetched or submitted, and not done with."""
        return sum(len(lane.records) for share in self._shares.values() for lane in share.lanes.values())

    @property
    def lanes(self) -> int:
        """Keys with something to do."""
        return sum(len(share.lanes) for share in self._shares.values())

    async def _poll(self) -> None:
        away = Saying("cannot read")
        while not self._stopping:
            self.heartbeat = self._clock()
            generation = self._generation
            try:
                records = await self._consumer.poll(self._wanted(), self._quantum, POLL_SECONDS)
            except LogUnavailable as error:
                away.begins(error)
                await asyncio.sleep(AWAY_SECONDS)
                continue
            away.ends()
            if self._error is not None:
                raise self._error
            # Fetched for partitions that have been given up meanwhile: their next owner reads them again.
            if generation == self._generation:
                self._dispatch(records)
            # A poll that finds records waiting does not suspend; the lanes must get their turn.
            await asyncio.sleep(0)

    def _wanted(self) -> list[Partition]:
        """Accepted partitions with room for everything one poll may bring: so the window is never exceeded."""
        wanted = []
        for share in self._shares.values():
            share.starved = not self._has_room(share)
            if share.ready and not share.draining and not share.starved and self._accepts(share.partition):
                wanted.append(share.partition)
        return wanted

    def _dispatch(self, records: Sequence[Record]) -> None:
        shares, key_of, is_ephemeral, ephemeral = self._shares, self._key_of, self._is_ephemeral, self._ephemeral
        for record in records:
            share = shares[record.topic, record.partition]
            if ephemeral is not None and is_ephemeral is not None and is_ephemeral(record):
                share.tracker.open(record.offset)
                share.tracker.close(record.offset)
                ephemeral.start(record)
            else:
                share.put(record, key_of(record))

    def _room(self, share: PartitionLanes) -> None:
        """If a partition that was left out of the running poll has room again: poll anew, with it."""
        if self._has_room(share):
            share.starved = False
            self._consumer.wake()

    def _has_room(self, share: PartitionLanes) -> bool:
        records = len(share.tracker)
        if share.tracker.held - records > self._ceiling * AHEAD or min(records, len(share.lanes)) > self._ceiling:
            return False
        return records <= self._ceiling or (
            records <= BACKLOG and sum(other.bytes for other in self._shares.values()) <= BACKLOG_BYTES
        )

    def _die(self, error: Exception) -> None:
        if self._error is None:
            logger.error("the dispatcher stops: %s", type(error).__name__)
            self._error = error
        self._consumer.wake()

    async def _assigned(self, partitions: frozenset[Partition]) -> None:
        for partition in partitions:
            self._shares[partition] = PartitionLanes(partition, self._work, self._room)
        # In a task of its own: no heartbeat goes to the broker until this callback returns.
        self._opening = asyncio.create_task(self._open(partitions))

    async def _open(self, partitions: frozenset[Partition]) -> None:
        while self._on_assigned is not None:
            try:
                await self._on_assigned(partitions)
                break
            except (NotNow, LogUnavailable) as error:
                logger.warning("partitions wait to be opened: %s", error)
                await asyncio.sleep(AWAY_SECONDS)
            except Exception as error:
                self._die(error)
                return
        for partition in partitions:
            self._shares[partition].ready = True
        self._consumer.wake()

    async def _revoked(self, partitions: frozenset[Partition]) -> None:
        self._generation += 1
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        shares = [self._shares[partition] for partition in partitions if partition in self._shares]
        await asyncio.gather(*(share.drain(self._drain_timeout, self._ceiling + self._quantum) for share in shares))
        try:
            await self._log.flush()
            await self._commit(shares)
        except LogUnavailable as error:
            logger.warning("given up without a last commit, records will come again: %s", error)
        for share in shares:
            self._shares.pop(share.partition, None)
        if self._on_revoked is not None and partitions:
            try:
                await self._on_revoked(partitions)
            except Exception as error:
                self._die(error)

    async def _commit_regularly(self) -> None:
        away = Saying("cannot commit")
        while True:
            await asyncio.sleep(self._commit_interval)
            try:
                await self._commit(self._shares.values())
                away.ends()
            except LogUnavailable as error:
                away.begins(error)
            except Exception as error:
                self._die(error)
                return

    async def _commit(self, shares: Iterable[PartitionLanes]) -> None:
        async with self._committing:
            moved = [(share, at) for share in shares if (at := share.tracker.uncommitted()) is not None]
            if moved:
                await self._consumer.commit({share.partition: at for share, at in moved})
            for share, at in moved:
                share.tracker.committed(at)

    async def _stop(self) -> None:
        self._stopping = True
        self._consumer.wake()
        if self._poller is not None:
            await asyncio.wait((self._poller,))
        await self._revoked(frozenset(share.partition for share in self._shares.values()))
        if self._committer is not None:
            self._committer.cancel()
        if self._ephemeral is not None:
            self._ephemeral.cancel()
        await self._consumer.stop()
