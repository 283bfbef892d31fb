"""Files of inbound messages: where Meta keeps them, fetched, counted and compared with what Meta announced."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from urllib.parse import quote

from services.whatsapp import wire
from services.whatsapp.api.client import Client, Download, Json, Refusal, number_of
from services.whatsapp.api.errors import About, answer_failure, nothing_sent
from shared.channel import Account, Failure, OpenFile, ProviderError
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode

_LARGEST = 100 * 1024 * 1024  # Meta hands over nothing larger (131052)
_GONE = frozenset({401, 403, 404, 410})  # a media URL lives five minutes


async def open_media(client: Client, attachment: Attachment, account: Account) -> OpenFile:
    """Ask where the file is and start fetching it; once more where its address has died. Raises ProviderError."""
    media_id = attachment.provider_ref
    if media_id is None:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    described = await _describe(client, account, media_id)
    try:
        download = await client.download(account, wire.text(described, "url") or "")
    except Refusal as refusal:
        if refusal.status not in _GONE:
            raise ProviderError(nothing_sent(answer_failure(refusal.status, refusal.body, About.MEDIA))) from None
        described = await _describe(client, account, media_id)
        download = await _last_try(client, account, described)
    mime_type = wire.text(described, "mime_type") or attachment.claimed_mime_type or "application/octet-stream"
    expected = wire.sha256_hex(wire.text(described, "sha256")) or attachment.sha256
    return OpenFile(
        filename=attachment.filename or wire.safe_filename(media_id) or "file",
        mime_type=mime_type,
        size=int(wire.number(described, "file_size") or download.size),
        chunks=_checked(download, expected),
        close=download.close,
    )


async def _last_try(client: Client, account: Account, described: Json) -> Download:
    try:
        return await client.download(account, wire.text(described, "url") or "")
    except Refusal as refusal:
        detail = f"The download was answered with {refusal.status}."
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE, detail=detail)) from None


async def _describe(client: Client, account: Account, media_id: str) -> Json:
    path = f"/{quote(media_id, safe='')}"
    try:
        named = {"phone_number_id": number_of(account)}
        return await client.call(account, "GET", path, params=named, about=About.MEDIA)
    except ProviderError as refused:
        raise ProviderError(nothing_sent(refused.failure)) from None


async def _checked(download: Download, expected: str | None) -> AsyncIterator[bytes]:
    """The bytes of a download. Raises ProviderError when they are too many or not what Meta announced."""
    digest = hashlib.sha256()
    size = 0
    async for chunk in download.chunks:
        size += len(chunk)
        if size > _LARGEST:
            raise ProviderError(Failure(ErrorCode.FILE_TOO_LARGE, facts={"limit": _LARGEST, "actual": size}))
        digest.update(chunk)
        yield chunk
    if expected is not None and digest.hexdigest() != expected:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE, detail="The file is not what Meta announced."))
