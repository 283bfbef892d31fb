"""What the tests of the stream layer share."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from shared.stream.dispatcher import Dispatcher
from shared.stream.log import Log, TopicSpec
from shared.stream.records import Record


async def eventually(true: Callable[[], bool], seconds: float = 25.0) -> None:
    """Wait until a condition holds that another task or a broker brings about."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


async def topic(log: Log, name: str, partitions: int = 1, *, compact: bool = False) -> str:
    await log.ensure_topics([TopicSpec(name, partitions, compact)])
    return name


async def fill(log: Log, name: str, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    await asyncio.gather(*[await log.enqueue(name, key, value) for key, value in pairs])


def key_of(record: Record) -> bytes:
    assert record.key is not None
    return record.key


class Seen:
    """A handler that remembers what it was given, and proves that a key is never handled twice at a time."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.by_key: dict[bytes, list[bytes]] = defaultdict(list)
        self.busy: set[bytes] = set()
        self.overlaps = 0
        self.most_busy = 0

    async def __call__(self, record: Record) -> None:
        key = key_of(record)
        self.overlaps += key in self.busy
        self.busy.add(key)
        self.most_busy = max(self.most_busy, len(self.busy))
        await asyncio.sleep(0)
        self.busy.discard(key)
        self.records.append(record)
        assert record.value is not None
        self.by_key[key].append(record.value)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]


async def surprised(record: Record, error: Exception) -> None:
    raise AssertionError("nothing should be poisoned here") from error


def dispatcher(log: Log, group: str, name: str, handler: Any, **options: Any) -> Dispatcher:
    return Dispatcher(log, group, [name], handler, **{"key_of": key_of, "on_poison": surprised, **options})
