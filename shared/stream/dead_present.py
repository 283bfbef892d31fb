"""How many dead letters there are that nobody has sent back, followed as they come and go."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from shared.stream.deadletter import sent_back_by
from shared.stream.errors import LogUnavailable
from shared.stream.log import CaughtUp, Log
from shared.stream.records import Record

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
MOST = 100_000
"""Letters of a partition that are counted; of more, the oldest are not."""


class PresentLetters:
    """Those of one dead-letter topic. `retention` in milliseconds: what is older is gone by itself."""

    def __init__(self, log: Log, topic: str, retention: int) -> None:
        self._log = log
        self._topic = topic
        self._retention = retention
        self._open: defaultdict[int, dict[int, int]] = defaultdict(dict)  # partition: offset: milliseconds

    async def run(self) -> None:
        """Follow the topic, until cancelled. Not to be allowed to is no reason to end: nothing is counted then."""
        while True:
            self._open.clear()
            try:
                async for item in self._log.follow(self._topic):
                    if not isinstance(item, CaughtUp):
                        self._take(item)
            except LogUnavailable as error:
                logger.info("following %s is interrupted: %s", self._topic, error)
            await asyncio.sleep(AGAIN_SECONDS)

    def _take(self, record: Record) -> None:
        open_ = self._open[record.partition]
        if gone := sent_back_by(record):
            for offset in gone:
                open_.pop(offset, None)
            return
        open_[record.offset] = record.timestamp_ms
        if len(open_) > MOST:
            del open_[next(iter(open_))]

    def look(self, now_ms: int) -> tuple[int, int | None]:
        """How many there are, and the Unix milliseconds of the oldest."""
        for open_ in self._open.values():
            for offset in [offset for offset, at in open_.items() if at < now_ms - self._retention]:
                del open_[offset]
        times = [at for open_ in self._open.values() for at in open_.values()]
        return len(times), min(times, default=None)
