"""System messages about who a contact is now: a new number, a new business-scoped user id, a new identity key."""

from __future__ import annotations

from dataclasses import replace

from services.whatsapp.identity import Identity, former_user_id
from services.whatsapp.receive.received import Received
from shared.channel import Event
from shared.contract.base import Alias
from shared.contract.events import ContactUpdated, EventType
from shared.kit import loose
from shared.kit.loose import Json

_MOVES = {
    "user_changed_number": "number_changed",
    "customer_changed_number": "number_changed",
    "user_changed_user_id": "user_id_changed",
    "customer_identity_changed": "identity_changed",
    "user_identity_changed": "identity_changed",
}


def moved_contact(received: Received, member: Json) -> Event | None:
    """A system message about who the contact is now: the conversation goes on under the new names."""
    system = loose.obj(member, "system")
    reason = _MOVES.get(loose.text(system, "type") or "")
    if reason is None:
        return None
    old = _before(received.person, system)
    new = _after(old, system, moved=reason == "number_changed")
    if not new.peers:
        return None
    identity = loose.obj(system, "identity") or loose.obj(member, "identity")
    new.key = loose.text(identity, "hash") or loose.text(system, "identity") or received.person.key
    received.person = new
    data = ContactUpdated(
        **received.facts(),
        contact=new.contact(),
        added=_without(new.aliases(), old.aliases()),
        removed=_without(old.aliases(), new.aliases()),
        reason=reason,
    )
    event = received.event(EventType.CONTACT_UPDATED, data, received.wamid)
    former = old.peers[0] if old.peers else None
    return replace(
        event,
        peer_aliases=tuple(dict.fromkeys(peer for peer in (*event.peer_aliases, *old.peers) if peer != received.peer)),
        supersedes_peer=former if former != received.peer else None,
    )


def _before(person: Identity, system: Json) -> Identity:
    """Who it was: `customer` is the former number in older versions."""
    old = Identity(display_name=person.display_name, username=person.username)
    old.add(former_user_id(system) or person.bsuid, "previous_user_id")
    old.add(loose.text(system, "previous_parent_user_id") or person.parent, "previous_parent_user_id")
    for phone in (*person.phones, None if person.phones else loose.text(system, "customer")):
        old.add(phone)
    return old


def _after(old: Identity, system: Json, *, moved: bool) -> Identity:
    """Who it is: what the message does not name anew stays, except the number of somebody who changed it."""
    new = Identity(display_name=old.display_name, username=old.username)
    for key in ("user_id", "parent_user_id", "new_wa_id", "wa_id"):
        new.add(loose.text(system, key), key)
    new.bsuid = new.bsuid or (None if "previous_user_id" in system else old.bsuid)
    new.parent = new.parent or (None if "previous_parent_user_id" in system else old.parent)
    if not moved and not new.phones:
        new.phones = list(old.phones)
    return new


def _without(aliases: tuple[Alias, ...], others: tuple[Alias, ...]) -> tuple[Alias, ...]:
    return tuple(alias for alias in aliases if alias not in others)
