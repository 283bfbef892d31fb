"""What email can do, as data, with source and date per figure."""

from __future__ import annotations

from services.email.settings import Settings
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
)
from shared.contract.commands import MAX_FILES, CommandType, InteractiveKind
from shared.contract.content import AttachmentKind
from shared.contract.events import EventType
from shared.contract.statuses import State
from shared.media.file_table import outcomes_of

CHANNEL = "email"
LABEL = "Email"
TEXT_LIMIT = 100_000  # characters
HTML_LIMIT = 500_000
SUBJECT_LIMIT = 900  # characters; a header line has at most 998 octets
MAX_COPIES = 100  # recipients in cc and bcc together

_CHECKED = "2026-11-27"

SOURCES = (
    Source(figure="text 100,000 characters, html 500,000", source="ours: no server or client is known to take less",
           checked=_CHECKED, verified=False),
    Source(figure="50 files, 20 MiB each", source="the inbox product's", checked=_CHECKED),
    Source(figure="a whole mail of 25 MB at Gmail, base64 included", source="support.google.com/mail/answer/6590",
           checked=_CHECKED),
    Source(figure="a whole mail of 35 MB at Microsoft 365 by default",
           source="learn.microsoft.com: Exchange Online limits, read in others' copies", checked=_CHECKED,
           verified=False),
    Source(figure="a whole mail of 40 MB at Amazon SES", source="docs.aws.amazon.com/ses/latest/dg/quotas.html",
           checked=_CHECKED),
    Source(figure="20 mails a second of an account", source="ours: a server that wants less says so (4xx)",
           checked=_CHECKED, verified=False),
    Source(figure="30 mails a minute of an account at Microsoft 365",
           source="learn.microsoft.com/answers/questions/2258712", checked=_CHECKED),
    Source(figure="100 recipients of one mail", source="RFC 5321 §4.5.3.1.8: the least that a server takes",
           checked=_CHECKED),
    Source(figure="4 octets of base64 for 3, a line break for 76 octets", source="RFC 2045 §6.8", checked=_CHECKED),
)  # fmt: skip


def capabilities(settings: Settings) -> Capabilities:
    """The capabilities under these settings. A file is sent as it is, whatever its kind."""
    files = dict.fromkeys(AttachmentKind, FileRule(grade=Grade.NATIVE))
    degraded = (
        InteractiveKind.BUTTONS,
        InteractiveKind.LIST,
        InteractiveKind.CTA_URL,
        InteractiveKind.CARD,
        InteractiveKind.CAROUSEL,
        InteractiveKind.LOCATION_REQUEST,
        InteractiveKind.CONTACT_REQUEST,
    )
    return Capabilities(
        channel=CHANNEL,
        label=LABEL,
        text=TextRules(
            max_length=TEXT_LIMIT, caption_max_length=TEXT_LIMIT, spans=Grade.NATIVE, splits=False, max_parts=1
        ),
        files=files,
        file_outcomes=outcomes_of(files),
        files_per_message=MAX_FILES,
        album_size=MAX_FILES,
        reply_to=Grade.NATIVE,
        typing=TypingRules(grade=Grade.REJECTED),
        edit=Grade.REJECTED,
        delete=Grade.REJECTED,
        reaction=Grade.REJECTED,
        mark_read=Grade.REJECTED,
        location=Grade.DEGRADED,
        contacts=Grade.DEGRADED,
        interactive=tuple(Interactive(kind=kind, grade=Grade.DEGRADED) for kind in degraded),
        receipts=(State.SENT, State.DELIVERED),
        initiates="always",
        rates=Rates(account=Rate(per_second=20, burst=40)),
        answers_uncertain="message_id",
        inbound=(
            EventType.MESSAGE_RECEIVED,
            EventType.MESSAGE_ECHOED,
            EventType.ATTACHMENT_STORED,
            EventType.ATTACHMENT_FAILED,
            EventType.CONTACT_CONSENT_CHANGED,
            EventType.CONTACT_UPDATED,
        ),
        content_kinds=("email", "unsupported"),
        commands=(
            CommandType.MESSAGE_SEND,
            CommandType.MESSAGE_CANCEL,
            CommandType.MESSAGE_RESEND,
            CommandType.CONTACT_BLOCK,
            CommandType.CONTACT_UNBLOCK,
        ),
        sources=SOURCES,
    )
