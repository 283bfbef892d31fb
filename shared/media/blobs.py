"""The blob store: one API over a directory, S3, GCS and Azure. Everything is streamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from asyncio import timeout
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from errno import ENOENT
from pathlib import Path
from random import randrange
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import LocalStore, from_url

CHUNK = 256 * 1024
_SLICE = 1024 * 1024  # of a range: a request each
PATIENCE = 10.0  # seconds without an answer, after which the store is away
# S3 refuses smaller parts of an upload, but for the last (docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
# A file on its way holds two: one that is sent, one that fills.
_PART = 5 * 1024 * 1024
_COURTESY = 2.0  # seconds for what nothing depends on: a probe, aborting an upload
_RETRIES = 5
_VENDORS = {"s3": "AWS", "s3a": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_excludes", "root_certificate")
_WHOLE_FILE = timedelta(hours=1)  # a file is read as slowly as the provider takes it; only silence is an outage


# The shape of a key, wherever it is kept: what a directory and an object store both take. A segment is a file's name
# (255 bytes in most file systems, of which the store needs some while it writes), the whole a key of S3 (1,024 bytes,
# docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html) behind a prefix. `#1` at the end is how the library
# names a file that is being written.
LONGEST_KEY, LONGEST_SEGMENT = 900, 240
_NO_KEY = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{0,2}(?:/|$)|#\d*$")
_ERRNO = re.compile(r"\(os error (\d+)\)")
# What a file system says of a name that no file can have: too long, through a file or around in circles, a directory.
_NO_NAME = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.EILSEQ})
_S3_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_NO_KEY_OF_S3 = frozenset({"KeyTooLongError", "InvalidURI", "InvalidObjectName"})
# A probe is large enough to need room on a disk, small enough to cost nothing; so many keys for all replicas, because
# GCS takes one write a second of each (docs.cloud.google.com/storage/quotas#objects).
_PROBE, _PROBES = b"\0" * 64 * 1024, 32
_PROVED_SECONDS = 10.0  # for so long a probe that succeeded is believed, unless a call fails: writing is paid for


class BlobMissing(Exception):
    """There is no blob of this key."""


class BlobTooLarge(Exception):
    """The blob is larger than whoever reads it has room for."""


class BlobsUnavailable(Exception):
    """The store does not answer, or refuses. Nothing is known about the blob."""


class Stat(NamedTuple):
    """Bytes, and what names the content as long as it stays under its key."""

    size: int
    version: str


class Blobs:
    """Blobs by key. Every method raises BlobsUnavailable, at the latest when the store has not answered for `patience`
    seconds; while a file is stored or streamed, that is for the next chunk of it."""

    def __init__(
        self,
        url: str,
        *,
        patience: float = PATIENCE,
        on_failure: Callable[[str], None] = lambda kind: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`url`: `file:///directory`, `s3://bucket/prefix`, `gs://…`, `az://…`; credentials from the environment.

        `on_failure` is told of every failed call what kind of failure it was; it must be quick.
        """
        self._patience, self._courtesy = patience, min(patience, _COURTESY)
        self._on_failure = on_failure
        self._clock = clock
        self._probe_key = f".probe/{randrange(_PROBES)}"
        self._proved_until = 0.0
        parts = urlsplit(url)
        if parts.scheme == "file":
            self._directory: Path | None = Path(unquote(parts.path))
            self._directory.mkdir(parents=True, exist_ok=True)
            self._store: Any = LocalStore(unquote(parts.path), mkdir=True)
        else:
            self._directory = None
            silence = timedelta(seconds=patience)
            retries: Any = {"max_retries": _RETRIES, "retry_timeout": silence}
            self._store = from_url(url, client_options=_client_options(parts.scheme, silence), retry_config=retries)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """One call of the store. A directory that is gone is not made again: what is written there would be lost."""
        try:
            if not self._is_there():
                raise FileNotFoundError(ENOENT, "the directory is gone")
            async with timeout(self._patience):
                yield
        except (BaseError, OSError) as away:
            self._proved_until = 0.0
            kind = _kind_of(away)
            self._on_failure(kind)
            raise BlobsUnavailable(kind) from None

    @asynccontextmanager
    async def _reading(self, key: str) -> AsyncIterator[None]:
        """One call about a blob that should be there. Raises BlobMissing for a key that no blob can have."""
        if not is_key(key):
            raise BlobMissing
        async with self._answering():
            try:
                yield
            except (BaseError, OSError, ValueError) as refused:
                none = isinstance(refused, FileNotFoundError) or _is_no_key(refused)
                if isinstance(refused, ValueError) or (none and self._is_there()):
                    raise BlobMissing from None
                raise

    def _is_there(self) -> bool:
        """A directory that is gone holds no file, and says the same of each as if it alone were missing."""
        return self._directory is None or self._directory.is_dir()

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str | None = None) -> None:
        """Store what comes, all of it or nothing: an error of the iterator leaves no blob behind.

        A directory keeps no `content_type`.
        """
        told: Any = {"Content-Type": content_type} if content_type and self._directory is None else None
        writer = obstore.open_writer_async(self._store, key, attributes=told, buffer_size=_PART, max_concurrency=1)
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

    async def put_small(self, key: str, content: bytes, *, content_type: str) -> None:
        """Store bytes that are at hand; a directory keeps no `content_type`."""
        told: Any = {"Content-Type": content_type} if self._directory is None else None
        async with self._answering():
            await obstore.put_async(self._store, key, content, attributes=told, use_multipart=False)

    async def put_content(self, prefix: str, content: bytes) -> str:
        """Store bytes under their own digest; returns the key."""
        key = f"{prefix}/{hashlib.sha256(content).hexdigest()}"
        async with self._answering():
            await obstore.put_async(self._store, key, content)
        return key

    async def size(self, key: str) -> int:
        """Bytes. Raises BlobMissing."""
        return (await self.stat(key)).size

    async def stat(self, key: str) -> Stat:
        """Raises BlobMissing."""
        async with self._reading(key):
            found = await obstore.head_async(self._store, key)
        return Stat(int(found["size"]), str(found["e_tag"] or found["last_modified"]))

    async def exists(self, key: str) -> bool:
        """Whether there is such a blob, as far as the store lets us see: S3 says 403 of one that is missing to whoever
        may not list the bucket."""
        try:
            async with self._reading(key):
                try:
                    await obstore.head_async(self._store, key)
                except PermissionDeniedError:
                    return False
        except BlobMissing:
            return False
        return True

    async def read(self, key: str, at_most: int | None = None) -> bytes:
        """All bytes of a small blob. Raises BlobMissing, and BlobTooLarge beyond `at_most` bytes."""
        async with self._reading(key):
            found = await obstore.get_async(self._store, key)
            fits = at_most is None or found.meta["size"] <= at_most
            content = bytes(await found.bytes_async()) if fits else b""
        if not fits:
            raise BlobTooLarge
        return content

    async def head(self, key: str, length: int) -> bytes:
        """The first bytes, at most `length`. Raises BlobMissing."""
        async with self._reading(key):
            size = int((await obstore.head_async(self._store, key))["size"])
            end = min(size, length)
            return bytes(await obstore.get_range_async(self._store, key, start=0, end=end)) if end else b""

    async def signed(self, key: str, seconds: timedelta) -> str | None:
        """An address under which anybody may read the blob for so long; None where the store is a directory."""
        if self._directory is not None:
            return None
        async with self._reading(key):
            return str(await obstore.sign_async(self._store, "GET", key, seconds))

    async def stream(self, key: str, part: range | None = None) -> AsyncIterator[bytes]:
        """The bytes in chunks, or those of a `part` that is not empty. Raises BlobMissing at the first."""
        only: Any = {"range": (part.start, part.stop)} if part is not None else None
        async with self._reading(key):
            found = await obstore.get_async(self._store, key, options=only)
            chunks = found.stream(min_chunk_size=CHUNK).__aiter__()
        while True:
            async with self._reading(key):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    async def stream_range(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end` in chunks, as far as there are any. Raises BlobMissing at the first."""
        end = min(end, await self.size(key))
        for first in range(start, end, _SLICE):
            async with self._reading(key):
                last = min(first + _SLICE, end)
                chunk = bytes(await obstore.get_range_async(self._store, key, start=first, end=last))
            yield chunk

    async def delete(self, key: str) -> None:
        """Remove a blob. Raises BlobMissing for one that is not there, where the store says so: S3 does not."""
        async with self._reading(key):
            await obstore.delete_async(self._store, key)

    async def reachable(self) -> bool:
        """Whether the store keeps what it is given: it is written to and read from, every few seconds at the most."""
        if self._clock() < self._proved_until:
            return True
        try:
            async with timeout(self._courtesy):
                async with self._answering():
                    await obstore.put_async(self._store, self._probe_key, _PROBE, use_multipart=False)
                kept = await self.read(self._probe_key)
        except (BlobsUnavailable, BlobMissing, TimeoutError):
            return False
        if kept == _PROBE:
            self._proved_until = self._clock() + _PROVED_SECONDS
        return kept == _PROBE


def is_key(key: str) -> bool:
    """Whether a blob can have this key; where it cannot, no store needs to be asked."""
    try:
        segments = [len(segment) for segment in key.encode().split(b"/")]
    except UnicodeEncodeError:
        return False
    fits = max(segments) <= LONGEST_SEGMENT and sum(segments) + len(segments) - 1 <= LONGEST_KEY
    return fits and _NO_KEY.search(key) is None


def _is_no_key(error: Exception) -> bool:
    """Whether the store says that no blob can have such a key: that is about the key, not about the store."""
    said = str(error)
    number, code = _ERRNO.search(said), _S3_CODE.search(said)
    return (number is not None and int(number[1]) in _NO_NAME) or (code is not None and code[1] in _NO_KEY_OF_S3)


def _kind_of(error: Exception) -> str:
    """What to call a failure: `ENOSPC`, `AccessDenied`; where the store does not say, its type. Never a key."""
    if isinstance(error, TimeoutError):
        return "no answer"
    said = str(error)
    if (number := _ERRNO.search(said)) is not None:
        return errno.errorcode.get(int(number[1]), type(error).__name__)
    code = _S3_CODE.search(said)
    return code[1] if code is not None else type(error).__name__


def _client_options(scheme: str, silence: timedelta) -> Any:
    """With what the environment says of the HTTP client (`AWS_ALLOW_HTTP`): options given in code would replace it."""
    named = {option: f"{_VENDORS.get(scheme)}_{option}".upper() for option in _CLIENT_OPTIONS}
    given = {option: os.environ[name] for option, name in named.items() if name in os.environ}
    return given | {"connect_timeout": silence, "read_timeout": silence, "timeout": _WHOLE_FILE}
