"""The closed vocabulary of errors: a stable code each, a class that decides what happens, a sentence to read."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from shared.contract.base import Model, Timestamp


class ErrorClass(StrEnum):
    """What an error is about; it decides what the connector does next."""

    WINDOW = "window"
    QUOTA = "quota"
    RECIPIENT = "recipient"
    ACCOUNT = "account"
    """The account's queue pauses, nothing fails."""
    RATE = "rate"
    """The connector waits and goes on."""
    TRANSIENT = "transient"
    """The connector tries again until the command expires."""
    UNCERTAIN = "uncertain"
    EXPIRED = "expired"
    FILE = "file"
    CONTENT = "content"
    REPLY = "reply"
    COMMAND = "command"
    INTERNAL = "internal"


class ErrorCode(StrEnum):
    """Every code a status, a preflight refusal or a conversation's `reasons` can carry."""

    WINDOW_CLOSED = "window_closed"
    QUOTA_EXHAUSTED = "quota_exhausted"
    CANNOT_INITIATE = "cannot_initiate"
    RECIPIENT_BLOCKED = "recipient_blocked"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    IDENTITY_CHANGED = "identity_changed"
    OPTED_OUT = "opted_out"
    UNDELIVERED = "undelivered"
    ACCOUNT_REAUTH_REQUIRED = "account_reauth_required"
    ACCOUNT_BILLING_BLOCKED = "account_billing_blocked"
    ACCOUNT_DISCONNECTED = "account_disconnected"
    ACCOUNT_TAKEN = "account_taken"
    ACCOUNT_SEALED = "account_sealed"
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    UNCERTAIN = "uncertain"
    EXPIRED = "expired"
    FILE_TOO_LARGE = "file_too_large"
    FILE_TYPE_UNSUPPORTED = "file_type_unsupported"
    FILE_TYPE_MISMATCH = "file_type_mismatch"
    TOO_MANY_FILES = "too_many_files"
    FILE_UNAVAILABLE = "file_unavailable"
    FILE_UNPROCESSABLE = "file_unprocessable"
    TEXT_TOO_LONG = "text_too_long"
    TEMPLATE_INVALID = "template_invalid"
    TEMPLATE_PAUSED = "template_paused"
    CONTENT_REJECTED = "content_rejected"
    REPLY_TARGET_PENDING = "reply_target_pending"
    REPLY_TARGET_UNKNOWN = "reply_target_unknown"
    MESSAGE_UNKNOWN = "message_unknown"
    MESSAGE_PENDING = "message_pending"
    NOT_SENDABLE = "not_sendable"
    UNSUPPORTED_BY_CHANNEL = "unsupported_by_channel"
    INVALID_COMMAND = "invalid_command"
    INTERNAL = "internal"


class ErrorFact(NamedTuple):
    """What a code means, for machines (class, retryable) and for the agent who reads it (sentence, remedy)."""

    error_class: ErrorClass
    retryable: bool  # the same command, sent again later, may succeed
    sentence: str
    remedy: str | None = None
    figures: str | None = None  # the sentence where `limit` and `actual` are known
    params: tuple[str, ...] = ()  # names in `params`, beside `channel`


ERRORS: dict[ErrorCode, ErrorFact] = {
    ErrorCode.WINDOW_CLOSED: ErrorFact(
        ErrorClass.WINDOW,
        False,
        "The channel's messaging window is closed.",
        "Send a template, or wait for the contact.",
    ),
    ErrorCode.QUOTA_EXHAUSTED: ErrorFact(
        ErrorClass.QUOTA,
        False,
        "The channel's message quota for this window is used up.",
        "Wait for the contact to write.",
        "The channel takes at most {limit} messages in this window; {actual} have been sent.",
    ),
    ErrorCode.CANNOT_INITIATE: ErrorFact(
        ErrorClass.RECIPIENT,
        False,
        "The channel does not let a business write first.",
        "The contact has to write first.",
    ),
    ErrorCode.RECIPIENT_BLOCKED: ErrorFact(
        ErrorClass.RECIPIENT, False, "The contact has blocked this account.", "Use another channel."
    ),
    ErrorCode.RECIPIENT_UNKNOWN: ErrorFact(
        ErrorClass.RECIPIENT,
        False,
        "The channel does not know this recipient.",
        "Check the contact's details.",
    ),
    ErrorCode.IDENTITY_CHANGED: ErrorFact(
        ErrorClass.RECIPIENT,
        False,
        "The contact may be somebody else now.",
        "Make sure who it is, then send with the contact's new identity key.",
    ),
    ErrorCode.OPTED_OUT: ErrorFact(ErrorClass.RECIPIENT, False, "The contact has opted out of marketing messages."),
    ErrorCode.UNDELIVERED: ErrorFact(
        ErrorClass.RECIPIENT,
        False,
        "The channel took the message and could not bring it to the contact.",
        "Try again later, or use another channel.",
    ),
    ErrorCode.ACCOUNT_REAUTH_REQUIRED: ErrorFact(
        ErrorClass.ACCOUNT,
        True,
        "The channel no longer accepts the account's credentials.",
        "Reconnect the account.",
    ),
    ErrorCode.ACCOUNT_BILLING_BLOCKED: ErrorFact(
        ErrorClass.ACCOUNT,
        True,
        "The channel blocks the account for a payment problem.",
        "Settle the payment.",
    ),
    ErrorCode.ACCOUNT_DISCONNECTED: ErrorFact(
        ErrorClass.ACCOUNT, True, "The account is not connected to the channel.", "Connect the account."
    ),
    ErrorCode.ACCOUNT_TAKEN: ErrorFact(
        ErrorClass.ACCOUNT,
        True,
        "The channel's account is connected already, as another account.",
        "Remove the other one first.",
    ),
    ErrorCode.ACCOUNT_SEALED: ErrorFact(
        ErrorClass.ACCOUNT,
        True,
        "The account's credentials cannot be opened.",
        "Connect the account again.",
    ),
    ErrorCode.RATE_LIMITED: ErrorFact(ErrorClass.RATE, True, "The channel limits how fast this account may send."),
    ErrorCode.PROVIDER_UNAVAILABLE: ErrorFact(ErrorClass.TRANSIENT, True, "The channel does not answer at the moment."),
    ErrorCode.UNCERTAIN: ErrorFact(
        ErrorClass.UNCERTAIN,
        False,
        "The channel did not say whether it took the message.",
        "Check before sending again.",
    ),
    ErrorCode.EXPIRED: ErrorFact(ErrorClass.EXPIRED, False, "The time to send this message had passed."),
    ErrorCode.FILE_TOO_LARGE: ErrorFact(
        ErrorClass.FILE,
        False,
        "The file is larger than the channel takes.",
        "Send a smaller file.",
        "The file has {actual} bytes; at most {limit} are taken.",
    ),
    ErrorCode.FILE_TYPE_UNSUPPORTED: ErrorFact(
        ErrorClass.FILE,
        False,
        "The channel does not take files of this type.",
        "Send another format.",
        params=("what", "taken"),
    ),
    ErrorCode.FILE_TYPE_MISMATCH: ErrorFact(ErrorClass.FILE, False, "The file is not what its name or type says."),
    ErrorCode.TOO_MANY_FILES: ErrorFact(
        ErrorClass.FILE,
        False,
        "The message has more files than allowed.",
        "Send fewer files.",
        "The message has {actual} files; at most {limit} are taken.",
    ),
    ErrorCode.FILE_UNAVAILABLE: ErrorFact(
        ErrorClass.FILE, False, "The file could not be fetched.", "Attach the file again."
    ),
    ErrorCode.FILE_UNPROCESSABLE: ErrorFact(
        ErrorClass.FILE,
        False,
        "The file could not be converted into what the channel takes.",
        "Send another format, or a smaller file.",
    ),
    ErrorCode.TEXT_TOO_LONG: ErrorFact(
        ErrorClass.CONTENT,
        False,
        "The text is longer than the channel takes.",
        "Shorten the text.",
        "The text has {actual} characters; at most {limit} are taken.",
    ),
    ErrorCode.TEMPLATE_INVALID: ErrorFact(
        ErrorClass.CONTENT,
        False,
        "The template, its language or its parameters are not accepted.",
        "Check the template.",
    ),
    ErrorCode.TEMPLATE_PAUSED: ErrorFact(
        ErrorClass.CONTENT, False, "The template is paused or disabled.", "Use another template."
    ),
    ErrorCode.CONTENT_REJECTED: ErrorFact(ErrorClass.CONTENT, False, "The channel refused the content."),
    ErrorCode.REPLY_TARGET_PENDING: ErrorFact(
        ErrorClass.REPLY, False, "The message replied to has not been sent yet.", "Reply once it is sent."
    ),
    ErrorCode.REPLY_TARGET_UNKNOWN: ErrorFact(
        ErrorClass.REPLY,
        False,
        "The message replied to is not known on this channel.",
        "Send without the reply reference.",
    ),
    ErrorCode.MESSAGE_UNKNOWN: ErrorFact(
        ErrorClass.REPLY, False, "The message is not known to this connector.", "Check which message is meant."
    ),
    ErrorCode.MESSAGE_PENDING: ErrorFact(
        ErrorClass.REPLY, False, "The message has not been sent yet.", "Try again once it is sent."
    ),
    ErrorCode.NOT_SENDABLE: ErrorFact(ErrorClass.COMMAND, False, "This is not for the contact and was not sent."),
    ErrorCode.UNSUPPORTED_BY_CHANNEL: ErrorFact(
        ErrorClass.COMMAND, False, "The channel cannot do this.", params=("what",)
    ),
    ErrorCode.INVALID_COMMAND: ErrorFact(ErrorClass.COMMAND, False, "The command is not valid."),
    ErrorCode.INTERNAL: ErrorFact(ErrorClass.INTERNAL, True, "The connector failed; the failure has been recorded."),
}


_THE_CHANNEL = re.compile(r"\b[Tt]he channel\b")


class Error(Model):
    """An error as statuses, attachments and preflight answers carry it."""

    code: ErrorCode
    """What is wrong; stable, for machines and translations."""
    error_class: ErrorClass = Field(alias="class")
    """What it is about."""
    detail: str
    """A sentence for the agent, in English, without personal data."""
    retryable: bool
    """Whether the same command, sent again later, may succeed."""
    provider_code: str | None = None
    """The provider's own code; where a call broke, how: `timeout`, `dns`, `tls`, `unreachable`, `cut_off`, `reset`,
    `no_http`."""
    retry_at: Timestamp | None = None
    """When to try again, where somebody knows."""
    expires_at: Timestamp | None = None
    """When the window that refused it closed."""
    allowed: tuple[str, ...] | None = None
    """Kinds of content that would be accepted now."""
    remedy: str | None = None
    """What the agent can do, as a sentence in English."""
    field: str | None = None
    """The command's field that is wrong, as a path (`content.attachments.0.url`)."""
    limit: int | float | None = None
    """The figure that must not be exceeded: bytes, characters, files or messages, as the code says."""
    actual: int | float | None = None
    """The figure that was found, in the same unit."""
    params: dict[str, str] | None = None
    """What the sentence names, for an inbox that says it in its own words."""
    trace_id: str | None = None
    """The provider's id of the failed request, for its support."""


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def error(code: ErrorCode, detail: str | None = None, **facts: object) -> Error:
    """The error of a code, with its class, its sentence and its remedy filled in.

    `detail` replaces the sentence; it must hold neither secrets nor personal data. A sentence of ours about the channel
    names it where `params` do.
    """
    known = ERRORS[code]
    defaults = {"remedy": known.remedy, "retryable": known.retryable}
    limit, actual = facts.get("limit"), facts.get("actual")
    if detail is None:
        detail = known.sentence
        if known.figures and limit is not None and actual is not None:
            detail = known.figures.format(limit=_figure(limit), actual=_figure(actual))
        params = facts.get("params")
        if isinstance(params, dict) and "channel" in params:
            detail = _THE_CHANNEL.sub(params["channel"], detail, count=1)
    return Error.model_validate({"code": code, "class": known.error_class, "detail": detail, **defaults, **facts})
