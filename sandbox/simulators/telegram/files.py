"""Files of the simulated Telegram: file_ids per bot and kind, sizes, thumbnails, download paths."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, UnidentifiedImageError

from sandbox.simulators.common import Clock
from sandbox.simulators.telegram.bodies import Spool, Upload
from sandbox.simulators.telegram.errors import bad_request

Json = dict[str, Any]

MAX_PHOTO = 10_000_000  # bytes of a photo sent by multipart
MAX_DOWNLOAD = 20 << 20  # bytes getFile hands out (official server, MAX_DOWNLOAD_FILE_SIZE)
LINK_LIFE = 3600.0  # seconds a file_path works at least
_THUMBNAIL = 320  # longest side in pixels


@dataclass(frozen=True, slots=True)
class Kind:
    """How files of one kind are named and encoded."""

    prefix: str
    folder: str
    extension: str
    mime_type: str


KINDS = {
    "photo": Kind("AgACAgIAAxkBAA", "photos", ".jpg", "image/jpeg"),
    "audio": Kind("CQACAgIAAxkBAA", "music", ".mp3", "audio/mpeg"),
    "document": Kind("BQACAgIAAxkBAA", "documents", "", "application/octet-stream"),
    "video": Kind("BAACAgIAAxkBAA", "videos", ".mp4", "video/mp4"),
    "animation": Kind("CgACAgIAAxkBAA", "animations", ".mp4", "video/mp4"),
    "voice": Kind("AwACAgIAAxkBAA", "voice", ".oga", "audio/ogg"),
    "video_note": Kind("DQACAgIAAxkBAA", "video_notes", ".mp4", "video/mp4"),
    "sticker": Kind("CAACAgIAAxkBAA", "stickers", ".webp", "image/webp"),
    "thumbnail": Kind("AAMCAgIAAxkBAA", "thumbnails", ".jpg", "image/jpeg"),
}
PHOTO_EXTENSIONS = frozenset({".jpg", ".jpeg", ".gif", ".png", ".tif", ".tiff", ".bmp", ".webp", ""})


@dataclass(slots=True, eq=False)
class StoredFile:
    """A file one bot knows by `file_id`; equal bytes share `file_unique_id`.

    `content` holds the fields a message with this file has (`{"document": {…}}`).
    """

    file_id: str
    bot_id: int
    kind: str
    upload: Upload
    path: str
    width: int = 0
    height: int = 0
    link_until: float = 0.0
    content: Json = field(default_factory=dict)

    @property
    def file_unique_id(self) -> str:
        """The same for every bot and forever."""
        digest = hashlib.sha256(f"{self.kind}{self.upload.sha256}".encode()).digest()
        return "AQAD" + base64.urlsafe_b64encode(digest[:9]).decode()

    @property
    def mime_type(self) -> str:
        """For showing the file in a browser."""
        return self.upload.mime_type or KINDS[self.kind].mime_type

    def identity(self) -> Json:
        """The fields every file object has."""
        return {"file_id": self.file_id, "file_unique_id": self.file_unique_id, "file_size": self.upload.size}


@dataclass(slots=True, eq=False)
class FileStore:
    """At most `limit` files; the oldest go first, with their bytes once nothing refers to them."""

    spool: Spool
    clock: Clock
    limit: int
    _by_id: dict[str, StoredFile] = field(default_factory=dict)
    _by_path: dict[str, StoredFile] = field(default_factory=dict)
    _users: dict[Path, int] = field(default_factory=dict)
    _count: int = 0

    def register(self, bot_id: int, kind: str, upload: Upload) -> StoredFile:
        """Give the bytes a file_id of this bot."""
        self._count += 1
        style = KINDS[kind]
        token = hashlib.sha256(f"{bot_id}:{kind}:{self._count}:{upload.sha256}".encode()).digest()
        file_id = style.prefix + base64.urlsafe_b64encode(token[:27]).decode()
        suffix = style.extension if kind == "photo" else PurePosixPath(upload.filename).suffix or style.extension
        stored = StoredFile(file_id, bot_id, kind, upload, f"{style.folder}/file_{self._count}{suffix}")
        self._by_id[file_id] = self._by_path[stored.path] = stored
        self._users[upload.path] = self._users.get(upload.path, 0) + 1
        while len(self._by_id) > self.limit:
            self._forget(next(iter(self._by_id.values())))
        return stored

    def _forget(self, stored: StoredFile) -> None:
        del self._by_id[stored.file_id], self._by_path[stored.path]
        left = self._users[stored.upload.path] - 1
        if left:
            self._users[stored.upload.path] = left
        else:
            del self._users[stored.upload.path]
            stored.upload.discard()

    def is_used(self, upload: Upload) -> bool:
        """Whether some file_id stands for these bytes."""
        return upload.path in self._users

    def get(self, file_id: object) -> StoredFile | None:
        """The file behind a file_id of any bot."""
        return self._by_id.get(file_id) if isinstance(file_id, str) else None

    def of_bot(self, bot_id: int, file_id: str) -> StoredFile:
        """The file, when this bot may use it; raises `ApiError`."""
        stored = self._by_id.get(file_id)
        if stored is None or stored.bot_id != bot_id:
            raise bad_request("wrong file identifier/HTTP URL specified")
        return stored

    def link(self, stored: StoredFile) -> Json:
        """The `File` object of getFile; raises `ApiError` above 20 MiB."""
        if stored.upload.size > MAX_DOWNLOAD:
            raise bad_request("file is too big")
        stored.link_until = self.clock.now() + LINK_LIFE
        return {**stored.identity(), "file_path": stored.path}

    def by_path(self, bot_id: int, path: str) -> StoredFile | None:
        """The file behind a `file_path` that getFile handed out to this bot and that has not expired."""
        stored = self._by_path.get(path)
        if stored is None or stored.bot_id != bot_id or self.clock.now() > stored.link_until:
            return None
        return stored

    async def photo_sizes(self, bot_id: int, upload: Upload) -> list[StoredFile]:
        """The sizes of a photo, smallest first, all real images; raises `ApiError` for what is no photo."""
        try:
            width, height, small = await asyncio.to_thread(_measure, upload.path)
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
            raise bad_request("IMAGE_PROCESS_FAILED") from None
        if width + height > 10_000 or max(width, height) > 20 * min(width, height):
            raise bad_request("PHOTO_INVALID_DIMENSIONS")
        sizes = []
        if small is not None:
            data, small_width, small_height = small
            thumbnail = self.register(bot_id, "photo", self.spool.store_bytes(data, "thumb.jpg", "image/jpeg"))
            thumbnail.width, thumbnail.height = small_width, small_height
            sizes.append(thumbnail)
        full = self.register(bot_id, "photo", upload)
        full.width, full.height = width, height
        return [*sizes, full]


def photo_size(stored: StoredFile) -> Json:
    """The `PhotoSize` object."""
    identity = stored.identity()
    return {**identity, "width": stored.width, "height": stored.height}


def _measure(path: Path) -> tuple[int, int, tuple[bytes, int, int] | None]:
    """Width, height, and a smaller JPEG with its size when the image is large enough to have one."""
    with Image.open(path) as image:
        width, height = image.size
        if max(width, height) <= _THUMBNAIL or width + height > 10_000:
            return width, height, None
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=80)
        return width, height, (buffer.getvalue(), *image.size)
