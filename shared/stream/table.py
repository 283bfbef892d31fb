"""A compacted topic followed into the caller's own dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from shared.stream.log import Log


class Table:
    """Follows `topic` and calls `apply(key, value or None)` for every record, in order per key.

    What `apply` raises is counted in `rejected` and skipped: one bad record must not hide the others.
    """

    ready: asyncio.Event
    """Set when everything that was there at the start has been applied."""
    rejected: int

    def __init__(self, log: Log, topic: str, apply: Callable[[bytes, bytes | None], None]) -> None: ...

    async def start(self) -> None:
        """Begin to follow, in a task; does not wait for `ready`."""

    async def stop(self) -> None: ...

    async def __aenter__(self) -> Table: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def health(self) -> str:
        """`starting`, `live`, or `stale` (the broker is away; the dictionary may be behind)."""
