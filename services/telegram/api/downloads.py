"""Received files and pictures of people: looked up with `getFile`, streamed from Telegram's file server."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import PurePosixPath

from services.telegram.api.client import Client
from services.telegram.peers import GUEST, peer_of_address
from shared.channel import Account, Avatar, Failure, OpenFile, ProviderError
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode
from shared.kit import loose
from shared.kit.http import opened
from shared.kit.loose import Json


async def avatar(client: Client, account: Account, address: Mapping[str, str]) -> Avatar | None:
    """The newest picture of the person of a private chat; others see it through the bot only. Raises ProviderError."""
    peer = peer_of_address(address)
    if peer is None or not peer.chat_id.isdigit() or peer.is_group or peer.kind == GUEST:
        return None
    asked = {"user_id": int(peer.chat_id), "limit": 1}
    found = await client.call(account, "getUserProfilePhotos", asked)
    newest = next(iter(loose.items(found if isinstance(found, dict) else {}, "photos")), None)
    largest = next(iter(loose.objects({"sizes": newest}, "sizes")[-1:]), {})
    unique, file_id = loose.text(largest, "file_unique_id"), loose.text(largest, "file_id")
    return Avatar(unique, file_id) if unique and file_id else None


async def open_avatar(client: Client, account: Account, avatar: Avatar) -> OpenFile:
    """Begin the download of a person's picture. Raises ProviderError."""
    return await _opened(client, account, avatar.ref, None, None, None)


async def open_media(client: Client, attachment: Attachment, account: Account) -> OpenFile:
    """Begin the download of a received file. Raises ProviderError."""
    if not attachment.provider_ref:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    told = attachment.filename, attachment.claimed_mime_type, attachment.size
    return await _opened(client, account, attachment.provider_ref, *told)


async def _opened(
    client: Client, account: Account, file_id: str, filename: str | None, claimed: str | None, size: int | None
) -> OpenFile:
    found: Json = await client.call(account, "getFile", {"file_id": file_id}) or {}
    path = found.get("file_path")
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE))
    response = await client.get(account, path)
    name = filename or PurePosixPath(path).name
    mime_type = claimed or mimetypes.guess_type(name)[0] or "application/octet-stream"
    told = found.get("file_size") or size
    return opened(response, name, mime_type, told if isinstance(told, int) else None)
