"""Interactive messages where WhatsApp has no room for all of one: as a list, with lines in the text, in words."""

from __future__ import annotations

from services.whatsapp import capabilities as limits
from services.whatsapp.send.draft import Draft, counted, required
from services.whatsapp.send.interactive import add_rendered, add_tappable, placed_in
from services.whatsapp.send.rendering import add_all_but_end, add_media, add_text
from shared.channel import Refused
from shared.contract.commands import InteractiveKind, OutInteractive, OutMedia, OutText, Row, Section
from shared.contract.errors import ErrorCode
from shared.contract.statuses import WarningCode
from shared.policy.choices import (
    Misfit,
    as_lines,
    begun,
    buttons_of,
    framed,
    list_misfit,
    listing,
    longer,
    row_of,
    with_lines,
)

_REQUESTS = frozenset({InteractiveKind.LOCATION_REQUEST, InteractiveKind.CONTACT_REQUEST})
# Kinds that show neither header nor footer; and those that show a footer alone.
_NO_FRAME = frozenset({*_REQUESTS, InteractiveKind.CAROUSEL})
_NO_HEADER = frozenset({*_NO_FRAME, InteractiveKind.PRODUCT, InteractiveKind.CATALOG})


def add_interactive(draft: Draft, content: OutInteractive) -> None:
    """Add an interactive message, with warnings about what differs. Raises Refused."""
    if content.header and content.header_file is not None and content.interactive is not InteractiveKind.PRODUCT_LIST:
        raise Refused(ErrorCode.INVALID_COMMAND, "A header is a text or a file.", field="content.header")
    match content.interactive:
        case InteractiveKind.BUTTONS | InteractiveKind.CTA_URL:
            _add_buttons(draft, _fitting_frame(draft, content))
        case InteractiveKind.LIST:
            _add_list(draft, _fitting_frame(draft, content))
        case kind if kind in _REQUESTS and draft.recipient.group:
            _add_in_words(draft, content)
        case _:
            shown = _header_ahead(draft, _fitting_frame(draft, content))
            add_rendered(draft, _with_end_of_text(draft, shown, limits.BODY))


def _fitting_frame(draft: Draft, content: OutInteractive) -> OutInteractive:
    """The message with the header or footer in its text that there is no place for."""
    frameless = {"header": content.interactive in _NO_HEADER, "footer": content.interactive in _NO_FRAME}
    moved = []
    for name, limit in (("header", limits.HEADER), ("footer", limits.FOOTER)):
        said = getattr(content, name)
        if not said or not said.strip():
            continue
        misfit = longer({f"content.{name}": said}, limit, f"{name}s", "WhatsApp", "code_points")
        if frameless[name]:
            detail = f"WhatsApp has no {name} in {content.interactive.value.replace('_', ' ')} messages."
            misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": f"content.{name}"})
        if misfit:
            draft.degrade(misfit, WarningCode.HEADER_IN_TEXT, f"The {name} goes out in the text.")
            moved.append(name)
    if not moved:
        return content
    shown = {"header": content.header, "footer": content.footer}
    text = framed(content.model_copy(update={name: None for name in shown if name not in moved}))
    return content.model_copy(update={"text": text, **dict.fromkeys(moved)})


def _header_ahead(draft: Draft, content: OutInteractive) -> OutInteractive:
    """The message without the file that its kind has no place for: the file goes ahead."""
    if content.header_file is None or content.interactive not in (*_REQUESTS, InteractiveKind.LIST):
        return content
    kind = content.interactive.value.replace("_", " ")
    detail = f"WhatsApp has no file as the header of a {kind} message."
    misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": "content.header_file"})
    draft.degrade(misfit, WarningCode.CAPTION_SEPARATED, "The file goes out ahead, as a message of its own.")
    add_media(draft, OutMedia(attachments=(content.header_file,)), (content.header_file,))
    return content.model_copy(update={"header_file": None})


def _with_end_of_text(draft: Draft, content: OutInteractive, limit: int) -> OutInteractive:
    """The message with the end of a text that is longer than it takes: the rest goes ahead."""
    if len(content.text) <= limit:
        return content
    return content.model_copy(update={"text": add_all_but_end(draft, OutText(text=content.text), limit)})


def _add_buttons(draft: Draft, content: OutInteractive) -> None:
    counted(len(content.buttons), "content.buttons", most=len(content.buttons))
    required(content.text, "content.text")
    way = draft.arrange(placed_in(content))
    text = with_lines(content.text, as_lines(way.lines))
    shown = content.model_copy(update={"text": text, "interactive": InteractiveKind.LIST})
    if not way.tappable:
        _add_lines(draft, content, text)
    elif way.shape == "list":
        add_tappable(draft, _with_end_of_text(draft, _header_ahead(draft, shown), limits.LIST_BODY), way)
    else:
        add_tappable(draft, _with_end_of_text(draft, shown, limits.BODY), way)


def _add_list(draft: Draft, content: OutInteractive) -> None:
    """As a list; one of few rows that has become too much, or a group's, as lines."""
    content = _with_short_titles(draft, content)
    misfit = list_misfit(content, draft.room)
    if misfit is None:
        shown = _with_end_of_text(draft, _header_ahead(draft, content), limits.LIST_BODY)
        add_rendered(draft, _with_label(draft, shown))
        return
    draft.degrade(misfit, WarningCode.BUTTONS_DROPPED, "The rows go out as lines of text.")
    _add_lines(draft, content, with_lines(content.text, listing(content)))


def _with_short_titles(draft: Draft, content: OutInteractive) -> OutInteractive:
    """The list with row titles that are too long as descriptions, where these are free and have the room."""
    room = draft.room
    placed = buttons_of(content)
    long = longer(
        {f"{f}.title": b.title for f, b in placed.items()}, room.row_title, "row titles", room.channel, room.unit
    )

    def fitted(row: Row, field: str) -> Row:
        free = not row.description and room.row_title < len(row.title) <= room.row_description
        return row_of(placed[field], room) if free else row

    changed = content.model_copy(
        update={
            "sections": tuple(
                Section(
                    title=section.title,
                    rows=tuple(fitted(row, f"content.sections.{s}.rows.{r}") for r, row in enumerate(section.rows)),
                )
                for s, section in enumerate(content.sections)
            )
        }
    )
    if long is None or changed == content or list_misfit(changed, room):
        return content
    draft.degrade(long, WarningCode.CONVERTED, "Long titles go out as descriptions.")
    return changed


def _with_label(draft: Draft, content: OutInteractive) -> OutInteractive:
    """The list with a label to open it: one that is too long is cut to its first words."""
    label = content.button or limits.LIST_LABEL
    if long := longer({"content.button": label}, limits.BUTTON_TITLE, "list labels", "WhatsApp", "code_points"):
        draft.degrade(long, WarningCode.CONVERTED, "It goes out with its first words.")
        label = begun(label, limits.BUTTON_TITLE)
    return content.model_copy(update={"button": label})


def _add_in_words(draft: Draft, content: OutInteractive) -> None:
    """A request where nothing can be tapped: its text asks."""
    what = content.interactive.value.replace("_", " ")
    detail = f"{draft.room.channel} takes no {what} messages."
    misfit = Misfit(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, {"field": "content.interactive"})
    draft.degrade(misfit, WarningCode.BUTTONS_DROPPED, "The text goes out without a button.")
    _add_lines(draft, content, content.text)


def _add_lines(draft: Draft, content: OutInteractive, text: str) -> None:
    """Header, text and footer as one text, under the header's file where there is one."""
    whole = framed(content, text)
    if content.header_file is None:
        add_text(draft, OutText(text=whole))
    else:
        add_media(draft, OutMedia(text=whole, attachments=(content.header_file,)), (content.header_file,))
