"""Received files: looked up with `getFile`, streamed from Telegram's file server."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import Any

import aiohttp

from services.telegram.client import NO_ANSWER, Client
from services.telegram.errors import not_sent
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
    if not isinstance(path, str) or not path:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    response = await client.get(account, path)
    name = attachment.filename or PurePosixPath(path).name
    mime_type = attachment.claimed_mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    size = response.content_length or found.get("file_size") or attachment.size or 0
    return OpenFile(name, mime_type, size if isinstance(size, int) else 0, _Chunks(response))


class _Chunks:
    """The body of an answer; the connection is given back at its end, when it breaks, and by `aclose`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._chunks = response.content.iter_chunked(_CHUNK)

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        failure = None
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._response.release()
            raise
        except NO_ANSWER as broken:
            failure = not_sent(type(broken).__name__)
        if failure is not None:
            self._response.close()
            raise ProviderError(failure)
        return chunk

    async def aclose(self) -> None:
        self._response.close()
