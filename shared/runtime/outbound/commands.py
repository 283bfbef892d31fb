"""A record of the outbound topic as a command: read, judged, with the account it is for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from shared.channel import Account
from shared.contract import ids
from shared.contract.base import flaw_of, is_text
from shared.contract.commands import Command, CommandRefused, CommandType, parse_command
from shared.contract.envelope import attributes
from shared.contract.errors import ErrorCode, error
from shared.contract.statuses import MessageStatus, State, Warning
from shared.contract.topics import LARGEST_MESSAGE
from shared.contract.unknown_fields import ignored_fields
from shared.runtime.tracing import traceparent_of
from shared.stream.kafka import OVERHEAD_BYTES
from shared.stream.records import Record

# Bytes of key and value; the rest is for headers. A topic may take less: `Parking.takes`.
LARGEST_RECORD = LARGEST_MESSAGE - OVERHEAD_BYTES
LONGEST_ID = 512
TOO_LARGE = f"A command has at most {LARGEST_RECORD} bytes."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)  # a day short of the calendar's end, so that it can be rounded up
_LATEST_MS = int(_LATEST.timestamp() * 1000)


class NotACommand(ValueError):
    """The record cannot be answered with a status, because it names no command."""


@dataclass(frozen=True, slots=True)
class Job:
    """A command on its way: `conversation_id` is the one it has kept, `expires_at` when it is not worth sending,
    `address` where its `to` says to write, `warnings` what of it is ignored."""

    record: Record
    kind: CommandType
    command: Command
    account: Account
    conversation_id: str
    expires_at: datetime
    traceparent: str | None
    address: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()

    @property
    def id(self) -> bytes:
        return self.command.command_id.encode()


class CommandRead(NamedTuple):
    """The command of a record, its trace, and what of its data is ignored."""

    kind: CommandType
    command: Command
    traceparent: str | None
    ignored: tuple[Warning, ...]


def read_command(record: Record) -> CommandRead:
    """What a record asks for. Raises NotACommand, or CommandRefused with a status to publish."""
    found = attributes(record.headers)
    data, flaw = _data(record)
    if flaw is not None:
        field, sentence = flaw
        raise CommandRefused(ErrorCode.INVALID_COMMAND, f"{field}: {sentence}", field)
    if len(record.key or b"") + len(record.value or b"") > LARGEST_RECORD:  # it could neither wait nor be kept
        raise CommandRefused(ErrorCode.INVALID_COMMAND, TOO_LARGE)
    ce_type = found.get("type", "")
    kind, command = parse_command(ce_type, data)
    return CommandRead(kind, command, traceparent_of(found.get("traceparent")), ignored_fields(ce_type, data))


def _data(record: Record) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """The data of a record that names a command, and what in it is no JSON. Raises NotACommand."""
    flaw = None
    try:
        data = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        # Many a writer of JSON lets numbers that are none and half characters pass; whose command it is can be read.
        data = _read_leniently(record.value or b"")
        flaw = flaw_of(data)
        if flaw is None:
            raise NotACommand("not JSON") from None
    if not isinstance(data, dict):
        raise NotACommand("not an object")
    if (command_id := _answerable(data.get("command_id"))) is None:
        raise NotACommand("no command_id")
    return {**data, "command_id": command_id}, flaw


def _read_leniently(value: bytes) -> Any:
    try:
        return json.loads(value, parse_int=float) if len(value) <= LARGEST_RECORD else None
    except (ValueError, RecursionError):
        raise NotACommand("not JSON") from None


def _answerable(value: Any) -> str | None:
    """An id that a status can repeat."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_ID and is_text(value) else None


def refusal_status(channel: str, record: Record, refusal: CommandRefused) -> MessageStatus:
    """The `rejected` status of a record that names a command but is none.

    It stands in the order of a conversation only where the command's account has it.
    """
    data, _ = _data(record)

    def text(name: str) -> str | None:
        return _answerable(data.get(name))

    command_id, account_id = data["command_id"], text("account_id") or ""
    key = (record.key or b"").decode("utf-8", "replace")
    return MessageStatus(
        status_id=ids.status_id(command_id, 0, State.REJECTED),
        channel=channel,
        workspace_id=text("workspace_id") or "",
        account_id=account_id,
        command_id=command_id,
        message_id=ids.part_message_id(command_id, 0),
        conversation_id=_own_conversation(channel, account_id, text("conversation_id"), key),
        state=State.REJECTED,
        occurred_at=datetime.now(UTC),
        error=error(refusal.code, refusal.detail, field=refusal.field, **refusal.facts),
        warnings=ignored_fields(attributes(record.headers).get("type", ""), data),
    )


def account_refusal(account: Account | None, command: Command) -> CommandRefused | None:
    """Why a command cannot be for this account."""
    if account is None:
        return CommandRefused(
            ErrorCode.ACCOUNT_DISCONNECTED, "The account is not known to this connector.", "account_id"
        )
    if account.workspace_id != command.workspace_id:
        return CommandRefused(ErrorCode.INVALID_COMMAND, "The account belongs to another workspace.", "workspace_id")
    return None


def key_refusal(channel: str, record: Record, command: Command) -> CommandRefused | None:
    """Why a record's key is none for its command: the key says in which order commands are carried out.

    It is the conversation. A first message, with `to` only, has any key that stands for the addressee, the same every
    time: best `<channel>:<account_id>:` and the inbox's own id of the contact. One that is a conversation of another
    account is none.
    """
    key = (record.key or b"").decode("utf-8", "replace")
    if command.conversation_id is not None:
        if key == command.conversation_id:
            return None
        detail = "The record's key must be the command's conversation_id: it keeps the conversation in order."
        return CommandRefused(ErrorCode.INVALID_COMMAND, detail, "key")
    try:
        of_channel, account_id, _ = ids.split_conversation_id(key)
    except ValueError:
        if key:
            return None
    else:
        if (of_channel, account_id) == (channel, command.account_id):
            return None
    detail = f"The record's key must be {channel}:{command.account_id}: and what stands for the addressee."
    return CommandRefused(ErrorCode.INVALID_COMMAND, detail, "key")


def _own_conversation(channel: str, account_id: str, *named: str | None) -> str | None:
    """The first that names a conversation of the account."""
    return next((one for one in named if one and one.startswith(f"{channel}:{account_id}:")), None)


def expiry(record: Record, command: Command, patience: float) -> datetime:
    """When a command is not worth sending any more: its own word, or `patience` seconds after it could be sent."""
    if command.not_after is not None:
        return min(command.not_after, _LATEST)
    sent_at = min(max(record.timestamp_ms, 0), _LATEST_MS)
    queued = _EPOCH + timedelta(milliseconds=sent_at)
    since = min(max(queued, command.not_before or queued), _LATEST)
    return since + min(timedelta(seconds=patience), _LATEST - since)
