"""The other way: the call to make when Telegram has certainly refused one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from services.telegram.api.errors import Fallback, fallback_of
from services.telegram.capabilities import CAPABILITIES
from services.telegram.send.albums import without_item
from services.telegram.send.files import METHODS, Method, type_of
from services.telegram.send.rendering import Params
from shared.channel import Call, Failure
from shared.contract.content import AttachmentKind
from shared.contract.errors import ERRORS, ErrorClass
from shared.contract.statuses import Warning, WarningCode

# Parameters of one kind of file that others do not have.
_DETAILS = ("has_spoiler", "supports_streaming", "width", "height", "duration", "length")
_DETAILS_OF = {
    "sendVideo": ("has_spoiler", "supports_streaming", "width", "height", "duration"),
    "sendAudio": ("duration",),
    "sendDocument": (),
}


def adjust(call: Call, failure: Failure) -> Call | Sequence[Call] | None:
    """What to do instead, which differs from the refused call, or None: one call, or several in place of an album."""
    if not failure.certain:
        return None
    fallback = fallback_of(failure)
    if "album_item" in failure.facts and (fallback in _OF_ITEMS or _is_about_file(fallback, failure)):
        return without_item(call, int(failure.facts["album_item"]) - 1, upload=fallback is Fallback.UPLOAD)
    if fallback is None:
        return None
    adjusted = _ADJUSTMENTS[fallback](call, failure)
    return None if adjusted is None or (adjusted.params == call.params and adjusted.method == call.method) else adjusted


_OF_ITEMS = frozenset({Fallback.AS_DOCUMENT, Fallback.UPLOAD})
_ABOUT_FILES = frozenset({ErrorClass.FILE, ErrorClass.CONTENT})


def _is_about_file(fallback: Fallback | None, failure: Failure) -> bool:
    """An item of an album was refused, and nothing but the file itself can be why."""
    return fallback is None and ERRORS[failure.code].error_class in _ABOUT_FILES


def _without(code: WarningCode, detail: str, *names: str) -> Callable[[Call, Failure], Call | None]:
    def drop(call: Call, failure: Failure) -> Call | None:
        if not any(name in call.params for name in names):
            return None
        params = {name: value for name, value in call.params.items() if name not in names}
        return _warned(replace(call, params=params), code, detail)

    return drop


def _warned(call: Call, code: WarningCode, detail: str) -> Call:
    return replace(call, warnings=(*call.warnings, Warning(code=code, detail=detail)))


def _without_reply(call: Call, failure: Failure) -> Call | None:
    reply = call.params.get("reply_parameters")
    if not reply or not reply.get("allow_sending_without_reply"):
        return None  # without the reference it was not to be sent
    drop = _without(WarningCode.REPLY_TO_DROPPED, "The message replied to is gone.", "reply_parameters")
    return drop(call, failure)


def _without_quote(call: Call, failure: Failure) -> Call | None:
    reply = call.params.get("reply_parameters")
    if not reply or "quote" not in reply:
        return None
    kept = {name: value for name, value in reply.items() if not name.startswith("quote")}
    call = replace(call, params={**call.params, "reply_parameters": kept})
    return _warned(call, WarningCode.REPLY_TO_DROPPED, "The reply goes out without the quote.")


def _without_entities(call: Call, failure: Failure) -> Call | None:
    params = {n: v for n, v in call.params.items() if n not in ("entities", "caption_entities")}
    media = params.get("media")
    if isinstance(media, list):
        params["media"] = [_plain_item(item) for item in media]
    elif isinstance(media, dict):
        params["media"] = _plain_item(media)
    return _warned(replace(call, params=params), WarningCode.FORMATTING_DROPPED, "The text goes out plain.")


def _plain_item(item: Params) -> Params:
    return {name: value for name, value in item.items() if name != "caption_entities"}


def _migrated(call: Call, failure: Failure) -> Call | None:
    moved = failure.facts.get("migrate_to_chat_id")
    return replace(call, params={**call.params, "chat_id": moved}) if moved else None


def _as_document(call: Call, failure: Failure) -> Call | None:
    return _converted(call, METHODS[AttachmentKind.IMAGE], METHODS[AttachmentKind.DOCUMENT])


def _without_voice(call: Call, failure: Failure) -> Call | None:
    if call.method == "sendVideoNote":
        return _converted(call, METHODS[AttachmentKind.VIDEO_NOTE], METHODS[AttachmentKind.VIDEO])
    file = call.files.get("voice")
    playable = file is not None and type_of(file) in CAPABILITIES.files[AttachmentKind.AUDIO].mime_types
    kind = AttachmentKind.AUDIO if playable else AttachmentKind.DOCUMENT
    return _converted(call, METHODS[AttachmentKind.VOICE], METHODS[kind])


def _converted(call: Call, before: Method, after: Method) -> Call | None:
    if call.method != before.name or before.parameter not in call.files:
        return None  # what Telegram knows by its id keeps its kind
    kept = _DETAILS_OF[after.name]
    params = {
        name: value
        for name, value in call.params.items()
        if name != before.parameter and (name not in _DETAILS or name in kept)
    }
    files = {after.parameter: call.files[before.parameter]}
    if after.name == "sendDocument":
        params["disable_content_type_detection"] = True
    converted = replace(call, method=after.name, params=params, files=files)
    code = WarningCode.SENT_AS_DOCUMENT if after.name == "sendDocument" else WarningCode.CONVERTED
    return _warned(converted, code, f"Telegram refused {before.parameter}; the file goes out as {after.parameter}.")


def _upload(call: Call, failure: Failure) -> Call | None:
    # The bytes are at hand where the id of an earlier upload was only a shortcut.
    known = [name for name in call.files if name in call.params]
    if not known:
        return None
    return replace(call, params={name: value for name, value in call.params.items() if name not in known})


def _edit_caption(call: Call, failure: Failure) -> Call | None:
    if call.method != "editMessageText":
        return None
    names = {"text": "caption", "entities": "caption_entities"}
    params = {names.get(n, n): v for n, v in call.params.items() if n != "link_preview_options"}
    return replace(call, method="editMessageCaption", params=params)


def _edit_text(call: Call, failure: Failure) -> Call | None:
    if call.method != "editMessageCaption" or not call.params.get("caption"):
        return None
    names = {"caption": "text", "caption_entities": "entities"}
    return replace(call, method="editMessageText", params={names.get(n, n): v for n, v in call.params.items()})


_ADJUSTMENTS: dict[Fallback, Callable[[Call, Failure], Call | None]] = {
    Fallback.WITHOUT_REPLY: _without_reply,
    Fallback.WITHOUT_QUOTE: _without_quote,
    Fallback.WITHOUT_ENTITIES: _without_entities,
    Fallback.WITHOUT_BUTTONS: _without(WarningCode.BUTTONS_DROPPED, "Telegram refused the buttons.", "reply_markup"),
    Fallback.WITHOUT_THREAD: _without(
        WarningCode.THREAD_DROPPED, "The topic is gone; the message goes to the chat.", "message_thread_id"
    ),
    Fallback.AS_DOCUMENT: _as_document,
    Fallback.WITHOUT_VOICE: _without_voice,
    Fallback.UPLOAD: _upload,
    Fallback.MIGRATE: _migrated,
    Fallback.EDIT_CAPTION: _edit_caption,
    Fallback.EDIT_TEXT: _edit_text,
}
