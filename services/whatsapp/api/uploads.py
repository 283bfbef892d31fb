"""Uploading a file as a stream, and remembering for how long Meta keeps it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import PurePosixPath
from time import monotonic
from weakref import WeakValueDictionary

from cachetools import TTLCache

from shared.channel import OpenFile
from shared.kit.multipart import FilePart
from shared.media.types import claim

# Meta keeps an upload for 30 days and tells nobody when it goes.
_KEPT_SECONDS = 25 * 24 * 3600.0
_REMEMBERED = 10_000

_TEXTS = frozenset({"application/xml", "application/json"})

Key = tuple[str, str]  # phone number id, SHA-256 of the bytes in hex


class MediaIds:
    """The media ids of what has been uploaded lately: bounded, and forgotten before Meta forgets."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.known: TTLCache[Key, str] = TTLCache(_REMEMBERED, _KEPT_SECONDS, timer=clock)
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    def lock(self, key: Key) -> asyncio.Lock:
        """Held while a file is being uploaded: a campaign sends one picture to thousands at once."""
        return self._locks.setdefault(key, asyncio.Lock())


class Upload:
    """A file as Meta takes it: `part` of a form, beside its `fields`. `sha256` is known once it has been read."""

    def __init__(self, file: OpenFile) -> None:
        self._digest = hashlib.sha256()
        declared = _declared(file)
        self.fields = {"messaging_product": "whatsapp", "type": declared.mime_type}
        self.part = FilePart(replace(declared, chunks=self._digested(file.chunks)))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def _digested(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._digest.update(chunk)
            yield chunk


def _declared(file: OpenFile) -> OpenFile:
    """As Meta wants to hear of it: with the codec of Ogg, and of text only that it is text, also by its name.

    The contact sees another name.
    """
    known = claim(file.mime_type) or file.mime_type
    if known == "audio/ogg":
        return replace(file, mime_type="audio/ogg; codecs=opus")
    if known.startswith("text/") or known in _TEXTS:
        return replace(file, mime_type="text/plain", filename=f"{PurePosixPath(file.filename).stem or 'file'}.txt")
    return replace(file, mime_type=known)
