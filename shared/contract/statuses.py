"""Statuses: what became of every command, part by part, on `channels.<ch>.statuses`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from shared.contract.base import Model, OptionalText, Timestamp
from shared.contract.errors import Error


class State(StrEnum):
    """What has become of a part. `accepted` is a provider's word that it will report `sent` itself.

    `sent`, `delivered`, `read` and `played` are of messages. A command that makes none (cancel, resend, block, unblock,
    mark read, edit, delete, reaction) ends in `done`.
    """

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNCERTAIN = "uncertain"


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
    REPLY_TO_DROPPED = "reply_to_dropped"
    TEXT_SPLIT = "text_split"
    CAPTION_SEPARATED = "caption_separated"
    FORMATTING_DROPPED = "formatting_dropped"
    BUTTONS_DROPPED = "buttons_dropped"  # nothing to tap: they are lines of the text
    BUTTONS_AS_LIST = "buttons_as_list"
    HEADER_IN_TEXT = "header_in_text"  # also a footer: a line of the text
    SENT_AS_DOCUMENT = "sent_as_document"
    CONVERTED = "converted"
    TYPE_CORRECTED = "type_corrected"  # the file goes out as what its bytes are, not as what was told of it
    RECOMPRESSED = "recompressed"
    THREAD_DROPPED = "thread_dropped"
    MAY_BE_DUPLICATE = "may_be_duplicate"
    FIELD_IGNORED = "field_ignored"
    MAY_BE_REFUSED = "may_be_refused"  # the recipient's server may not take it: many do not
    RECIPIENT_REFUSED = "recipient_refused"  # one of an email's cc or bcc; the others have it
    CONTENT_UNAVAILABLE = "content_unavailable"  # the provider says later that something the message shows is not there


class Warning(Model):
    """`field_ignored` says which `field` of the command nobody knows, and the `nearest` known name, if one is near."""

    code: WarningCode
    detail: str
    field: str | None = None
    nearest: str | None = None


class Part(Model):
    """Which part of the message, from 0, of how many."""

    index: int = 0
    of: int = 1


class Rollup(Model):
    """How many parts have got at least this far."""

    of: int
    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0


class Receipts(Model):
    """With how many participants of a group a part has got at least this far, as far as the provider has told."""

    delivered: int = 0
    read: int = 0
    failed: int = 0


class Participant(Model):
    """What became of a message with one participant of a group. `id` is the provider's name for them."""

    id: str
    state: State
    error: Error | None = None


class MessageStatus(Model):
    """Data of `message.status`.

    What a provider finds fault with once a message is out is told by a status with the state that the message has by
    then, with `warnings` and a `status_id` of its own.

    Of a message to a group providers report for each participant: `participant` says for whom, `receipts` counts them.
    `state` stays that of the message, which one participant's failure does not fail and one's reading does not mark
    as read by all.
    """

    status_id: str
    channel: str
    workspace_id: str
    account_id: str
    command_id: str | None = None  # absent for a message this connector did not send
    message_id: str | None = None
    conversation_id: str | None = None
    part: Part = Part()
    state: State
    provider_message_id: str | None = None
    occurred_at: Timestamp
    until: Timestamp | None = None  # of `deferred`
    why: OptionalText = (
        None  # of `deferred`: an error code, `not_before`, `account_busy`, or `behind` one that waits already
    )
    error: Error | None = None
    warnings: tuple[Warning, ...] = ()
    bounce: Literal["hard", "soft"] | None = None  # of an email that came back: `hard` where no other will arrive
    pricing: dict[str, Any] | None = None  # as the provider gave it
    file_refs: dict[str, str] | None = None  # blob → the provider's id of it: send it again by `provider_ref`
    rollup: Rollup | None = None  # absent of `done`
    participant: Participant | None = None
    receipts: Receipts | None = None
    target_message_id: str | None = None  # what an edit, a deletion, a reaction or a read mark is about
    count: int | None = None  # of `done`: waiting commands that a cancel covers, parts that a resend makes again
    shortened: bool | None = None  # true: too large for the topic, so words are cut or facts left out


STATUS_TYPE = "message.status"
