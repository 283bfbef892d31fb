"""What a channel can do, as data: the only thing the policy reads about a channel, and what the core is told."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shared.contract.base import Model, OptionalText, Timestamp
from shared.contract.commands import CommandType, InteractiveKind
from shared.contract.content import AttachmentKind
from shared.contract.events import EventType
from shared.contract.statuses import State
from shared.contract.vocabularies import WindowKind


class Grade(StrEnum):
    """How well something is supported."""

    NATIVE = "native"
    """As it is meant."""
    CONVERTED = "converted"
    """In another form: the same thing to the reader."""
    DEGRADED = "degraded"
    """Something is lost; the status carries a warning."""
    REJECTED = "rejected"
    """Not at all."""


class Source(Model):
    """Where a figure comes from, and when it was read there."""

    figure: str
    """What the figure is about."""
    source: str
    """A page of the provider, or what was tried."""
    checked: str
    """The day it was read there, as `2026-11-22`."""
    verified: bool = True
    """False: nobody has seen it hold."""


class TextRules(Model):
    """Limits of text.

    A longer text goes out as several messages, `max_parts` of `max_length` at most; what is longer still is refused
    (`text_too_long`).
    """

    max_length: int
    """Of one message, in `unit`."""
    caption_max_length: int
    """Of a caption, in `unit`; a longer one goes out as a message of its own."""
    unit: Literal["code_points", "utf16"] = "code_points"
    """What the provider counts: Unicode code points, or UTF-16 code units."""
    spans: Grade = Grade.REJECTED
    """Whether formatting survives."""
    splits: bool = True
    """Whether a longer text goes out as several messages; nothing is ever cut."""
    max_parts: int = 10
    """How many messages a text may become (`settings.max_text_parts` of the account)."""


LARGEST_FILE = 20 * 1024 * 1024  # bytes: the product's limit of a file to send, whatever the provider takes


class FileFormat(Model):
    """What a file of a type must be besides: its codecs (empty: any), and how large."""

    mime_type: str
    """The type that this is about."""
    video_codecs: tuple[str, ...] = ()
    """Codecs of its pictures, as FFmpeg names them; empty: any."""
    audio_codecs: tuple[str, ...] = ()
    """Codecs of its sound, as FFmpeg names them; empty: any."""
    channels: int | None = None
    """Channels of its sound, at most."""
    plain: bool = False
    """True: only video that every phone plays: 4:2:0 in 8 bits, and no B-frames in H.264's High profile."""
    max_bytes: int | None = None
    """Bytes at most, where that is less than the rule's."""


class FileRule(Model):
    """What becomes of a file of one kind.

    A file that does not fit is converted into the type that the rule `makes`; where that cannot be done, it goes out
    as the kind of `otherwise`, or not at all.
    """

    grade: Grade
    """How well the channel shows this kind."""
    mime_types: tuple[str, ...] = ()
    """Types it takes; empty: any."""
    max_bytes: Annotated[int, AfterValidator(lambda given: min(given, LARGEST_FILE))] = LARGEST_FILE
    """Bytes at most: the provider's limit or the product's, what is less."""
    still_max_bytes: int | None = None
    """Bytes at most of a sticker that does not move, where that is less."""
    caption: bool = True
    """Whether a caption can go with it."""
    otherwise: AttachmentKind | None = None
    """The kind it goes out as when it does not fit this rule."""
    max_pixels: int | None = None
    """Width and height together, at most, in pixels."""
    max_ratio: float | None = None
    """The longer side by the shorter one, at most."""
    max_duration: float | None = None
    """Seconds, at most."""
    album: str | None = None
    """Kinds with the same name can share an album."""
    formats: tuple[FileFormat, ...] = ()
    """Of those of `mime_types` that must be more than a type."""
    eight_bit: bool = False
    """True: no picture with more than 8 bits a channel, or in the colours of print."""
    side: int | None = None
    """Width and height, each, in pixels."""
    makes: str | None = None
    """The type that what does not fit is converted into."""


class FileOutcome(Model):
    """What becomes of files of a type, by the codecs in them, where the agent says nothing of their kind.

    What is larger than the channel takes of the type is made smaller where it is converted, too.
    """

    type: str
    """The type of the file."""
    codecs: OptionalText = None
    """The codecs in it, where they matter."""
    outcome: Literal["native", "converted", "document", "rejected"]
    """`document`: a picture, a sound or a video that goes out as a file."""
    kind: AttachmentKind | None = None
    """The kind it goes out as."""
    mime_type: OptionalText = None
    """Of `converted`: the type it is converted into."""
    reason: OptionalText = None
    """Why it does not go out as it is, in words."""


class TypingRules(Model):
    """How the channel shows that somebody is typing."""

    grade: Grade
    """Whether it does."""
    refresh_every: float | None = None
    """Seconds after which the connector asks for it again."""
    lasts: float | None = None
    """Seconds that the provider shows it."""
    marks_read: bool = False
    """True: it also marks what the contact wrote as read."""
    needs_inbound: bool = False
    """True: only after a message of the contact."""


class WindowRule(Model):
    """A messaging window: what opens it, how long it lasts, what is allowed when it is closed."""

    kind: WindowKind
    """Which window it is."""
    applies_to: str = "any"
    """The kind of conversation it is about: `any`, or a kind of chat of the channel (`business`)."""
    seconds: float
    """How long it lasts, in seconds, from what opened it."""
    guard: float = 0.0
    """Seconds taken off its end, so that what is accepted still arrives in time."""
    quota: int | None = None
    """Messages of ours until the contact writes again."""
    counts_echoes: bool = False
    """Whether messages written in the channel's own app count."""
    counts_automatic: bool = True
    """Whether the provider's own automatic messages count."""
    quota_until_reply: bool = False
    """True: the quota holds until the contact writes again; then there is none."""
    templates_outside: bool = False
    """Whether templates can be sent while it is closed."""
    opens_on: tuple[EventType, ...] = (EventType.MESSAGE_RECEIVED, EventType.POSTBACK_RECEIVED)
    """Events that open it."""


class Rate(Model):
    """A token bucket."""

    per_second: float = Field(gt=0)
    """Calls a second, in the long run."""
    burst: float = Field(ge=1)
    """Calls at once, at most."""


class Rates(Model):
    """How fast may be sent: absent buckets have no limit."""

    account: Rate | None = None
    """Of the account."""
    pair: Rate | None = None
    """Of the account with one contact."""
    group: Rate | None = None
    """Of the account in one group."""
    app: Rate | None = None
    """Of all accounts of the app together."""


class Interactive(Model):
    """A kind of interactive message. What goes beyond its figures goes out another way, with a warning."""

    kind: InteractiveKind
    """Which kind."""
    grade: Grade = Grade.NATIVE
    """How well it is shown; `degraded`: it always goes out another way."""
    max_buttons: int | None = None
    """Buttons at most."""
    max_title: int | None = None
    """Characters of a button's or row's title, at most."""
    max_rows: int | None = None
    """Rows of a list at most."""


class Capabilities(Model):
    """Everything an inbox has to know about a channel before it offers something to an agent."""

    channel: str
    """The channel: the name of its folder in `services/`."""
    label: str = "The channel"
    """Its name as people write it."""
    text: TextRules
    """Limits of text."""
    files: dict[AttachmentKind, FileRule]
    """What becomes of files, by the kind they are sent as."""
    file_outcomes: tuple[FileOutcome, ...] = ()
    """The same by type, for files whose kind the agent does not say."""
    files_per_message: int = 50
    """Files that one command may have."""
    album_size: int = 1
    """Files that are shown together as one message."""
    text_and_files: Literal["together", "apart"] = "together"
    """Whether a text goes out as the caption of a file, or as a message of its own."""
    reply_to: Grade
    """Answers to a certain message, shown as such."""
    reply_to_on: tuple[str, ...] = ("text", "media")
    """Kinds of content that can be such an answer."""
    typing: TypingRules
    """The typing indicator."""
    edit: Grade
    """Edits of our messages."""
    delete: Grade
    """Deletions of our messages, for the contact too."""
    reaction: Grade
    """Reactions of ours."""
    mark_read: Grade
    """Marking as read what the contact wrote."""
    block: Grade = Grade.REJECTED
    """Blocking at the provider; what is `rejected` is blocked in the connector only."""
    templates: Grade = Grade.REJECTED
    """Approved templates."""
    location: Grade = Grade.REJECTED
    """Places to send."""
    contacts: Grade = Grade.REJECTED
    """Contact cards to send."""
    interactive: tuple[Interactive, ...] = ()
    """Kinds of interactive messages."""
    receipts: tuple[State, ...]
    """What the provider reports of a message."""
    reads_up_to: bool = False
    """True: the provider reports reading as a point in time, for all messages before it."""
    initiates: Literal["never", "template", "always"]
    """Whether a business may write first."""
    direct_send: tuple[str, ...] = ()
    """Categories (`category` of `message.send`) in which the account may write without a template while no window is
    open."""
    identity_check: bool = False
    """True: `identity_key` of `message.send` is obeyed."""
    windows: tuple[WindowRule, ...] = ()
    """Messaging windows; none: one may write at any time."""
    rates: Rates = Rates()
    """How fast may be sent."""
    answers_uncertain: Literal["callback_data", "echo", "message_id", "never"]
    """How an uncertain part is settled: the provider brings our id back, echoes the message, knows its id, or not at
    all."""
    inbound: tuple[EventType, ...]
    """Events the channel can bring."""
    content_kinds: tuple[str, ...]
    """Kinds of content the channel can bring."""
    commands: tuple[CommandType, ...]
    """Commands the channel can carry out."""
    sources: tuple[Source, ...] = ()
    """Where the figures come from."""

    @property
    def content_hash(self) -> str:
        """The same for the same capabilities: a reader can cache by it."""
        return hashlib.sha256(self.to_json()).hexdigest()[:16]


CAPABILITIES_TYPE = "account.capabilities"


class CapabilityRecord(Model):
    """What the channel can do for an account: its record on `channels.capabilities`."""

    workspace_id: str
    """The workspace the account belongs to."""
    account_id: str
    """The account, which is the record's key."""
    external_id: OptionalText = None
    """The provider's own id of the account."""
    parent_id: OptionalText = None
    """The provider's id of what several accounts belong to."""
    further_names: tuple[str, ...] = ()
    """Names beside `external_id` that are the account's alone (email: the further addresses of the mailbox)."""
    served_since: Timestamp | None = None
    """Since when the account has been served under these ids of the provider: an `external_id` that several accounts
    have is that of the one which has had it longest."""
    content_hash: str
    """The same for the same capabilities: a reader can cache by it."""
    capabilities: Capabilities
    """What the channel can do for the account."""
