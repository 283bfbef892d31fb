"""Media store: streamed uploads into a folder, Meta's types and sizes, ids that expire, five-minute signed URLs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.simulators.common import Clock
from sandbox.simulators.whatsapp.errors import GraphError, Json, unknown_object

MB: Final = 1024 * 1024
DAY: Final = 24 * 3600.0
UPLOAD_LIFE: Final = 30 * DAY
WEBHOOK_LIFE: Final = 7 * DAY  # since October 2025
URL_LIFE: Final = 300.0
ATTACHMENTS: Final = "/whatsapp_business/attachments/"

# kind: (MIME types, largest size in bytes); Meta's media page.
KINDS: Final[dict[str, tuple[frozenset[str], int]]] = {
    "audio": (frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}), 16 * MB),
    "image": (frozenset({"image/jpeg", "image/png"}), 5 * MB),
    "video": (frozenset({"video/mp4", "video/3gpp"}), 16 * MB),
    "sticker": (frozenset({"image/webp"}), 500 * 1024),
    "document": (
        frozenset(
            {
                "text/plain",
                "application/pdf",
                "application/msword",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                "application/vnd.ms-excel",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "application/vnd.ms-powerpoint",
                "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            }
        ),
        100 * MB,
    ),
}
LARGEST: Final = 100 * MB
STILL_STICKER: Final = 100 * 1024


_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
EXTENSIONS: Final[dict[str, str]] = {
    ".aac": "audio/aac",
    ".amr": "audio/amr",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".3gp": "video/3gpp",
    ".txt": "text/plain",
    ".csv": "text/plain",
    ".log": "text/plain",
    ".pdf": "application/pdf",
    ".doc": "application/msword",
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".ppt": "application/vnd.ms-powerpoint",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
}
# How files begin: (offset, bytes, type). What is shared by several types is not here.
_BEGINNINGS: Final = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG", "image/png"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBPVP8", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftypqt", "video/quicktime"),
    (0, b"OggS", "audio/ogg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"%PDF-", "application/pdf"),
)


def type_of_bytes(head: bytes) -> str | None:
    """The type of a file by its first bytes, where they tell."""
    return next((mime for at, magic, mime in _BEGINNINGS if head.startswith(magic, at)), None)


async def _peeked(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first piece, and all of them."""
    first = await anext(chunks, b"")

    async def again() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return first, again()


@dataclass(slots=True)
class Media:
    """One stored file. `owner` is the phone number id it belongs to; `mime_type` may carry parameters."""

    id: str
    owner: str
    mime_type: str
    filename: str | None
    size: int
    digest: bytes
    expires: float
    path: Path

    @property
    def kind(self) -> str | None:
        """audio, image, video, sticker, document, or None for a type Meta does not take."""
        return kind_of(self.mime_type)

    @property
    def animated(self) -> bool:
        """Whether it is a WebP that moves: the flag of the extended format."""
        with self.path.open("rb") as file:
            head = file.read(21)
        return head[8:16] == b"WEBPVP8X" and bool(head[20:21] and head[20] & 0x02)

    def block(self) -> Json:
        """The keys a webhook carries; `sha256` in base64 as there."""
        return {"id": self.id, "mime_type": self.mime_type, "sha256": base64.b64encode(self.digest).decode()}


def kind_of(mime_type: str) -> str | None:
    """Which kind of message a MIME type belongs to."""
    bare = mime_type.split(";", 1)[0].strip().lower()
    return next((kind for kind, (types, _) in KINDS.items() if bare in types), None)


class MediaStore:
    """Files in `folder` (a temporary one, removed at `close`, when none is given).

    At most `max_bytes` are kept; the oldest files go first, as do those past their life.
    """

    def __init__(self, clock: Clock, folder: Path | None = None, *, max_bytes: int = 2048 * MB) -> None:
        self._clock = clock
        self._temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="whatsapp-sim-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._items: dict[str, Media] = {}
        self._bytes = 0
        self._key = secrets.token_bytes(16)

    def close(self) -> None:
        """Remove the files when the folder is ours."""
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def upload(self, chunks: AsyncIterator[bytes], *, owner: str, mime_type: str, filename: str | None) -> Media:
        """Store a business's upload. Raises GraphError 100 for the type, 131053 for the size.

        The type is what the bytes are, where they tell, else what the name's extension says: one that says nothing
        makes the file an octet-stream. What is told to be another kind fails only when it is sent.
        """
        head, chunks = await _peeked(chunks)
        kind = kind_of(mime_type)
        found = type_of_bytes(head)
        if kind is None or (found is not None and kind_of(found) is None):
            allowed = ", ".join(sorted(t for types, _ in KINDS.values() for t in types))
            raise GraphError(
                100,
                f"Param file must be a file with one of the following types: {allowed}."
                f" Received file of type '{mime_type if kind is None else found}'.",
            )
        bare, _, parameters = mime_type.partition(";")
        if bare.strip().lower() == "audio/ogg" and "opus" not in parameters.lower():
            raise GraphError(100, "Param file of type 'audio/ogg' must use the opus codec: 'audio/ogg; codecs=opus'.")
        by_name = EXTENSIONS.get(Path(filename or "").suffix.lower(), "application/octet-stream")
        stored = found if found and found != bare.strip().lower() else by_name
        if stored == bare.strip().lower():
            stored = mime_type
        return await self.add(chunks, owner=owner, mime_type=stored, filename=filename, largest=KINDS[kind][1])

    async def add(
        self,
        chunks: AsyncIterator[bytes],
        *,
        owner: str,
        mime_type: str,
        filename: str | None,
        life: float = UPLOAD_LIFE,
        largest: int = LARGEST,
    ) -> Media:
        """Stream `chunks` to disk; raises GraphError 131053 past `largest` bytes."""
        media_id = str(10**15 + secrets.randbelow(9 * 10**15))
        path = self._folder / media_id
        size, digest = 0, hashlib.sha256()
        try:
            with path.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > largest:
                        raise GraphError(131053, f"File size exceeds the limit of {largest} bytes.")
                    digest.update(chunk)
                    file.write(chunk)
            if size == 0:
                raise GraphError(100, "The parameter file is required.")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        media = Media(media_id, owner, mime_type, filename, size, digest.digest(), self._clock.now() + life, path)
        self._items[media_id] = media
        self._bytes += size
        self._evict()
        return media

    async def add_bytes(self, data: bytes, mime_type: str, *, owner: str = "", filename: str | None = None) -> Media:
        """Store a customer's file under an id that lives seven days."""

        async def once() -> AsyncIterator[bytes]:
            yield data

        return await self.add(once(), owner=owner, mime_type=mime_type, filename=filename, life=WEBHOOK_LIFE)

    def get(self, media_id: str, *, owner: str | None = None) -> Media:
        """A live file; raises GraphError 100/33 when unknown, expired, or of another number."""
        media = self._items.get(media_id)
        if media is None or media.expires <= self._clock.now() or (owner and media.owner not in ("", owner)):
            raise unknown_object(media_id)
        return media

    def knows(self, media_id: str) -> bool:
        """Whether the id is a file's, dead or alive."""
        return media_id in self._items

    def delete(self, media_id: str) -> None:
        """Forget a file; an unknown id is no error."""
        media = self._items.pop(media_id, None)
        if media is not None:
            self._bytes -= media.size
            media.path.unlink(missing_ok=True)

    def url(self, media: Media, base_url: str) -> str:
        """A download URL good for five minutes."""
        until = int(self._clock.now() + URL_LIFE)
        return f"{base_url}{ATTACHMENTS}?mid={media.id}&ext={until}&hash={self._sign(media.id, until)}"

    def resolve(self, media_id: str, until: str, signature: str) -> Media | None:
        """The file behind a URL, or None when the URL is forged, older than five minutes, or the file is gone."""
        if not until.isdigit() or not hmac.compare_digest(
            signature.encode(), self._sign(media_id, int(until)).encode()
        ):
            return None
        if int(until) <= self._clock.now():
            return None
        return self._items.get(media_id)

    def _sign(self, media_id: str, until: int) -> str:
        return hmac.new(self._key, f"{media_id}.{until}".encode(), hashlib.sha256).hexdigest()[:32]

    def _evict(self) -> None:
        now = self._clock.now()
        for media in list(self._items.values()):
            if media.expires > now and self._bytes <= self._max_bytes:
                break
            self.delete(media.id)
