"""Uploads as multipart forms that stream: a file goes from where it is to the socket, never whole through memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload, StringPayload

from shared.channel import Failure, Files, FileUnavailable, OpenFile, ProviderError
from shared.contract.commands import File
from shared.contract.errors import ErrorCode
from shared.media.transfers import Upload
from shared.media.types import upload_name

_LONGEST_NAME = 255


async def open_file(files: Files, file: File) -> OpenFile:
    """A command's file, to be sent. Raises ProviderError (`file_unavailable`)."""
    try:
        return await files.open(file)
    except FileUnavailable:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE)) from None


class FilePart(Payload):
    """A file of known size as a part of a form.

    `written` turns true behind its last byte; `unreadable` when it could not be read, or was not as long as announced.
    Its name ends as its type says: providers go by it.
    """

    _autoclose = True

    def __init__(self, file: OpenFile, filename: str | None = None) -> None:
        name = upload_name(filename or file.filename, file.mime_type)
        super().__init__(file, content_type=file.mime_type or "application/octet-stream", filename=_plain(name))
        self.file = file
        self._size = file.size
        self.written = False
        self.unreadable = False
        self.moved: Callable[[int], None] = lambda size: None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a file is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the file. Raises FileUnavailable when it cannot be read or is not as long as announced."""
        left = self.file.size
        try:
            async for chunk in self.file.chunks:
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
            # More bytes would belong to the next part, fewer leave the provider waiting: neither must look complete.
            self.unreadable = True
            raise FileUnavailable
        self.written = True
        self.moved(0)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


def form(fields: Mapping[str, str], files: Mapping[str, FilePart]) -> aiohttp.MultipartWriter:
    """A `multipart/form-data` body. Its length is known, since every part's is."""
    body = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        part = StringPayload(value)
        part.set_content_disposition("form-data", name=name)
        body.append_payload(part)
    for name, file in files.items():
        # Names are read as they are: UTF-8, not percent-encoded.
        file.set_content_disposition("form-data", quote_fields=False, name=name, filename=file.filename)
        body.append_payload(file)
    return body


def _plain(filename: str) -> str:
    """A name that cannot break out of its header."""
    return "".join("_" if c in '"\\/\r\n' or not c.isprintable() else c for c in filename or "file")[-_LONGEST_NAME:]


@asynccontextmanager
async def uploading(files: Collection[FilePart], answer: float) -> AsyncIterator[None]:
    """Around the call that sends them: files have to move, after them the answer has `answer` seconds.

    Raises TooSlow. Closes the files.
    """
    try:
        if not files:
            yield
            return
        async with Upload(answer) as watch:

            def moved(size: int) -> None:
                watch.moved(size)
                if all(file.written for file in files):
                    watch.written()

            for file in files:
                file.moved = moved
            yield
    finally:
        for file in files:
            await file.file.close()
