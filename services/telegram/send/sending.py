"""Carrying out one planned call: files opened, the call made, the answer read."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from services.telegram.api.client import Client, upload
from services.telegram.peers import Peer
from shared.channel import Account, Call, Files, OpenFile, Receipt
from shared.kit.loose import Json
from shared.kit.multipart import open_file
from shared.media.types import upload_name

_PHOTO_EXTENSIONS = frozenset({".jpg", ".jpeg", ".gif", ".png", ".tif", ".bmp"})


async def perform(client: Client, call: Call, account: Account, files: Files) -> Receipt:
    """Make the call. Raises ProviderError."""
    parameters = dict(call.params)
    for name, file in call.files.items():
        if name in parameters or name not in _kinds(call):
            continue  # Telegram knows the file by an id already
        opened = await open_file(files, file)
        parameters[name] = upload(opened, _filename(opened, _kinds(call).get(name, name)))
    result = await client.call(account, call.method, parameters)
    messages = _messages(result) if call.parts else []
    return Receipt(
        provider_message_ids=tuple(str(message["message_id"]) for message in messages),
        refs=tuple(_ref(message, call) for message in messages),
        learned_files=_file_ids(call, messages),
    )


def _kinds(call: Call) -> dict[str, str]:
    """What each file of a call is to Telegram, by the call's own names for them."""
    media = call.params.get("media")
    if media is None:
        return {name: name for name in call.files}
    items = media if isinstance(media, list) else [media]
    return {str(item["media"]).removeprefix("attach://"): item["type"] for item in items}


def _filename(file: OpenFile, kind: str) -> str:
    """The file's name with the extension of its type: Telegram judges a photo by it."""
    name = upload_name(file.filename, file.mime_type)
    if kind == "photo" and PurePosixPath(name).suffix.lower() not in _PHOTO_EXTENSIONS:
        return name + ".jpg"  # any that Telegram takes: it looks into the file for the rest
    return name


def _messages(result: Any) -> list[Json]:
    found = result if isinstance(result, list) else [result]
    return [message for message in found if isinstance(message, dict) and "message_id" in message]


def _ref(message: Json, call: Call) -> str:
    chat = message.get("chat") or {}
    peer = Peer(str(chat.get("id", call.params.get("chat_id"))), call.params.get("business_connection_id"))
    return peer.message_ref(message["message_id"])


def _file_ids(call: Call, messages: list[Json]) -> dict[str, str]:
    """The ids under which Telegram keeps the files of this call, by the call's own names for them."""
    found: dict[str, str] = {}
    for message, (name, kind) in zip(messages, _kinds(call).items(), strict=False):
        if name in call.files and (file_id := _file_id(message.get(kind))):
            found[name] = file_id
    return found


def _file_id(value: Any) -> str | None:
    if isinstance(value, list):  # the sizes of a photo, the largest last
        value = value[-1] if value else None
    file_id = value.get("file_id") if isinstance(value, dict) else None
    return file_id if isinstance(file_id, str) else None
