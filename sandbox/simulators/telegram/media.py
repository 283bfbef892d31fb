"""Media objects (`photo`, `document`, `voice` …) made from received bytes."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import Any

from sandbox.simulators.telegram.bodies import Upload
from sandbox.simulators.telegram.errors import bad_request
from sandbox.simulators.telegram.files import KINDS, MAX_PHOTO, PHOTO_EXTENSIONS, FileStore, StoredFile, photo_size

Json = dict[str, Any]

_NUMBERS = {
    "audio": ("duration",),
    "video": ("width", "height", "duration"),
    "animation": ("width", "height", "duration"),
    "voice": ("duration",),
    "video_note": ("length", "duration"),
}
_STICKERS = frozenset({".webp", ".tgs", ".webm"})


async def make_media(files: FileStore, bot_id: int, kind: str, upload: Upload, options: Json) -> StoredFile:
    """Store the bytes as `kind`; the message fields are in `StoredFile.content`. Raises `ApiError`.

    `options` are the parameters of the send (or of the customer): duration, width, height, performer, emoji …
    """
    if upload.size == 0:
        raise bad_request("file must be non-empty")
    if kind == "photo":
        return await _photo(files, bot_id, upload)
    suffix = PurePosixPath(upload.filename).suffix.lower()
    if kind == "sticker" and suffix not in _STICKERS:
        raise bad_request("wrong file identifier/HTTP URL specified")
    stored = files.register(bot_id, kind, upload)
    media: Json = stored.identity()
    for name in _NUMBERS.get(kind, ()):
        media[name] = int(options.get(name) or 0)
    if kind == "sticker":
        media |= {"type": "regular", "width": 512, "height": 512}
        media |= {"is_animated": suffix == ".tgs", "is_video": suffix == ".webm"}
    if kind not in ("video_note", "sticker"):
        media["mime_type"] = mime_type(kind, upload)
    if kind in ("document", "audio", "video", "animation") and upload.filename:
        media["file_name"] = upload.filename
    for name in ("performer", "title", "emoji", "set_name"):
        if options.get(name):
            media[name] = options[name]
    if isinstance(thumbnail := options.get("thumbnail"), Upload):
        media["thumbnail"] = _thumbnail(files, bot_id, thumbnail)
    stored.content = {kind: media}
    if kind == "animation":
        stored.content["document"] = {name: media[name] for name in media if name not in _NUMBERS["animation"]}
    return stored


async def _photo(files: FileStore, bot_id: int, upload: Upload) -> StoredFile:
    if upload.size > MAX_PHOTO:
        raise bad_request(
            f"file of size {upload.size} bytes is too big for a photo; the maximum size is {MAX_PHOTO} bytes"
        )
    if PurePosixPath(upload.filename).suffix.lower() not in PHOTO_EXTENSIONS:
        raise bad_request("Photo has unsupported extension. Use one of .jpg, .jpeg, .gif, .png, .tif or .bmp")
    sizes = await files.photo_sizes(bot_id, upload)
    for stored in sizes:
        stored.content = {"photo": [photo_size(size) for size in sizes]}
    return sizes[-1]


def _thumbnail(files: FileStore, bot_id: int, upload: Upload) -> Json:
    stored = files.register(bot_id, "thumbnail", upload)
    stored.width = stored.height = 320
    return photo_size(stored)


def mime_type(kind: str, upload: Upload) -> str:
    """The type Telegram reports: what the sender claims, else by file name, else usual for the kind."""
    generic = KINDS["document"].mime_type
    if kind == "document" and upload.mime_type not in ("", generic):
        return upload.mime_type
    guessed = mimetypes.guess_type(upload.filename)[0] or ""
    usual = KINDS[kind].mime_type
    return guessed if kind == "document" and guessed else guessed if guessed[:5] == usual[:5] else usual
