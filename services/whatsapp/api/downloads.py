"""Files of inbound messages: where Meta keeps them, fetched, and compared with what Meta announced."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

from services.whatsapp import wire
from services.whatsapp.api.client import Client, number_of
from services.whatsapp.api.errors import About, nothing_sent
from shared.channel import Account, Failure, OpenFile, ProviderError
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode
from shared.kit import loose
from shared.kit.http import opened
from shared.kit.loose import Json
from shared.kit.words import safe_filename

_GONE = frozenset({401, 403, 404, 410})  # a media URL lives five minutes


async def open_media(client: Client, attachment: Attachment, account: Account) -> OpenFile:
    """Ask where the file is and start fetching it; once more where its address has died. Raises ProviderError."""
    media_id = attachment.provider_ref
    if media_id is None:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    described = await _describe(client, account, media_id)
    response = await client.download(account, loose.text(described, "url") or "")
    if response.status in _GONE:
        response.close()
        described = await _describe(client, account, media_id)
        response = await client.download(account, loose.text(described, "url") or "")
    name = attachment.filename or safe_filename(media_id) or "file"
    mime_type = loose.text(described, "mime_type") or attachment.claimed_mime_type or "application/octet-stream"
    size = loose.number(described, "file_size")
    file = opened(response, name, mime_type, None if size is None else int(size))
    expected = wire.sha256_hex(loose.text(described, "sha256")) or attachment.sha256
    return file if expected is None else replace(file, chunks=_checked(file.chunks, expected))


async def _describe(client: Client, account: Account, media_id: str) -> Json:
    path = f"/{quote(media_id, safe='')}"
    try:
        named = {"phone_number_id": number_of(account)}
        return await client.call(account, "GET", path, params=named, about=About.MEDIA)
    except ProviderError as refused:
        raise ProviderError(nothing_sent(refused.failure)) from None


async def _checked(chunks: AsyncIterator[bytes], expected: str) -> AsyncIterator[bytes]:
    """The bytes of a download. Raises ProviderError when they are not what Meta announced."""
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != expected:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE, detail="The file is not what Meta announced."))
