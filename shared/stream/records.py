"""What a log carries: records of bytes, and the partitions they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]

INJECTED = -1
"""Offset of a record that was not read from its topic: it is handled, but never committed."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read from, or will be put into, a partition.

    `value is None` is a tombstone. `offset` is `INJECTED` (-1) for a record that was submitted by hand
    (a parked one that is due again). `timestamp_ms` is Unix time in milliseconds, UTC.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def source(self) -> Partition:
        """The partition this record belongs to."""
        return Partition(self.topic, self.partition)


def header(record: Record, name: str) -> bytes | None:
    """The value of the first header called `name`, or None."""
    for key, value in record.headers:
        if key == name:
            return value
    return None
