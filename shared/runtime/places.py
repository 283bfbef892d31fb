"""Places: how much of one account may be under way here, so that what hangs leaves room for the others."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from shared.stream.errors import NotNow

BUSY_SECONDS = 0.05
PLACE_SECONDS = 1.0


class AccountPlaces:
    """The places of every account: so many each."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._under_way: Counter[str] = Counter()
        self._moved: dict[str, float] = {}  # when a place was last taken or given back
        self._queues: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)

    async def free(self, account_id: str) -> None:
        """Return when the account has a free place: asking again and again would cost the others theirs.

        Now and then also without: who was called may not have needed the place.
        """
        if self._under_way[account_id] < self._each:
            return
        queue, called = self._queues[account_id], asyncio.get_running_loop().create_future()
        queue.append(called)
        try:
            await asyncio.wait((called,), timeout=PLACE_SECONDS)
        finally:
            if not called.done():
                queue.remove(called)
            if not queue:
                self._queues.pop(account_id, None)

    def stuck_for(self, account_id: str) -> float:
        """Seconds for which all of the account's places have been held by the same; 0 while one is free."""
        full = self._under_way[account_id] >= self._each
        return monotonic() - self._moved[account_id] if full else 0.0

    @contextmanager
    def taken(self, account_id: str) -> Iterator[None]:
        """Hold one of the account's places. Raises NotNow when all are taken."""
        if self._under_way[account_id] >= self._each:
            raise NotNow(BUSY_SECONDS, "account_busy")
        self._under_way[account_id] += 1
        self._moved[account_id] = monotonic()
        try:
            yield
        finally:
            self._under_way[account_id] -= 1
            self._moved[account_id] = monotonic()
            if queue := self._queues.get(account_id):
                queue.popleft().set_result(None)
            if not self._under_way[account_id]:
                del self._under_way[account_id], self._moved[account_id]
