"""Normalise and plan without Kafka, network or settings: what the command line and the golden files run."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.channel import (
    Call,
    Channel,
    Event,
    HealthChange,
    LeftOut,
    PlanContext,
    RawItem,
    ReceivedItem,
    Refused,
    ReplyReference,
    StatusUpdate,
    WebhookRequest,
)
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import rfc3339
from shared.contract.commands import (
    Command,
    CommandRefused,
    CommandType,
    MessageEdit,
    MessageSend,
    named_files,
    parse_command,
)
from shared.contract.envelope import type_name
from shared.contract.errors import ERRORS, ErrorCode, error
from shared.contract.unknown_fields import ignored_fields
from shared.policy.judge import unfit_files, unknown_to_channel
from shared.runtime.acquainted import Acquainted
from shared.runtime.prepare import own_blob
from shared.runtime.publish import event_envelope, status_envelope

PLACEHOLDER_WORKSPACE = "workspace"
PLACEHOLDER_ACCOUNT = "account"


def payloads(content: bytes) -> Iterator[bytes]:
    """The payloads of a file: the whole of it, or JSON documents one after the other, on a line each or over many.

    What cannot be read is one payload up to the next line that begins with a bracket, or to the end of the file.
    """
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        yield from _documents(content)
    else:
        yield content


def _documents(content: bytes) -> Iterator[bytes]:
    text = content.decode(errors="surrogateescape")  # a payload that is no UTF-8 is the channel's to judge
    if not text.strip():
        yield content
        return
    at = _skipped(text, 0)
    while at < len(text):
        end = _end_of_document(text, at) or _next_document(text, at)
        piece = text[at:end].rstrip("\r\n") if end < len(text) else text[at:]
        yield piece.encode(errors="surrogateescape")
        at = _skipped(text, end)


_DECODER = json.JSONDecoder()
_LINE_OF_JSON = re.compile(r"^[{\[]", re.MULTILINE)


def _skipped(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _end_of_document(text: str, at: int) -> int | None:
    """Where the object or list that begins at `at` ends; None where none begins, or it cannot be read."""
    if text[at] not in "{[":
        return None
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def _next_document(text: str, after: int) -> int:
    found = _LINE_OF_JSON.search(text, after + 1)
    return found.start() if found else len(text)


def normalise(
    channel: Channel,
    payload: bytes,
    *,
    account_id: str | None = None,
    workspace_id: str = PLACEHOLDER_WORKSPACE,
    external_id: str | None = None,
    settings: Mapping[str, Any] | None = None,
    received_at: datetime | None = None,
    acquainted: Acquainted | None = None,
) -> list[dict[str, Any]]:
    """Structured CloudEvents of one provider payload, or the dead letter it would become.

    `acquainted` is what is known of contacts from payloads before; without one they are all met here.
    """
    acquainted = acquainted or Acquainted(channel.capabilities.channel)
    received = received_at or datetime.now(UTC)
    name = channel.capabilities.channel
    try:
        items = channel.unbatch(WebhookRequest("POST", account_id or PLACEHOLDER_ACCOUNT, {}, {}, payload))
    except ValueError as unreadable:
        return [_dead_letter(name, account_id or PLACEHOLDER_ACCOUNT, payload, str(unreadable), received)]
    printed: list[dict[str, Any]] = []
    for sequence, item in enumerate(items):
        account = _placeholder(channel, item, account_id, workspace_id, external_id, settings or {})
        try:
            outcomes = channel.normalise(ReceivedItem(account, item.body, received, sequence))
            told = [o for o in acquainted.told(account.account_id, outcomes) if not isinstance(o, LeftOut)]
            printed.extend(_writable([_printable(name, account, outcome, received) for outcome in told]))
        except ValueError as unreadable:
            printed.append(_dead_letter(name, account.account_id, item.body, str(unreadable), received))
    return printed


def _writable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries. Raises ValueError when they hold what is read as JSON but cannot be written as such again."""
    try:
        orjson.dumps(entries)
    except orjson.JSONEncodeError:
        raise ValueError("It is nested too deeply, or has a number beyond 64 bits.") from None
    return entries


def _placeholder(
    channel: Channel,
    item: RawItem,
    account_id: str | None,
    workspace_id: str,
    external_id: str | None,
    settings: Mapping[str, Any],
) -> AccountRecord:
    known = account_id or item.account_id or item.external_id or PLACEHOLDER_ACCOUNT
    return AccountRecord(
        account_id=_as_account_id(known),
        workspace_id=workspace_id,
        channel=channel.capabilities.channel,
        external_id=external_id or item.external_id,
        settings=dict(settings),
    )


def _as_account_id(known: str) -> str:
    """An account id made of whatever a payload calls the account."""
    allowed = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in known)[:128]
    return allowed if allowed[:1] != "." else "_" + allowed[1:]


def _printable(
    channel: str, account: AccountRecord, outcome: Event | StatusUpdate | HealthChange, now: datetime
) -> dict[str, Any]:
    match outcome:
        case Event():
            return event_envelope(channel, outcome).structured()
        case StatusUpdate():
            return status_envelope(channel, account, outcome).structured()
        case HealthChange():
            rate = {"rate": outcome.rate.model_dump()} if outcome.rate else {}
            return {
                "specversion": "1.0",
                "type": type_name("account.health"),
                "source": f"/channels/{channel}/{account.account_id}",
                "time": rfc3339(now),
                "data": {"health": outcome.health, "code": outcome.code, "detail": outcome.detail, **rate},
            }


def _dead_letter(channel: str, account_id: str, value: bytes, detail: str, now: datetime) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": ids.event_id(channel, account_id, base64.b64encode(value[:4096]).decode(), "dead_letter"),
        "type": type_name("dead.letter"),
        "source": f"/channels/{channel}/{account_id}",
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": {"code": "unreadable", "detail": detail, "value_base64": base64.b64encode(value).decode()},
    }


def defect(channel: Channel, payload: bytes, *, command: bool) -> dict[str, Any]:
    """The line of a payload or a command that a defect of ours gave no answer to."""
    if command:
        return refused(ErrorCode.INTERNAL, None)
    letter = _dead_letter(channel.capabilities.channel, PLACEHOLDER_ACCOUNT, payload, "", datetime.now(UTC))
    return {**letter, "data": {**letter["data"], "code": "internal", "detail": ERRORS[ErrorCode.INTERNAL].sentence}}


_INFERRED_TYPES = (
    ("content", CommandType.MESSAGE_SEND),
    ("emoji", CommandType.REACTION_SET),
)


def read_command(document: Mapping[str, Any]) -> tuple[str, dict[str, Any], PlanContextFacts]:
    """Type, data and context of a command file: a structured CloudEvent, `{type, data}`, or the bare data."""
    data = document.get("data") if isinstance(document.get("data"), dict) else document
    assert isinstance(data, Mapping)
    given = next((told for told in (document.get("type"), data.get("type")) if told is not None), None)
    if given is None:
        ce_type = type_name(next((t for f, t in _INFERRED_TYPES if f in data), CommandType.MESSAGE_SEND))
    else:  # what is no text is no type either, and refused as an unknown one
        ce_type = given if str(given).startswith("channels.") else type_name(str(given))
    context = document.get("context")
    data = {name: value for name, value in data.items() if name not in ("type", "context")}  # they say how to read it
    return ce_type, data, context if isinstance(context, dict) else {}


PlanContextFacts = Mapping[str, Any]


def plan(
    channel: Channel,
    document: Any,
    *,
    account_id: str | None = None,
    workspace_id: str | None = None,
) -> list[dict[str, Any]]:
    """The provider calls of one command as JSON-able dictionaries, or its refusal as the one entry.

    A `context` beside the data may give `address`, `target`, `last_inbound` and account `settings`. Whose files it
    may name is known where the workspace is.
    """
    if not isinstance(document, dict):
        return [refused(ErrorCode.INVALID_COMMAND, "A command is a JSON object.")]
    ce_type, data, facts = read_command(document)
    data.setdefault("command_id", "command")
    known = workspace_id or data.get("workspace_id")
    data["workspace_id"] = known or PLACEHOLDER_WORKSPACE
    data["account_id"] = account_id or data.get("account_id") or PLACEHOLDER_ACCOUNT
    planned = _planned(channel, ce_type, data, facts, known)
    if ignored := [warning.model_dump(mode="json", exclude_none=True) for warning in ignored_fields(ce_type, data)]:
        first = planned[0] if planned else {}
        planned[:1] = [{**first, "warnings": [*ignored, *first.get("warnings", ())]}]
    return planned


def _planned(
    channel: Channel, ce_type: str, data: dict[str, Any], facts: PlanContextFacts, workspace_id: Any
) -> list[dict[str, Any]]:
    """The calls of a command, or its refusal."""
    try:
        kind, command = parse_command(ce_type, data)
        if kind in (CommandType.MESSAGE_CANCEL, CommandType.MESSAGE_RESEND):
            return []  # about our queue, or about calls of another command
        able = channel.capabilities
        verdict = unknown_to_channel(able, kind) or unfit_files(able, command)
        if verdict is not None:
            return [refused(*verdict)]
        context = _context(channel.capabilities.channel, command, facts)
        if workspace_id:
            _only_own_files(context.account, command)
        return printable_calls(channel.plan(kind, command, context))
    except (CommandRefused, Refused) as refusal:
        told = refusal.facts if isinstance(refusal, Refused) else {"field": refusal.field}
        return [refused(refusal.code, refusal.detail, told)]


def _only_own_files(account: AccountRecord, command: Command) -> None:
    """Refuse keys of another workspace, and what is no key. A bare name stands for any file: there is no store here.

    Raises Refused.
    """
    content = command.content if isinstance(command, MessageSend | MessageEdit) else None
    for field, file in named_files(content) if content else ():
        bare = file.blob is not None and "/" not in file.blob
        named = file.model_copy(update={"blob": f"{account.workspace_id}/{file.blob}"}) if bare else file
        if own_blob(account, named) == "":
            raise Refused(ErrorCode.FILE_UNAVAILABLE, field=field)


def refused(code: ErrorCode, detail: str | None, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The line of a command that is not carried out."""
    return {"refused": json.loads(error(code, detail, **(facts or {})).to_json())}


def printable_calls(calls: Any) -> list[dict[str, Any]]:
    """Calls as JSON-able dictionaries, with the indices of the parts each one makes.

    Raises Refused when a call cannot be written as JSON, which nobody could send either.
    """
    total = sum(call.parts for call in calls)
    printed: list[dict[str, Any]] = []
    first = 0
    for call in calls:
        printed.append(_printable_call(call, first, total))
        first += call.parts
    try:
        return _writable(printed)
    except ValueError as unwritable:
        raise Refused(ErrorCode.INVALID_COMMAND, str(unwritable)) from None


def _printable_call(call: Call, first: int, total: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"method": call.method, "params": dict(call.params)}
    if call.parts:
        entry["parts"] = {"first": first, "count": call.parts, "of": total}
    if call.files:
        entry["files"] = {n: f.model_dump(mode="json", exclude_defaults=True) for n, f in call.files.items()}
    if call.warnings:
        entry["warnings"] = [w.model_dump(mode="json", exclude_none=True) for w in call.warnings]
    return entry


def _context(channel: str, command: Command, facts: PlanContextFacts) -> PlanContext:
    account = AccountRecord(
        account_id=command.account_id,
        workspace_id=command.workspace_id,
        channel=channel,
        settings=_mapping(facts.get("settings")),
    )
    told = _mapping(facts.get("address"))
    address = {name: str(value) for name, value in told.items() if isinstance(value, str | int) and value}
    context = PlanContext(account=account, address=address, last_inbound=_text(facts.get("last_inbound")))
    reply = command.reply_to if isinstance(command, MessageSend) else None
    named = reply.provider_message_id if reply else getattr(command, "provider_message_id", None)
    target = _text(facts.get("target")) or named
    if target:
        context = replace(context, target=ReplyReference(target, reply.quote if reply else None))
    if isinstance(command, MessageSend) and hasattr(command.content, "attachments"):
        context = replace(context, files=command.content.attachments)
    return context


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
