"""What Meta tells about a contact outside of messages: marketing consent, the phone app's address book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from services.whatsapp import wire
from services.whatsapp.identity import PERSON, identity
from services.whatsapp.receive.moves import moved_contact
from services.whatsapp.receive.notices import named, when_of
from services.whatsapp.receive.received import Received
from shared.channel import Outcome, ReceivedItem
from shared.contract.events import ConsentChanged, ContactUpdated, EventType
from shared.kit import loose
from shared.kit.facts import account_notice
from shared.kit.loose import Json

_CONSENT: dict[str, Literal["opted_in", "opted_out"]] = {
    "stop": "opted_out",
    "resume": "opted_in",
    "signup": "opted_in",
}


def user_preference(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A contact's wish about marketing messages."""
    person = identity(member, loose.obj(raw, "contact"), *PERSON)
    consent = _CONSENT.get((loose.text(member, "value") or "").lower())
    about_marketing = (loose.text(member, "category") or "marketing_messages").lower() == "marketing_messages"
    if consent is None or not about_marketing or not person.peers:
        return [
            account_notice(
                item,
                "contact.preference",
                "Contact preference",
                named(raw, member),
                values=member,
                at=when_of(item, raw, member),
            )
        ]
    received = Received(item, person, when_of(item, raw, member))
    detail = loose.text(member, "detail")
    data = ConsentChanged(**received.facts(), consent=consent, detail=detail, contact=person.contact())
    return [received.event(EventType.CONTACT_CONSENT_CHANGED, data, named(raw, member))]


def user_id_update(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """A contact's new business-scoped user id, in the field that Meta's pages had for it before August 2026."""
    person = identity(member, loose.obj(raw, "contact"), *PERSON)
    changed = {
        prefix + key: found
        for key in ("user_id", "parent_user_id")
        for prefix, name in (("previous_", "previous"), ("", "current"))
        if (found := loose.text(loose.obj(member, key), name))
    }
    id_ = named(raw, member)
    received = Received(item, person, when_of(item, raw, member), wamid=id_)
    system = {"type": "user_changed_user_id", **changed}
    moved = moved_contact(received, {"system": system}) if changed else None
    notice = account_notice(item, "contact.user_id", "Contact's user id", id_, values=member, at=received.occurred_at)
    return [moved or notice]


def state_sync(item: ReceivedItem, raw: Json, member: Json) -> Sequence[Outcome]:
    """An entry of the phone app's address book."""
    entry = loose.obj(member, "contact")
    person = identity(entry, entry, "user_id", "phone_number")
    if not person.peers:
        return [account_notice(item, "contact.sync", "Address book entry", named(raw, member), values=member)]
    removed = (loose.text(member, "action") or "").lower() == "remove"
    person.display_name = None if removed else loose.text(entry, "full_name", "first_name")
    when = wire.moment(loose.obj(member, "metadata"), "timestamp", item.received_at)
    received = Received(item, person, when)
    contact = person.contact()
    if not removed:
        contact = contact.model_copy(update={"given_name": loose.text(entry, "first_name")})
    reason = "address_book_removed" if removed else "address_book"
    data = ContactUpdated(**received.facts(), contact=contact, reason=reason)
    return [received.event(EventType.CONTACT_UPDATED, data, named(raw, member))]
