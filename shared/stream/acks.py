"""Promises of an acknowledgement: each is kept, or broken with LogUnavailable when its time is up."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from shared.stream.errors import LogUnavailable, RecordTooLarge
from shared.stream.log import Stored
from shared.stream.producer import TOO_LARGE


class Acks:
    """All promises last `seconds`, so the oldest is always the first to expire: one timer is enough.

    aiokafka does not promise that much: an idempotent producer retries for ever.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pending: deque[tuple[float, asyncio.Future[Stored]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def promise(self, sent: asyncio.Future[RecordMetadata]) -> asyncio.Future[Stored]:
        """What the producer says, in our words, in time."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[Stored] = loop.create_future()
        sent.add_done_callback(partial(self._settle, stored))
        self._pending.append((loop.time() + self._seconds, stored))
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._expire)
        return stored

    def _settle(self, stored: asyncio.Future[Stored], sent: asyncio.Future[RecordMetadata]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if stored.done():
            return
        if error is not None or sent.cancelled():
            stored.set_exception(translated(error))
        else:
            metadata = sent.result()
            stored.set_result(Stored(metadata.partition, metadata.offset))
        while self._pending and self._pending[0][1].done():
            self._pending.popleft()

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._pending and (self._pending[0][1].done() or self._pending[0][0] <= now):
            self._break()
        self._timer = None
        if self._pending:
            self._timer = asyncio.get_running_loop().call_at(self._pending[0][0], self._expire)

    def _break(self) -> None:
        _, stored = self._pending.popleft()
        if not stored.done():
            stored.set_exception(LogUnavailable("not acknowledged in time"))

    def close(self) -> None:
        """Break what is left."""
        if self._timer is not None:
            self._timer.cancel()
        while self._pending:
            self._break()


def translated(error: BaseException | None) -> LogUnavailable | RecordTooLarge:
    """aiokafka's error in our words; None is a cancellation.

    A missing right or an unknown topic is `LogUnavailable` too: nothing was stored, and an operator can mend it.
    """
    if isinstance(error, TOO_LARGE):
        return RecordTooLarge("the record is larger than the log accepts")
    return LogUnavailable(type(error).__name__ if isinstance(error, (KafkaError, OSError)) else "cancelled")
