"""A compacted topic followed into the caller's own dictionary."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from shared.stream.errors import LogUnavailable
from shared.stream.log import CaughtUp, Log
from shared.stream.records import Record

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0


def _uncounted() -> None:
    pass


class Table:
    """Follows `topic` and calls `apply(key, value or None)` for every record, in order per key.

    A record for which `apply` raises is skipped, after `on_rejected()`: one bad record must not hide the others. After
    an interruption the topic is read anew; keys that have vanished meanwhile are applied as None, unless the topic
    itself has: one that begins anew says nothing of the keys it does not have.

    Where the topic has grown, a key may stand in two partitions: the later record counts.
    """

    def __init__(
        self,
        log: Log,
        topic: str,
        apply: Callable[[bytes, bytes | None], None],
        on_rejected: Callable[[], None] = _uncounted,
    ) -> None:
        self.ready = asyncio.Event()
        """Set when everything that was there at the start has been applied."""
        self.health: Literal["starting", "live", "stale"] = "starting"
        """`stale`: reading was interrupted, the dictionary may be behind."""
        self._log = log
        self._topic = topic
        self._apply = apply
        self._on_rejected = on_rejected
        self._present: dict[bytes, tuple[int, int]] = {}  # partition and time of a key's record
        self._last: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow, in a task; does not wait for `ready`."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop following; the dictionary stays as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def __aenter__(self) -> Table:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except LogUnavailable as error:
                logger.warning("following %s is interrupted: %s", self._topic, error)
            except Exception:
                logger.exception("following %s failed", self._topic)
            if self.health == "live":
                self.health = "stale"
            await asyncio.sleep(AGAIN_SECONDS)

    async def _follow(self) -> None:
        before, self._present = self._present, {}
        last, self._last = self._last, {}
        try:
            async for item in self._log.follow(self._topic):
                if isinstance(item, CaughtUp):
                    vanished = before.keys() - self._present
                    if any(self._last.get(number, -1) < offset for number, offset in last.items()):
                        logger.warning("%s begins anew; keys that are kept: %d", self._topic, len(vanished))
                    else:
                        for key in vanished:
                            self._apply_one(key, None)
                        before = {}
                    last = {}
                    self.health = "live"
                    self.ready.set()
                else:
                    self._take(item)
        finally:
            self._present = before | self._present
            self._last = self._last | last

    def _take(self, record: Record) -> None:
        self._last[record.partition] = record.offset
        if record.key is None:
            return
        number, then = self._present.get(record.key, (record.partition, 0))
        if number != record.partition and then > record.timestamp_ms:
            return
        if record.value is None:
            self._present.pop(record.key, None)
        else:
            self._present[record.key] = (record.partition, record.timestamp_ms)
        self._apply_one(record.key, record.value)

    def _apply_one(self, key: bytes, value: bytes | None) -> None:
        try:
            self._apply(key, value)
        except Exception as error:
            self._on_rejected()
            logger.error("a record of %s was rejected: %s", self._topic, type(error).__name__)
