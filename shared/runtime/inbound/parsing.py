"""Parsing in worker processes: a hostile payload takes one of them down, and gets a placeholder."""

from __future__ import annotations

import asyncio

import structlog

from shared.channel import Parses
from shared.media.blobs import Blobs, BlobTooLarge
from shared.runtime import metrics
from shared.stream.errors import NotNow
from shared.workers import Busy, TooSlow, WorkerDied, Workers, WorkerTrouble
from shared.workers.pool import MOST_BYTES

log = structlog.get_logger()

AT_ONCE = 16  # small payloads in memory, those that wait for a worker among them
SMALL = 1024 * 1024  # bytes; larger payloads are read and parsed one after the other
_MIB = 1024 * 1024
# A small mail takes milliseconds, one of 20 MB half a second. The second time, in another worker, there is more: the
# machine may have been busy with something else.
_SECONDS, _SECONDS_PER_MIB, _SECOND_TIME = 1.0, 0.1, 5.0
_MEMORY, _MEMORY_PER_BYTE = 150 * _MIB, 10
_BEGINNING = 64 * 1024  # bytes that a placeholder is made of
_BUSY_RETRY = 1.0


class Parser:
    """Runs a channel's parser in workers, a bounded number of payloads at once."""

    def __init__(self, name: str, channel: Parses, workers: Workers) -> None:
        self._channel = channel
        self._workers = workers
        self._name = name
        self._small = asyncio.Semaphore(AT_ONCE)
        self._large = asyncio.Semaphore(1)

    async def parsed(self, value: bytes, blob: str | None, blobs: Blobs) -> bytes:
        """What the parser makes of a payload, or its placeholder.

        Raises BlobMissing, BlobsUnavailable, and NotNow while no worker is free.
        """
        try:
            async with self._small:
                return await self._parse(value if blob is None else await blobs.read(blob, SMALL))
        except BlobTooLarge:
            pass
        async with self._large:
            assert blob is not None
            return await self._parse(await blobs.read(blob))

    async def quickly(self, value: bytes, blob: str | None, blobs: Blobs) -> bytes | None:
        """What the parser makes of a payload; None for one that is large or in trouble: `parsed` has more patience.

        Raises BlobMissing, BlobsUnavailable.
        """
        try:
            async with self._small:
                return await self._run(value if blob is None else await blobs.read(blob, SMALL), 1.0)
        except (BlobTooLarge, WorkerTrouble, ValueError):
            return None

    async def _parse(self, payload: bytes) -> bytes:
        try:
            try:
                return await self._run(payload, 1.0)
            except WorkerTrouble as trouble:
                if isinstance(trouble, Busy):
                    raise
                return await self._run(payload, _SECOND_TIME)
        except Busy:
            raise NotNow(_BUSY_RETRY, "parsers_busy") from None
        except WorkerTrouble as trouble:
            reason = _reason(trouble)
        except ValueError:
            reason = "large"
        metrics.UNPARSED.labels(self._name, reason).inc()
        log.warning("payload_not_parsed", channel=self._name, reason=reason, bytes=len(payload))
        return self._channel.placeholder(reason, payload[:_BEGINNING])

    async def _run(self, payload: bytes, patience: float) -> bytes:
        """Raises WorkerTrouble, and ValueError for what no worker takes."""
        if len(payload) > MOST_BYTES:
            raise ValueError
        seconds = (_SECONDS + _SECONDS_PER_MIB * len(payload) / _MIB) * patience
        memory = _MEMORY + _MEMORY_PER_BYTE * len(payload)
        return await self._workers.run(self._channel.parser, payload, deadline=seconds, memory=memory)


def _reason(trouble: WorkerTrouble) -> str:
    if isinstance(trouble, TooSlow):
        return "slow"
    return "memory" if isinstance(trouble, WorkerDied) and trouble.why == "memory" else "died"
