"""Received files: looked up with `getFile`, streamed from Telegram's file server."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath

from services.telegram.api.client import Client
from shared.channel import Account, Failure, OpenFile, ProviderError
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode
from shared.kit.http import no_file, opened
from shared.kit.loose import Json


async def open_media(client: Client, attachment: Attachment, account: Account) -> OpenFile:
    """Begin the download of a received file. Raises ProviderError."""
    if not attachment.provider_ref:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    found: Json = await client.call(account, "getFile", {"file_id": attachment.provider_ref}) or {}
    path = found.get("file_path")
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    response = await client.get(account, path)
    if response.status != 200:
        raise no_file(response)
    name = attachment.filename or PurePosixPath(path).name
    mime_type = attachment.claimed_mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    size = found.get("file_size") or attachment.size
    return opened(response, name, mime_type, size if isinstance(size, int) else None)
