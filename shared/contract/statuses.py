"""Statuses: what became of every command, part by part, on `channels.<ch>.statuses`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from shared.contract.base import Model, Timestamp
from shared.contract.errors import Error
from shared.contract.vocabularies import OptionalWait


class State(StrEnum):
    """What has become of a part.

    `sent`, `delivered`, `read` and `played` are of messages. A command that makes none (cancel, resend, block, unblock,
    mark read, edit, delete, reaction) ends in `done`.
    """

    ACCEPTED = "accepted"
    """The provider has it, and will report `sent` itself."""
    DEFERRED = "deferred"
    """It waits: `why`, and `until` where that is known."""
    SENT = "sent"
    """The provider has taken it."""
    DELIVERED = "delivered"
    """It is on the contact's device, or on its mail server."""
    READ = "read"
    PLAYED = "played"
    """A recording was listened to."""
    DONE = "done"
    """A command that is no message was carried out."""
    FAILED = "failed"
    """The provider refused it, or could not bring it to the contact."""
    REJECTED = "rejected"
    """The connector refused it; no call was made."""
    EXPIRED = "expired"
    """Its time had passed before it could be sent."""
    CANCELLED = "cancelled"
    """A cancel, or a failed part before it, kept it from being sent."""
    UNCERTAIN = "uncertain"
    """The provider did not say whether it took it. It may still be settled."""


# A part moves on to a higher rank and never back. An end without sending gives way to the provider's word that it
# was sent after all; `failed` is believed until a receipt has been seen.
RANK: dict[State, int] = {
    State.DEFERRED: 0,
    State.ACCEPTED: 10,
    State.UNCERTAIN: 20,
    State.REJECTED: 25,
    State.EXPIRED: 25,
    State.CANCELLED: 25,
    State.SENT: 30,
    State.DONE: 32,
    State.FAILED: 35,
    State.DELIVERED: 40,
    State.READ: 50,
    State.PLAYED: 60,
}
ENDED_WITHOUT_SENDING = frozenset({State.FAILED, State.REJECTED, State.EXPIRED, State.CANCELLED})


def supersedes(new: State, old: State | None) -> bool:
    """Whether `new` moves a part on from `old` (monotone merge by `RANK`): what a reader of statuses keeps.

    A deferral may follow a deferral: it says a new time.
    """
    if old is None or new is old is State.DEFERRED:
        return True
    return RANK[new] > RANK[old]


class WarningCode(StrEnum):
    """What was done differently from what the command asked."""

    REPLY_TO_UNSUPPORTED = "reply_to_unsupported"
    """The channel shows no answers as such."""
    REPLY_TO_DROPPED = "reply_to_dropped"
    """The message to answer is not there; the answer went out without it."""
    TEXT_SPLIT = "text_split"
    """A long text went out as several messages."""
    CAPTION_SEPARATED = "caption_separated"
    """A caption went out as a message of its own."""
    FORMATTING_DROPPED = "formatting_dropped"
    BUTTONS_DROPPED = "buttons_dropped"
    """There is nothing to tap: the buttons are lines of the text."""
    BUTTONS_AS_LIST = "buttons_as_list"
    HEADER_IN_TEXT = "header_in_text"
    """A header or footer is a line of the text."""
    SENT_AS_DOCUMENT = "sent_as_document"
    CONVERTED = "converted"
    """Something went out in another form, and means the same."""
    TYPE_CORRECTED = "type_corrected"
    """The file went out as what its bytes are, not as what was told of it."""
    RECOMPRESSED = "recompressed"
    """The file was made smaller."""
    THREAD_DROPPED = "thread_dropped"
    """The thread is not there; the message went out without it."""
    MAY_BE_DUPLICATE = "may_be_duplicate"
    """It was sent again in doubt, so the contact may have it twice."""
    FIELD_IGNORED = "field_ignored"
    """The command has a field nobody knows."""
    MAY_BE_REFUSED = "may_be_refused"
    """The recipient's server may not take it: many do not."""
    RECIPIENT_REFUSED = "recipient_refused"
    """One of an email's `cc` or `bcc`; the others have it."""
    CONTENT_UNAVAILABLE = "content_unavailable"
    """The provider says later that something the message shows is not there."""


class Warning(Model):
    """Something was done differently from what the command asked."""

    code: WarningCode
    """What was done differently; stable."""
    detail: str
    """A sentence for the agent, in English."""
    field: str | None = None
    """The field of the command it is about, as a path."""
    nearest: str | None = None
    """Of `field_ignored`: the known name that is nearest, if one is near."""


class Part(Model):
    """Which part of the message, of how many."""

    index: int = 0
    """The part, from 0."""
    of: int = 1
    """How many parts the message has."""


class Rollup(Model):
    """How many parts of the message have got at least this far."""

    of: int
    """How many parts the message has."""
    sent: int = 0
    """Parts that are sent, delivered or read."""
    delivered: int = 0
    """Parts that are delivered or read."""
    read: int = 0
    """Parts that are read or played."""
    failed: int = 0
    """Parts that ended without being sent."""


class Receipts(Model):
    """With how many participants of a group a part has got at least this far, as far as the provider has told."""

    delivered: int = 0
    """Participants who have it."""
    read: int = 0
    """Participants who have read it."""
    failed: int = 0
    """Participants who could not be reached."""


class Participant(Model):
    """What became of a message with one participant of a group."""

    id: str
    """The provider's name for the participant."""
    state: State
    """What became of it there."""
    error: Error | None = None
    """Why it did not arrive there."""


class MessageStatus(Model):
    """What became of a command, or of a message the connector did not send: one record per part and step.

    What a provider finds fault with once a message is out is told by a status with the state that the message has by
    then, with `warnings` and a `status_id` of its own.

    Of a message to a group providers report for each participant: `participant` says for whom, `receipts` counts them.
    `state` stays that of the message, which one participant's failure does not fail and one's reading does not mark
    as read by all.
    """

    status_id: str
    """Of this fact: the same on every repeat."""
    channel: str
    """The channel: the name of its folder in `services/`."""
    workspace_id: str
    """The workspace the account belongs to."""
    account_id: str
    """The account that sends."""
    command_id: str | None = None
    """The command; absent of a message the connector did not send."""
    message_id: str | None = None
    """Our id of the part. Before the provider has given it one it derives from command and part, from `sent` on from
    the provider's id; commands may name either."""
    conversation_id: str | None = None
    """The conversation. Of a first message it is known from `sent` on."""
    part: Part = Part()
    """Which part of the message this is about."""
    state: State
    """What has become of the part."""
    provider_message_id: str | None = None
    """The provider's id of the part."""
    occurred_at: Timestamp
    """When, by the clock of who tells it: the provider's for receipts, else the connector's. It never runs backwards
    within a command."""
    until: Timestamp | None = None
    """Of `deferred`: when it goes on, where that is known."""
    why: OptionalWait = None
    """Of `deferred`: what it waits for."""
    error: Error | None = None
    """Why it was not sent, or did not arrive."""
    warnings: tuple[Warning, ...] = ()
    """What was done differently from what the command asked."""
    bounce: Literal["hard", "soft"] | None = None
    """Of an email that came back: `hard` where no other will arrive."""
    pricing: dict[str, Any] | None = None
    """What the message costs, in the provider's own fields."""
    file_refs: dict[str, str] | None = None
    """Blob key → the provider's id of that file: a later command may send it by `provider_ref`."""
    rollup: Rollup | None = None
    """How far all parts are; absent of `done`."""
    participant: Participant | None = None
    """Of a message to a group: for which participant this was reported."""
    receipts: Receipts | None = None
    """Of a message to a group: how many participants have it."""
    target_message_id: str | None = None
    """Our id of the message that an edit, a deletion, a reaction or a read mark is about."""
    count: int | None = None
    """Of `done`: waiting commands that a cancel covers, or parts that a resend makes again."""
    shortened: bool | None = None
    """True: too large for the topic, so words are cut or facts left out."""


STATUS_TYPE = "message.status"
