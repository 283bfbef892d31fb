"""The blob store: one API over a directory, S3, GCS and Azure. Everything is streamed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

CHUNK = 256 * 1024


class BlobMissing(Exception):
    """There is no blob of this key."""


class BlobsUnavailable(Exception):
    """The store does not answer, or refuses. Nothing is known about the blob."""


class _Broken(Exception):
    """What is to be stored could not be read to its end."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ValueError):  # a key that no blob can have is one that no blob has
        raise BlobMissing from None
    except (BaseError, OSError) as away:
        raise BlobsUnavailable(type(away).__name__) from None


class Blobs:
    """Blobs by key. Every method raises BlobsUnavailable."""

    def __init__(self, url: str) -> None:
        """`url`: `file:///directory`, `s3://bucket/prefix`, `gs://…`, `az://…`; credentials from the environment."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            Path(unquote(parts.path)).mkdir(parents=True, exist_ok=True)
            self._store: Any = LocalStore(unquote(parts.path), mkdir=True)
        else:
            self._store = from_url(url)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store what comes, all of it or nothing: an error of the iterator leaves no blob behind."""
        try:
            async with obstore.open_writer_async(self._store, key, buffer_size=CHUNK) as writer:
                async for chunk in _marked(chunks):
                    await writer.write(chunk)
        except _Broken as broken:
            raise broken.cause from None
        except (BaseError, OSError) as away:
            raise BlobsUnavailable(type(away).__name__) from None

    async def put_content(self, prefix: str, content: bytes) -> str:
        """Store bytes under their own digest; returns the key."""
        key = f"{prefix}/{hashlib.sha256(content).hexdigest()}"
        with _in_our_words():
            await obstore.put_async(self._store, key, content)
        return key

    async def size(self, key: str) -> int:
        """Bytes. Raises BlobMissing."""
        with _in_our_words():
            return int((await obstore.head_async(self._store, key))["size"])

    async def exists(self, key: str) -> bool:
        try:
            await self.size(key)
        except BlobMissing:
            return False
        return True

    async def read(self, key: str) -> bytes:
        """All bytes of a small blob. Raises BlobMissing."""
        with _in_our_words():
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def head(self, key: str, length: int) -> bytes:
        """The first bytes, at most `length`. Raises BlobMissing."""
        with _in_our_words():
            size = int((await obstore.head_async(self._store, key))["size"])
            end = min(size, length)
            return bytes(await obstore.get_range_async(self._store, key, start=0, end=end)) if end else b""

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in chunks. Raises BlobMissing at the first."""
        with _in_our_words():
            found = await obstore.get_async(self._store, key)
            chunks = found.stream(min_chunk_size=CHUNK).__aiter__()
        while True:
            with _in_our_words():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    async def reachable(self) -> bool:
        """Whether the store answers: asking for a key that need not exist is enough."""
        try:
            await self.size(".probe")
        except BlobMissing:
            return True
        except BlobsUnavailable:
            return False
        return True


async def _marked(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks; an error of theirs can be told from one of the store."""
    try:
        async for chunk in chunks:
            yield chunk
    except Exception as cause:
        raise _Broken(cause) from None
