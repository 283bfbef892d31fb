"""What can be tapped: inline keyboards, keyboards that ask for a number or a place, and lines where neither can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.telegram.capabilities import MAX_BUTTONS, MAX_CALLBACK_DATA, MAX_COPY_TEXT, MAX_ROW
from services.telegram.peers import Peer
from services.telegram.send.entities import link_of
from services.telegram.send.rendering import Params
from shared.channel import Refused
from shared.contract.commands import Button, InteractiveKind, OutInteractive
from shared.contract.content import Span, SpanKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.kit.drafts import check_usable, refusal
from shared.kit.words import is_visible
from shared.policy.choices import Misfit, Room, arranged, as_lines, listing, longer, with_lines

Rows = Sequence[Sequence[tuple[str, Button]]]  # each button with the name of its field in the command

# Telegram names no limit of a button's label.
_ROOM = Room(
    channel="Telegram",
    buttons=MAX_BUTTONS,
    title=None,
    unit="utf16",
    beside=frozenset({"url", "copy_code", "phone", "web_app"}),
    id=MAX_CALLBACK_DATA,
    id_unit="bytes",
)
# The parameter that asks, and a label for a button that has none, in whatever language it speaks.
_REQUESTS = {
    InteractiveKind.CONTACT_REQUEST: ("request_contact", "📱", "phone numbers"),
    InteractiveKind.LOCATION_REQUEST: ("request_location", "📍", "locations"),
}


class Composed(NamedTuple):
    """A text in Telegram's terms: what is under it, and what was changed."""

    text: str
    markup: Params | None
    warnings: tuple[Warning, ...]
    spans: tuple[Span, ...] = ()


def under(text: str, rows: Sequence[Sequence[Button]], peer: Peer, *, strict: bool) -> Composed:
    """A text, or a caption, with rows of buttons. Raises Refused."""
    placed = [[(f"content.buttons.{r}.{i}", button) for i, button in enumerate(row)] for r, row in enumerate(rows)]
    kept, lines, warnings = _arranged(placed, peer, strict)
    markup, changed = _keyboard(kept)
    return Composed(with_lines(text, lines) if lines else text, markup, (*warnings, *changed))


def compose(content: OutInteractive, peer: Peer, *, strict: bool) -> Composed:
    """Header, body and footer as one text, the choices as buttons. Raises Refused for kinds without an equivalent."""
    if content.interactive in _REQUESTS:
        markup, warnings = _request(content, peer, strict)
        return _framed(content, "", markup, warnings)
    warnings = ()
    listed = ""
    if content.interactive is InteractiveKind.BUTTONS:
        rows = _one_each(content.buttons)
    elif content.interactive is InteractiveKind.CTA_URL:
        # The message is of the kind that opens links, whether or not each button says so again.
        rows = _one_each(
            b.model_copy(update={"kind": "url"}) if b.url and b.kind == "reply" else b for b in content.buttons
        )
    elif content.interactive is InteractiveKind.LIST:
        rows = [
            [(f"content.sections.{s}.rows.{r}", Button(title=row.title or row.id, id=row.id))]
            for s, section in enumerate(content.sections)
            for r, row in enumerate(section.rows)
        ]
        described = any(section.title or any(row.description for row in section.rows) for section in content.sections)
        where = ", its descriptions and section titles in the text" if described else ""
        warnings = (Warning(code=WarningCode.CONVERTED, detail=f"The list goes out as inline buttons{where}."),)
        listed = "\n".join(listing(content)) if described else ""
    else:
        raise Refused(
            ErrorCode.UNSUPPORTED_BY_CHANNEL,
            f"Telegram has no equivalent of {content.interactive} messages.",
            field="content.interactive",
        )
    if not rows:
        where = "content.sections" if content.interactive is InteractiveKind.LIST else "content.buttons"
        raise Refused(ErrorCode.INVALID_COMMAND, "An interactive message needs buttons.", field=where)
    kept, lines, changed = _arranged(rows, peer, strict)
    markup, converted = _keyboard(kept)
    if lines and content.interactive is InteractiveKind.LIST:
        warnings = ()  # the rows are no buttons
    said = listed or "\n".join(lines)
    return _framed(content, said, markup, (*warnings, *changed, *converted))


def _framed(content: OutInteractive, listed: str, markup: Params | None, warnings: tuple[Warning, ...]) -> Composed:
    header = content.header or ""
    text = "\n\n".join(filter(None, (header, content.text, listed, content.footer)))
    spans = (Span(kind=SpanKind.BOLD, offset=0, length=len(header)),) if header else ()
    return Composed(text, markup, warnings, spans)


def _request(content: OutInteractive, peer: Peer, strict: bool) -> tuple[Params | None, tuple[Warning, ...]]:
    """A keyboard in place of the contact's own, until it is used: Telegram has such buttons in private chats only."""
    parameter, label, what = _REQUESTS[content.interactive]
    if not peer.is_private:
        detail = f"Telegram asks for {what} by a button only in a private chat with the bot itself."
        misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": "content.interactive"})
        return None, (_instead(misfit, WarningCode.BUTTONS_DROPPED, "The text goes out without it.", strict),)
    title = content.button if content.button and is_visible(content.button) else label
    keyboard = [[{"text": title, parameter: True}]]
    return {"keyboard": keyboard, "resize_keyboard": True, "one_time_keyboard": True}, ()


def _instead(misfit: Misfit, code: WarningCode, instead: str, strict: bool) -> Warning:
    if strict:
        raise refusal(misfit)
    return Warning(code=code, detail=f"{misfit.detail} {instead}")


def _arranged(rows: Rows, peer: Peer, strict: bool) -> tuple[Rows, list[str], tuple[Warning, ...]]:
    """The rows that can be buttons, the lines that the others become, and what differs. Raises Refused."""
    warnings: list[Warning] = []
    given = dict(pair for row in rows for pair in row)
    check_usable(given)
    for field, button in given.items():
        if button.kind == "web_app" and not peer.is_private:
            detail = "Web App buttons work only in a private chat with the bot itself."
            misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": f"{field}.kind"})
            warnings.append(_instead(misfit, WarningCode.CONVERTED, "The button opens the page as a link.", strict))
            given[field] = button.model_copy(update={"kind": "url"})
    way = arranged(given, _ROOM, _no_room_to_copy)
    if way.misfits:
        which = "Some" if way.tappable else "The buttons"
        instead = f"{which} go out as lines of text."
        warnings.append(_instead(way.misfits[0], WarningCode.BUTTONS_DROPPED, instead, strict))
    kept = [[(field, way.tappable[field]) for field, _ in row if field in way.tappable] for row in rows]
    return [row for row in kept if row], as_lines(way.lines), tuple(warnings)


def _no_room_to_copy(field: str, button: Button) -> Misfit | None:
    if button.kind not in ("copy_code", "phone"):
        return None
    return longer({f"{field}.value": _copied(button)}, MAX_COPY_TEXT, "texts to copy", "Telegram", "utf16")


def _copied(button: Button) -> str:
    return button.value if button.value and is_visible(button.value) else button.title


def _one_each(buttons: Iterable[Button]) -> Rows:
    return [[(f"content.buttons.{index}", button)] for index, button in enumerate(buttons)]


def _keyboard(rows: Rows) -> tuple[Params | None, tuple[Warning, ...]]:
    """An inline keyboard, rows of at most eight. Raises Refused for what would make Telegram refuse the message."""
    given = [[_button(button, field) for field, button in row] for row in rows]
    if not any(given):
        return None, ()
    wrapped = [row[start : start + MAX_ROW] for row in given for start in range(0, len(row), MAX_ROW)]
    warnings: tuple[Warning, ...] = ()
    if any(button.kind == "phone" for row in rows for _, button in row):
        detail = "Telegram has no button that calls: it copies the number instead."
        warnings = (Warning(code=WarningCode.CONVERTED, detail=detail),)
    return {"inline_keyboard": wrapped}, warnings


def _button(button: Button, field: str) -> Params:
    if not is_visible(button.title):
        raise Refused(ErrorCode.INVALID_COMMAND, "A button needs a title.", field=f"{field}.title")
    match button.kind:
        case "url":
            return {"text": button.title, "url": _link(button.url or "", f"{field}.url")}
        case "web_app":
            url = _link(button.url or "", f"{field}.url")
            if not url.lower().startswith("https://"):
                raise Refused(ErrorCode.CONTENT_REJECTED, "A Web App needs an https address.", field=f"{field}.url")
            return {"text": button.title, "web_app": {"url": url}}
        case "copy_code" | "phone":
            value = _copied(button)
            if button.kind == "phone" and not any(map(str.isdigit, value)):
                raise Refused(ErrorCode.INVALID_COMMAND, "A phone button needs a number.", field=f"{field}.value")
            return {"text": button.title, "copy_text": {"text": value}}
        case _:
            return {"text": button.title, "callback_data": button.id or button.title}


def _link(url: str, field: str) -> str:
    link = link_of(url)
    if link is None:
        raise Refused(ErrorCode.CONTENT_REJECTED, "Telegram opens only http, https and tg addresses.", field=field)
    return link
