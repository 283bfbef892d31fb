"""Files of inbound messages: images, videos, voice messages, documents, stickers, and those Meta could not fetch."""

from __future__ import annotations

from services.whatsapp import wire
from services.whatsapp.api.errors import failure_of
from services.whatsapp.receive.received import Received
from shared.contract.content import Attachment, AttachmentKind, AttachmentStatus, Content, MediaContent, StickerContent
from shared.contract.errors import Error, ErrorCode, error
from shared.kit import loose
from shared.kit.facts import attachment_names
from shared.kit.loose import Json
from shared.kit.words import nfc, safe_filename

MEDIA = {
    "image": AttachmentKind.IMAGE,
    "video": AttachmentKind.VIDEO,
    "audio": AttachmentKind.AUDIO,
    "voice": AttachmentKind.VOICE,
    "document": AttachmentKind.DOCUMENT,
    "sticker": AttachmentKind.STICKER,
}


def provider_error(received: Received, message: Json, code: ErrorCode) -> Error | None:
    found = loose.objects(message, "errors") or received.errors
    if not found:
        return None
    failure = failure_of(found[0])
    return error(code, failure.detail, provider_code=failure.provider_code)


def _attachment(received: Received, message: Json, body: Json, message_id: str, kind: AttachmentKind) -> Attachment:
    media_id = loose.text(body, "id")
    failure = None
    if media_id is None or loose.objects(message, "errors"):
        failure = provider_error(received, message, ErrorCode.FILE_UNAVAILABLE) or error(ErrorCode.FILE_UNAVAILABLE)
    names = attachment_names(received.item.account, message_id)
    return Attachment(
        attachment_id=names["attachment_id"],
        kind=kind,
        status=AttachmentStatus.FAILED if failure else AttachmentStatus.PENDING,
        filename=safe_filename(loose.text(body, "filename")),
        claimed_mime_type=loose.text(body, "mime_type"),
        sha256=wire.sha256_hex(loose.text(body, "sha256")),
        blob=None if failure else names["blob"],
        provider_ref=media_id,
        animated=loose.flag(body, "animated") if "animated" in body else None,
        error=failure,
    )


def media(received: Received, message: Json, body: Json, message_id: str) -> Content:
    kind = MEDIA[loose.text(message, "type") or ""]
    if kind is AttachmentKind.AUDIO and loose.flag(body, "voice"):
        kind = AttachmentKind.VOICE
    attachment = _attachment(received, message, body, message_id, kind)
    if kind is AttachmentKind.STICKER:
        return StickerContent(text="Sticker", attachments=(attachment,))
    return MediaContent(text=nfc(loose.text(body, "caption") or ""), attachments=(attachment,))
