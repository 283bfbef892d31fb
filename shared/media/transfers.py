"""Transfers: how slowly bytes may come or go before the other side counts as stalled, and how long an answer may be.

A transfer has `patience` seconds, and earns more with every byte, but never gets more than `patience` ahead. So `size`
bytes take at most patience + size / slowest seconds, whether the size is known or not, and after a fast beginning the
rest may not stall longer than at the beginning. What trickles at a byte a second has `patience` seconds, all in all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from types import TracebackType

from aiohttp import ClientPayloadError, ClientResponse

# Bytes a second, below which a connection counts as stalled: a thousandth of what a data centre gives, and less than
# what a phone in an underground train gets. The largest file (100 MiB) has 35 minutes at this speed.
SLOWEST = 50_000.0
PATIENCE = 20.0  # seconds: as long as any provider call may take to be answered
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes: several times the longest answer of any provider (100 updates of Telegram)


class TooSlow(TimeoutError):
    """The other side sends or takes too little."""


async def steady(
    chunks: AsyncIterator[bytes],
    patience: float = PATIENCE,
    slowest: float = SLOWEST,
    clock: Callable[[], float] = monotonic,
) -> AsyncIterator[bytes]:
    """What comes, as long as it comes fast enough. Raises TooSlow.

    Only the wait for the next chunk counts: who reads slowly does so on its own account.
    """
    left = patience
    while True:
        began = clock()
        try:
            async with asyncio.timeout(left) as scope:
                chunk = await anext(chunks, None)
        except TimeoutError:
            if not scope.expired():
                raise
            raise TooSlow from None
        if chunk is None:
            return
        left = min(patience, left - (clock() - began) + len(chunk) / slowest)
        if left <= 0:
            raise TooSlow
        yield chunk


class Upload:
    """Watches a body on its way out, as an async context manager around the call. Raises TooSlow.

    `moved` is told of every piece that has left, `written` once the body is out: from then on the answer has `answer`
    seconds, to its last byte.
    """

    def __init__(self, answer: float, patience: float = PATIENCE, slowest: float = SLOWEST) -> None:
        self._answer = answer
        self._patience = patience
        self._slowest = slowest
        self._scope: asyncio.Timeout | None = None

    async def __aenter__(self) -> Upload:
        self._scope = asyncio.timeout(self._patience)
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scope, self._scope = self._scope, None
        assert scope is not None
        try:
            await scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise TooSlow from None

    def moved(self, size: int) -> None:
        """So many bytes have left."""
        if self._scope is not None and not self._scope.expired():
            now = asyncio.get_running_loop().time()
            until = self._scope.when() or now
            self._scope.reschedule(min(until + size / self._slowest, now + self._patience))

    def written(self) -> None:
        """All of the body has left."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time() + self._answer)


async def whole(response: ClientResponse, most: int = LARGEST_ANSWER) -> bytes:
    """An answer, read to its end. Raises ClientPayloadError for one that has none within `most` bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > most:
            raise ClientPayloadError("an answer without an end")
        pieces.append(piece)
    return b"".join(pieces)
