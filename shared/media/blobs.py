"""The blob store: one API over a directory, S3, GCS and Azure. Everything is streamed."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, from_url

CHUNK = 256 * 1024


class BlobMissing(Exception):
    """There is no blob of this key."""


class Blobs:
    """Blobs by key. Errors of the store itself pass through as `OSError` or obstore's own."""

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
        async with obstore.open_writer_async(self._store, key, buffer_size=CHUNK) as writer:
            async for chunk in chunks:
                await writer.write(chunk)

    async def put_content(self, prefix: str, content: bytes) -> str:
        """Store bytes under their own digest; returns the key."""
        key = f"{prefix}/{hashlib.sha256(content).hexdigest()}"
        await obstore.put_async(self._store, key, content)
        return key

    async def size(self, key: str) -> int:
        """Bytes. Raises BlobMissing."""
        try:
            return int((await obstore.head_async(self._store, key))["size"])
        except FileNotFoundError:
            raise BlobMissing from None

    async def exists(self, key: str) -> bool:
        try:
            await self.size(key)
        except BlobMissing:
            return False
        return True

    async def read(self, key: str) -> bytes:
        """All bytes of a small blob. Raises BlobMissing."""
        try:
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())
        except FileNotFoundError:
            raise BlobMissing from None

    async def head(self, key: str, length: int) -> bytes:
        """The first bytes, at most `length`. Raises BlobMissing."""
        try:
            size = int((await obstore.head_async(self._store, key))["size"])
            end = min(size, length)
            return bytes(await obstore.get_range_async(self._store, key, start=0, end=end)) if end else b""
        except FileNotFoundError:
            raise BlobMissing from None

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in chunks. Raises BlobMissing at the first."""
        try:
            found = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            raise BlobMissing from None
        async for chunk in found.stream(min_chunk_size=CHUNK):
            yield bytes(chunk)

    async def reachable(self) -> bool:
        """Whether the store answers: asking for a key that need not exist is enough."""
        try:
            await self.size(".probe")
        except BlobMissing:
            return True
        except Exception:  # every backend has its own errors; all of them mean that it is away
            return False
        return True
