"""What only state can add to events: the conversation they belong to, resolved replies, referrals, new names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.channel import Event
from shared.contract import ids
from shared.contract.base import Alias, Contact
from shared.contract.content import Referral
from shared.contract.events import (
    ConsentChanged,
    ContactUpdated,
    ConversationReferred,
    EventType,
    Message,
    ReactionChanged,
)
from shared.policy.conversation import Conversation
from shared.state.store import Observed

FROM_CONTACT = frozenset({EventType.MESSAGE_RECEIVED, EventType.POSTBACK_RECEIVED})


@dataclass(frozen=True, slots=True)
class Enriched:
    """Events ready to be published, and what to remember of the conversation once they are."""

    events: Sequence[Event]
    fields: dict[str, str] = field(default_factory=dict)


def target_of(event: Event) -> str | None:
    """Our id of the message an event points at."""
    data = event.data
    if isinstance(data, Message):
        return data.reply_to.message_id if data.reply_to else None
    return data.message_id if isinstance(data, ReactionChanged) else None


def fields_of(events: Sequence[Event]) -> dict[str, str]:
    """What events say about the conversation itself, as state keeps it."""
    fields: dict[str, str] = {}
    for event in events:
        if event.address:
            fields["address"] = orjson.dumps(dict(event.address)).decode()
        match event.type:
            case EventType.CONTACT_BLOCKED:
                fields["unreachable"] = "1"
            case EventType.CONTACT_UNBLOCKED:
                fields["unreachable"] = "0"
        if isinstance(event.data, ConsentChanged):
            fields["opted_out"] = "1" if event.data.consent == "opted_out" else "0"
        if isinstance(event.data, Message) and event.type in FROM_CONTACT:
            if event.opens_window:
                fields["unreachable"] = "0"
            if event.data.sender.display_name:
                fields["name"] = event.data.sender.display_name
    return fields


def enrich(conversation_id: str, conversation: Conversation, observed: Observed, events: Sequence[Event]) -> Enriched:
    """The events with the conversation's id, in order, a `contact.updated` before a message that brings new names."""
    enriched: list[Event] = []
    fields: dict[str, str] = {}
    for event in events:
        known = observed.conversation | fields
        changes: dict[str, Any] = {}
        if event.data.conversation_id != conversation_id:
            changes["conversation_id"] = conversation_id
        if isinstance(event.data, ConversationReferred):
            fields["referral"] = event.data.referral.model_dump_json(exclude_none=True)
        elif isinstance(event.data, ReactionChanged):
            changes |= {"resolved": True} if observed.targets.get(event.data.message_id) else {}
        elif isinstance(event.data, Message):
            if event.type in FROM_CONTACT:
                if (names := _names(event.data.sender)) != known.get("aliases"):
                    update = _contact_update(event, event.data, known)
                    if update is not None:
                        enriched.append(replace(update, data=update.data.model_copy(update=changes)))
                    fields |= _merged(names, known)
                changes |= _referral(event.data, known, fields)
            changes |= {"contact_blocked": True} if conversation.blocked else {}
            changes |= _resolved_reply(event.data, observed)
        enriched.append(replace(event, data=event.data.model_copy(update=changes)) if changes else event)
    return Enriched(enriched, fields)


def _resolved_reply(message: Message, observed: Observed) -> dict[str, Any]:
    reply = message.reply_to
    if reply is None or reply.message_id is None or not observed.targets.get(reply.message_id):
        return {}
    return {"reply_to": reply.model_copy(update={"resolved": True})}


def _referral(message: Message, known: Mapping[str, str], fields: dict[str, str]) -> dict[str, Any]:
    """A referral that came before its message is told once more with the message, then forgotten."""
    kept = fields.get("referral") or known.get("referral")
    if not kept:
        return {}
    fields["referral"] = ""
    return {} if message.referral is not None else {"referral": Referral.model_validate_json(kept)}


def _names(contact: Contact) -> str:
    """The contact's aliases by kind, as state keeps them."""
    return _as_kept({str(alias.kind): alias.value for alias in contact.aliases})


def _as_kept(aliases: Mapping[str, str]) -> str:
    return orjson.dumps(aliases, option=orjson.OPT_SORT_KEYS).decode()


def _merged(names: str, known: Mapping[str, str]) -> dict[str, str]:
    """The names with those that were known, where that is more than was known."""
    merged = _as_kept(_kept(known) | orjson.loads(names))
    return {} if merged == known.get("aliases") else {"aliases": merged}


def _kept(known: Mapping[str, str]) -> dict[str, str]:
    return dict(orjson.loads(known["aliases"])) if known.get("aliases") else {}


def _contact_update(event: Event, message: Message, known: Mapping[str, str]) -> Event | None:
    """A contact we knew goes by a name we did not know, or by another one. An absent name removes nothing."""
    before = _kept(known)
    added = tuple(alias for alias in message.sender.aliases if before.get(alias.kind) != alias.value)
    if not before or not added:
        return None
    removed = tuple(Alias(kind=a.kind, value=before[a.kind]) for a in added if a.kind in before)
    told = {"channel", "workspace_id", "account_id", "conversation_id", "occurred_at", "received_at", "sequence"}
    common = {name: getattr(message, name) for name in told}
    data = ContactUpdated(**common, contact=message.sender, added=added, removed=removed, reason="aliases_changed")
    return Event(EventType.CONTACT_UPDATED, data, provider_id=ids.event_id("", "", event.provider_id, "aliases"))
