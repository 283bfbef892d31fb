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


class Grade(StrEnum):
    """How well something is supported."""

    NATIVE = "native"
    CONVERTED = "converted"  # another format, same thing to the reader
    DEGRADED = "degraded"  # something is lost; the status carries a warning
    REJECTED = "rejected"


class Source(Model):
    """Where a figure comes from, and when it was read there."""

    figure: str
    source: str
    checked: str  # ISO date
    verified: bool = True


class TextRules(Model):
    """Limits of text. `unit` is what the provider counts; `spans` says whether formatting survives.

    A longer text goes out as several messages, `max_parts` of `max_length` at most (`settings.max_text_parts` of the
    account); what is longer still is refused (`text_too_long`).
    """

    max_length: int
    caption_max_length: int
    unit: Literal["code_points", "utf16"] = "code_points"
    spans: Grade = Grade.REJECTED
    splits: bool = True  # longer text goes out as several messages, never cut
    max_parts: int = 10


LARGEST_FILE = 20 * 1024 * 1024  # bytes: the product's limit of a file to send, whatever the provider takes


class FileFormat(Model):
    """What a file of a type must be besides: its codecs (empty: any), and how large.

    `plain` asks for video that every phone plays: 4:2:0 in 8 bits, and no B-frames in H.264's High profile.
    """

    mime_type: str
    video_codecs: tuple[str, ...] = ()
    audio_codecs: tuple[str, ...] = ()
    channels: int | None = None  # of its sound, at most
    plain: bool = False
    max_bytes: int | None = None  # where that is less than the rule's


class FileRule(Model):
    """What becomes of a file of one kind. `max_bytes` is enforced: the provider's or the product's, what is less.

    A file that does not fit is converted into the type that the rule `makes`; where that cannot be done, it goes out
    as the kind of `otherwise`, or not at all.
    """

    grade: Grade
    mime_types: tuple[str, ...] = ()  # empty: any
    max_bytes: Annotated[int, AfterValidator(lambda given: min(given, LARGEST_FILE))] = LARGEST_FILE
    still_max_bytes: int | None = None  # of a sticker that does not move, where that is less
    caption: bool = True
    otherwise: AttachmentKind | None = None  # the kind it goes out as when it does not fit this rule
    max_pixels: int | None = None  # width + height
    max_ratio: float | None = None
    max_duration: float | None = None  # seconds
    album: str | None = None  # kinds with the same name can share an album
    formats: tuple[FileFormat, ...] = ()  # of those of `mime_types` that must be more than a type
    eight_bit: bool = False  # no picture with more bits a channel, or in the colours of print
    side: int | None = None  # pixels, of width and of height
    makes: str | None = None


class FileOutcome(Model):
    """What becomes of files of a type, by the codecs in them, where the agent says nothing of their kind.

    `converted` into `mime_type`; `document`: a picture, a sound or a video that goes out as a file; `rejected` for
    the `reason`. What is larger than the channel takes of the type is made smaller where it is converted, too.
    """

    type: str
    codecs: OptionalText = None
    outcome: Literal["native", "converted", "document", "rejected"]
    kind: AttachmentKind | None = None
    mime_type: OptionalText = None
    reason: OptionalText = None


class TypingRules(Model):
    """Seconds; `lasts` is how long the provider shows it."""

    grade: Grade
    refresh_every: float | None = None
    lasts: float | None = None
    marks_read: bool = False
    needs_inbound: bool = False


class WindowRule(Model):
    """A messaging window: what opens it, how long it lasts, what is allowed when it is closed.

    `guard` is taken off the end, so that what is accepted here still arrives in time. `applies_to` names the
    kind of conversation: `any`, or what the channel's events leave as `kind` in the address of the conversation.
    """

    kind: str
    applies_to: str = "any"
    seconds: float
    guard: float = 0.0
    quota: int | None = None  # messages of ours until the next inbound
    counts_echoes: bool = False
    counts_automatic: bool = True  # of the echoes, those of the provider's own automatic messages
    quota_until_reply: bool = False  # the quota holds until the contact writes again; then there is none
    templates_outside: bool = False
    opens_on: tuple[EventType, ...] = (EventType.MESSAGE_RECEIVED, EventType.POSTBACK_RECEIVED)


class Rate(Model):
    """A token bucket: `per_second` tokens, at most `burst` saved up."""

    per_second: float = Field(gt=0)
    burst: float = Field(ge=1)


class Rates(Model):
    """Buckets of an account, of a pair (account and conversation), of a group conversation, of the app."""

    account: Rate | None = None
    pair: Rate | None = None
    group: Rate | None = None
    app: Rate | None = None


class Interactive(Model):
    """A kind of interactive message. What goes beyond its figures goes out another way, with a warning; `degraded`
    says that it always does."""

    kind: InteractiveKind
    grade: Grade = Grade.NATIVE
    max_buttons: int | None = None
    max_title: int | None = None
    max_rows: int | None = None


class Capabilities(Model):
    """Everything an inbox has to know about a channel before it offers something to an agent.

    `answers_uncertain` is how an uncertain part is settled: the provider echoes our id, echoes the message, or not
    at all. `initiates` says who may write first. `direct_send` names the categories (`MessageSend.category`) in which
    the account may write without a template while no window is open; `identity_check` says that
    `MessageSend.identity_key` is obeyed.
    """

    channel: str
    label: str = "The channel"  # its name as people write it
    text: TextRules
    files: dict[AttachmentKind, FileRule]
    file_outcomes: tuple[FileOutcome, ...] = ()
    files_per_message: int = 50
    album_size: int = 1
    text_and_files: Literal["together", "apart"] = "together"
    reply_to: Grade
    reply_to_on: tuple[str, ...] = ("text", "media")
    typing: TypingRules
    edit: Grade
    delete: Grade
    reaction: Grade
    mark_read: Grade
    block: Grade = Grade.REJECTED
    templates: Grade = Grade.REJECTED
    location: Grade = Grade.REJECTED
    contacts: Grade = Grade.REJECTED
    interactive: tuple[Interactive, ...] = ()
    receipts: tuple[State, ...]
    reads_up_to: bool = False  # the provider reports reading as a point in time, for all messages before it
    initiates: Literal["never", "template", "always"]
    direct_send: tuple[str, ...] = ()
    identity_check: bool = False
    windows: tuple[WindowRule, ...] = ()
    rates: Rates = Rates()
    answers_uncertain: Literal["callback_data", "echo", "message_id", "never"]
    inbound: tuple[EventType, ...]
    content_kinds: tuple[str, ...]  # inbound content kinds this channel produces
    commands: tuple[CommandType, ...]
    sources: tuple[Source, ...] = ()

    @property
    def content_hash(self) -> str:
        """The same for the same capabilities: a reader can cache by it."""
        return hashlib.sha256(self.to_json()).hexdigest()[:16]


CAPABILITIES_TYPE = "account.capabilities"


class CapabilityRecord(Model):
    """The record of an account on `channels.capabilities`.

    `served_since` says since when the account has been served under these names of the provider: an `external_id` that
    several accounts have is that of the one which has had it longest.
    """

    workspace_id: str
    account_id: str
    external_id: OptionalText = None
    parent_id: OptionalText = None
    served_since: Timestamp | None = None
    content_hash: str
    capabilities: Capabilities
