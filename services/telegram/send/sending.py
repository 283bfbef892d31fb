"""Carrying out one planned call: files opened, the call made, the answer read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from services.telegram.api.client import Client, upload
from services.telegram.api.errors import Fallback, fallback_of
from services.telegram.peers import Peer
from shared.channel import Account, Call, Files, OpenFile, ProviderError, Receipt
from shared.kit.loose import Json
from shared.kit.multipart import open_file
from shared.kit.uploads import Uploads, content_of
from shared.media.types import upload_name

_PHOTO_EXTENSIONS = frozenset({".jpg", ".jpeg", ".gif", ".png", ".tif", ".bmp"})
# The contact sees the name under which these were uploaded: under another one they are another file.
_NAMED = frozenset({"document", "audio", "video", "animation"})


async def perform(client: Client, call: Call, account: Account, files: Files, uploads: Uploads) -> Receipt:
    """Make the call. Raises ProviderError.

    An id of an earlier upload that Telegram refuses is given up, and the files uploaded once more.
    """
    contents = {name: content for name in _uploaded(call) if (content := _content(call, name))}
    async with uploads.once(account, contents.values()) as known:
        has = {name: known[content] for name, content in contents.items() if content in known}
        try:
            result = await client.call(account, call.method, await _parameters(call, files, has))
        except ProviderError as refused:
            if not has or fallback_of(refused.failure) is not Fallback.UPLOAD:
                raise
            await uploads.forget(account, known)
            has = {}
            result = await client.call(account, call.method, await _parameters(call, files, has))
        messages = _messages(result) if call.parts else []
        learned = _file_ids(call, messages)
        for name, file_id in learned.items():
            if name not in has:
                await uploads.keep(account, contents.get(name), file_id)
    return Receipt(
        provider_message_ids=tuple(str(message["message_id"]) for message in messages),
        refs=tuple(_ref(message, call) for message in messages),
        learned_files=learned,
    )


def _uploaded(call: Call) -> list[str]:
    """The files that Telegram does not know by an id of the command."""
    return [name for name in call.files if name not in call.params and name in _kinds(call)]


def _content(call: Call, name: str) -> str | None:
    kind, file = _kinds(call)[name], call.files[name]
    return content_of(file, f"{kind} {file.filename or ''}" if kind in _NAMED else kind)


async def _parameters(call: Call, files: Files, has: Mapping[str, str]) -> dict[str, Any]:
    """The parameters with the files in them: those that Telegram `has` by their ids."""
    parameters = dict(call.params)
    media = parameters.get("media")
    if isinstance(media, list):
        parameters["media"] = [_known_item(item, has) for item in media]
    elif media is not None:
        parameters["media"] = _known_item(media, has)
    for name in _uploaded(call):
        if name not in has:
            opened = await open_file(files, call.files[name])
            parameters[name] = upload(opened, _filename(opened, _kinds(call)[name]))
        elif media is None:
            parameters[name] = has[name]
    return parameters


def _known_item(item: Json, has: Mapping[str, str]) -> Json:
    name = str(item["media"]).removeprefix("attach://")
    return {**item, "media": has[name]} if name in has else item


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
