"""Uploading a file as a stream, and remembering for how long Meta keeps it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from time import monotonic
from weakref import WeakValueDictionary

from shared.channel import OpenFile
from shared.media.types import claim, upload_name

# Meta keeps an upload for 30 days and tells nobody when it goes.
_KEPT_SECONDS = 25 * 24 * 3600.0
_REMEMBERED = 10_000

Key = tuple[str, str]  # phone number id, SHA-256 of the bytes in hex


class MediaIds:
    """The media ids of what has been uploaded lately: bounded, and forgotten before Meta forgets."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._ids: OrderedDict[Key, tuple[str, float]] = OrderedDict()
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    def lock(self, key: Key) -> asyncio.Lock:
        """Held while a file is being uploaded: a campaign sends one picture to thousands at once."""
        return self._locks.setdefault(key, asyncio.Lock())

    def get(self, key: Key) -> str | None:
        media_id, until = self._ids.get(key, ("", 0.0))
        return media_id if until > self._clock() else None

    def put(self, key: Key, media_id: str) -> None:
        self._ids[key] = (media_id, self._clock() + _KEPT_SECONDS)
        self._ids.move_to_end(key)
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)


class Upload:
    """One `multipart/form-data` body made on the way: at no time is more than a chunk in memory.

    `sha256` is that of the file, known once the body has been read; `broken` is what reading the file raised.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.broken: Exception | None = None
        boundary = secrets.token_hex(16)
        mime_type = _declared_type(file.mime_type)
        name = _quoted(upload_name(file.filename, mime_type))  # Meta types by it, and shows another
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in (("messaging_product", "whatsapp"), ("type", mime_type))
        )
        self._head = (
            f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: {mime_type}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + file.size + len(self._tail)),
        }

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def body(self) -> AsyncIterator[bytes]:
        yield self._head
        try:
            async for chunk in self._file.chunks:
                self._digest.update(chunk)
                yield chunk
        except Exception as broken:
            self.broken = broken
            raise
        yield self._tail


def _declared_type(mime_type: str) -> str:
    """Meta refuses plain `audio/ogg`: it wants to hear of the codec."""
    known = claim(mime_type) or mime_type
    return "audio/ogg; codecs=opus" if known == "audio/ogg" else known


def _quoted(name: str) -> str:
    """A file name as browsers put it into a multipart header."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
