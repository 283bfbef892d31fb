"""Files of inbound messages: images, videos, voice messages, documents, stickers, and those Meta could not fetch."""

from __future__ import annotations

from services.whatsapp import wire
from services.whatsapp.api.errors import failure_of
from services.whatsapp.receive.received import Received
from services.whatsapp.wire import Json
from shared.contract import ids
from shared.contract.content import Attachment, AttachmentKind, AttachmentStatus, Content, MediaContent, StickerContent
from shared.contract.errors import Error, ErrorCode, error

MEDIA = {
    "image": AttachmentKind.IMAGE,
    "video": AttachmentKind.VIDEO,
    "audio": AttachmentKind.AUDIO,
    "voice": AttachmentKind.VOICE,
    "document": AttachmentKind.DOCUMENT,
    "sticker": AttachmentKind.STICKER,
}


def provider_error(received: Received, message: Json, code: ErrorCode) -> Error | None:
    found = wire.objects(message, "errors") or received.errors
    if not found:
        return None
    failure = failure_of(found[0])
    return error(code, failure.detail, provider_code=failure.provider_code)


def _attachment(received: Received, message: Json, body: Json, message_id: str, kind: AttachmentKind) -> Attachment:
    media_id = wire.text(body, "id")
    failure = None
    if media_id is None or wire.objects(message, "errors"):
        failure = provider_error(received, message, ErrorCode.FILE_UNAVAILABLE) or error(ErrorCode.FILE_UNAVAILABLE)
    account = received.item.account
    attachment_id = ids.attachment_id(message_id, 0)
    return Attachment(
        attachment_id=attachment_id,
        kind=kind,
        status=AttachmentStatus.FAILED if failure else AttachmentStatus.PENDING,
        filename=wire.safe_filename(wire.text(body, "filename")),
        claimed_mime_type=wire.text(body, "mime_type"),
        sha256=wire.sha256_hex(wire.text(body, "sha256")),
        blob=None if failure else ids.blob_key(account.workspace_id, account.account_id, attachment_id),
        provider_ref=media_id,
        animated=wire.flag(body, "animated") if "animated" in body else None,
        error=failure,
    )


def media(received: Received, message: Json, body: Json, message_id: str) -> Content:
    kind = MEDIA[wire.text(message, "type") or ""]
    if kind is AttachmentKind.AUDIO and wire.flag(body, "voice"):
        kind = AttachmentKind.VOICE
    attachment = _attachment(received, message, body, message_id, kind)
    if kind is AttachmentKind.STICKER:
        return StickerContent(text="Sticker", attachments=(attachment,))
    return MediaContent(text=wire.nfc(wire.text(body, "caption") or ""), attachments=(attachment,))
