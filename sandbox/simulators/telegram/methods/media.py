"""Messages with files: sendPhoto and its siblings, and albums."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp

from sandbox.simulators.telegram.bodies import TooLarge, Upload
from sandbox.simulators.telegram.errors import ApiError, bad_request
from sandbox.simulators.telegram.files import StoredFile
from sandbox.simulators.telegram.media import make_media
from sandbox.simulators.telegram.methods.call import Call, caption_of
from sandbox.simulators.telegram.methods.sending import post
from sandbox.simulators.telegram.model import Conversation, Json

MAX_URL_PHOTO = 5_000_000  # bytes Telegram downloads itself (core.telegram.org/bots/api#sending-files)
MAX_URL_OTHER = 20_000_000
WITHOUT_CAPTION = frozenset({"video_note", "sticker"})
ALBUM_FAMILIES = {"photo": "visual", "video": "visual", "document": "document", "audio": "audio"}
_NAMES = {"video_note": "VideoNote"}


async def resolve(call: Call, kind: str, source: object, options: Json) -> StoredFile:
    """The file to send: uploaded, attached, by URL or by file_id; raises `ApiError`."""
    if isinstance(source, str) and source.startswith("attach://"):
        source = call.parameters.get(source.removeprefix("attach://"))
        if not isinstance(source, Upload):
            raise bad_request("wrong file identifier/HTTP URL specified")
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        if kind == "video_note":
            raise bad_request("wrong file identifier/HTTP URL specified")
        source = await _download(call, kind, source)
    thumbnail = options.get("thumbnail")
    if isinstance(thumbnail, str) and thumbnail.startswith("attach://"):
        options = {**options, "thumbnail": call.parameters.get(thumbnail.removeprefix("attach://"))}
    if isinstance(source, Upload):
        return await make_media(call.world.files, call.bot.id, kind, source, options)
    if not isinstance(source, str) or not source:
        raise bad_request(f"there is no {kind.replace('_', ' ')} in the request")
    stored = call.world.files.of_bot(call.bot.id, source)
    if stored.kind != kind or not stored.content:
        raise bad_request(f"can't use file of type {_name(stored.kind)} as {_name(kind)}")
    return stored


def _name(kind: str) -> str:
    return _NAMES.get(kind, kind.title())


async def _download(call: Call, kind: str, url: str) -> Upload:
    limit = MAX_URL_PHOTO if kind == "photo" else MAX_URL_OTHER
    try:
        async with call.world.session.get(url, timeout=aiohttp.ClientTimeout(total=20)) as answer:
            answer.raise_for_status()
            if answer.content_type.startswith("text/html"):
                raise bad_request("wrong type of the web page content")
            name = answer.url.name
            return await call.world.spool.store(answer.content, name, answer.content_type, limit)
    except (aiohttp.ClientError, TimeoutError, TooLarge, ValueError):
        raise bad_request("failed to get HTTP URL content") from None


async def _send_file(kind: str, call: Call) -> Json:
    conversation = call.target()
    _check_privacy(conversation, kind)
    options = {**call.parameters, "caption_entities": call.json("caption_entities")}
    caption = {} if kind in WITHOUT_CAPTION else caption_of(options)
    stored = await resolve(call, kind, call.parameters.get(kind), options)
    content = {**stored.content, **caption}
    if call.flag("has_spoiler"):
        content["has_media_spoiler"] = True
    return post(call, conversation, kind, content, stored.upload.sha256)


def _check_privacy(conversation: Conversation, kind: str) -> None:
    person = conversation.person
    if person is not None and person.forbids_voice and kind in ("voice", "video_note"):
        raise bad_request("VOICE_MESSAGES_FORBIDDEN")


async def send_media_group(call: Call) -> list[Json]:
    """sendMediaGroup: all items are checked before any is sent."""
    conversation = call.target()
    items: list[Json] = call.json("media") or []
    _check_album(items)
    ready: list[tuple[str, Json, str]] = []
    for number, item in enumerate(items, start=1):
        try:
            stored = await resolve(call, item["type"], item.get("media"), item)
            ready.append((item["type"], {**stored.content, **caption_of(item)}, stored.upload.sha256))
        except ApiError as error:
            reason = error.description.removeprefix("Bad Request: ")
            raise bad_request(f'Failed to send message #{number} with the error message "{reason}"') from None
    group_id = str(13_000_000_000_000_000 + call.world.next_id())
    return [
        post(call, conversation, kind, {**content, "media_group_id": group_id}, file_hash)
        for kind, content, file_hash in ready
    ]


def _check_album(items: list[Json]) -> None:
    if len(items) > 10:
        raise bad_request("too many messages to send as an album")
    for item in items:
        if item.get("type") not in ALBUM_FAMILIES:
            raise bad_request(f'type "{item.get("type")}" can\'t be used in sendMediaGroup')
    if len(items) < 2:
        raise bad_request("there must be from 2 to 10 messages to send as an album")
    if len({ALBUM_FAMILIES[item["type"]] for item in items}) > 1:
        raise bad_request("document can't be mixed with other media types")
    if len({bool(item.get("show_caption_above_media")) for item in items}) > 1:
        raise bad_request("all media in an album must have the same value of show_caption_above_media")


HANDLERS: dict[str, Callable[[Call], Awaitable[object]]] = {
    "sendphoto": partial(_send_file, "photo"),
    "sendaudio": partial(_send_file, "audio"),
    "senddocument": partial(_send_file, "document"),
    "sendvideo": partial(_send_file, "video"),
    "sendanimation": partial(_send_file, "animation"),
    "sendvoice": partial(_send_file, "voice"),
    "sendvideonote": partial(_send_file, "video_note"),
    "sendsticker": partial(_send_file, "sticker"),
    "sendmediagroup": send_media_group,
}
