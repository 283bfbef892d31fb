"""The blob store: one API over a directory, S3, GCS and Azure. Everything is streamed."""

from __future__ import annotations

import hashlib
import os
from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import LocalStore, from_url

CHUNK = 256 * 1024
PATIENCE = 10.0  # seconds without an answer, after which the store is away
# S3 refuses smaller parts of an upload, but for the last (docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
# A file on its way holds two: one that is sent, one that fills.
_PART = 5 * 1024 * 1024
_COURTESY = 2.0  # seconds for what nothing depends on: a probe, aborting an upload
_RETRIES = 5
_VENDORS = {"s3": "AWS", "s3a": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_excludes", "root_certificate")
_WHOLE_FILE = timedelta(hours=1)  # a file is read as slowly as the provider takes it; only silence is an outage


class BlobMissing(Exception):
    """There is no blob of this key."""


class BlobsUnavailable(Exception):
    """The store does not answer, or refuses. Nothing is known about the blob."""


class _Forbidden(BlobsUnavailable):
    """The store answers, and refuses. S3 says so of a missing key, too, to whoever may not list the bucket."""


class Blobs:
    """Blobs by key. Every method raises BlobsUnavailable, at the latest when the store has not answered for `patience`
    seconds; while a file is stored or streamed, that is for the next chunk of it."""

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        """`url`: `file:///directory`, `s3://bucket/prefix`, `gs://…`, `az://…`; credentials from the environment."""
        self._patience, self._courtesy = patience, min(patience, _COURTESY)
        parts = urlsplit(url)
        if parts.scheme == "file":
            Path(unquote(parts.path)).mkdir(parents=True, exist_ok=True)
            self._store: Any = LocalStore(unquote(parts.path), mkdir=True)
        else:
            silence = timedelta(seconds=patience)
            retries: Any = {"max_retries": _RETRIES, "retry_timeout": silence}
            self._store = from_url(url, client_options=_client_options(parts.scheme, silence), retry_config=retries)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """One call of the store."""
        try:
            async with timeout(self._patience):
                yield
        except PermissionDeniedError as refused:
            raise _Forbidden(type(refused).__name__) from None
        except (BaseError, OSError) as away:
            raise BlobsUnavailable(type(away).__name__) from None

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        """One call about a blob that should be there."""
        async with self._answering():
            try:
                yield
            except (FileNotFoundError, ValueError):  # a key that no blob can have is one that no blob has
                raise BlobMissing from None

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store what comes, all of it or nothing: an error of the iterator leaves no blob behind."""
        writer = obstore.open_writer_async(self._store, key, buffer_size=_PART, max_concurrency=1)
        try:
            async for chunk in chunks:
                async with self._answering():
                    await writer.write(chunk)
            async with self._answering():
                await writer.close()
        except BaseException as broken:
            with suppress(Exception):
                async with timeout(self._courtesy):  # leaving it like this is the only way there is to abort an upload
                    await writer.__aexit__(type(broken), broken, broken.__traceback__)
            raise

    async def put_content(self, prefix: str, content: bytes) -> str:
        """Store bytes under their own digest; returns the key."""
        key = f"{prefix}/{hashlib.sha256(content).hexdigest()}"
        async with self._answering():
            await obstore.put_async(self._store, key, content)
        return key

    async def size(self, key: str) -> int:
        """Bytes. Raises BlobMissing."""
        async with self._reading():
            return int((await obstore.head_async(self._store, key))["size"])

    async def exists(self, key: str) -> bool:
        """Whether there is such a blob, as far as the store lets us see."""
        try:
            await self.size(key)
        except (BlobMissing, _Forbidden):
            return False
        return True

    async def read(self, key: str) -> bytes:
        """All bytes of a small blob. Raises BlobMissing."""
        async with self._reading():
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def head(self, key: str, length: int) -> bytes:
        """The first bytes, at most `length`. Raises BlobMissing."""
        async with self._reading():
            size = int((await obstore.head_async(self._store, key))["size"])
            end = min(size, length)
            return bytes(await obstore.get_range_async(self._store, key, start=0, end=end)) if end else b""

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in chunks. Raises BlobMissing at the first."""
        async with self._reading():
            found = await obstore.get_async(self._store, key)
            chunks = found.stream(min_chunk_size=CHUNK).__aiter__()
        while True:
            async with self._reading():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    async def reachable(self) -> bool:
        """Whether the store answers: asking for a key that need not exist is enough."""
        try:
            async with timeout(self._courtesy):
                await self.exists(".probe")
        except (BlobsUnavailable, TimeoutError):
            return False
        return True


def _client_options(scheme: str, silence: timedelta) -> Any:
    """With what the environment says of the HTTP client (`AWS_ALLOW_HTTP`): options given in code would replace it."""
    named = {option: f"{_VENDORS.get(scheme)}_{option}".upper() for option in _CLIENT_OPTIONS}
    given = {option: os.environ[name] for option, name in named.items() if name in os.environ}
    return given | {"connect_timeout": silence, "read_timeout": silence, "timeout": _WHOLE_FILE}
