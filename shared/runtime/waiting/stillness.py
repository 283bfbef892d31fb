"""Whether this process has stood still: calls that were cut meanwhile say nothing of who was called."""

from __future__ import annotations

import asyncio
from time import perf_counter

LONGEST = 3.0  # seconds between two turns of the event loop; a busy one takes a tenth of that


class Stillness:
    """Watches the event loop it is first asked on. A frozen process and our own blocking look alike.

    By the machine's own clock: it is not about the time that others go by.
    """

    def __init__(self) -> None:
        self._last = self._ended = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """A moment to ask `since` about."""
        if self._timer is None:
            self._last = perf_counter()
            self._watch()
        return perf_counter()

    def since(self, moment: float) -> bool:
        """Whether the process has stood still at any time after this moment."""
        return self._ended >= moment or perf_counter() - self._last > LONGEST

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        now = perf_counter()
        if now - self._last > LONGEST:
            self._ended = now
        self._last = now
        self._timer = asyncio.get_running_loop().call_later(LONGEST / 6, self._watch)
