"""The rate of a whole app, for its calls beside messages: what is less urgent leaves more of it to the rest."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NamedTuple

from shared.channel import Account, Channel, Failure, Priority, ProviderError
from shared.contract.capabilities import Rate
from shared.contract.errors import ErrorCode
from shared.runtime import metrics
from shared.runtime.accounts.capabilities import capabilities_of
from shared.runtime.outbound.pacing import app_bucket, overdraw
from shared.state.client import StateUnavailable
from shared.state.store import Store

_STATE_RETRY = 0.5
_MOST_WAITING = 256  # of each priority, in this process


class Share(NamedTuple):
    """`reserve` is what stays for more urgent calls, as a part of the burst; more than a whole one asks that the rate
    has been unused for a while. `patience` is how long such a call waits, in seconds."""

    reserve: float
    patience: float


# A message takes its moment from the pacer, and what belongs to it (`send`) is drawn without asking. With half of a
# burst of two in reserve, a message that comes right after a download still goes at once.
SHARES = {
    Priority.ACTION: Share(0.5, 2.0),  # typing that comes late is of no use
    Priority.DOWNLOAD: Share(0.5, 20.0),  # fewer than the 30 a call may take; media asks again
    Priority.LOOKUP: Share(0.75, 20.0),
    Priority.BACKFILL: Share(1.0, 600.0),
}


class CallPace:
    """The pace of one channel's app, shared by replicas. Among calls of one priority, who came first goes first."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._turns: defaultdict[Priority, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: Counter[Priority] = Counter()

    async def __call__(self, priority: Priority, account: Account | None = None) -> None:
        """See `shared.channel.Pace`. While the store is away only `send` goes on."""
        found = self._channel.capabilities if account is None else capabilities_of(self._channel, account.record, None)
        rate = found.rates.app
        if rate is None:
            return
        share = SHARES.get(priority)
        outcome = "drawn"
        try:
            if share is None:
                await overdraw(self._store, self._name, rate)
            else:
                await self._wait(priority, share, rate)
        except ProviderError:
            outcome = "refused"
            raise
        finally:
            metrics.CALLS_DRAWN.labels(self._name, priority, outcome).inc()

    async def _wait(self, priority: Priority, share: Share, rate: Rate) -> None:
        if self._waiting[priority] >= _MOST_WAITING:
            raise _refused(share.patience)
        deadline = self._clock() + share.patience
        self._waiting[priority] += 1
        try:
            # Only the first in the queue asks the store. Nobody before this call waits longer than it may.
            async with self._turns[priority]:
                while (wait := await self._asked(share, rate)) > 0:
                    if self._clock() + wait > deadline:
                        raise _refused(wait)
                    await self._sleep(wait)
        finally:
            self._waiting[priority] -= 1

    async def _asked(self, share: Share, rate: Rate) -> float:
        """Draw, or say in how many seconds to ask again."""
        try:
            bucket = (app_bucket(self._name), rate.per_second, rate.burst)
            taken, wait, _ = await self._store.take([bucket], longest_wait=0.0, reserve=share.reserve * rate.burst)
        except StateUnavailable:
            return _STATE_RETRY
        return 0.0 if taken else wait


def _refused(wait: float) -> ProviderError:
    detail = "The app's rate is taken by what is more urgent."
    return ProviderError(Failure(ErrorCode.RATE_LIMITED, detail=detail, retry_after=wait))
