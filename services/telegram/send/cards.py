"""Locations and contact cards to send."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.telegram.send.rendering import text_calls
from shared.channel import Call, Refused
from shared.contract.commands import OutContacts, OutLocation
from shared.contract.content import ContactCard, Place
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.words import is_visible
from shared.policy.vcards import read_vcard

_MAX_VCARD = 2048  # bytes (core.telegram.org/bots/api#sendcontact)
_MAX_ACCURACY = 1500.0  # metres (core.telegram.org/bots/api#sendlocation)


def location_calls(content: OutLocation, most: int) -> list[Call]:
    """The place, after its text where it has one, of at most `most` messages. Raises Refused off the globe."""
    call = _place(content.location)
    place = content.location
    lost = [what for what, value in (("its link", place.url), ("following its moves", place.live_until)) if value]
    if lost:
        detail = f"The place goes out without {' and '.join(lost)}."
        call = replace(call, warnings=(Warning(code=WarningCode.CONVERTED, detail=detail),))
    return [*_ahead(content.text, most), call]


def contact_calls(content: OutContacts, most: int) -> list[Call]:
    """A message per card, after their text. Raises Refused for a card without a phone number: Telegram knows none."""
    cards = [_contact(_without_blanks(card), index) for index, card in enumerate(content.contacts)]
    return [*_ahead(content.text, most), *cards]


def _ahead(text: str, most: int) -> list[Call]:
    if not is_visible(text):
        return []
    first, *others = text_calls(text, (), most)
    detail = "The text goes out ahead, as a message of its own."
    note = Warning(code=WarningCode.CAPTION_SEPARATED, detail=detail)
    return [replace(first, warnings=(*first.warnings, note)), *others]


def _place(place: Place) -> Call:
    """A venue where the place has a name or an address, else a bare location."""
    for name, value, limit in (("latitude", place.latitude, 90), ("longitude", place.longitude, 180)):
        if not -limit <= value <= limit:
            raise Refused(
                ErrorCode.INVALID_COMMAND,
                f"The {name} is not on the globe.",
                field=f"content.location.{name}",
                limit=limit,
                actual=value,
            )
    point: dict[str, Any] = {"latitude": place.latitude, "longitude": place.longitude}
    title, address = _visible(place.name), _visible(place.address)
    if title or address:
        title, address = title or address, address or f"{place.latitude}, {place.longitude}"
        return Call("sendVenue", {**point, "title": title, "address": address})
    if place.accuracy_m is not None:
        point["horizontal_accuracy"] = min(max(place.accuracy_m, 0.0), _MAX_ACCURACY)
    return Call("sendLocation", point)


def _without_blanks(card: ContactCard) -> ContactCard:
    names = {name: _visible(getattr(card, name)) for name in ("name", "given_name", "family_name", "organisation")}
    said = read_vcard(card.vcard)
    phones = tuple(phone for phone in card.phones or said.phones if is_visible(phone))
    if not any(names.values()):
        names |= {"name": said.name, "organisation": next(iter(said.organisations), None)}
    return card.model_copy(update={**names, "phones": phones})


def _contact(card: ContactCard, index: int) -> Call:
    if not card.phones:
        raise Refused(
            ErrorCode.CONTENT_REJECTED,
            "Telegram's contact cards need a phone number.",
            field=f"content.contacts.{index}.phones",
        )
    params: dict[str, Any] = {"phone_number": card.phones[0]}
    if card.given_name and card.family_name:
        params |= {"first_name": card.given_name, "last_name": card.family_name}
    else:
        params["first_name"] = card.name or card.given_name or card.family_name or card.organisation or card.phones[0]
    # A vCard is too long for the picture in it, as a rule: what else the card says may fit.
    vcards = [vcard for vcard in (card.vcard, _vcard(card)) if vcard]
    fitting = next((vcard for vcard in vcards if len(vcard.encode()) <= _MAX_VCARD), None)
    if fitting:
        params["vcard"] = fitting
    if not vcards or fitting == vcards[0]:
        return Call("sendContact", params)
    how = "with a shorter vCard" if fitting else "as name and number"
    detail = f"Card {index + 1} goes out {how}: its own vCard has more than {_MAX_VCARD} bytes."
    return Call("sendContact", params, warnings=(Warning(code=WarningCode.CONVERTED, detail=detail),))


def _visible(text: str | None) -> str | None:
    return text if text and is_visible(text) else None


def _vcard(card: ContactCard) -> str | None:
    """A card for what the parameters have no room for."""
    if len(card.phones) == 1 and not (card.emails or card.urls or card.organisation or card.addresses or card.birthday):
        return None
    name = card.name or " ".join(filter(None, (card.given_name, card.family_name)))
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"FN:{_escaped(name or card.organisation or card.phones[0])}"]
    lines += [f"TEL:{_escaped(phone)}" for phone in card.phones]
    lines += [f"EMAIL:{_escaped(email)}" for email in card.emails]
    lines += [f"URL:{_escaped(url)}" for url in card.urls]
    lines += [f"ADR:;;{_escaped(address)};;;;" for address in card.addresses]
    if card.organisation:
        lines.append(f"ORG:{_escaped(card.organisation)}")
    if card.birthday:
        lines.append(f"BDAY:{_escaped(card.birthday)}")
    return "\n".join([*lines, "END:VCARD"])


def _escaped(value: str) -> str:
    # RFC 6350 §3.4.
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace(",", "\\,").replace(";", "\\;")
