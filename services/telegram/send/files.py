"""Files to send: which method takes a file, what it becomes where that does not fit, which ones share an album."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from services.telegram.capabilities import CAPABILITIES, MAX_FILE
from shared.channel import Refused
from shared.contract.capabilities import FileRule
from shared.contract.commands import File
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.media.types import claim

_EXTENSIONS = {
    ".tgs": "application/x-tgsticker",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".webp": "image/webp",
    ".webm": "video/webm",
    ".heic": "image/heic",
}
_KIND_OF_FAMILY = {"image": AttachmentKind.IMAGE, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO}
_KIND_OF_TYPE = {"application/x-tgsticker": AttachmentKind.STICKER, "audio/ogg": AttachmentKind.VOICE}


@dataclass(frozen=True, slots=True)
class Method:
    """How the Bot API sends a kind: the method, its file parameter, its `type` in an album."""

    name: str
    parameter: str
    media_type: str | None = None


ANIMATION = Method("sendAnimation", "animation", "animation")
METHODS = {
    AttachmentKind.IMAGE: Method("sendPhoto", "photo", "photo"),
    AttachmentKind.VIDEO: Method("sendVideo", "video", "video"),
    AttachmentKind.AUDIO: Method("sendAudio", "audio", "audio"),
    AttachmentKind.VOICE: Method("sendVoice", "voice"),
    AttachmentKind.VIDEO_NOTE: Method("sendVideoNote", "video_note"),
    AttachmentKind.STICKER: Method("sendSticker", "sticker"),
    AttachmentKind.DOCUMENT: Method("sendDocument", "document", "document"),
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file and how it goes out."""

    file: File
    method: Method
    kind: AttachmentKind
    warnings: tuple[Warning, ...] = ()

    @property
    def takes_caption(self) -> bool:
        return CAPABILITIES.files[self.kind].caption

    @property
    def album(self) -> str | None:
        """Files with the same name here can share an album; an animation stands alone."""
        return None if self.method is ANIMATION else CAPABILITIES.files[self.kind].album

    def details(self) -> dict[str, Any]:
        """Parameters that describe the file."""
        file = self.file
        described: dict[str, Any] = {}
        if self.kind is AttachmentKind.VIDEO and self.method is not ANIMATION:
            described["supports_streaming"] = True
        if self.kind in (AttachmentKind.VIDEO, AttachmentKind.AUDIO, AttachmentKind.VOICE, AttachmentKind.VIDEO_NOTE):
            described["duration"] = None if file.duration is None else round(file.duration)
        if self.kind is AttachmentKind.VIDEO:
            described |= {"width": file.width, "height": file.height}
        if self.kind is AttachmentKind.VIDEO_NOTE:
            described["length"] = file.width
        if self.kind is AttachmentKind.DOCUMENT:
            described["disable_content_type_detection"] = True
        if file.spoiler and self.kind in (AttachmentKind.IMAGE, AttachmentKind.VIDEO):
            described["has_spoiler"] = True
        return {name: value for name, value in described.items() if value is not None}


def type_of(file: File) -> str | None:
    """The media type without parameters, by its usual name; from the file's name where the command gives none."""
    if told := claim(file.mime_type):
        return told
    suffix = next(filter(None, map(_suffix, (file.filename, _path(file.url), file.blob))), "")
    return _EXTENSIONS.get(suffix) or claim(mimetypes.guess_type(f"f{suffix}")[0])


def _path(url: str | None) -> str:
    try:
        return unquote(urlsplit(url or "").path)
    except ValueError:
        return ""


def _suffix(name: str | None) -> str:
    return PurePosixPath((name or "").strip().lower()).suffix


def outgoing(file: File, index: int, field: str | None = None) -> Outgoing:
    """How a file goes out. Raises Refused with `file_too_large` for what Telegram takes in no form."""
    field = field or f"content.attachments.{index}"
    if file.size is not None and file.size > MAX_FILE:
        raise Refused(
            ErrorCode.FILE_TOO_LARGE,
            "Telegram takes files of at most 50 MB.",
            field=field,
            limit=MAX_FILE,
            actual=file.size,
        )
    if file.size == 0:
        raise Refused(ErrorCode.FILE_UNAVAILABLE, "The file is empty.", field=field, limit=1, actual=0)
    mime_type = type_of(file)
    wanted = file.kind or _kind_of_type(mime_type)
    if mime_type == "image/gif" and wanted in (AttachmentKind.IMAGE, AttachmentKind.VIDEO):
        return Outgoing(file, ANIMATION, AttachmentKind.VIDEO)
    kind, reason = wanted, None
    while kind is not AttachmentKind.DOCUMENT and (problem := _misfit(file, mime_type, CAPABILITIES.files[kind])):
        reason = reason or problem
        kind = CAPABILITIES.files[kind].otherwise or AttachmentKind.DOCUMENT
    warnings: tuple[Warning, ...] = ()
    if reason:
        code = WarningCode.SENT_AS_DOCUMENT if kind is AttachmentKind.DOCUMENT else WarningCode.CONVERTED
        detail = f"File {index + 1} goes out as {kind}, not as {wanted}: {reason}."
        warnings = (Warning(code=code, detail=detail),)
    return Outgoing(file, METHODS[kind], kind, warnings)


def _kind_of_type(mime_type: str | None) -> AttachmentKind:
    if mime_type in _KIND_OF_TYPE:
        return _KIND_OF_TYPE[mime_type]
    return _KIND_OF_FAMILY.get((mime_type or "").partition("/")[0], AttachmentKind.DOCUMENT)


def _misfit(file: File, mime_type: str | None, rule: FileRule) -> str | None:
    """Why a file does not fit a rule; what is not known about it is given the benefit of the doubt."""
    if rule.mime_types and mime_type and mime_type not in rule.mime_types:
        return "Telegram does not show this type"
    if file.size is not None and file.size > rule.max_bytes:
        return f"more than {rule.max_bytes} bytes"
    width, height = file.width, file.height
    if width and height:
        if rule.max_pixels is not None and width + height > rule.max_pixels:
            return f"width and height add up to more than {rule.max_pixels}"
        if rule.max_ratio is not None and max(width, height) > rule.max_ratio * min(width, height):
            return f"the longer side is more than {rule.max_ratio:g} times the shorter"
    if rule.max_duration is not None and file.duration is not None and file.duration > rule.max_duration:
        return f"longer than {rule.max_duration:g} seconds"
    return None


def albums(files: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """The files in their order, neighbours that can share an album together: ten at most."""
    group: list[Outgoing] = []
    for file in files:
        joins = group and file.album is not None and file.album == group[0].album
        if group and (not joins or len(group) == CAPABILITIES.album_size):
            yield group
            group = []
        group.append(file)
    if group:
        yield group
