"""Uploading a file as a stream, and remembering for how long Meta keeps it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from time import monotonic
from weakref import WeakValueDictionary

from cachetools import TTLCache

from shared.channel import OpenFile
from shared.kit.multipart import FilePart
from shared.media.types import claim

# Meta keeps an upload for 30 days and tells nobody when it goes.
_KEPT_SECONDS = 25 * 24 * 3600.0
_REMEMBERED = 10_000

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
        mime_type = _declared_type(file.mime_type)
        self.fields = {"messaging_product": "whatsapp", "type": mime_type}
        self.part = FilePart(replace(file, mime_type=mime_type, chunks=self._digested(file.chunks)))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def _digested(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._digest.update(chunk)
            yield chunk


def _declared_type(mime_type: str) -> str:
    """Meta refuses plain `audio/ogg`: it wants to hear of the codec."""
    known = claim(mime_type) or mime_type
    return "audio/ogg; codecs=opus" if known == "audio/ogg" else known
