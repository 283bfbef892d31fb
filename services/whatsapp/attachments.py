"""Files of inbound messages: images, videos, voice messages, documents, stickers, and those Meta could not fetch."""

from __future__ import annotations

import base64
import binascii
import re

from services.whatsapp import wire
from services.whatsapp.errors import failure_of
from services.whatsapp.scope import Scope
from services.whatsapp.wire import Json
from shared.contract import ids
from shared.contract.content import Attachment, AttachmentKind, AttachmentStatus, Content, MediaContent, StickerContent
from shared.contract.errors import Error, ErrorCode, error

# Characters that show nothing, and those that turn the reading direction round and hide what a name ends with.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_NAME_MAX = 255

MEDIA = {
    "image": AttachmentKind.IMAGE,
    "video": AttachmentKind.VIDEO,
    "audio": AttachmentKind.AUDIO,
    "voice": AttachmentKind.VOICE,
    "document": AttachmentKind.DOCUMENT,
    "sticker": AttachmentKind.STICKER,
}


def provider_error(scope: Scope, message: Json, code: ErrorCode) -> Error | None:
    found = wire.objects(message, "errors") or scope.errors
    if not found:
        return None
    failure = failure_of(found[0])
    return error(code, failure.detail, provider_code=failure.provider_code)


def safe_filename(name: str | None) -> str | None:
    """A file name somebody else chose: the last step of a path, without control characters."""
    last = _CONTROL.sub("_", wire.nfc(name or "")).replace("\\", "/").rpartition("/")[2]
    return last[-_NAME_MAX:] or None


def sha256_hex(value: str | None) -> str | None:
    """A SHA-256 as lower-case hex; Meta gives base64 in webhooks and either form elsewhere."""
    if value is None:
        return None
    if len(value) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in value):
        return value.lower()
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 32 else None


def _attachment(scope: Scope, message: Json, body: Json, message_id: str, kind: AttachmentKind) -> Attachment:
    media_id = wire.text(body, "id")
    failure = None
    if media_id is None or wire.objects(message, "errors"):
        failure = provider_error(scope, message, ErrorCode.FILE_UNAVAILABLE) or error(ErrorCode.FILE_UNAVAILABLE)
    account = scope.item.account
    attachment_id = ids.attachment_id(message_id, 0)
    return Attachment(
        attachment_id=attachment_id,
        kind=kind,
        status=AttachmentStatus.FAILED if failure else AttachmentStatus.PENDING,
        filename=safe_filename(wire.text(body, "filename")),
        claimed_mime_type=wire.text(body, "mime_type"),
        sha256=sha256_hex(wire.text(body, "sha256")),
        blob=None if failure else ids.blob_key(account.workspace_id, account.account_id, attachment_id),
        provider_ref=media_id,
        animated=wire.flag(body, "animated") if "animated" in body else None,
        error=failure,
    )


def media(scope: Scope, message: Json, body: Json, message_id: str) -> Content:
    kind = MEDIA[wire.text(message, "type") or ""]
    if kind is AttachmentKind.AUDIO and wire.flag(body, "voice"):
        kind = AttachmentKind.VOICE
    attachment = _attachment(scope, message, body, message_id, kind)
    if kind is AttachmentKind.STICKER:
        return StickerContent(text="Sticker", attachments=(attachment,))
    return MediaContent(text=wire.nfc(wire.text(body, "caption") or ""), attachments=(attachment,))
