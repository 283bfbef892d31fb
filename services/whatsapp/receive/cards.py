"""Contact cards inside messages: Meta's fields, and the vCard where there is nothing else."""

from __future__ import annotations

from shared.contract.content import ContactCard
from shared.kit import loose
from shared.kit.loose import Json
from shared.policy.vcards import read_vcard


def cards_of(message: Json) -> tuple[ContactCard, ...]:
    """The cards of a `contacts` message."""
    return tuple(_card(entry, _is_own(message, entry)) for entry in loose.objects(message, "contacts"))


def _named(entry: Json, name: str, *keys: str) -> tuple[str, ...]:
    """The values of a list whose members are objects, or the bare value, as other senders of cards write it."""
    found = (
        loose.text(m, *keys) if isinstance(m, dict) else loose.text({name: m}, name) for m in loose.items(entry, name)
    )
    return tuple(value for value in found if value)


def _card(entry: Json, own: bool) -> ContactCard:
    name = loose.obj(entry, "name")
    parts = _in_order(name, "prefix", "first_name", "middle_name", "last_name", "suffix")
    addresses = (
        ", ".join(_in_order(address, "street", "city", "state", "zip", "country"))
        for address in loose.objects(entry, "addresses")
    )
    phones = loose.objects(entry, "phones")
    vcard = loose.text(entry, "vcard")
    said = read_vcard(vcard)
    return ContactCard(
        name=loose.text(name, "formatted_name")
        or loose.text(entry, "name")
        or next(iter(said.names), None)
        or (" ".join(parts) or said.name),
        given_name=loose.text(name, "first_name") or said.given_name,
        family_name=loose.text(name, "last_name") or said.family_name,
        phones=_named(entry, "phones", "phone", "wa_id") or tuple(said.phones),
        emails=_named(entry, "emails", "email") or tuple(said.emails),
        urls=_named(entry, "urls", "url") or tuple(said.urls),
        addresses=tuple(address for address in addresses if address) or tuple(said.addresses),
        organisation=loose.text(loose.obj(entry, "org"), "company") or next(iter(said.organisations), None),
        birthday=loose.text(entry, "birthday") or next(iter(said.birthdays), None),
        vcard=vcard,
        provider_id=next(iter(loose.texts(phones, "wa_id", "user_id") or said.whatsapp_ids.values()), None),
        verified=True if own else None,
    )


def _is_own(message: Json, card: Json) -> bool:
    return (loose.text(card, "origin") or loose.text(message, "origin")) == "contact_request"


def own_card(message: Json) -> Json | None:
    """The contact's own card, sent on our request: Meta says so of a card, in other versions of the message."""
    own = [card for card in loose.objects(message, "contacts") if _is_own(message, card)]
    return own[0] if len(own) == 1 else None


def own_numbers(card: Json) -> tuple[str, ...]:
    """The numbers of a card, WhatsApp's own spelling first."""
    phones = loose.texts(loose.objects(card, "phones"), "wa_id", "phone")
    said = read_vcard(loose.text(card, "vcard"))
    return phones or (*said.whatsapp_ids.values(), *said.phones)


def shown(card: ContactCard) -> str:
    """What stands for a card in a line of text."""
    known = ", ".join(part for part in (card.name, *card.phones) if part)
    return known or ", ".join(card.emails) or card.organisation or ("vCard" if card.vcard else "nothing known")


def _in_order(entry: Json, *names: str) -> tuple[str, ...]:
    return tuple(found for name in names if (found := loose.text(entry, name)))
