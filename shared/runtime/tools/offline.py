"""Normalise and plan without Kafka, network or settings: what the command line and the golden files run."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.channel import (
    Channel,
    Event,
    HealthChange,
    LeftOut,
    Parses,
    PlanContext,
    RawItem,
    ReceivedItem,
    Refused,
    ReplyReference,
    StatusUpdate,
    TakesAddresses,
    TemplateChange,
    WebhookRequest,
)
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import rfc3339
from shared.contract.commands import (
    Command,
    CommandRefused,
    MessageEdit,
    MessageSend,
    named_files,
    parse_command,
)
from shared.contract.content import Thread
from shared.contract.envelope import type_name
from shared.contract.errors import ERRORS, ErrorCode
from shared.contract.events import Message
from shared.contract.unknown_fields import ignored_fields
from shared.policy.judge import unable
from shared.runtime.accounts.capabilities import capabilities_of
from shared.runtime.outbound.conversion import as_planned
from shared.runtime.outbound.planning import addressee, planned
from shared.runtime.outbound.prepare import Prepared, check_fetched, noted, own_blob
from shared.runtime.outbound.printed import PlanContextFacts, printable_calls, read_command, refused, writable
from shared.runtime.reporting.publish import event_envelope, status_envelope
from shared.runtime.tools.known_contacts import KnownContacts

PLACEHOLDER_WORKSPACE = "workspace"
PLACEHOLDER_ACCOUNT = "account"


def normalise(
    channel: Channel,
    payload: bytes,
    *,
    account_id: str | None = None,
    workspace_id: str = PLACEHOLDER_WORKSPACE,
    external_id: str | None = None,
    settings: Mapping[str, Any] | None = None,
    received_at: datetime | None = None,
    contacts: KnownContacts | None = None,
) -> list[dict[str, Any]]:
    """Structured CloudEvents of one provider payload, or the dead letter it would become.

    `contacts` is what is known of contacts from payloads before; without one they are all met here.
    """
    contacts = contacts or KnownContacts(channel.capabilities.channel)
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
            body = channel.parse(item.body) if isinstance(channel, Parses) else item.body
            outcomes = channel.normalise(ReceivedItem(account, body, received, sequence))
            known = contacts.told(account.account_id, outcomes)
            told = [outcome for outcome in known if not isinstance(outcome, LeftOut | TemplateChange)]
            printed.extend(writable([_printable(name, account, outcome, received) for outcome in told]))
        except ValueError as unreadable:
            printed.append(_dead_letter(name, account.account_id, item.body, str(unreadable), received))
    return printed


def _in_thread(event: Event) -> Event:
    """The event with the thread that it would begin."""
    if event.thread is None or not isinstance(event.data, Message):
        return event
    thread = (event.data.thread or Thread()).model_copy(update={"id": event.thread.keys[-1]})
    return replace(event, data=event.data.model_copy(update={"thread": thread}))


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
            return event_envelope(channel, _in_thread(outcome)).structured()
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


def plan(
    channel: Channel,
    document: Any,
    *,
    account_id: str | None = None,
    workspace_id: str | None = None,
) -> list[dict[str, Any]]:
    """The provider calls of one command as JSON-able dictionaries, or its refusal as the one entry.

    A `context` beside the data may give `address`, `target`, `last_inbound`, the `thread`'s note and the account's
    `external_id` and `settings`. Whose files it may name is known where the workspace is.
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
        _, address = addressee(channel, command)
        context = _context(channel.capabilities.channel, command, facts, address)
        if (verdict := unable(capabilities_of(channel, context.account, None), kind, command)) is not None:
            return [refused(*verdict)]
        _only_what_can_be_had(channel, context.account, command, own=bool(workspace_id))
        prepared = _files(channel, context.account, command)
        files = tuple(file for file, _ in prepared)
        return printable_calls(noted(planned(channel, kind, command, replace(context, files=files)), prepared))
    except (CommandRefused, Refused) as refusal:
        told = refusal.facts if isinstance(refusal, Refused) else {"field": refusal.field}
        return [refused(refusal.code, refusal.detail, told)]


def _files(channel: Channel, account: AccountRecord, command: Command) -> list[Prepared]:
    """The files of a command as they would go out, and what would be different about them."""
    prepared: list[Prepared] = []
    rules = capabilities_of(channel, account, None).files
    content = command.content if isinstance(command, MessageSend | MessageEdit) else None
    for field, file in named_files(content) if content else ():
        stays = isinstance(channel, TakesAddresses) and file.url and channel.takes_address(file, account)
        prepared.append((file, ()) if stays else as_planned(file, rules, field))
    return prepared


def _only_what_can_be_had(channel: Channel, account: AccountRecord, command: Command, *, own: bool) -> None:
    """Refuse what is no key, or none of the workspace where that is known (`own`), and addresses that nobody fetches.

    A bare name stands for any file: there is no store here. Raises Refused.
    """
    content = command.content if isinstance(command, MessageSend | MessageEdit) else None
    for field, file in named_files(content) if content else ():
        bare = file.blob is not None and "/" not in file.blob
        named = file.model_copy(update={"blob": f"{account.workspace_id}/{file.blob}"}) if bare else file
        told = (file.blob or "").partition("/")[0]
        whose = account if own or bare or not told.strip(".") else account.model_copy(update={"workspace_id": told})
        if own_blob(whose, named) == "":
            raise Refused(ErrorCode.FILE_UNAVAILABLE, field=field)
        stays = isinstance(channel, TakesAddresses) and channel.takes_address(file, account)
        if file.url is not None and not stays:
            check_fetched(file.url, field)


def _context(channel: str, command: Command, facts: PlanContextFacts, by_to: Mapping[str, str]) -> PlanContext:
    """What `plan` is told: the facts, and the address that the command's `to` gives where they have none."""
    account = AccountRecord(
        account_id=command.account_id,
        workspace_id=command.workspace_id,
        channel=channel,
        external_id=_text(facts.get("external_id")),
        settings=_mapping(facts.get("settings")),
    )
    told = _mapping(facts.get("address"))
    address = {name: str(value) for name, value in told.items() if isinstance(value, str | int) and value}
    thread = {name: value for name, value in _mapping(facts.get("thread")).items() if isinstance(value, str)}
    context = PlanContext(account, address or by_to, last_inbound=_text(facts.get("last_inbound")), thread=thread)
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
