"""Contact cards inside messages: Meta's fields, and the vCard where there is nothing else."""

from __future__ import annotations

import re

from services.whatsapp import wire
from services.whatsapp.wire import Json
from shared.contract.content import ContactCard

# Lines of a vCard; phones put a label's lines in groups, as `item1.TEL`.
_FORMATTED_NAME, _TELEPHONE, _EMAIL = (
    re.compile(rf"^(?:[\w-]+\.)?{name}(?:;[^:\r\n]*)?:(.*\S)", re.I | re.M) for name in ("FN", "TEL", "EMAIL")
)
_WHATSAPP_ID = re.compile(r"^(?:[\w-]+\.)?TEL;[^:\r\n]*\bwaid=(\d+)", re.I | re.M)
_ESCAPED = re.compile(r"\\([\\,;:])")


def cards_of(message: Json) -> tuple[ContactCard, ...]:
    """The cards of a `contacts` message."""
    return tuple(_card(entry, _is_own(message, entry)) for entry in wire.objects(message, "contacts"))


def _named(entry: Json, name: str, *keys: str) -> tuple[str, ...]:
    """The values of a list whose members are objects, or the bare value, as other senders of cards write it."""
    found = (
        wire.text(m, *keys) if isinstance(m, dict) else wire.text({name: m}, name) for m in wire.items(entry, name)
    )
    return tuple(value for value in found if value)


def _card(entry: Json, own: bool) -> ContactCard:
    name = wire.obj(entry, "name")
    parts = _in_order(name, "prefix", "first_name", "middle_name", "last_name", "suffix")
    addresses = (
        ", ".join(_in_order(address, "street", "city", "state", "zip", "country"))
        for address in wire.objects(entry, "addresses")
    )
    phones = wire.objects(entry, "phones")
    vcard = wire.text(entry, "vcard")
    named = _FORMATTED_NAME.search(vcard or "")
    return ContactCard(
        name=wire.text(name, "formatted_name")
        or wire.text(entry, "name")
        or (_ESCAPED.sub(r"\1", named[1].strip()) if named else None)
        or (" ".join(parts) or None),
        given_name=wire.text(name, "first_name"),
        family_name=wire.text(name, "last_name"),
        phones=_named(entry, "phones", "phone", "wa_id") or tuple(_TELEPHONE.findall(vcard or "")),
        emails=_named(entry, "emails", "email") or tuple(_EMAIL.findall(vcard or "")),
        urls=_named(entry, "urls", "url"),
        addresses=tuple(address for address in addresses if address),
        organisation=wire.text(wire.obj(entry, "org"), "company"),
        birthday=wire.text(entry, "birthday"),
        vcard=vcard,
        provider_id=next(iter(wire.texts(phones, "wa_id", "user_id") or _WHATSAPP_ID.findall(vcard or "")), None),
        verified=True if own else None,
    )


def _is_own(message: Json, card: Json) -> bool:
    return (wire.text(card, "origin") or wire.text(message, "origin")) == "contact_request"


def own_card(message: Json) -> Json | None:
    """The contact's own card, sent on our request: Meta says so of a card, in other versions of the message."""
    own = [card for card in wire.objects(message, "contacts") if _is_own(message, card)]
    return own[0] if len(own) == 1 else None


def own_numbers(card: Json) -> tuple[str, ...]:
    """The numbers of a card, WhatsApp's own spelling first."""
    phones = wire.texts(wire.objects(card, "phones"), "wa_id", "phone")
    vcard = wire.text(card, "vcard") or ""
    return phones or (*_WHATSAPP_ID.findall(vcard), *_TELEPHONE.findall(vcard))


def shown(card: ContactCard) -> str:
    """What stands for a card in a line of text."""
    known = ", ".join(part for part in (card.name, *card.phones) if part)
    return known or ", ".join(card.emails) or card.organisation or ("vCard" if card.vcard else "nothing known")


def _in_order(entry: Json, *names: str) -> tuple[str, ...]:
    return tuple(found for name in names if (found := wire.text(entry, name)))
