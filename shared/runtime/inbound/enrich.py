"""What only state can add to events: the conversation they belong to, resolved replies, referrals, new names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from shared.channel import Event
from shared.contract import ids
from shared.contract.base import Alias, AliasKind, Contact
from shared.contract.content import Referral
from shared.contract.events import (
    ConsentChanged,
    ContactUpdated,
    ConversationReferred,
    EventType,
    Message,
    ReactionChanged,
)
from shared.policy.conversation import Conversation, flags
from shared.runtime.reporting.identity import merge_field, untold_merges
from shared.state.store import Observed

_OF_MANY = ("group", "channel")  # kinds of conversations that are nobody's alone
FROM_CONTACT = frozenset({EventType.MESSAGE_RECEIVED, EventType.POSTBACK_RECEIVED})


@dataclass(frozen=True, slots=True)
class Enriched:
    """Events ready to be published, and what to remember of the conversation once they are."""

    events: Sequence[Event]
    fields: dict[str, str] = field(default_factory=dict)


_STANDS_FOR = "\0"  # then our id of the message: the key is made of its reference, the id is not


def target_of(event: Event) -> str | None:
    """The key of the message an event points at: our id of it, or one made of what the provider calls it."""
    data = event.data
    if isinstance(data, Message):
        return _answered(data) if data.reply_to else None
    return data.message_id if isinstance(data, ReactionChanged) else None


def _answered(message: Message) -> str | None:
    reply = message.reply_to
    if reply is None or reply.message_id or not reply.provider_message_id:
        return reply.message_id if reply else None
    return ids.message_id(message.channel, message.account_id, reply.provider_message_id)


def remembered(events: Sequence[Event]) -> dict[str, str]:
    """The keys by which messages are found: their ids, and where those are not made of their references, these too."""
    found: dict[str, str] = {}
    for event in events:
        data, ref = event.data, event.provider_ref
        if not isinstance(data, Message) or not ref:
            continue
        if (named := ids.message_id(data.channel, data.account_id, ref)) != data.message_id:
            found[named] = _STANDS_FOR + data.message_id
        found[data.message_id] = ref
    return found


def fields_of(events: Sequence[Event]) -> dict[str, str]:
    """What events say about the conversation itself, as state keeps it."""
    fields: dict[str, str] = {}
    for event in events:
        if event.address:
            fields["address"] = orjson.dumps(dict(event.address)).decode()
        match event.type:
            case EventType.CONTACT_BLOCKED:
                fields |= flags(unreachable=True)
            case EventType.CONTACT_UNBLOCKED:
                fields |= flags(unreachable=False)
        if isinstance(event.data, ConsentChanged):
            fields |= flags(opted_out=event.data.consent == "opted_out")
            fields["consent_at"] = str(int(event.data.occurred_at.timestamp() * 1000))
        if isinstance(event.data, Message) and event.type in FROM_CONTACT and event.opens_window:
            fields |= flags(unreachable=False, undeliverable=False)
        if (contact := _contact_of(event)) and contact.display_name:
            fields["name"] = contact.display_name
    return fields


def enrich(conversation_id: str, conversation: Conversation, observed: Observed, events: Sequence[Event]) -> Enriched:
    """The events with the conversation's id, in order; a `contact.updated` before what brings new names, and one for
    every conversation that has become part of this one."""
    enriched: list[Event] = []
    fields: dict[str, str] = {}
    for event in events:
        known = observed.conversation | fields
        changes: dict[str, Any] = {}
        if event.data.conversation_id != conversation_id:
            changes["conversation_id"] = conversation_id
        for peer in untold_merges(known):
            enriched.append(_merge_told(event, conversation_id, peer, known))
            fields[merge_field(peer)] = "1"
        if contact := _contact_of(event):
            if (names := _names(contact)) != known.get("aliases"):
                update = _contact_update(event, contact, known)
                if update is not None:
                    enriched.append(replace(update, data=update.data.model_copy(update=changes)))
                fields |= _merged(names, known, event)
            changes |= _named(event, known)
        changes |= _found_out(event, conversation, observed, known, fields)
        enriched.append(replace(event, data=event.data.model_copy(update=changes)) if changes else event)
    return Enriched(enriched, fields)


def _found_out(
    event: Event, conversation: Conversation, observed: Observed, known: Mapping[str, str], fields: dict[str, str]
) -> dict[str, Any]:
    """What state has of the message an event is about, and of the ad that led to it."""
    data = event.data
    if isinstance(data, ConversationReferred):
        fields["referral"] = data.referral.model_dump_json(exclude_none=True)
    elif isinstance(data, ReactionChanged):
        return {"resolved": True} if observed.targets.get(data.message_id) else {}
    elif isinstance(data, Message):
        changes = _referral(data, known, fields) if event.type in FROM_CONTACT else {}
        changes |= {"contact_blocked": True} if conversation.blocked else {}
        return changes | _resolved_reply(data, observed)
    return {}


def _contact_of(event: Event) -> Contact | None:
    """The other side of the conversation, where the event says who it is; who writes in a group is not the group."""
    data = event.data
    if isinstance(data, Message) and event.type in FROM_CONTACT:
        return data.sender
    if event.address.get("group") or event.address.get("kind") in _OF_MANY:
        return None
    if isinstance(data, Message):
        return data.recipient
    if isinstance(data, ReactionChanged):
        return data.sender if data.direction == "inbound" else None
    return data.contact if isinstance(data, ContactUpdated | ConsentChanged) else None


def _named(event: Event, known: Mapping[str, str]) -> dict[str, Any]:
    """The name that is known of a contact, in an event that brings none."""
    contact, data = _contact_of(event), event.data
    if contact is None or contact.display_name or not known.get("name"):
        return {}
    if event.address.get("group") or event.address.get("kind") in _OF_MANY or isinstance(data, ContactUpdated):
        return {}
    named = contact.model_copy(update={"display_name": known["name"]})
    if isinstance(data, ConsentChanged):
        return {"contact": named}
    return {"recipient" if event.type is EventType.MESSAGE_ECHOED else "sender": named}


def _merge_told(event: Event, conversation_id: str, peer: str, known: Mapping[str, str]) -> Event:
    data = event.data
    channel, account_id, _ = ids.split_conversation_id(conversation_id)
    told = ContactUpdated(
        channel=channel,
        workspace_id=data.workspace_id,
        account_id=account_id,
        conversation_id=conversation_id,
        occurred_at=data.occurred_at,
        received_at=data.received_at,
        sequence=data.sequence,
        contact=Contact(
            aliases=tuple(Alias(kind=kind, value=value) for kind, value in _kept(known).items()),
            display_name=known.get("name"),
        ),
        reason="conversations_merged",
        merged_from=ids.conversation_id(channel, account_id, peer),
    )
    return Event(EventType.CONTACT_UPDATED, told, provider_id=f"{conversation_id}|merged|{peer}")


def _resolved_reply(message: Message, observed: Observed) -> dict[str, Any]:
    reply, target = message.reply_to, _answered(message)
    known = observed.targets.get(target) if target else None
    if reply is None or not known:
        return {}
    message_id = known.removeprefix(_STANDS_FOR) if known.startswith(_STANDS_FOR) else target
    return {"reply_to": reply.model_copy(update={"message_id": message_id, "resolved": True})}


def _referral(message: Message, known: Mapping[str, str], fields: dict[str, str]) -> dict[str, Any]:
    """A referral that came before its message is told once more with the message, then forgotten."""
    kept = fields.get("referral") or known.get("referral")
    if not kept:
        return {}
    fields["referral"] = ""
    return {} if message.referral is not None else {"referral": Referral.model_validate_json(kept)}


def _names(contact: Contact) -> str:
    """The contact's aliases by kind, as state keeps them."""
    return as_kept({str(alias.kind): alias.value for alias in contact.aliases})


def as_kept(aliases: Mapping[str, str]) -> str:
    """Aliases by kind, as state keeps them."""
    return orjson.dumps(aliases, option=orjson.OPT_SORT_KEYS).decode()


def _merged(names: str, known: Mapping[str, str], event: Event) -> dict[str, str]:
    """The names with those that were known and have not gone, where that is other than what was known."""
    gone = {alias.kind: alias.value for alias in getattr(event.data, "removed", ())}
    kept = {kind: value for kind, value in _kept(known).items() if gone.get(AliasKind(kind)) != value}
    merged = as_kept(kept | orjson.loads(names))
    return {} if merged == known.get("aliases") else {"aliases": merged}


def _kept(known: Mapping[str, str]) -> dict[str, str]:
    return dict(orjson.loads(known["aliases"])) if known.get("aliases") else {}


def _contact_update(event: Event, contact: Contact, known: Mapping[str, str]) -> Event | None:
    """A contact we knew goes by a name we did not know, or by another one. An absent name removes nothing."""
    before = _kept(known)
    added = tuple(alias for alias in contact.aliases if before.get(alias.kind) != alias.value)
    if not before or not added or (isinstance(event.data, ContactUpdated) and event.data.added):
        return None
    removed = tuple(Alias(kind=a.kind, value=before[a.kind]) for a in added if a.kind in before)
    told = ("channel", "workspace_id", "account_id", "conversation_id", "occurred_at", "received_at", "sequence")
    common = {name: getattr(event.data, name) for name in told}
    data = ContactUpdated(**common, contact=contact, added=added, removed=removed, reason="aliases_changed")
    return Event(EventType.CONTACT_UPDATED, data, provider_id=ids.event_id("", "", event.provider_id, "aliases"))
