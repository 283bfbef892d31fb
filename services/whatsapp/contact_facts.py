"""What Meta tells about a contact outside of messages: marketing consent, the phone app's address book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from services.whatsapp import wire
from services.whatsapp.identity import PERSON, identity
from services.whatsapp.notices import account_notice, named, when_of
from services.whatsapp.scope import Scope
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
    if consent is None or not person.peers:
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
    scope = Scope(item, person, when_of(item, raw, member))
    detail = wire.text(member, "detail")
    data = ConsentChanged(**scope.common(), consent=consent, detail=detail, contact=person.contact())
    return [scope.event(EventType.CONTACT_CONSENT_CHANGED, data, named(raw, member))]


def state_sync(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """An entry of the phone app's address book."""
    entry = wire.obj(member, "contact")
    person = identity(entry, {}, "user_id", "phone_number")
    if not person.peers:
        return [
            account_notice(
                item, "contact.sync", "info", "Address book entry", member, named(raw, member), item.received_at
            )
        ]
    removed = (wire.text(member, "action") or "").lower() == "remove"
    person.display_name = None if removed else wire.text(entry, "full_name", "first_name")
    when = wire.moment(wire.obj(member, "metadata"), "timestamp", item.received_at)
    scope = Scope(item, person, when)
    contact = person.contact()
    if not removed:
        contact = contact.model_copy(update={"given_name": wire.text(entry, "first_name")})
    reason = "address_book_removed" if removed else "address_book"
    data = ContactUpdated(**scope.common(), contact=contact, reason=reason)
    return [scope.event(EventType.CONTACT_UPDATED, data, named(raw, member))]
