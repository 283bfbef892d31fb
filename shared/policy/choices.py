"""What a contact can tap, where a channel has no room for it as it is meant: a list, or lines of the text.

The rule is one for all channels. Buttons that a channel has side by side stay buttons; more of them than it takes, or
longer ones, become a list where it has lists, else lines. Those that cannot stand beside replies become lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from shared.contract.commands import Button, OutInteractive, Row
from shared.contract.errors import ErrorCode
from shared.policy.text import Unit, length

Placed = Mapping[str, Button]  # by the fields of the command they stand in
BULLET = "• "


@dataclass(frozen=True, slots=True)
class Room:
    """What a channel takes. `channel` as people call it; titles in `unit`; None: without a limit that is known.

    `beside` are the kinds of buttons that stand beside replies; `alone` those of which one may stand alone. `rows` of
    a list, 0 where there are none; a row's description has room for a title that is too long for its own. A button
    answers with its id, or with its title where it has none; that is never cut either. `id_unit` may be bytes.
    """

    channel: str
    buttons: int
    title: int | None
    unit: Unit = "code_points"
    beside: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()
    id: int | None = None
    id_unit: Unit | Literal["bytes"] = "code_points"
    rows: int = 0
    row_title: int = 0
    row_description: int = 0
    row_id: int = 0
    section_title: int = 0


class Misfit(NamedTuple):
    """Why something cannot be as it is meant: as a refusal says it, and what is done about it instead."""

    code: ErrorCode
    detail: str
    facts: dict[str, Any]  # field, limit, actual


@dataclass(frozen=True, slots=True)
class Arranged:
    """How buttons go out: some as what they are (or as rows), some as lines of the text; and why not all as meant."""

    shape: Literal["buttons", "list", "none"]
    tappable: Placed
    lines: tuple[Button, ...] = ()
    misfits: tuple[Misfit, ...] = ()


def unusable(placed: Placed) -> Misfit | None:
    """What is wrong with buttons whatever the channel: they have no title, no address, no number."""
    for field, button in placed.items():
        wrong = None
        if not button.title.strip():
            wrong = "A button needs a title.", "title"
        elif button.kind in ("url", "web_app") and not (button.url or "").strip():
            wrong = "A link button needs an address.", "url"
        elif button.kind == "phone" and not any(map(str.isdigit, button.value or button.title)):
            wrong = "A phone button needs a number.", "value"
        if wrong:
            return Misfit(ErrorCode.INVALID_COMMAND, wrong[0], {"field": f"{field}.{wrong[1]}"})
    return None


def arranged(
    placed: Placed, room: Room, unfit: Callable[[str, Button], Misfit | None] = lambda field, button: None
) -> Arranged:
    """How buttons go out under a message of a channel; `unfit` says which can be nothing but a line there."""
    if not placed:
        return Arranged("none", placed)
    if len(placed) == 1 and {b.kind for b in placed.values()} <= room.alone and not _too_long(placed, room):
        return Arranged("buttons", placed)
    written = {
        field: _alone(field, button, room, len(placed)) or unfit(field, button) for field, button in placed.items()
    }
    misfits = tuple(misfit for misfit in written.values() if misfit)
    kept = {field: button for field, button in placed.items() if written[field] is None}
    lines = tuple(button for field, button in placed.items() if written[field] is not None)
    if not kept:
        return Arranged("none", {}, lines, misfits)
    misfit = _too_many(kept, room) or _too_long(kept, room)
    if misfit is None:
        return Arranged("buttons", kept, lines, misfits)
    if _can_be_rows(kept.values(), room):
        return Arranged("list", kept, lines, (misfit, *misfits))
    return Arranged("none", {}, tuple(placed.values()), (misfit, *misfits))


def _alone(field: str, button: Button, room: Room, of: int) -> Misfit | None:
    if button.kind == "reply" or button.kind in room.beside:
        return None
    what = {"url": "link", "copy_code": "copy"}.get(button.kind, button.kind.replace("_", " "))
    if button.kind not in room.alone:
        detail = f"{room.channel} has no {what} buttons in such a message."
    elif of == 1:
        return _too_long({field: button}, room)
    else:
        detail = f"{room.channel} takes a {what} button only alone; this message has {of} buttons."
    return Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": f"{field}.kind"})


def _too_many(placed: Placed, room: Room) -> Misfit | None:
    if len(placed) <= room.buttons:
        return None
    field = ".".join(next(iter(placed)).split(".")[:2])
    facts = {"field": field, "limit": room.buttons, "actual": len(placed)}
    if not room.buttons:
        return Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, f"{room.channel} takes no buttons.", {"field": field})
    noun = "button" if room.buttons == 1 else "buttons"
    detail = f"{room.channel} takes at most {room.buttons} {noun}; this message has {len(placed)}."
    return Misfit(ErrorCode.CONTENT_REJECTED, detail, facts)


def _too_long(placed: Placed, room: Room) -> Misfit | None:
    titles = {f"{field}.title": button.title for field, button in placed.items()}
    if misfit := longer(titles, room.title, "button titles", room.channel, room.unit):
        return misfit
    ids = {f"{field}.id": _answer(button) for field, button in placed.items() if button.kind == "reply"}
    return longer(ids, room.id, "button ids", room.channel, room.id_unit)


def longer(
    texts: Mapping[str, str], limit: int | None, what: str, channel: str, unit: Unit | Literal["bytes"]
) -> Misfit | None:
    """The first of the texts, by their fields, that is longer than a channel takes."""
    for field, text in texts.items():
        actual = _size(text, unit)
        if limit is not None and actual > limit:
            noun = "bytes" if unit == "bytes" else "characters"
            detail = f"{channel}'s {what} have at most {limit} {noun}; this one has {actual}."
            return Misfit(ErrorCode.TEXT_TOO_LONG, detail, {"field": field, "limit": limit, "actual": actual})
    return None


def _size(text: str, unit: Unit | Literal["bytes"]) -> int:
    return len(text.encode("utf-8", "surrogatepass")) if unit == "bytes" else length(text, unit)


def _answer(button: Button) -> str:
    return button.id or button.title


def _can_be_rows(buttons: Iterable[Button], room: Room) -> bool:
    """Whether buttons can be the rows of a list without losing a word."""
    found = list(buttons)
    return len(found) <= room.rows and all(
        button.kind == "reply"
        and length(button.title, room.unit) <= max(room.row_title, room.row_description)
        and length(_answer(button), room.unit) <= room.row_id
        for button in found
    )


def row_of(button: Button, room: Room) -> Row:
    """A button as a row that answers the same. A title too long for a row is its description, and begins its title."""
    if length(button.title, room.unit) <= room.row_title:
        return Row(id=_answer(button), title=button.title)
    return Row(id=_answer(button), title=begun(button.title, room.row_title, room.unit), description=button.title)


def begun(title: str, limit: int, unit: Unit = "code_points") -> str:
    """The first words of a title that has no room, with an ellipsis."""
    short = title[: limit - 1]
    while length(short, unit) > limit - 1:
        short = short[:-1]
    words = short.rsplit(maxsplit=1)
    if len(words) == 2 and not title[len(short)].isspace():
        short = words[0]
    return f"{short.rstrip()}…"


def buttons_of(content: OutInteractive) -> Placed:
    """The rows of a list as reply buttons, by the fields they stand in."""
    return {
        f"content.sections.{s}.rows.{r}": Button(title=row.title or row.id, id=row.id)
        for s, section in enumerate(content.sections)
        for r, row in enumerate(section.rows)
    }


def list_misfit(content: OutInteractive, room: Room) -> Misfit | None:
    """Why a list cannot be one as it is."""
    rows = {
        f"content.sections.{s}.rows.{r}": row
        for s, section in enumerate(content.sections)
        for r, row in enumerate(section.rows)
    }
    if not room.rows:
        detail = f"{room.channel} has no lists."
        return Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": "content.interactive"})
    if len(rows) > room.rows:
        detail = f"{room.channel}'s lists have at most {room.rows} rows; this one has {len(rows)}."
        facts = {"field": "content.sections.rows", "limit": room.rows, "actual": len(rows)}
        return Misfit(ErrorCode.CONTENT_REJECTED, detail, facts)
    for what, texts, limit in (
        ("section titles", {f"content.sections.{s}.title": p.title or "" for s, p in enumerate(content.sections)},
         room.section_title),
        ("row titles", {f"{field}.title": row.title for field, row in rows.items()}, room.row_title),
        ("row descriptions", {f"{field}.description": row.description or "" for field, row in rows.items()},
         room.row_description),
        ("row ids", {f"{field}.id": row.id for field, row in rows.items()}, room.row_id),
    ):  # fmt: skip
        if misfit := longer(texts, limit, what, room.channel, room.unit):
            return misfit
    return None


def as_lines(buttons: Iterable[Button]) -> list[str]:
    """Buttons written out, a line each, with what a tap would open, copy or call."""
    shown = ((button.title, button.url or button.value) for button in buttons)
    return [f"{BULLET}{title}: {what}" if what else f"{BULLET}{title}" for title, what in shown]


def listing(content: OutInteractive) -> list[str]:
    """A list written out: its sections' titles, and a line per row."""
    lines: list[str] = []
    for section in content.sections:
        lines += [section.title] if section.title else []
        lines += [": ".join(filter(None, (BULLET + (r.title or r.id), r.description))) for r in section.rows]
    return lines


def with_lines(text: str, lines: Sequence[str]) -> str:
    """The text with lines under it."""
    return "\n".join([*([text] if text.strip() else []), *lines])


def framed(content: OutInteractive, text: str | None = None) -> str:
    """Header, text and footer as one text, for a message that has no places for them."""
    parts = (content.header, content.text if text is None else text, content.footer)
    return "\n\n".join(part for part in parts if part and part.strip())
