"""Open offsets of one partition, and how far they may be committed. Complete: nothing is to be added."""

from __future__ import annotations

from collections import deque


class Tracker:
    """Offsets are opened in ascending order, closed in any order; the watermark is the next one to read.

    Everything below the watermark is closed. Gaps are normal: compaction and transactions leave them.
    """

    __slots__ = ("_closed", "_committed", "_next", "_open")

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._closed: set[int] = set()
        self._next = 0
        self._committed = 0

    def open(self, offset: int) -> None:
        """A record was fetched. Raises ValueError if its offset is not above all seen before."""
        if offset < self._next:
            raise ValueError(f"offset {offset} after {self._next - 1}")
        self._open.append(offset)
        self._next = offset + 1

    def close(self, offset: int) -> None:
        """A record is done with. Raises KeyError unless the offset is open."""
        waiting, closed = self._open, self._closed
        if not waiting or offset < waiting[0] or offset >= self._next or offset in closed:
            raise KeyError(offset)
        closed.add(offset)
        while waiting and waiting[0] in closed:
            closed.remove(waiting.popleft())

    @property
    def watermark(self) -> int:
        """The offset to commit: the lowest open one, or the one after the last."""
        return self._open[0] if self._open else self._next

    def uncommitted(self) -> int | None:
        """The watermark, if it has moved since `committed` was last called; else None."""
        watermark = self.watermark
        return watermark if watermark > self._committed else None

    def committed(self, offset: int) -> None:
        """Remember what was committed."""
        self._committed = max(self._committed, offset)

    def __len__(self) -> int:
        """Open offsets."""
        return len(self._open) - len(self._closed)

    @property
    def held(self) -> int:
        """Offsets that cannot be committed: open ones, and closed ones that wait for a lower one."""
        return len(self._open)
