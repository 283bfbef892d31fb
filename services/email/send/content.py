"""What a command wants to say, as the text, the html and the files of a mail; what mail lacks becomes lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.email.capabilities import LABEL
from services.email.send import markup
from shared.channel import PlanContext, Refused
from shared.contract.commands import (
    Button,
    File,
    InteractiveKind,
    MessageSend,
    OutboundContent,
    OutContacts,
    OutEmail,
    OutInteractive,
    OutLocation,
    OutMedia,
    OutText,
    named_files,
)
from shared.contract.content import ContactCard, Place
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.drafts import check_usable, placed_rows, refusal
from shared.policy.choices import Misfit, as_lines, framed, listing, with_lines
from shared.policy.vcards import read_vcard

_REQUESTS = frozenset({InteractiveKind.LOCATION_REQUEST, InteractiveKind.CONTACT_REQUEST})


@dataclass(slots=True)
class Said:
    """The words and files of a mail. `shown` are the names under which the html shows a file, by its index."""

    text: str
    html: str | None = None
    files: Sequence[File] = ()
    shown: Mapping[int, frozenset[str]] = field(default_factory=dict)
    warnings: list[Warning] = field(default_factory=list)


def said(command: MessageSend, context: PlanContext) -> Said:
    """What the mail of a command holds. Raises Refused."""
    content = command.content
    strict = command.strict
    match content:
        case OutEmail():
            found = _email(content)
        case OutText():
            text, warnings = _with_buttons(content.text, placed_rows(content.buttons), strict)
            found = Said(text, markup.formatted(text, content.spans), warnings=warnings)
        case OutMedia():
            text, warnings = _with_buttons(content.text, placed_rows(content.buttons), strict)
            found = Said(text, markup.formatted(text, content.spans), warnings=warnings)
        case OutInteractive():
            found = _interactive(content, strict)
        case OutLocation():
            found = Said(with_lines(content.text, _place(content.location)), warnings=[_as_text("The place", strict)])
        case OutContacts():
            cards = "\n\n".join("\n".join(_card(card)) for card in content.contacts)
            text = "\n\n".join(part for part in (content.text.strip() and content.text, cards) if part)
            found = Said(text, warnings=[_as_text("The contact", strict)])
        case _:
            detail = f"{LABEL} has no {content.kind.replace('_', ' ')} messages."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content.kind")
    found.files = _files(content, context)
    if not found.text.strip() and not (found.html or "").strip() and not found.files:
        raise Refused(ErrorCode.INVALID_COMMAND, "The text is blank.", field="content.text")
    return found


def _files(content: OutboundContent, context: PlanContext) -> Sequence[File]:
    """The files as they were made ready, or as the command names them where none were."""
    named = [file for _, file in named_files(content)]
    return context.files if len(context.files) == len(named) else named


def _email(content: OutEmail) -> Said:
    html = content.html if content.html and content.html.strip() else None
    if html is None:
        return Said(content.text)
    text = content.text if content.text.strip() else markup.as_text(html)
    wanted = markup.shows(html)
    shown = {
        index: names
        for index, file in enumerate(content.attachments)
        if (names := frozenset(filter(None, (file.content_id, file.attachment_id, file.filename))) & wanted)
    }
    return Said(text, html, shown=shown)


def _with_buttons(text: str, placed: Mapping[str, Button], strict: bool) -> tuple[str, list[Warning]]:
    """The text with its buttons as lines. Offsets of spans stay: the lines come last."""
    check_usable(placed)
    if not placed:
        return text, []
    field_ = ".".join(next(iter(placed)).split(".")[:-1])
    return with_lines(text, as_lines(placed.values())), [_no_buttons("buttons", field_, strict)]


def _no_buttons(what: str, field_: str, strict: bool) -> Warning:
    misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, f"{LABEL} has no {what}.", {"field": field_})
    if strict:
        raise refusal(misfit)
    return Warning(code=WarningCode.BUTTONS_DROPPED, detail=f"{misfit.detail} They went out as lines of text.")


def _interactive(content: OutInteractive, strict: bool) -> Said:
    text = framed(content)
    if content.interactive in _REQUESTS:
        what = f"{content.interactive.value.replace('_', ' ')} messages"
        if strict:
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, f"{LABEL} has no {what}.", field="content.interactive")
        detail = f"{LABEL} has no {what}. The text went out without a button."
        return Said(text, warnings=[Warning(code=WarningCode.BUTTONS_DROPPED, detail=detail)])
    if content.interactive is InteractiveKind.LIST:
        if not content.sections:
            raise Refused(ErrorCode.INVALID_COMMAND, "A list needs rows.", field="content.sections")
        return Said(with_lines(text, listing(content)), warnings=[_no_buttons("lists", "content.interactive", strict)])
    known = (InteractiveKind.BUTTONS, InteractiveKind.CTA_URL, InteractiveKind.CARD, InteractiveKind.CAROUSEL)
    if content.interactive not in known:
        detail = f"{LABEL} has no interactive {content.interactive}."
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content.interactive")
    placed = {f"content.buttons.{i}": button for i, button in enumerate(content.buttons)}
    text, warnings = _with_buttons(text, placed, strict)
    texts = [text]
    for index, card in enumerate(content.cards):
        placed = {f"content.cards.{index}.buttons.{i}": button for i, button in enumerate(card.buttons)}
        shown, dropped = _with_buttons(card.text, placed, strict)
        texts.append(shown)
        warnings = warnings or dropped
    return Said("\n\n".join(one for one in texts if one.strip()), warnings=warnings)


def _as_text(what: str, strict: bool) -> Warning:
    if strict:
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, f"{LABEL} carries text and files.", field="content.kind")
    return Warning(code=WarningCode.CONVERTED, detail=f"{what} went out as text.")


def _place(place: Place) -> list[str]:
    """A place as lines, with a link that opens a map in any client."""
    for name, value, limit in (("latitude", place.latitude, 90), ("longitude", place.longitude, 180)):
        if not -limit <= value <= limit:
            detail = f"The {name} is not on the globe."
            raise Refused(
                ErrorCode.INVALID_COMMAND, detail, field=f"content.location.{name}", limit=limit, actual=value
            )
    point = f"{place.latitude:.6f}".rstrip("0").rstrip("."), f"{place.longitude:.6f}".rstrip("0").rstrip(".")
    link = f"https://www.openstreetmap.org/?mlat={point[0]}&mlon={point[1]}#map=16/{point[0]}/{point[1]}"
    return [line for line in (place.name, place.address, ", ".join(point), place.url or link) if line]


def _card(card: ContactCard) -> list[str]:
    """What a contact card says, a line each."""
    read = read_vcard(card.vcard)
    parts = " ".join(part for part in (card.given_name, card.family_name) if part)
    organisation = card.organisation or next(iter(read.organisations), None)
    lines = [card.name or parts or read.name or "", organisation or ""]
    for given, known in (
        (card.phones, read.phones),
        (card.emails, read.emails),
        (card.urls, read.urls),
        (card.addresses, read.addresses),
    ):
        lines += list(given) or known
    lines.append(card.birthday or next(iter(read.birthdays), ""))
    return list(dict.fromkeys(line for line in lines if line.strip()))
