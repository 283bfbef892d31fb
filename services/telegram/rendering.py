"""Texts and inline keyboards as Bot API parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import regex

from services.telegram.capabilities import (
    CAPABILITIES,
    MAX_BUTTONS,
    MAX_CALLBACK_DATA,
    MAX_COPY_TEXT,
    MAX_ENTITIES,
    MAX_ROW,
)
from services.telegram.entities import entities_of, link_of
from services.telegram.peers import Peer
from shared.channel import Call, Refused
from shared.contract.commands import Button, InteractiveKind, OutInteractive
from shared.contract.content import Span, SpanKind
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode
from shared.policy.text import excess, length, split_text

Params = dict[str, Any]
Rows = Sequence[Sequence[tuple[str, Button]]]  # each button with the name of its field in the command

# Blanks, control and format characters: Telegram calls such a text empty.
_INVISIBLE = regex.compile(r"[\p{Z}\p{Cc}\p{Cf}]*")


def is_visible(text: str) -> bool:
    """Whether a reader would see anything of the text."""
    return _INVISIBLE.fullmatch(text) is None


def nothing_visible(text: str) -> Refused:
    """A blank text is no text on any channel; one of invisible characters is none on Telegram."""
    if not text.strip():
        return Refused(ErrorCode.INVALID_COMMAND, "The text is blank.", field="content.text")
    return Refused(ErrorCode.CONTENT_REJECTED, "The text has nothing visible.", field="content.text")


def text_fields(text: str, spans: Sequence[Span], names: tuple[str, str]) -> tuple[Params, tuple[Warning, ...]]:
    """A text and its entities under the given parameter names, and what could not be expressed."""
    entities, complete = entities_of(text, spans)
    fields: Params = {names[0]: text}
    details = [] if complete else ["Telegram has no such formatting."]
    if len(entities) > MAX_ENTITIES:
        entities = sorted(entities, key=lambda entity: int(entity["offset"]))[:MAX_ENTITIES]
        details.append(f"Telegram shows the first {MAX_ENTITIES} formattings of a message.")
    if entities:
        fields[names[1]] = entities
    return fields, tuple(Warning(code=WarningCode.FORMATTING_DROPPED, detail=detail) for detail in details)


def text_calls(text: str, spans: Sequence[Span], most: int, *, preview: bool | None = None) -> list[Call]:
    """The messages of a text, at most `most`. Raises Refused for one that shows nothing or takes more."""
    rules = CAPABILITIES.text
    _check_parts(text, most)
    split = split_text(text, rules.max_length, unit=rules.unit, spans=spans, most=most)
    parts = [part for part in split if is_visible(part.text)]
    if not parts:
        raise nothing_visible(text)
    _check_parts(text, most, len(parts))
    calls = []
    for index, part in enumerate(parts):
        fields, warnings = text_fields(part.text, part.spans, ("text", "entities"))
        if preview is False:
            fields["link_preview_options"] = {"is_disabled": True}
        if len(parts) > 1 and not index:
            note = Warning(code=WarningCode.TEXT_SPLIT, detail=f"The text goes out as {len(parts)} messages.")
            warnings = (*warnings, note)
        calls.append(Call("sendMessage", fields, warnings=warnings))
    return calls


def _check_parts(text: str, most: int, parts: int = 0) -> None:
    rules = CAPABILITIES.text
    if too_long := excess("Telegram", rules.max_length, most, length(text, rules.unit), parts):
        detail, figures = too_long
        raise Refused(ErrorCode.TEXT_TOO_LONG, detail, field="content.text", **figures)


class Composed(NamedTuple):
    """An interactive message in Telegram's terms: one text, rows of buttons, what was changed."""

    text: str
    spans: tuple[Span, ...]
    rows: Rows
    warnings: tuple[Warning, ...]


def placed(rows: Iterable[Sequence[Button]]) -> Rows:
    """The rows of buttons of a text or of files."""
    return [[(f"content.buttons.{r}.{i}", button) for i, button in enumerate(row)] for r, row in enumerate(rows)]


def compose(content: OutInteractive) -> Composed:
    """Header, body and footer as one text, the choices as buttons. Raises Refused for kinds without an equivalent."""
    warnings: tuple[Warning, ...] = ()
    listing = ""
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
        listing = _listing(content) if described else ""
    else:
        raise Refused(
            ErrorCode.UNSUPPORTED_BY_CHANNEL,
            f"Telegram has no equivalent of {content.interactive} messages.",
            field="content.interactive",
        )
    if not rows:
        where = "content.sections" if content.interactive is InteractiveKind.LIST else "content.buttons"
        raise Refused(ErrorCode.INVALID_COMMAND, "An interactive message needs buttons.", field=where)
    header = content.header or ""
    text = "\n\n".join(filter(None, (header, content.text, listing, content.footer)))
    spans = (Span(kind=SpanKind.BOLD, offset=0, length=len(header)),) if header else ()
    return Composed(text, spans, rows, warnings)


def _listing(content: OutInteractive) -> str:
    """What a list says beside the titles that its buttons bear."""
    lines: list[str] = []
    for section in content.sections:
        lines += [section.title] if section.title else []
        lines += [": ".join(filter(None, (f"• {row.title or row.id}", row.description))) for row in section.rows]
    return "\n".join(lines)


def _one_each(buttons: Iterable[Button]) -> Rows:
    return [[(f"content.buttons.{index}", button)] for index, button in enumerate(buttons)]


def keyboard(rows: Rows, peer: Peer) -> tuple[Params | None, tuple[Warning, ...]]:
    """An inline keyboard, rows of at most eight. Raises Refused for what would make Telegram refuse the message."""
    given = [[_button(button, field, peer) for field, button in row] for row in rows]
    count = sum(len(row) for row in given)
    if count > MAX_BUTTONS:
        raise Refused(
            ErrorCode.CONTENT_REJECTED,
            "The message has more buttons than Telegram takes.",
            field=".".join(next(field for row in rows for field, _ in row).split(".")[:2]),
            limit=MAX_BUTTONS,
            actual=count,
        )
    if not count:
        return None, ()
    wrapped = [row[start : start + MAX_ROW] for row in given for start in range(0, len(row), MAX_ROW)]
    warnings: tuple[Warning, ...] = ()
    if any(button.kind == "phone" for row in rows for _, button in row):
        detail = "Telegram has no button that calls: it copies the number instead."
        warnings = (Warning(code=WarningCode.CONVERTED, detail=detail),)
    return {"inline_keyboard": wrapped}, warnings


def _button(button: Button, field: str, peer: Peer) -> Params:
    if not is_visible(button.title):
        raise Refused(ErrorCode.INVALID_COMMAND, "A button needs a title.", field=f"{field}.title")
    match button.kind:
        case "url":
            return {"text": button.title, "url": _link(button.url, f"{field}.url")}
        case "web_app":
            if not peer.is_private:
                detail = "Web App buttons work only in a private chat with the bot itself."
                raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field=f"{field}.kind")
            url = _link(button.url, f"{field}.url")
            if not url.lower().startswith("https://"):
                raise Refused(ErrorCode.CONTENT_REJECTED, "A Web App needs an https address.", field=f"{field}.url")
            return {"text": button.title, "web_app": {"url": url}}
        case "copy_code" | "phone":
            value = button.value if button.value and is_visible(button.value) else button.title
            if button.kind == "phone" and not any(map(str.isdigit, value)):
                raise Refused(ErrorCode.INVALID_COMMAND, "A phone button needs a number.", field=f"{field}.value")
            _check_length(length(value, "utf16"), MAX_COPY_TEXT, f"{field}.value")
            return {"text": button.title, "copy_text": {"text": value}}
        case _:
            data = button.id or button.title
            _check_length(len(data.encode()), MAX_CALLBACK_DATA, f"{field}.id")
            return {"text": button.title, "callback_data": data}


def _check_length(actual: int, limit: int, field: str) -> None:
    if actual > limit:
        detail = f"Telegram takes at most {limit} {'bytes' if limit == MAX_CALLBACK_DATA else 'characters'} here."
        raise Refused(ErrorCode.TEXT_TOO_LONG, detail, field=field, limit=limit, actual=actual)


def _link(url: str | None, field: str) -> str:
    if url is None:
        raise Refused(ErrorCode.INVALID_COMMAND, "A link button needs an address.", field=field)
    link = link_of(url)
    if link is None:
        raise Refused(ErrorCode.CONTENT_REJECTED, "Telegram opens only http, https and tg addresses.", field=field)
    return link
