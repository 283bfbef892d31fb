"""Follows every topic of the world and keeps the newest records, ready for the page."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka.structs import ConsumerRecord

from shared.stream.embedded import EmbeddedConsumer

KEPT_RECORDS = 2_000
KEPT_BYTES = 16 * 1024 * 1024
SHOWN_VALUE = 64 * 1024  # bytes of one value


class Tail:
    """A ring of the newest records of all topics, numbered from 1. Bounded by number and by bytes."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._consumer = EmbeddedConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            client_id="console",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            # Topics that a service makes later are found soon enough.
            metadata_max_age_ms=2_000,
        )
        self._topics = topics
        self._ring: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._last = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def last(self) -> int:
        """The number of the newest record; 0 before the first."""
        return self._last

    async def start(self, wake: asyncio.Event) -> None:
        """Begin; `wake` is set whenever records have come."""
        await self._consumer.start()
        self._consumer.subscribe(list(self._topics))
        self._task = asyncio.create_task(self._follow(wake))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            await self._consumer.stop()

    def since(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        """At most `limit` records after `number`, oldest first, each as JSON."""
        if not self._ring or number >= self._last:
            return []
        skipped = max(0, number + 1 - self._ring[0][0])
        return list(itertools.islice(self._ring, skipped, skipped + limit))

    async def _follow(self, wake: asyncio.Event) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=1_000, max_records=500)
            # Partitions come apart; by time, a page that is opened late sees what happened in its order.
            for record in sorted((r for batch in batches.values() for r in batch), key=lambda r: r.timestamp):
                self._keep(record)
            if batches:
                wake.set()

    def _keep(self, record: ConsumerRecord) -> None:
        self._last += 1
        entry = _entry(self._last, record)
        self._ring.append((self._last, entry))
        self._bytes += len(entry)
        while len(self._ring) > KEPT_RECORDS or self._bytes > KEPT_BYTES:
            self._bytes -= len(self._ring.popleft()[1])


def _entry(number: int, record: ConsumerRecord) -> bytes:
    fields = {"n": number, **shown(record)}
    try:
        return orjson.dumps(fields)
    except TypeError:  # what can just be read may be nested too deeply to be written
        return orjson.dumps({**fields, "value": record.value[:SHOWN_VALUE].decode(errors="replace")})


def shown(record: ConsumerRecord) -> dict[str, Any]:
    """A record for the page. `value` is its JSON, or its text where it is none; `cut` says that it was too long."""
    raw: bytes | None = record.value
    value: Any = None
    cut = raw is not None and len(raw) > SHOWN_VALUE
    if raw is not None:
        try:
            value = orjson.loads(raw[:SHOWN_VALUE])
        except orjson.JSONDecodeError:
            value = raw[:SHOWN_VALUE].decode(errors="replace")
    headers = {name: content.decode(errors="replace") for name, content in record.headers}
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at": record.timestamp,
        "key": (record.key or b"").decode(errors="replace"),
        "type": headers.get("ce_type", ""),
        "headers": headers,
        "value": value,
        "size": len(raw) if raw is not None else 0,
        "tombstone": raw is None,
        "cut": cut,
    }
