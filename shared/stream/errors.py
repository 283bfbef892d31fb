"""The errors of the log and of those who consume it."""

from __future__ import annotations


class LogUnavailable(Exception):
    """The broker did not acknowledge in time. Whether the record was stored is unknown: send it again."""


class RecordTooLarge(ValueError):
    """The record is larger than the log accepts; sending it again will not help."""


class NoSuchPartition(LogUnavailable, ValueError):
    """The topic has fewer partitions than the record's place says: it was made anew, or others have grown."""


class NotNow(Exception):
    """Raised by a handler whose dependency is away: ask again in `retry_after` seconds; not a failed try.

    `why` is a short stable code such as `state_unavailable`; `Dispatcher.stalled` lists the active ones.
    """

    def __init__(self, retry_after: float, why: str) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.why = why


class Fatal(Exception):
    """Raised by a handler or a callback, it stops the dispatcher; the record stays uncommitted."""


class BrakePulled(Fatal):
    """Too many dead letters in a row: the fault is ours, not the records'. The consumer must stop."""
