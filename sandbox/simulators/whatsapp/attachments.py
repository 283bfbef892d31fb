"""The media a message points at: which ids, whether they fit the message, and links fetched at send time."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import aiohttp

from sandbox.simulators.whatsapp.errors import GraphError, Json
from sandbox.simulators.whatsapp.media import KINDS, STILL_STICKER, MediaStore, kind_of, type_of_bytes
from sandbox.simulators.whatsapp.model import Sent

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def media_ids(content: object) -> list[str]:
    """Every uploaded id a message points at: its own media, headers, cards, template parameters."""
    found = []
    if isinstance(content, dict):
        for key, value in content.items():
            if key in KINDS and isinstance(value, dict) and "id" in value:
                found.append(str(value["id"]))
            elif isinstance(value, dict | list):
                found.extend(media_ids(value))
    elif isinstance(content, list):
        for value in content:
            found.extend(media_ids(value))
    return found


def unusable(store: MediaStore, sent: Sent, body: Json) -> GraphError | None:
    """The 131053 an uploaded file earns that is not what the message says it is; None for a good one."""
    content = body[sent.type]
    if sent.type not in KINDS or "id" not in content:
        return None
    media = store.get(content["id"])
    if media.kind is None or (media.kind != sent.type and sent.type != "document"):
        return GraphError(131053, f"Unsupported {sent.type} mime type {media.mime_type}.")
    if sent.type == "sticker" and media.size > STILL_STICKER and not media.animated:
        return GraphError(131053, f"Static stickers have at most {STILL_STICKER} bytes.")
    if sent.voice and not media.mime_type.startswith("audio/ogg"):
        return GraphError(131053, "Voice messages must be audio/ogg with the opus codec.")
    return None


def is_local(link: str) -> bool:
    """Whether the simulator fetches `link` as Meta would; links beyond this machine are taken to be good."""
    return urlsplit(link).hostname in _LOOPBACK


async def fetch(link: str, kind: str) -> GraphError | None:
    """Fetch a link the way Meta does at send time: the 131053 it earns, or None."""
    largest = KINDS[kind][1]
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.get(link, ssl=False) as answer,  # on this machine nobody vouches for a certificate
        ):
            if answer.status != 200:
                return GraphError(131053, f"Downloading media from weblink failed with http code {answer.status}.")
            found = kind_of(answer.content_type)
            if found is None or (found != kind and kind != "document"):
                return GraphError(131053, f"Unsupported {kind} mime type {answer.content_type}.")
            size = 0
            async for chunk in answer.content.iter_chunked(65_536):
                real = type_of_bytes(chunk) if not size else None
                if real is not None and kind != "document" and kind_of(real) != kind:
                    return GraphError(131053, f"Unsupported {kind} mime type {real}.")
                size += len(chunk)
                if size > largest:
                    return GraphError(131053, f"File size exceeds the limit of {largest} bytes.")
    except (aiohttp.ClientError, TimeoutError) as error:
        return GraphError(131053, f"Downloading media from weblink failed: {type(error).__name__}.")
    return None
