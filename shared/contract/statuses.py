"""Statuses: what became of every command, part by part, on `channels.<ch>.statuses`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from shared.contract.base import Model, OptionalText, Timestamp
from shared.contract.errors import Error


class State(StrEnum):
    """What has become of a part. `accepted` is a provider's word that it will report `sent` itself."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNCERTAIN = "uncertain"


# A later state never gives way to an earlier one: accepted < sent < delivered < read < played.
PROGRESS: dict[State, int] = {
    State.DEFERRED: 0,
    State.ACCEPTED: 1,
    State.UNCERTAIN: 2,
    State.SENT: 3,
    State.DELIVERED: 4,
    State.READ: 5,
    State.PLAYED: 6,
}
ENDED_WITHOUT_SENDING = frozenset({State.FAILED, State.REJECTED, State.EXPIRED, State.CANCELLED})


def supersedes(new: State, old: State | None) -> bool:
    """Whether `new` moves a part on from `old` (monotone merge).

    Nothing follows a part that ended without being sent, except a provider's word that it was sent after all;
    `failed` is believed until a receipt (`delivered` or later) has been seen.
    """
    if old is None:
        return True
    if old in ENDED_WITHOUT_SENDING:
        return old is State.FAILED and PROGRESS.get(new, 0) >= PROGRESS[State.DELIVERED]
    if new in ENDED_WITHOUT_SENDING:
        return PROGRESS[old] < PROGRESS[State.DELIVERED]
    return PROGRESS[new] > PROGRESS[old]


class WarningCode(StrEnum):
    """What was done differently from what the command asked."""

    REPLY_TO_UNSUPPORTED = "reply_to_unsupported"
    REPLY_TO_DROPPED = "reply_to_dropped"
    TEXT_SPLIT = "text_split"
    CAPTION_SEPARATED = "caption_separated"
    FORMATTING_DROPPED = "formatting_dropped"
    BUTTONS_DROPPED = "buttons_dropped"
    SENT_AS_DOCUMENT = "sent_as_document"
    CONVERTED = "converted"
    RECOMPRESSED = "recompressed"
    THREAD_DROPPED = "thread_dropped"
    MAY_BE_DUPLICATE = "may_be_duplicate"


class Warning(Model):
    code: WarningCode
    detail: str


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


class MessageStatus(Model):
    """Data of `message.status`."""

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
    why: OptionalText = None  # of `deferred`: an error code
    error: Error | None = None
    warnings: tuple[Warning, ...] = ()
    pricing: dict[str, Any] | None = None  # as the provider gave it
    rollup: Rollup | None = None


STATUS_TYPE = "message.status"
