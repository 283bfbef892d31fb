"""What Telegram's Bot API can do for an inbox, as data; each figure with its source and the day it was read."""

from __future__ import annotations

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

MAX_PHOTO = 10_000_000  # bytes; decimal, the smaller reading of the documentation's MB
MAX_FILE = 50_000_000

# Inline keyboards.
MAX_BUTTONS = 100
MAX_ROW = 8
MAX_CALLBACK_DATA = 64  # bytes
MAX_COPY_TEXT = 256
MAX_QUOTE = 1024
MAX_ENTITIES = 100  # in a message; further ones are ignored (github.com/tdlib/telegram-bot-api/issues/820)

_PHOTO_TYPES = ("image/jpeg", "image/png", "image/bmp", "image/tiff")
_VIDEO_TYPES = ("video/mp4", "image/gif")  # a GIF is an animation
_H264 = FileFormat(mime_type="video/mp4", video_codecs=("h264",))
_OPUS = FileFormat(mime_type="audio/ogg", audio_codecs=("opus",))
_AAC = FileFormat(mime_type="audio/mp4", audio_codecs=("aac",))
_AUDIO_TYPES = ("audio/mpeg", "audio/mp4")

# The only reactions a bot can set (core.telegram.org/bots/api#reactiontypeemoji), without variation selectors.
# fmt: off
REACTIONS = frozenset({
    "❤", "👍", "👎", "🔥", "🥰", "👏", "😁", "🤔", "🤯", "😱", "🤬", "😢",
    "🎉", "🤩", "🤮", "💩", "🙏", "👌", "🕊", "🤡", "🥱", "🥴", "😍", "🐳",
    "❤\u200d🔥", "🌚", "🌭", "💯", "🤣", "⚡", "🍌", "🏆", "💔", "🤨", "😐", "🍓",
    "🍾", "💋", "🖕", "😈", "😴", "😭", "🤓", "👻", "👨\u200d💻", "👀", "🎃", "🙈",
    "😇", "😨", "🤝", "✍", "🤗", "🫡", "🎅", "🎄", "☃", "💅", "🤪", "🗿",
    "🆒", "💘", "🙉", "🦄", "😘", "💊", "🙊", "😎", "👾", "🤷\u200d♂", "🤷", "🤷\u200d♀",
    "😡",
})
# fmt: on

_API = "core.telegram.org/bots/api"
_READ = "2026-11-22"

_FILES = {
    AttachmentKind.IMAGE: FileRule(
        grade=Grade.NATIVE,
        mime_types=_PHOTO_TYPES,
        max_bytes=MAX_PHOTO,
        max_pixels=10_000,
        max_ratio=20.0,
        makes="image/jpeg",
        otherwise=AttachmentKind.DOCUMENT,
        album="visual",
    ),
    AttachmentKind.VIDEO: FileRule(
        grade=Grade.NATIVE,
        mime_types=_VIDEO_TYPES,
        max_bytes=MAX_FILE,
        formats=(_H264,),
        makes="video/mp4",
        otherwise=AttachmentKind.DOCUMENT,
        album="visual",
    ),
    AttachmentKind.AUDIO: FileRule(
        grade=Grade.NATIVE,
        mime_types=_AUDIO_TYPES,
        max_bytes=MAX_FILE,
        formats=(_AAC,),
        makes="audio/mp4",
        otherwise=AttachmentKind.VOICE,
        album="audio",
    ),
    AttachmentKind.VOICE: FileRule(
        grade=Grade.NATIVE,
        mime_types=("audio/ogg", "audio/mpeg", "audio/mp4"),
        max_bytes=MAX_FILE,
        formats=(_OPUS, _AAC),
        makes="audio/ogg",
        otherwise=AttachmentKind.DOCUMENT,
    ),
    AttachmentKind.VIDEO_NOTE: FileRule(
        grade=Grade.NATIVE,
        mime_types=("video/mp4",),
        max_bytes=MAX_FILE,
        caption=False,
        formats=(_H264,),
        makes="video/mp4",
        max_duration=60.0,
        max_ratio=1.0,
        otherwise=AttachmentKind.VIDEO,
    ),
    AttachmentKind.STICKER: FileRule(
        grade=Grade.NATIVE,
        mime_types=("image/webp", "application/x-tgsticker", "video/webm"),
        max_bytes=MAX_FILE,
        makes="image/webp",
        caption=False,
        otherwise=AttachmentKind.IMAGE,
    ),
    AttachmentKind.DOCUMENT: FileRule(grade=Grade.NATIVE, max_bytes=MAX_FILE, album="document"),
}

CAPABILITIES = Capabilities(
    channel="telegram",
    label="Telegram",
    # Telegram counts code points for bots; cutting by UTF-16 units satisfies whoever counts either way.
    text=TextRules(max_length=4096, caption_max_length=1024, unit="utf16", spans=Grade.NATIVE),
    files=_FILES,
    file_outcomes=outcomes_of(_FILES),
    album_size=10,
    reply_to=Grade.NATIVE,
    reply_to_on=("text", "media", "location", "contacts", "interactive"),
    typing=TypingRules(grade=Grade.NATIVE, refresh_every=4.0, lasts=5.0),
    edit=Grade.NATIVE,
    delete=Grade.NATIVE,
    reaction=Grade.NATIVE,
    mark_read=Grade.DEGRADED,  # in business chats only
    location=Grade.NATIVE,
    contacts=Grade.NATIVE,
    interactive=(
        Interactive(kind=InteractiveKind.BUTTONS, max_buttons=MAX_BUTTONS),
        Interactive(kind=InteractiveKind.LIST, grade=Grade.CONVERTED, max_rows=MAX_BUTTONS),
        Interactive(kind=InteractiveKind.CTA_URL, max_buttons=MAX_BUTTONS),
        # In private chats; elsewhere a text without the button that asks.
        Interactive(kind=InteractiveKind.LOCATION_REQUEST),
        Interactive(kind=InteractiveKind.CONTACT_REQUEST),
    ),
    receipts=(State.SENT,),
    initiates="never",
    windows=(
        WindowRule(
            kind="business_24h",
            applies_to="business",
            seconds=86_400,
            guard=30,
        ),
    ),
    rates=Rates(
        account=Rate(per_second=25, burst=25),
        pair=Rate(per_second=1, burst=3),
        group=Rate(per_second=20 / 60, burst=5),
    ),
    answers_uncertain="never",
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
        EventType.CONTACT_BLOCKED,
        EventType.CONTACT_UNBLOCKED,
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
        "system",
        "unsupported",
        "custom_payload",
    ),
    commands=(
        CommandType.MESSAGE_SEND,
        CommandType.MESSAGE_EDIT,
        CommandType.MESSAGE_DELETE,
        CommandType.REACTION_SET,
        CommandType.TYPING_START,
        CommandType.TYPING_STOP,
        CommandType.MARK_READ,
        CommandType.MESSAGE_CANCEL,
        CommandType.MESSAGE_RESEND,
        CommandType.CONTACT_BLOCK,
        CommandType.CONTACT_UNBLOCK,
    ),
    sources=(
        Source(figure="text 4096, caption 1024", source=f"{_API}#sendmessage", checked=_READ),
        Source(figure="photo 10 MB, other files 50 MB, download 20 MB", source=f"{_API}#sending-files", checked=_READ),
        Source(figure="photo width + height ≤ 10000, ratio ≤ 20", source=f"{_API}#sendphoto", checked=_READ),
        Source(figure="album of 2-10", source=f"{_API}#sendmediagroup", checked=_READ),
        Source(figure="video note ≤ 60 s, square", source=f"{_API}#sendvideonote", checked=_READ),
        Source(figure="callback data 1-64 bytes", source=f"{_API}#inlinekeyboardbutton", checked=_READ),
        Source(
            figure="asking for a number or a place: private chats only",
            source=f"{_API}#keyboardbutton",
            checked="2026-11-27",
        ),
        Source(
            figure="100 buttons, 8 in a row",
            source="python-telegram-bot 22.8, constants.InlineKeyboardMarkupLimit",
            checked=_READ,
            verified=False,
        ),
        Source(figure="quote ≤ 1024", source=f"{_API}#replyparameters", checked=_READ),
        Source(figure="chat action shown ≤ 5 s", source=f"{_API}#sendchataction", checked=_READ),
        Source(figure="30/s a bot, 1/s a chat, 20/min a group", source="core.telegram.org/bots/faq", checked=_READ),
        Source(figure="business chats: 24 h", source=f"{_API}#businessbotrights", checked=_READ),
        Source(figure="reaction emoji", source=f"{_API}#reactiontypeemoji", checked=_READ),
    ),
)
