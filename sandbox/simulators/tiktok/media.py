"""Pictures and videos on disk: streamed in, checked by their first bytes, offered by signed links for a day."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from sandbox.simulators.common import Clock

from .errors import Code, Rejected
from .ids import Mint
from .options import DAY_S

MEDIA_LIFETIME_S = 30 * DAY_S
LINK_LIFETIME_S = DAY_S
KEPT_BYTES = 256 * 1024 * 1024
MAX_CUSTOMER_BYTES = 64 * 1024 * 1024
CHUNK = 64 * 1024

FORMATS = frozenset({"image/png", "image/jpeg", "image/webp", "video/mp4"})

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
CLIP = bytes.fromhex("0000001c66747970697366600000000069736f6d69736f32617663310000000866726565")


# Reads the next piece of a file, at most so many bytes; empty at its end.
Read = Callable[[int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file; `business_id` is None for what a customer sent."""

    media_id: str
    kind: str
    content_type: str
    size: int
    path: Path
    business_id: str | None
    expires_at: float


class MediaStore:
    """The platform's files, in a directory of its own or in the one given; 256 MiB, then the oldest goes."""

    def __init__(self, clock: Clock, mint: Mint, directory: Path | None = None) -> None:
        self._clock = clock
        self._mint = mint
        self._given = directory
        self._directory = directory or Path()
        self._blobs: OrderedDict[str, Blob] = OrderedDict()
        self._bytes = 0
        self._key = secrets.token_bytes(16)

    def start(self) -> None:
        """Make the directory."""
        if self._given is None:
            self._directory = Path(tempfile.mkdtemp(prefix="tiktok-media-"))
        else:
            self._directory.mkdir(parents=True, exist_ok=True)

    def stop(self) -> None:
        """Delete the files of this run."""
        if self._given is None:
            shutil.rmtree(self._directory, ignore_errors=True)
        else:
            for blob in self._blobs.values():
                blob.path.unlink(missing_ok=True)
        self._blobs.clear()
        self._bytes = 0

    async def store(self, read: Read, *, limit: int, formats: frozenset[str] = FORMATS) -> Blob:
        """Write a file as it arrives; it belongs to nobody until claimed.

        Raises `Rejected`: 40002 when longer than `limit` bytes, 40908 when empty or not of `formats`.
        """
        path = self._directory / f"{secrets.token_hex(12)}.bin"
        size, head = 0, b""
        try:
            with path.open("wb") as file:
                while chunk := await read(CHUNK):
                    size += len(chunk)
                    if size > limit:
                        raise Rejected(Code.INVALID_PARAMETER, "File is too large.")
                    if len(head) < 16:
                        head = (head + chunk)[:16]
                    file.write(chunk)
            content_type = sniff(head)
            if content_type is None or content_type not in formats:
                raise Rejected(Code.UNSUPPORTED_FILE, "Unsupported file type.")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        kind = "VIDEO" if content_type == "video/mp4" else "IMAGE"
        expires_at = self._clock.now() + MEDIA_LIFETIME_S
        blob = Blob(self._mint.message_id(), kind, content_type, size, path, None, expires_at)
        self._keep(blob)
        return blob

    async def sample(self, kind: str) -> Blob:
        """A tiny picture or video, for when nobody cares what is in it."""
        file = BytesIO(PIXEL if kind == "IMAGE" else CLIP)

        async def read(size: int) -> bytes:
            return file.read(size)

        return await self.store(read, limit=MAX_CUSTOMER_BYTES)

    def claim(self, blob: Blob, business_id: str) -> Blob:
        """Make a stored file an account's own, so that it may send it."""
        owned = self._blobs[blob.media_id] = replace(blob, business_id=business_id)
        return owned

    def discard(self, blob: Blob) -> None:
        """Delete a stored file."""
        if self._blobs.pop(blob.media_id, None) is not None:
            self._bytes -= blob.size
            blob.path.unlink(missing_ok=True)

    def get(self, media_id: str) -> Blob:
        """Raises `Rejected` 40007 when unknown or older than 30 days."""
        blob = self._blobs.get(media_id)
        if blob is None or blob.expires_at <= self._clock.now():
            raise Rejected(Code.NOT_FOUND, "Media does not exist or has expired.")
        return blob

    def link(self, media_id: str, business_id: str) -> str:
        """Path and query of a download link, valid for 24 hours and for that account alone."""
        expires = int(self._clock.now()) + LINK_LIFETIME_S
        name = urlsafe_b64encode(media_id.encode()).decode()
        signature = self._sign(media_id, business_id, expires)
        return f"/media/v1/{quote(name)}?x-expires={expires}&x-signature={signature}"

    def open_link(self, name: str, expires: str, signature: str, business_id: str) -> Blob:
        """The file behind a link. Raises `Rejected` with HTTP status 403 when the link does not hold."""
        try:
            media_id = urlsafe_b64decode(name).decode()
            until = int(expires)
        except ValueError:
            raise Rejected(Code.NOT_FOUND, "Malformed link.", status=403) from None
        if until <= self._clock.now() or not hmac.compare_digest(signature, self._sign(media_id, business_id, until)):
            raise Rejected(Code.NO_PERMISSION, "Link has expired or is not yours.", status=403)
        return self.get(media_id)

    def _sign(self, media_id: str, business_id: str, expires: int) -> str:
        text = f"{media_id}\0{business_id}\0{expires}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]

    def _keep(self, blob: Blob) -> None:
        self._blobs[blob.media_id] = blob
        self._bytes += blob.size
        while self._bytes > KEPT_BYTES and len(self._blobs) > 1:
            _, oldest = self._blobs.popitem(last=False)
            self._bytes -= oldest.size
            oldest.path.unlink(missing_ok=True)


def sniff(head: bytes) -> str | None:
    """The content type by the first bytes, None for a type the platform does not know."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "video/mp4"
    return None
