"""Text, files, places and contact cards as message bodies: splitting, captions, names, order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from services.whatsapp.capabilities import BODY, CAPABILITIES, CONTACT_CARDS, LIST_BODY
from services.whatsapp.identity import phone_digits
from services.whatsapp.send.draft import Draft, counted
from services.whatsapp.send.files import Fitted, fit
from services.whatsapp.send.interactive import add_tappable
from services.whatsapp.send.markup import marked_up
from shared.channel import Refused
from shared.contract.commands import MAX_FILES, File, OutContacts, OutInteractive, OutLocation, OutMedia, OutText
from shared.contract.content import AttachmentKind, ContactCard, Span
from shared.contract.errors import ErrorCode
from shared.contract.statuses import WarningCode
from shared.kit.drafts import placed_rows
from shared.kit.loose import Json
from shared.policy.choices import Arranged, as_lines, with_lines
from shared.policy.text import split_text
from shared.policy.vcards import VCard, read_vcard


def add_text(draft: Draft, content: OutText) -> None:
    """Add a text, in several messages only where one cannot hold it; its buttons hang on the last words."""
    if not content.text.strip():
        raise Refused(ErrorCode.INVALID_COMMAND, "The text is blank.", field="content.text")
    way = draft.arrange(placed_rows(content.buttons))
    text = with_lines(content.text, as_lines(way.lines))
    if way.tappable:
        _add_tappable_text(draft, content.model_copy(update={"text": text}), way)
    else:
        _add_pieces(draft, _pieces(draft, text, content.spans), content.preview_url)


def _add_tappable_text(draft: Draft, content: OutText, way: Arranged) -> None:
    last = add_all_but_end(draft, content, LIST_BODY if way.shape == "list" else BODY)
    add_tappable(draft, OutInteractive(text=last), way)


def add_all_but_end(draft: Draft, content: OutText, limit: int) -> str:
    """Add what of a text is beyond `limit` as messages ahead; returns its end, for what can be tapped to hang on."""
    text = content.text
    draft.check_length(text)
    *before, last = _marked_pieces(draft, text, content.spans, limit)
    ahead = [part.text for part in split_text("".join(before), _TEXT, most=draft.most_parts - 1)] if before else []
    draft.check_length(text, len(ahead) + 1)
    _add_pieces(draft, ahead, content.preview_url)
    return last


_TEXT = CAPABILITIES.text.max_length


def _pieces(draft: Draft, text: str, spans: Sequence[Span]) -> list[str]:
    """The text with its formatting as messages. Raises Refused where they are too many."""
    draft.check_length(text)
    pieces = _marked_pieces(draft, text, spans, _TEXT)
    draft.check_length(text, len(pieces))
    return pieces


def _marked_pieces(draft: Draft, text: str, spans: Sequence[Span], limit: int) -> list[str]:
    """The text with its formatting, in as few pieces of at most `limit` as it takes."""
    shown, lost = marked_up(text, spans)
    if lost:
        draft.warn(WarningCode.FORMATTING_DROPPED, "WhatsApp does not show some of the formatting.")
    if len(shown) <= limit:
        return [shown]
    marks = len(shown) - len(text)
    parts = split_text(text, max(limit - marks, limit // 2), spans=spans, most=draft.most_parts)
    marked = [(marked_up(part.text, part.spans)[0], part.text) for part in parts if part.text.strip()]
    draft.warn(WarningCode.TEXT_SPLIT, "The text is longer than one message holds.")
    return [shown if len(shown) <= limit else plain for shown, plain in marked]


def _add_pieces(draft: Draft, pieces: Sequence[str], preview_url: bool | None = None) -> None:
    for piece in pieces:
        body: Json = {"body": piece}
        if preview_url is not None:
            body["preview_url"] = preview_url
        draft.add("text", body)


# ------------------------------------------------------------------------------------------------------ files


def add_media(draft: Draft, content: OutMedia, files: Sequence[File]) -> None:
    """Add the files in order, a message each; the text is the caption of the first that can have one.

    A caption that is too long, or that no file can carry, goes ahead as a text of its own.
    """
    if len(files) > MAX_FILES:
        raise Refused(ErrorCode.TOO_MANY_FILES, field="content.attachments", limit=MAX_FILES, actual=len(files))
    fitted = [fit(file, f"content.attachments.{index}") for index, file in enumerate(files)]
    text, lost = marked_up(content.text, content.spans) if content.text.strip() else ("", False)
    if any(content.buttons):
        _add_with_buttons(draft, content, files, fitted)
        return
    captioned = next((index for index, file in enumerate(fitted) if file.takes_caption), None)
    if text and (captioned is None or len(text) > CAPABILITIES.text.caption_max_length):
        _add_ahead(draft, content.text, content.spans)
        captioned = None
    elif lost:
        draft.warn(WarningCode.FORMATTING_DROPPED, "WhatsApp does not show some of the formatting.")
    for index, file in enumerate(fitted):
        _add_file(draft, file, text if index == captioned else "")


def _add_with_buttons(draft: Draft, content: OutMedia, files: Sequence[File], fitted: Sequence[Fitted]) -> None:
    """One file goes on top of the buttons; several, or one that cannot, go ahead of them."""
    way = draft.arrange(placed_rows(content.buttons))
    text = with_lines(content.text, as_lines(way.lines))
    if not way.tappable:
        add_media(draft, content.model_copy(update={"text": text, "buttons": ()}), files)
        return
    if not text.strip():
        raise Refused(ErrorCode.CONTENT_REJECTED, "WhatsApp's buttons need a text.", field="content.text")
    first, shown = fitted[0], marked_up(text, content.spans)[0]
    if way.shape == "buttons" and len(fitted) == 1 and len(shown) <= BODY and first.message_type in _UNDER_BUTTONS:
        add_tappable(draft, OutInteractive(text=shown, header_file=first.file), way)
        return
    for file in fitted:
        _add_file(draft, file, "")
    _add_tappable_text(draft, OutText(text=text, spans=content.spans), way)


_UNDER_BUTTONS = frozenset({"image", "video", "document"})


def _add_file(draft: Draft, fitted: Fitted, caption: str) -> None:
    kind = fitted.message_type
    body, uploads = draft.named(fitted, kind)
    if caption:
        body["caption"] = caption
    if fitted.kind is AttachmentKind.VOICE:
        body["voice"] = True
    draft.add(kind, body, uploads, fitted.warnings)


# ------------------------------------------------------------------------------------------- places and cards


def add_location(draft: Draft, content: OutLocation) -> None:
    """Add a place, after its text where it has one."""
    place = content.location
    for name, value, limit in (("latitude", place.latitude, 90), ("longitude", place.longitude, 180)):
        if not -limit <= value <= limit:
            detail, field = f"The {name} is not on the globe.", f"content.location.{name}"
            raise Refused(ErrorCode.INVALID_COMMAND, detail, field=field, limit=limit, actual=value)
    _add_ahead(draft, content.text)
    body: Json = {"latitude": place.latitude, "longitude": place.longitude}
    for name in ("name", "address"):
        if value := getattr(place, name):
            body[name] = value
    draft.add("location", body)


def add_contacts(draft: Draft, content: OutContacts) -> None:
    """Add contact cards, after their text where they have one."""
    counted(len(content.contacts), "content.contacts", most=CONTACT_CARDS)
    cards = [_card(card, f"content.contacts.{index}") for index, card in enumerate(content.contacts)]
    _add_ahead(draft, content.text)
    draft.add("contacts", cards)


def _add_ahead(draft: Draft, text: str, spans: Sequence[Span] = ()) -> None:
    if text.strip():
        draft.warn(WarningCode.CAPTION_SEPARATED, "The text goes out ahead, as a message of its own.")
        _add_pieces(draft, _pieces(draft, text, spans))


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DAY_OF_VCARD = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:T.*)?", re.ASCII | re.S)
_SAME_NUMBER = 7  # digits at the end; before them, WhatsApp's ids and numbers differ in some countries


def _card(card: ContactCard, field: str) -> Json:
    """Meta wants the formatted name and at least one part of it. What only the vCard says is taken from there."""
    said = read_vcard(card.vcard)
    card = _completed(card, said)
    parts = " ".join(part for part in (card.given_name, card.family_name) if part)
    formatted = next(filter(str.strip, (card.name or "", parts, card.organisation or "")), None)
    if formatted is None:
        detail = "WhatsApp's contact cards need a name."
        raise Refused(ErrorCode.CONTENT_REJECTED, detail, field=f"{field}.name")
    name = {"formatted_name": formatted, "first_name": card.given_name, "last_name": card.family_name}
    if not card.given_name and not card.family_name:
        name["first_name"] = formatted
    body: Json = {"name": {key: value for key, value in name.items() if value}}
    if phones := _phones(card, said):
        body["phones"] = phones
    lists = (("emails", "email", card.emails), ("urls", "url", card.urls))
    for key, entry, values in lists:
        if values:
            body[key] = [{entry: value} for value in values]
    if card.addresses:
        body["addresses"] = [{"street": address} for address in card.addresses]
    if card.organisation:
        title = next(iter(said.titles), None)
        body["org"] = {"company": card.organisation, **({"title": title} if title else {})}
    if card.birthday:
        if not _is_day(card.birthday):
            detail = "A birthday is a day, as year, month and day: 1990-12-31."
            raise Refused(ErrorCode.INVALID_COMMAND, detail, field=f"{field}.birthday")
        body["birthday"] = card.birthday
    return body


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _completed(card: ContactCard, said: VCard) -> ContactCard:
    """The card with what only its vCard says."""
    known: dict[str, Any] = {
        "phones": tuple(said.phones),
        "emails": tuple(said.emails),
        "urls": tuple(said.urls),
        "addresses": tuple(said.addresses),
        "organisation": next(iter(said.organisations), None),
        "birthday": next(filter(_is_day, _days(said)), None),
    }
    if not any(part and part.strip() for part in (card.name, card.given_name, card.family_name)):
        known |= {"name": said.name, "given_name": said.given_name, "family_name": said.family_name}
        return card.model_copy(update={name: getattr(card, name) or value for name, value in known.items()})
    return card.model_copy(update={name: value for name, value in known.items() if value and not getattr(card, name)})


def _days(said: VCard) -> Iterator[str]:
    return ("-".join(found.groups()) for day in said.birthdays if (found := _DAY_OF_VCARD.fullmatch(day)))


def _phones(card: ContactCard, said: VCard) -> list[Json]:
    """The card's numbers; by `wa_id` the contact can write to one, else it can only invite the person."""
    ids = list(filter(None, (phone_digits(card.provider_id or ""), *said.whatsapp_ids.values())))
    phones: list[Json] = []
    for phone in card.phones or [f"+{known}" for known in ids[:1]]:
        digits = re.sub(r"\D", "", phone)[-_SAME_NUMBER:]
        wa_id = next((known for known in ids if len(digits) == _SAME_NUMBER and known.endswith(digits)), None)
        phones.append({"phone": phone, "wa_id": wa_id} if wa_id else {"phone": phone})
    return phones
