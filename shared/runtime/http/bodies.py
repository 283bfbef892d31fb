"""Bodies of requests: read as they come over the wire, never unpacked, and only so many bytes of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from shared.runtime.http.listener import Connection
from shared.runtime.settings import HttpSettings

# Of the bytes in flight, what bodies may hold that are still coming: those that came whole always find room.
COMING_SHARE = 0.75
# A body that has been coming for longer may be sent away, when there is no room for another one.
EVICTED_AFTER = 1.0
# A chunked body of tiny chunks costs a hundred times what its bytes are worth.
_FREE_CHUNKS = 64
_LEAST_CHUNK = 64
MOST_STREAMED = 8  # bodies at once that go to the raw store while they come: each has a buffer there
_BEGINNING = 64 * 1024


class BodyRefused(Exception):
    """The body is not taken; `status` is the answer. The connection is of no use afterwards."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Bodies:
    """The bytes that all requests of the process hold at once, those that are being read and those that are handled."""

    def __init__(self, settings: HttpSettings) -> None:
        self._max_body = settings.max_body
        self._timeout = settings.body_timeout
        self._most = max(settings.max_in_flight, settings.max_body)
        self._most_coming = max(int(self._most * COMING_SHARE), settings.max_body)
        self._streaming = asyncio.Semaphore(MOST_STREAMED)
        self._held = 0
        self._coming: dict[_Coming, None] = {}  # the one that has been coming longest is the first

    @property
    def held(self) -> int:
        """Bytes in flight: what is held, and what has been declared and not come yet."""
        return self._held

    @asynccontextmanager
    async def of(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body of a request, held until the block ends.

        Raises BodyRefused: 415 (an encoding; nothing is unpacked for a stranger), 413 (too large), 503 (too much is in
        flight), 408 (too slow), 400 (broken, or in too many chunks).
        """
        encodings = request.headers.getall("Content-Encoding", [])
        if any(encoding.strip().lower() not in ("", "identity") for encoding in encodings):
            raise BodyRefused(415)
        if (request.content_length or 0) > self._max_body:
            raise BodyRefused(413)
        body = self._whole(request) if request.content.is_eof() else await self._read(request)
        if isinstance(request.protocol, Connection):
            request.protocol.has_asked()
        try:
            yield body
        finally:
            self._held -= len(body)

    async def pieces(self, request: web.Request, most: int, beginning: bytearray) -> AsyncIterator[bytes]:
        """The body of a request as it comes, at most `most` bytes of it; its first 64 KiB are left in `beginning`.

        It may be larger than those that are held, and come as long as it goes on coming. Raises BodyRefused as `of`.
        """
        if any(one.strip().lower() not in ("", "identity") for one in request.headers.getall("Content-Encoding", [])):
            raise BodyRefused(415)
        if (request.content_length or 0) > most:
            raise BodyRefused(413)
        size = chunks = 0
        async with self._streaming:
            try:
                while True:
                    async with asyncio.timeout(self._timeout):
                        piece, whole_chunk = await request.content.readchunk()
                    if not piece and not whole_chunk:
                        break
                    size += len(piece)
                    chunks += whole_chunk
                    if size > most:
                        raise BodyRefused(413)
                    if chunks > _FREE_CHUNKS + size // _LEAST_CHUNK:
                        raise BodyRefused(400)
                    beginning += piece[: max(0, _BEGINNING - len(beginning))]
                    yield piece
            except TimeoutError:
                raise BodyRefused(408) from None
            except web.RequestPayloadError:
                raise BodyRefused(400) from None
        if isinstance(request.protocol, Connection):
            request.protocol.has_asked()

    def _whole(self, request: web.Request) -> bytes:
        """A body that came with its head, as most do: nothing to wait for."""
        if self._held + request.content.total_bytes > self._most:
            raise BodyRefused(503)
        body = request.content.read_nowait(-1)
        if len(body) > self._max_body:
            raise BodyRefused(413)
        self._held += len(body)
        return body

    async def _read(self, request: web.Request) -> bytes:
        coming = _Coming()
        try:
            async with asyncio.timeout(self._timeout) as coming.scope:
                self._take(coming, request.content_length or 0)
                body = await self._joined(request, coming)
        except TimeoutError:
            raise BodyRefused(503 if coming.evicted else 408) from None
        except web.RequestPayloadError:
            raise BodyRefused(400) from None
        finally:
            self._give_back(coming)
        self._held += len(body)
        return body

    async def _joined(self, request: web.Request, coming: _Coming) -> bytes:
        pieces: list[bytes] = []
        size = chunks = 0
        while True:
            piece, whole_chunk = await request.content.readchunk()
            if not piece and not whole_chunk:
                return b"".join(pieces)
            size += len(piece)
            chunks += whole_chunk
            if size > self._max_body:
                raise BodyRefused(413)
            if chunks > _FREE_CHUNKS + size // _LEAST_CHUNK:
                raise BodyRefused(400)
            self._take(coming, size - coming.taken)
            pieces.append(piece)

    def _take(self, coming: _Coming, more: int) -> None:
        """Take room for a body that is still coming; one that dawdles makes way. Raises BodyRefused."""
        self._coming.setdefault(coming)
        if more <= 0:
            return
        now = asyncio.get_running_loop().time()
        while self._held + more > self._most_coming:
            longest = next(iter(self._coming))
            if longest is coming or now - longest.since < EVICTED_AFTER:
                raise BodyRefused(503)
            longest.evicted = True
            longest.scope.reschedule(now)
            self._give_back(longest)
        coming.taken += more
        self._held += more

    def _give_back(self, coming: _Coming) -> None:
        if coming in self._coming:
            del self._coming[coming]
            self._held -= coming.taken


class _Coming:
    """A body that is being read: since when, and how many bytes have been taken for it."""

    __slots__ = ("evicted", "scope", "since", "taken")

    scope: asyncio.Timeout

    def __init__(self) -> None:
        self.since = asyncio.get_running_loop().time()
        self.taken = 0
        self.evicted = False
