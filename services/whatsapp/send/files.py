"""Files on their way out: which kind WhatsApp can carry each of them as, and under which name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from services.whatsapp.capabilities import CAPABILITIES
from shared.channel import Refused
from shared.contract.commands import File
from shared.contract.content import AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.media.outcomes import limit_of
from shared.media.types import claim, claimed_by_name

_BY_EXTENSION = {
    ".log": "text/plain",
    ".tgz": "application/gzip",
    ".gz": "application/gzip",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".amr": "audio/amr",
    ".aac": "audio/aac",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".3gp": "video/3gpp",
    ".md": "text/markdown",
    ".xml": "application/xml",
}

_TAKEN = "JPEG and PNG pictures, MP4 and 3GP videos, AAC, AMR, MP3, M4A and Ogg sound, PDF, text and Office documents"

# What a kind is called in a message.
MESSAGE_TYPES = {
    AttachmentKind.IMAGE: "image",
    AttachmentKind.VIDEO: "video",
    AttachmentKind.VIDEO_NOTE: "video",
    AttachmentKind.AUDIO: "audio",
    AttachmentKind.VOICE: "audio",
    AttachmentKind.DOCUMENT: "document",
    AttachmentKind.STICKER: "sticker",
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A file, the kind it goes out as, and what the contact loses by it."""

    file: File
    kind: AttachmentKind
    warnings: tuple[Warning, ...] = ()

    @property
    def message_type(self) -> str:
        return MESSAGE_TYPES[self.kind]

    @property
    def takes_caption(self) -> bool:
        return CAPABILITIES.files[self.kind].caption


def mime_type_of(file: File) -> str | None:
    """The file's type; guessed from its name when it is not given."""
    if given := claim(file.mime_type):
        return given
    name = filename_of(file) or ""
    return _BY_EXTENSION.get(PurePosixPath(name.lower()).suffix) or claimed_by_name(name)


def filename_of(file: File) -> str | None:
    """The name the contact will see: as given, else the last step of the link."""
    if file.filename:
        return file.filename
    try:
        return PurePosixPath(unquote(urlsplit(file.url or "").path)).name or None
    except ValueError:  # no address at all, which whoever fetches it will say
        return None


def fit(file: File, field: str) -> Fitted:
    """The first kind that can carry the file: its own, else what the capabilities put in its place.

    Raises Refused with file_type_unsupported, file_too_large, or file_unavailable for an empty one.
    """
    if file.size == 0:
        raise Refused(ErrorCode.FILE_UNAVAILABLE, "The file is empty.", field=field, limit=1, actual=0)
    mime_type = mime_type_of(file)
    wanted = kind = file.kind or _kind_of(mime_type)
    while True:
        rule = CAPABILITIES.files[kind]
        limit = limit_of(rule, mime_type or "", animated=bool(file.animated))
        typed = not rule.mime_types or mime_type is None or mime_type in rule.mime_types
        fits = file.size is None or file.size <= limit
        if typed and fits:
            return Fitted(file, kind, _warnings(wanted, kind))
        if rule.otherwise is None:
            if not typed:
                detail = f"WhatsApp does not carry {mime_type}; it takes {_TAKEN}."
                raise Refused(ErrorCode.FILE_TYPE_UNSUPPORTED, detail, field=field)
            raise Refused(ErrorCode.FILE_TOO_LARGE, field=field, limit=limit, actual=file.size)
        kind = rule.otherwise


def _kind_of(mime_type: str | None) -> AttachmentKind:
    family = (mime_type or "").partition("/")[0]
    return {"image": AttachmentKind.IMAGE, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO}.get(
        family, AttachmentKind.DOCUMENT
    )


def _warnings(wanted: AttachmentKind, kind: AttachmentKind) -> tuple[Warning, ...]:
    if kind is wanted:
        return (_as(kind, wanted),) if kind is AttachmentKind.VIDEO_NOTE else ()
    if kind is AttachmentKind.DOCUMENT:
        detail = f"The {wanted.value} goes out as a document: WhatsApp does not take it as it is."
        return (Warning(code=WarningCode.SENT_AS_DOCUMENT, detail=detail),)
    return (_as(kind, wanted),)


def _as(kind: AttachmentKind, wanted: AttachmentKind) -> Warning:
    shown = AttachmentKind.VIDEO if kind is AttachmentKind.VIDEO_NOTE else kind
    return Warning(code=WarningCode.CONVERTED, detail=f"The {wanted.value} goes out as {shown.value}.")
