"""The content of one mail as SMTP's DATA brings it, in bounded memory whatever comes."""

from __future__ import annotations

from asyncio import StreamReader
from collections.abc import Callable

# RFC 5321 §4.1.1.4: the first of these ends the content, and nothing else does. A dot between bare line feeds, or
# carriage returns, is a dot; whoever took one for the end would let a second mail be smuggled in behind it.
_END = b"\r\n.\r\n"
_CHUNK = 64 * 1024


class TooLarge(Exception):
    """The content is larger than it may be."""


class Content:
    """What comes after `354`: read until it is empty, it has been consumed up to its end and not a byte further.

    Dots that were put before others are taken away. `limit` in bytes; `beat` is called whenever something has come.
    """

    def __init__(self, reader: StreamReader, limit: int, beat: Callable[[], None]) -> None:
        self.ended = False
        self.size = 0
        self._reader = reader
        self._limit = limit
        self._beat = beat
        self._undecided = b"\r\n"  # the line before the first; from then on, what may be the start of the end
        self._skip = 2

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises TooLarge, ConnectionError."""
        while not self.ended:
            piece = self._decided(await self._next())
            self.size += len(piece)
            if self.size > self._limit:
                raise TooLarge
            if piece:
                return piece
        return b""

    async def discard(self, at_most: int) -> bool:
        """Read on to the end, and keep nothing. False when it does not come within so many bytes."""
        while not self.ended and at_most > 0:
            at_most -= len(self._decided(await self._next()))
        return self.ended

    async def _next(self) -> bytes:
        came = await self._reader.read(_CHUNK)
        if not came:
            raise ConnectionResetError("the connection ended inside a mail")
        self._beat()
        return came

    def _decided(self, came: bytes) -> bytes:
        """What is sure to be content of all that has come so far."""
        seen = self._undecided + came
        end = seen.find(_END)
        if end >= 0:
            self.ended = True
            content, behind = seen[: end + 2], seen[end + len(_END) :]
            self._reader._buffer[:0] = behind  # type: ignore[attr-defined]  # commands that were sent ahead
        else:
            undecided = next(size for size in range(len(_END) - 1, -1, -1) if seen.endswith(_END[:size]))
            content, self._undecided = seen[: len(seen) - undecided], seen[len(seen) - undecided :]
        piece = content.replace(b"\r\n.", b"\r\n")
        start, self._skip = min(self._skip, len(piece)), max(0, self._skip - len(piece))
        return piece[start:]
