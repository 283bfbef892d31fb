"""What Meta tells about a contact outside of messages: marketing consent, the phone app's address book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from services.whatsapp import wire
from services.whatsapp.identity import PERSON, identity
from services.whatsapp.receive.moves import moved_contact
from services.whatsapp.receive.notices import account_notice, named, when_of
from services.whatsapp.receive.received import Received
from services.whatsapp.wire import Json
from shared.channel import Outcome, ReceivedItem
from shared.contract.events import ConsentChanged, ContactUpdated, EventType

_CONSENT: dict[str, Literal["opted_in", "opted_out"]] = {
    "stop": "opted_out",
    "resume": "opted_in",
    "signup": "opted_in",
}


def user_preference(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A contact's wish about marketing messages."""
    person = identity(member, wire.obj(raw, "contact"), *PERSON)
    consent = _CONSENT.get((wire.text(member, "value") or "").lower())
    about_marketing = (wire.text(member, "category") or "marketing_messages").lower() == "marketing_messages"
    if consent is None or not about_marketing or not person.peers:
        return [
            account_notice(
                item,
                "contact.preference",
                "info",
                "Contact preference",
                member,
                named(raw, member),
                when_of(item, raw, member),
            )
        ]
    received = Received(item, person, when_of(item, raw, member))
    detail = wire.text(member, "detail")
    data = ConsentChanged(**received.common(), consent=consent, detail=detail, contact=person.contact())
    return [received.event(EventType.CONTACT_CONSENT_CHANGED, data, named(raw, member))]


def user_id_update(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A contact's new business-scoped user id, in the field that Meta's pages had for it before August 2026."""
    person = identity(member, wire.obj(raw, "contact"), *PERSON)
    changed = {
        prefix + key: found
        for key in ("user_id", "parent_user_id")
        for prefix, name in (("previous_", "previous"), ("", "current"))
        if (found := wire.text(wire.obj(member, key), name))
    }
    id_ = named(raw, member)
    received = Received(item, person, when_of(item, raw, member), wamid=id_)
    system = {"type": "user_changed_user_id", **changed}
    moved = moved_contact(received, {"system": system}) if changed else None
    return [
        moved or account_notice(item, "contact.user_id", "info", "Contact's user id", member, id_, received.occurred_at)
    ]


def state_sync(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """An entry of the phone app's address book."""
    entry = wire.obj(member, "contact")
    person = identity(entry, entry, "user_id", "phone_number")
    if not person.peers:
        return [
            account_notice(
                item, "contact.sync", "info", "Address book entry", member, named(raw, member), item.received_at
            )
        ]
    removed = (wire.text(member, "action") or "").lower() == "remove"
    person.display_name = None if removed else wire.text(entry, "full_name", "first_name")
    when = wire.moment(wire.obj(member, "metadata"), "timestamp", item.received_at)
    received = Received(item, person, when)
    contact = person.contact()
    if not removed:
        contact = contact.model_copy(update={"given_name": wire.text(entry, "first_name")})
    reason = "address_book_removed" if removed else "address_book"
    data = ContactUpdated(**received.common(), contact=contact, reason=reason)
    return [received.event(EventType.CONTACT_UPDATED, data, named(raw, member))]
