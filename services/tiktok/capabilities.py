"""What TikTok direct messages can do, as data, with source and date per figure."""

from __future__ import annotations

from typing import Final

from services.tiktok.settings import Settings
from shared.contract.capabilities import (
    Capabilities,
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

CHANNEL = "tiktok"
# TikTok does not say what it counts; this count is never the smaller one.
UNIT: Final = "utf16"
WINDOW_SECONDS = 48 * 3600.0
QUOTA = 10
IMAGE_TYPES = ("image/jpeg", "image/png")
IMAGE_MAX_BYTES = 3 * 1024 * 1024
CARD_TITLE = 40
CARD_BUTTONS = 3
BUTTON_TITLE = 20  # of a Q&A button card
LINK_TITLE = 40  # of a Q&A link card
BUTTON_ID = 40

_PORTAL = "https://business-api.tiktok.com/portal/docs?id="
_CHECKED = "2026-11-22"

SOURCES = (
    Source(figure="text 6,000 characters", source=_PORTAL + "1832184403754242", checked=_CHECKED),
    Source(figure="text counted in UTF-16 units", source="the larger count; TikTok does not name its unit",
           checked=_CHECKED, verified=False),
    Source(figure="image JPG or PNG up to 3 MB", source=_PORTAL + "1832184437720193", checked=_CHECKED),
    Source(figure="text or image, never both", source=_PORTAL + "1832184403754242", checked=_CHECKED),
    Source(figure="card title 40, 1-3 buttons of 20 (button card) or 40 (link card), id 40",
           source=_PORTAL + "1832184403754242", checked=_CHECKED),
    Source(figure="48 hours and 10 messages from the newest message of the user",
           source=_PORTAL + "1832184403754242", checked=_CHECKED),
    Source(figure="profile `documented`: no quota after the second message of the user, 3 after 48 hours",
           source="TikTok's messaging limits guide, read in others' digests", checked=_CHECKED, verified=False),
    Source(figure="typing shown 5 seconds", source=_PORTAL + "1832184403754242", checked=_CHECKED),
    Source(figure="10 requests a second per app, all accounts together",
           source="TikTok's rate limit guide, read in others' digests", checked=_CHECKED, verified=False),
)  # fmt: skip


def capabilities(settings: Settings) -> Capabilities:
    """The capabilities under these settings."""
    rejected = FileRule(grade=Grade.REJECTED)
    picture = FileRule(
        grade=Grade.NATIVE, mime_types=IMAGE_TYPES, max_bytes=IMAGE_MAX_BYTES, caption=False, makes="image/jpeg"
    )
    files = {**dict.fromkeys(AttachmentKind, rejected), AttachmentKind.IMAGE: picture}
    strict = settings.window_profile == "strict"
    return Capabilities(
        channel=CHANNEL,
        label="TikTok",
        text=TextRules(
            max_length=settings.text_limit,
            caption_max_length=settings.text_limit,
            unit=UNIT,
            spans=Grade.DEGRADED,
        ),
        files=files,
        file_outcomes=outcomes_of(files),
        files_per_message=QUOTA if strict else 50,
        text_and_files="apart",
        reply_to=Grade.NATIVE if settings.reply_reference else Grade.REJECTED,
        reply_to_on=("text",),
        typing=TypingRules(grade=Grade.NATIVE, refresh_every=4.0, lasts=5.0, needs_inbound=True),
        edit=Grade.REJECTED,
        delete=Grade.REJECTED,
        reaction=Grade.REJECTED,
        mark_read=Grade.NATIVE,
        interactive=(
            Interactive(kind=InteractiveKind.BUTTONS, max_buttons=CARD_BUTTONS, max_title=LINK_TITLE),
            Interactive(kind=InteractiveKind.CARD, max_buttons=CARD_BUTTONS, max_title=LINK_TITLE),
            # Lines of text, or a text that asks.
            Interactive(kind=InteractiveKind.LIST, grade=Grade.DEGRADED),
            Interactive(kind=InteractiveKind.CTA_URL, grade=Grade.DEGRADED),
            Interactive(kind=InteractiveKind.LOCATION_REQUEST, grade=Grade.DEGRADED),
            Interactive(kind=InteractiveKind.CONTACT_REQUEST, grade=Grade.DEGRADED),
        ),
        receipts=(State.SENT, State.READ),
        reads_up_to=True,
        initiates="never",
        windows=(
            WindowRule(
                kind="direct_message",
                seconds=WINDOW_SECONDS,
                guard=60.0,
                quota=QUOTA,
                counts_echoes=True,
                counts_automatic=settings.count_automatic,
                quota_until_reply=not strict,
            ),
        ),
        rates=Rates(app=Rate(per_second=8, burst=2)),  # never more than 10 within a second
        answers_uncertain="echo",
        inbound=(
            EventType.MESSAGE_RECEIVED,
            EventType.MESSAGE_ECHOED,
            EventType.REACTION_CHANGED,
            EventType.POSTBACK_RECEIVED,
            EventType.ATTACHMENT_STORED,
            EventType.ATTACHMENT_FAILED,
            EventType.CONVERSATION_REFERRED,
            EventType.CONVERSATION_READ,
            EventType.ACCOUNT_NOTICE,
            EventType.CONTACT_UPDATED,
        ),
        content_kinds=("text", "media", "sticker", "postback", "template", "unsupported", "custom_payload"),
        commands=(
            CommandType.MESSAGE_SEND,
            CommandType.TYPING_START,
            CommandType.TYPING_STOP,
            CommandType.MARK_READ,
            CommandType.MESSAGE_CANCEL,
            CommandType.MESSAGE_RESEND,
            CommandType.CONTACT_BLOCK,
            CommandType.CONTACT_UNBLOCK,
        ),
        sources=SOURCES,
    )
