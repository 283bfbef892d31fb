"""Multipart bodies that stream: files go from where they are to the socket, never whole through memory.

python-telegram-bot passes what an `InputFile` holds through untouched when it is told not to read it, so the file
stays an open stream until aiohttp writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload, StringPayload

from shared.channel import FileUnavailable, OpenFile


class FilePayload(Payload):
    """A file of known size as a part of a body: `moved` hears of its pieces, `written` turns true behind the last."""

    _autoclose = True

    def __init__(self, file: OpenFile) -> None:
        super().__init__(file, content_type=file.mime_type or "application/octet-stream", filename=file.filename)
        self._file = file
        self._size = file.size
        self.written = False
        self.unreadable = False
        self.moved: Callable[[int], None] = lambda size: None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a file is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the file. Raises FileUnavailable when it cannot be read or is not as long as announced."""
        left = self._file.size
        try:
            async for chunk in self._file.chunks:
                left -= len(chunk)
                if left < 0:
                    break
                await writer.write(chunk)
                self.moved(len(chunk))
        except (ConnectionError, aiohttp.ClientError):
            raise
        except Exception:
            self.unreadable = True
            raise FileUnavailable from None
        if left != 0:
            # More bytes would belong to the next part, fewer leave Telegram waiting: neither must look complete.
            self.unreadable = True
            raise FileUnavailable
        self.written = True
        self.moved(0)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


def form(fields: Mapping[str, str], files: Mapping[str, FilePayload]) -> aiohttp.MultipartWriter:
    """A `multipart/form-data` body. Its length is known, since every part's is."""
    body = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        part = StringPayload(value)
        part.set_content_disposition("form-data", name=name)
        body.append_payload(part)
    for name, file in files.items():
        # Telegram reads file names as they are: UTF-8, not percent-encoded.
        file.set_content_disposition("form-data", quote_fields=False, name=name, filename=_plain(file.filename))
        body.append_payload(file)
    return body


def _plain(filename: str | None) -> str:
    """A name that cannot break out of its header."""
    return "".join("_" if c in '"\\/\r\n' or not c.isprintable() else c for c in filename or "file")[:255]
