"""Watches the topics a service lives on: which are missing, what each takes, whether they still fit together."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from shared.contract.topics import Topics
from shared.runtime import metrics
from shared.stream.errors import LogUnavailable
from shared.stream.log import Described, Log

log = structlog.get_logger()

WATCH_SECONDS = 2.0


class TopicWatch:
    """Asks for all topics again and again; the log goes by their limits from then on (`Log.describe`).

    What is wrong is said in one line when it begins and in one when it ends; while the broker is away, nothing new is
    known of them.
    """

    def __init__(self, channel: str, stream: Log, topics: Topics) -> None:
        self._channel = channel
        self._stream = stream
        self._ours = [topic.name for topic in topics.of_channel(channel)]
        self._names = [topic.name for topic in topics.shared()] + self._ours
        self._described: dict[str, Described] = {}
        self._missing: list[str] = []
        self._uneven: list[str] = []

    async def missing(self) -> list[str]:
        """What nothing can be stored on or read from now, for `/readyz`."""
        return self._missing

    def uneven(self) -> list[str]:
        """The topics of the channel with their partitions, when they do not have the same number of them.

        Nothing is lost by it: what has no place (a command to park) waits. But a conversation's order is kept only
        where it has the same partition on all of them.
        """
        return self._uneven

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            with suppress(LogUnavailable):  # said as `kafka`
                await self.look()
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Look once. Raises LogUnavailable."""
        found = dict(await self._stream.describe(self._names))
        self._say_missing(found)
        self._say_uneven(found)
        self._say_changes(found)
        self._described = found

    def _say_missing(self, found: dict[str, Described]) -> None:
        missing = []
        for name in self._names:
            trouble = found[name].trouble if name in found else "missing"
            metrics.TOPIC_MISSING.labels(self._channel, name).set(trouble is not None)
            if trouble is not None:
                missing.append(f"topic {name}" if trouble == "missing" else f"topic {name} ({trouble})")
        for gone in missing:
            if gone not in self._missing:
                log.warning("topic_missing", channel=self._channel, what=gone)
        for back in self._missing:
            if back not in missing:
                log.info("topic_back", channel=self._channel, what=back)
        self._missing = missing

    def _say_uneven(self, found: dict[str, Described]) -> None:
        counts = {name: found[name].partitions for name in self._ours if name in found and found[name].partitions}
        uneven = [f"{name} {count}" for name, count in counts.items()] if len(set(counts.values())) > 1 else []
        if uneven and not self._uneven:
            log.warning("partitions_uneven", channel=self._channel, partitions=uneven)
        elif self._uneven and not uneven:
            log.info("partitions_even", channel=self._channel)
        self._uneven = uneven

    def _say_changes(self, found: dict[str, Described]) -> None:
        for name, now in found.items():
            before = self._described.get(name)
            if before is not None and (before.partitions, before.largest) != (now.partitions, now.largest):
                log.info(
                    "topic_changed", channel=self._channel, topic=name, partitions=now.partitions, takes=now.largest
                )
