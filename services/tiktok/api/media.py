"""Files on their way to and from TikTok: a multipart form that is streamed, and hosts that may see a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import aiohttp
from aiohttp.payload import AsyncIterablePayload
from yarl import URL

from services.tiktok.capabilities import IMAGE_MAX_BYTES, IMAGE_TYPES
from shared.channel import Failure, FileUnavailable, OpenFile, ProviderError
from shared.contract.errors import ErrorCode
from shared.media.transfers import Upload
from shared.media.types import claim, claimed_by_name

_CHUNK = 64 * 1024
_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "video/mp4": ".mp4",
}


def check_upload(file: OpenFile) -> None:
    """Raises ProviderError (nothing sent) unless the opened file is an image TikTok takes."""
    if _type_of(file) not in IMAGE_TYPES:
        raise ProviderError(Failure(ErrorCode.FILE_TYPE_UNSUPPORTED))
    if file.size > IMAGE_MAX_BYTES:
        facts = {"limit": IMAGE_MAX_BYTES, "actual": file.size}
        raise ProviderError(Failure(ErrorCode.FILE_TOO_LARGE, facts=facts))


def _type_of(file: OpenFile) -> str | None:
    return claim(file.mime_type) or claimed_by_name(file.filename)


class _Sized(AsyncIterablePayload):
    """A streamed part whose length is known: TikTok gets a Content-Length instead of chunks."""

    def __init__(self, value: AsyncIterator[bytes], size: int, content_type: str) -> None:
        super().__init__(value, content_type=content_type)
        self._size = size


class UploadForm:
    """The multipart form of an upload; the part has a file name and an image type, or it is not parsed.

    `unavailable` is set when the file's bytes could not be read after all.
    """

    def __init__(self, file: OpenFile, business_id: str) -> None:
        check_upload(file)
        self.unavailable = False
        self._watch: Upload | None = None
        content_type = _type_of(file) or IMAGE_TYPES[0]
        form = aiohttp.MultipartWriter("form-data")
        for name, value in (("business_id", business_id), ("media_type", "IMAGE")):
            form.append(value).set_content_disposition("form-data", name=name)
        part = form.append_payload(_Sized(self._chunks(file), file.size, content_type))
        part.set_content_disposition("form-data", name="file", filename=_ascii_name(file.filename, content_type))
        self.payload: Any = form

    def watched(self, answer: float) -> Upload:
        """What watches over the form on its way; after it the answer has `answer` seconds."""
        self._watch = Upload(answer)
        return self._watch

    async def _chunks(self, file: OpenFile) -> AsyncIterator[bytes]:
        try:
            async for chunk in file.chunks if self._watch is None else self._watch.watched(file.chunks):
                yield chunk
        except FileUnavailable:
            self.unavailable = True
            raise OSError from None


def _ascii_name(filename: str, content_type: str) -> str:
    """A name every parser reads: the contact never sees it."""
    stem = PurePosixPath(filename).stem
    readable = "".join(c for c in stem if c.isascii() and (c.isalnum() or c in "-_"))[:60]
    return (readable or "image") + _SUFFIXES[content_type]


def allowed_media_url(address: str, hosts: Sequence[str], api_url: str) -> URL | None:
    """The URL if it is https at one of `hosts` (or a subdomain), or at the API's own origin; else None."""
    try:
        url = URL(address)
        host = (url.host or "").lower().rstrip(".")
        if url.origin() == URL(api_url).origin():
            return url
    except ValueError:
        return None
    if url.scheme != "https" or url.port != 443 or url.user is not None:
        return None
    return url if any(host == known or host.endswith("." + known) for known in hosts) else None


def open_response(response: aiohttp.ClientResponse) -> OpenFile:
    """A download under way."""

    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_chunked(_CHUNK):
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code="no_answer")) from None

    async def close() -> None:
        response.close()

    kind = response.content_type or "application/octet-stream"
    return OpenFile(
        filename="file" + _SUFFIXES.get(kind, ""),
        mime_type=kind,
        size=response.content_length or 0,
        chunks=chunks(),
        close=close,
    )
