"""Ephemeral records (typing): handled at once, outside the lanes, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from shared.stream.lanes import Handler, Observe
from shared.stream.records import Record

logger = logging.getLogger(__name__)


class EphemeralRecords:
    """At most `limit` at a time; more are dropped, failures are not tried again, nobody waits for them."""

    def __init__(self, handler: Handler, limit: int, observe: Observe, clock: Callable[[], float]) -> None:
        self._handler = handler
        self._limit = limit
        self._observe = observe
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, record: Record) -> None:
        """Handle it in a task of its own, or drop it."""
        if len(self._tasks) >= self._limit:
            self._observe("ephemeral_dropped", record, 0.0)
            return
        task = asyncio.create_task(self._run(record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, record: Record) -> None:
        began = self._clock()
        try:
            await self._handler(record)
        except Exception as error:
            logger.info("an ephemeral record failed: %s", type(error).__name__)
            self._observe("ephemeral_failed", record, self._clock() - began)
        else:
            self._observe("ephemeral", record, self._clock() - began)

    def cancel(self) -> None:
        """Drop what is running."""
        for task in self._tasks:
            task.cancel()
