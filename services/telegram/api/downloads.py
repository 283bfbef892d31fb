"""Received files: looked up with `getFile`, streamed from Telegram's file server."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Any

import aiohttp

from services.telegram.api.client import NO_ANSWER, Client
from services.telegram.api.errors import not_sent
from shared.channel import Account, Failure, OpenFile, ProviderError
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode

Json = dict[str, Any]

_CHUNK = 65_536  # bytes


async def open_media(client: Client, attachment: Attachment, account: Account) -> OpenFile:
    """Begin the download of a received file. Raises ProviderError."""
    if not attachment.provider_ref:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    found: Json = await client.call(account, "getFile", {"file_id": attachment.provider_ref}) or {}
    path = found.get("file_path")
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    response = await client.get(account, path)
    name = attachment.filename or PurePosixPath(path).name
    mime_type = attachment.claimed_mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    size = response.content_length or found.get("file_size") or attachment.size or 0

    async def close() -> None:
        response.close()

    return OpenFile(name, mime_type, size if isinstance(size, int) else 0, _chunks(response), close)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body of an answer. Raises ProviderError when it breaks off."""
    failure = None
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            yield chunk
    except NO_ANSWER as broken:
        failure = not_sent(type(broken).__name__)
    if failure is not None:  # raised out here: what broke may name the address, and with it the token
        raise ProviderError(failure)
