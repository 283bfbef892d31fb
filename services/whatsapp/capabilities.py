"""What WhatsApp's Cloud API can carry, as data, with the source and date of every figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.contract.capabilities import (
    Capabilities,
    FileFormat,
    FileRule,
    Grade,
    Interactive,
    Rate,
    Rates,
    Source,
    TextRules,
    TypingRules,
    WindowRule,
)
from shared.contract.commands import CommandType, InteractiveKind
from shared.contract.content import AttachmentKind
from shared.contract.events import EventType
from shared.contract.statuses import State
from shared.media.file_table import outcomes_of
from shared.policy.choices import Room

CHANNEL = "whatsapp"
MIB = 1024 * 1024

# Interactive limits, in code points or counts, by the field they bind.
BODY = 1024
LIST_BODY = 4096
HEADER = 60
FOOTER = 60
BUTTON_TITLE = 20
BUTTON_ID = 256
SECTIONS = 10
SECTION_TITLE = 24
ROWS = 10
ROW_ID = 200
ROW_TITLE = 24
ROW_DESCRIPTION = 72
FLOW_BUTTON = 30
CARDS = (2, 10)
CARD_BODY = 160
CARD_LINE_BREAKS = 2
PRODUCTS = 30
URL = 2000
CONTACT_CARDS = 257
TEMPLATE_BUTTONS = 10
REPLIES = 3
LIST_LABEL = "…"  # opens a list that was none in the command, in whatever language it speaks

_ROOM = Room(
    channel="WhatsApp",
    buttons=REPLIES,
    title=BUTTON_TITLE,
    id=BUTTON_ID,
    alone=frozenset({"url"}),
    rows=ROWS,
    row_title=ROW_TITLE,
    row_description=ROW_DESCRIPTION,
    row_id=ROW_ID,
    section_title=SECTION_TITLE,
)
_ROOM_DIRECT = replace(_ROOM, rows=0)  # without a template Meta takes no lists
_ROOM_IN_GROUP = Room(channel="A WhatsApp group", buttons=0, title=None)


def room_of(*, group: bool, direct: bool) -> Room:
    """What can be tapped: in a group nothing, and no lists in a message sent directly (`MessageSend.category`)."""
    if group:
        return _ROOM_IN_GROUP
    return _ROOM_DIRECT if direct else _ROOM


_OFFICE = "application/vnd.openxmlformats-officedocument"
# Meta's upload refuses every other type (error 100). What is text goes up as `text/plain` (`api.uploads`).
DOCUMENT_TYPES = (
    "application/pdf",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    f"{_OFFICE}.wordprocessingml.document",
    f"{_OFFICE}.spreadsheetml.sheet",
    f"{_OFFICE}.presentationml.presentation",
    "text/plain",
    "text/csv",
    "text/markdown",
    "text/calendar",
    "text/vcard",
    "text/xml",
    "application/xml",
    "application/json",
    "image/jpeg",
    "image/png",
    "image/webp",
    "video/mp4",
    "video/3gpp",
    "audio/aac",
    "audio/amr",
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
)
_AUDIO_TYPES = ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")

_VIDEO_FORMATS = tuple(
    FileFormat(mime_type=mime_type, video_codecs=("h264",), audio_codecs=("aac",), plain=True)
    for mime_type in ("video/mp4", "video/3gpp")
)
_OPUS = FileFormat(mime_type="audio/ogg", audio_codecs=("opus",), channels=1)
# An upload is measured by its type, whatever it is sent as.
_DOCUMENT_FORMATS = (
    *(FileFormat(mime_type=mime_type, max_bytes=5 * MIB) for mime_type in ("image/jpeg", "image/png")),
    FileFormat(mime_type="image/webp", max_bytes=500 * 1024),
    *(FileFormat(mime_type=mime_type, max_bytes=16 * MIB) for mime_type in ("video/mp4", "video/3gpp", *_AUDIO_TYPES)),
)

_FILES = {
    AttachmentKind.IMAGE: FileRule(
        grade=Grade.NATIVE,
        mime_types=("image/jpeg", "image/png"),
        max_bytes=5 * MIB,
        eight_bit=True,
        makes="image/jpeg",
        otherwise=AttachmentKind.DOCUMENT,
    ),
    AttachmentKind.VIDEO: FileRule(
        grade=Grade.NATIVE,
        mime_types=("video/mp4", "video/3gpp"),
        max_bytes=16 * MIB,
        formats=_VIDEO_FORMATS,
        makes="video/mp4",
        otherwise=AttachmentKind.DOCUMENT,
    ),
    AttachmentKind.AUDIO: FileRule(
        grade=Grade.NATIVE,
        mime_types=_AUDIO_TYPES,
        max_bytes=16 * MIB,
        formats=(_OPUS,),
        makes="audio/ogg",
        caption=False,
        otherwise=AttachmentKind.DOCUMENT,
    ),
    AttachmentKind.VOICE: FileRule(
        grade=Grade.NATIVE,
        mime_types=("audio/ogg",),
        max_bytes=16 * MIB,
        formats=(_OPUS,),
        makes="audio/ogg",
        caption=False,
        otherwise=AttachmentKind.AUDIO,
    ),
    AttachmentKind.VIDEO_NOTE: FileRule(
        grade=Grade.DEGRADED,
        mime_types=("video/mp4", "video/3gpp"),
        max_bytes=16 * MIB,
        formats=_VIDEO_FORMATS,
        makes="video/mp4",
        otherwise=AttachmentKind.VIDEO,
    ),
    AttachmentKind.STICKER: FileRule(
        grade=Grade.NATIVE,
        mime_types=("image/webp",),
        max_bytes=500 * 1024,
        still_max_bytes=100 * 1024,
        side=512,
        makes="image/webp",
        caption=False,
        otherwise=AttachmentKind.IMAGE,
    ),
    AttachmentKind.DOCUMENT: FileRule(
        grade=Grade.NATIVE, mime_types=DOCUMENT_TYPES, max_bytes=100 * MIB, formats=_DOCUMENT_FORMATS
    ),
}

_DOCS = "developers.facebook.com/documentation/business-messaging/whatsapp"
_SOURCES = (
    Source(figure="text 4096, caption 1024", source=f"{_DOCS}/messages/text-messages", checked="2026-11-22"),
    Source(figure="media types and sizes", source=f"{_DOCS}/business-phone-numbers/media", checked="2026-11-22"),
    Source(
        figure="no upload of archives and other types than Meta lists, even as a document",
        source="what developers report of error 100",
        checked="2026-11-27",
        verified=False,
    ),
    Source(
        figure="video: H.264 without B-frames in its High profile, AAC",
        source=f"{_DOCS}/messages/video-messages",
        checked="2026-11-27",
    ),
    Source(
        figure="buttons 3 × 20, list 10 rows, list body 4096",
        source=f"{_DOCS}/messages/interactive-list-messages",
        checked="2026-11-22",
    ),
    Source(
        figure="carousel 2 to 10 cards of 160",
        source=f"{_DOCS}/messages/interactive-media-carousel-messages",
        checked="2026-11-22",
    ),
    Source(figure="257 contacts", source=f"{_DOCS}/messages/contacts-messages", checked="2026-11-22"),
    Source(
        figure="without a template: texts, reply and link buttons, body 1024",
        source=f"{_DOCS}/direct-send/supported-features-and-limits",
        checked="2026-11-22",
    ),
    Source(figure="typing lasts 25 s", source=f"{_DOCS}/typing-indicators", checked="2026-11-22"),
    Source(
        figure="window 24 h",
        source=f"{_DOCS}/messages/send-messages#customer-service-windows",
        checked="2026-11-22",
    ),
    Source(
        figure="80 messages/s per number; 20 where the phone app is used as well",
        source=f"{_DOCS}/throughput",
        checked="2026-11-22",
    ),
    Source(figure="1 message per 6 s and pair, burst 45", source=f"{_DOCS}/about-the-platform", checked="2026-11-22"),
    Source(
        figure="reactions refresh the window",
        source="Meta says that a message does and lists no types",
        checked="2026-11-22",
        verified=False,
    ),
)

CAPABILITIES = Capabilities(
    channel=CHANNEL,
    label="WhatsApp",
    text=TextRules(max_length=4096, caption_max_length=1024, unit="code_points", spans=Grade.CONVERTED),
    files=_FILES,
    file_outcomes=outcomes_of(_FILES),
    reply_to=Grade.NATIVE,
    reply_to_on=("text", "media", "interactive", "location", "contacts"),
    typing=TypingRules(grade=Grade.NATIVE, lasts=25.0, marks_read=True, needs_inbound=True),
    edit=Grade.REJECTED,
    delete=Grade.REJECTED,
    reaction=Grade.NATIVE,
    mark_read=Grade.NATIVE,
    block=Grade.NATIVE,
    templates=Grade.NATIVE,
    location=Grade.NATIVE,
    contacts=Grade.NATIVE,
    interactive=(
        Interactive(kind=InteractiveKind.BUTTONS, max_buttons=3, max_title=BUTTON_TITLE),
        Interactive(kind=InteractiveKind.LIST, max_title=ROW_TITLE, max_rows=ROWS),
        Interactive(kind=InteractiveKind.CTA_URL, max_buttons=1, max_title=BUTTON_TITLE),
        Interactive(kind=InteractiveKind.LOCATION_REQUEST),
        Interactive(kind=InteractiveKind.CONTACT_REQUEST),
        Interactive(kind=InteractiveKind.FLOW, max_buttons=1, max_title=FLOW_BUTTON),
        Interactive(kind=InteractiveKind.CAROUSEL, max_buttons=3, max_title=BUTTON_TITLE, max_rows=CARDS[1]),
        Interactive(kind=InteractiveKind.PRODUCT),
        Interactive(kind=InteractiveKind.PRODUCT_LIST, max_rows=PRODUCTS),
        Interactive(kind=InteractiveKind.CATALOG),
    ),
    receipts=(State.SENT, State.DELIVERED, State.READ, State.PLAYED, State.FAILED),
    initiates="template",
    identity_check=True,
    windows=(
        WindowRule(
            kind="customer_service",
            seconds=24 * 3600,
            guard=30,
            templates_outside=True,
            opens_on=(EventType.MESSAGE_RECEIVED, EventType.POSTBACK_RECEIVED, EventType.REACTION_CHANGED),
        ),
    ),
    rates=Rates(account=Rate(per_second=80, burst=80), pair=Rate(per_second=1 / 6, burst=45)),
    answers_uncertain="callback_data",
    inbound=(
        EventType.MESSAGE_RECEIVED,
        EventType.MESSAGE_ECHOED,
        EventType.MESSAGE_EDITED,
        EventType.MESSAGE_DELETED,
        EventType.REACTION_CHANGED,
        EventType.POSTBACK_RECEIVED,
        EventType.ATTACHMENT_STORED,
        EventType.ATTACHMENT_FAILED,
        EventType.CONTACT_UPDATED,
        EventType.CONTACT_CONSENT_CHANGED,
        EventType.CONVERSATION_REFERRED,
        EventType.ACCOUNT_NOTICE,
    ),
    content_kinds=(
        "text",
        "media",
        "location",
        "contacts",
        "sticker",
        "postback",
        "order",
        "template",
        "system",
        "unsupported",
        "custom_payload",
    ),
    commands=(
        CommandType.MESSAGE_SEND,
        CommandType.REACTION_SET,
        CommandType.TYPING_START,
        CommandType.TYPING_STOP,
        CommandType.MARK_READ,
        CommandType.MESSAGE_CANCEL,
        CommandType.MESSAGE_RESEND,
        CommandType.CONTACT_BLOCK,
        CommandType.CONTACT_UNBLOCK,
    ),
    sources=_SOURCES,
)

# A number that is also used in the WhatsApp Business app keeps a fixed throughput.
COEXISTING = CAPABILITIES.model_copy(
    update={"rates": CAPABILITIES.rates.model_copy(update={"account": Rate(per_second=20, burst=20)})}
)

DIRECT_SEND = ("utility", "authentication")  # categories of messages without a template


def capabilities_of(settings: Mapping[str, Any]) -> Capabilities:
    """What an account can do, by its settings: `coexistence`, and the categories of `direct_send`.

    Meta lets a business account write without templates when it has put it on a list, and does not say whether.
    """
    found = COEXISTING if settings.get("coexistence") else CAPABILITIES
    given = settings.get("direct_send")
    allowed = tuple(category for category in DIRECT_SEND if isinstance(given, list) and category in given)
    return found.model_copy(update={"direct_send": allowed}) if allowed else found
