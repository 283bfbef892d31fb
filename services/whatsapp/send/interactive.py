"""Messages the contact answers by tapping: buttons, lists, links, requests, Flows, carousels, products."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from services.whatsapp import capabilities as limits
from services.whatsapp.send.draft import Draft, checked, counted, distinct, required
from services.whatsapp.send.files import Fitted, fit
from shared.channel import Refused
from shared.contract.commands import Button, Card, File, InteractiveKind, OutInteractive, Section
from shared.contract.errors import ErrorCode
from shared.kit.loose import Json
from shared.policy.choices import Arranged, Placed, row_of

Uploads = dict[str, Fitted]

_LINK = re.compile(r"https?://[^\s/]\S*", re.I)
_BUTTONS = "content.buttons"
_HEADER_FILES = frozenset({"image", "video", "document"})


def add_rendered(draft: Draft, content: OutInteractive) -> None:
    """Add an interactive message as it is. Raises Refused with the field, its limit and what was given."""
    render = _RENDERERS.get(content.interactive)
    if render is None:
        detail = f"WhatsApp has no {content.interactive.value} messages."
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content.interactive")
    interactive, uploads = render(draft, content)
    draft.add("interactive", interactive, uploads)


def add_tappable(draft: Draft, content: OutInteractive, way: Arranged) -> None:
    """Add a message with what is to be tapped under its text: replies, one link, or a list of them."""
    if way.shape == "list":
        rows = tuple(row_of(button, draft.room) for button in way.tappable.values())
        made = {"button": content.button or limits.LIST_LABEL, "sections": (Section(rows=rows),)}
        interactive, uploads = _list(draft, content.model_copy(update=made))
    else:
        link = [button.kind for button in way.tappable.values()] == ["url"]
        interactive, uploads = (_cta_url if link else _buttons)(draft, content, way.tappable)
    draft.add("interactive", interactive, uploads)


def _frame(kind: str, content: OutInteractive, body: int = limits.BODY) -> Json:
    frame: Json = {"type": kind, "body": {"text": checked(content.text, body, "content.text")}}
    if content.footer:
        frame["footer"] = {"text": checked(content.footer, limits.FOOTER, "content.footer")}
    return frame


def _with_header(draft: Draft, frame: Json, content: OutInteractive, *, files: bool = True) -> Uploads:
    """Put the header in: a text, or a file where the kind takes one. Returns what has to be uploaded."""
    if content.header_file is not None:
        if content.header:
            raise Refused(ErrorCode.INVALID_COMMAND, "A header is a text or a file.", field="content.header")
        if not files:
            detail = "This kind of message takes no file as its header."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content.header_file")
        header, uploads = _file_header(draft, content.header_file, "content.header_file", "interactive.header")
        frame["header"] = header
        return uploads
    if content.header:
        frame["header"] = {"type": "text", "text": checked(content.header, limits.HEADER, "content.header")}
    return {}


def _without_header(content: OutInteractive) -> None:
    """Refuse a header where the kind shows none: it would be lost without a word."""
    for field in ("header", "header_file"):
        if getattr(content, field) is not None:
            detail = "This kind of message has no header."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field=f"content.{field}")


def _file_header(draft: Draft, file: File, field: str, path: str) -> tuple[Json, Uploads]:
    fitted = fit(file, field)
    kind = fitted.message_type
    if kind not in _HEADER_FILES:
        detail = f"A header is an image, a video or a document, not {kind}."
        raise Refused(ErrorCode.FILE_TYPE_UNSUPPORTED, detail, field=field)
    for warning in fitted.warnings:
        draft.warn(warning.code, warning.detail)
    media, uploads = draft.named(fitted, f"{path}.{kind}")
    return {"type": kind, kind: media}, uploads


# ---------------------------------------------------------------------------------------------------- buttons


def placed_in(content: OutInteractive) -> Placed:
    """The buttons of an interactive message by their fields; those of a link message are links."""
    opens = content.interactive is InteractiveKind.CTA_URL
    links = [b.model_copy(update={"kind": "url"}) if opens and b.kind == "reply" else b for b in content.buttons]
    return _placed(links, _BUTTONS)


def _placed(buttons: Sequence[Button], field: str) -> Placed:
    return {f"{field}.{index}": button for index, button in enumerate(buttons)}


def _replies(buttons: Placed, field: str) -> list[Json]:
    for where, button in buttons.items():
        if button.kind != "reply":
            detail = f"A {button.kind} button cannot stand here."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field=f"{where}.kind")
    counted(len(buttons), field, most=limits.REPLIES)
    titles = {f"{at}.title": checked(b.title, limits.BUTTON_TITLE, f"{at}.title") for at, b in buttons.items()}
    # A button without an id answers with its title.
    ids = {f"{at}.id": checked(b.id or b.title, limits.BUTTON_ID, f"{at}.id").strip() for at, b in buttons.items()}
    distinct(titles)
    distinct(ids)
    return [{"id": id_, "title": title} for id_, title in zip(ids.values(), titles.values(), strict=True)]


def _link(buttons: Placed, field: str) -> Json:
    counted(len(buttons), field, most=1)
    ((where, button),) = buttons.items()
    title = checked(button.title, limits.BUTTON_TITLE, f"{where}.title")
    url = checked(button.url, limits.URL, f"{where}.url")
    if not _LINK.fullmatch(url):
        detail = "A link starts with https:// or http:// and has no blanks."
        raise Refused(ErrorCode.INVALID_COMMAND, detail, field=f"{where}.url")
    return {"name": "cta_url", "parameters": {"display_text": title, "url": url}}


def _buttons(draft: Draft, content: OutInteractive, placed: Placed) -> tuple[Json, Uploads]:
    frame = _frame("button", content)
    uploads = _with_header(draft, frame, content)
    replies = _replies(placed, _BUTTONS)
    frame["action"] = {"buttons": [{"type": "reply", "reply": reply} for reply in replies]}
    return frame, uploads


def _cta_url(draft: Draft, content: OutInteractive, placed: Placed) -> tuple[Json, Uploads]:
    frame = _frame("cta_url", content)
    uploads = _with_header(draft, frame, content)
    frame["action"] = _link(placed, _BUTTONS)
    return frame, uploads


# ------------------------------------------------------------------------------------------------------- list


def _list(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    frame = _frame("list", content, limits.LIST_BODY)
    uploads = _with_header(draft, frame, content, files=False)
    label = checked(content.button, limits.BUTTON_TITLE, "content.button")
    counted(len(content.sections), "content.sections", most=limits.SECTIONS)
    rows = [row for section in content.sections for row in section.rows]
    counted(len(rows), "content.sections.rows", most=limits.ROWS)
    distinct(
        {
            f"content.sections.{s}.rows.{r}.id": row.id
            for s, section in enumerate(content.sections)
            for r, row in enumerate(section.rows)
        }
    )
    sections = [_section(section, index, len(content.sections)) for index, section in enumerate(content.sections)]
    frame["action"] = {"button": label, "sections": sections}
    return frame, uploads


def _section(section: Section, index: int, of: int) -> Json:
    field = f"content.sections.{index}"
    rows = []
    for place, row in enumerate(section.rows):
        where = f"{field}.rows.{place}"
        shown = {
            "id": checked(row.id, limits.ROW_ID, f"{where}.id"),
            "title": checked(row.title, limits.ROW_TITLE, f"{where}.title"),
        }
        if row.description:
            shown["description"] = checked(row.description, limits.ROW_DESCRIPTION, f"{where}.description")
        rows.append(shown)
    return {**_titled(section, field, of), "rows": rows}


def _titled(section: Section, field: str, of: int) -> Json:
    """The title of a section; several sections need one each."""
    if section.title or of > 1:
        return {"title": checked(section.title, limits.SECTION_TITLE, f"{field}.title")}
    return {}


# --------------------------------------------------------------------------------------------------- requests


def _location_request(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    _without_header(content)
    frame = _frame("location_request_message", content)
    frame["action"] = {"name": "send_location"}
    return frame, {}


def _contact_request(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    _without_header(content)
    frame = _frame("request_contact_info", content)
    frame["action"] = {"name": "request_contact_info"}
    return frame, {}


_TEXTS = frozenset({"flow_message_version", "flow_id", "flow_name", "flow_token"})


def _flow(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    frame = _frame("flow", content)
    uploads = _with_header(draft, frame, content)
    parameters = {"flow_message_version": "3", **(content.flow or {})}
    # Meta takes these as strings only, whatever the command has.
    parameters |= {name: str(value) for name, value in parameters.items() if name in _TEXTS and type(value) is int}
    if content.button:
        parameters["flow_cta"] = content.button
    parameters["flow_cta"] = checked(parameters.get("flow_cta"), limits.FLOW_BUTTON, "content.button")
    if bool(parameters.get("flow_id")) == bool(parameters.get("flow_name")):
        detail = "A Flow is named by flow_id or by flow_name."
        raise Refused(ErrorCode.INVALID_COMMAND, detail, field="content.flow")
    frame["action"] = {"name": "flow", "parameters": parameters}
    return frame, uploads


# --------------------------------------------------------------------------------------------------- carousel


def _carousel(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    frame = _frame("carousel", content)
    least, most = limits.CARDS
    counted(len(content.cards), "content.cards", most=most, least=least)
    for field in ("header", "header_file", "footer"):
        if getattr(content, field) is not None:
            detail = "A carousel has neither header nor footer."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field=f"content.{field}")
    if len({(card.product_id is None, *(button.kind for button in card.buttons)) for card in content.cards}) > 1:
        detail = "All cards are of one kind and have the same buttons."
        raise Refused(ErrorCode.INVALID_COMMAND, detail, field="content.cards")
    uploads: Uploads = {}
    cards = []
    for index, card in enumerate(content.cards):
        shown, files = _card(draft, content, card, index)
        cards.append({"card_index": index, **shown})
        uploads |= files
    frame["action"] = {"cards": cards}
    return frame, uploads


def _card(draft: Draft, content: OutInteractive, card: Card, index: int) -> tuple[Json, Uploads]:
    field = f"content.cards.{index}"
    if card.product_id:
        if card.file or card.text or card.buttons:
            detail = "A product card shows what the catalogue says, and nothing of its own."
            raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field=field)
        catalog_id = required(content.catalog_id, "content.catalog_id")
        return {"type": "product", "action": {"product_retailer_id": card.product_id, "catalog_id": catalog_id}}, {}
    if card.file is None:
        raise Refused(ErrorCode.INVALID_COMMAND, "A card has an image or a video.", field=f"{field}.file")
    path = f"interactive.action.cards.{index}.header"
    header, uploads = _file_header(draft, card.file, f"{field}.file", path)
    if header["type"] == "document":
        detail = "A card has an image or a video."
        raise Refused(ErrorCode.FILE_TYPE_UNSUPPORTED, detail, field=f"{field}.file")
    # Meta names the card after its link also where it has reply buttons.
    shown: Json = {"type": "cta_url", "header": header}
    if card.text:
        shown["body"] = {"text": _card_text(card.text, f"{field}.text")}
    if card.buttons and card.buttons[0].kind == "url":
        shown["action"] = _link(_placed(card.buttons, f"{field}.buttons"), f"{field}.buttons")
    else:
        replies = _replies(_placed(card.buttons, f"{field}.buttons"), f"{field}.buttons")
        shown["action"] = {"buttons": [{"type": "quick_reply", "quick_reply": reply} for reply in replies]}
    return shown, uploads


def _card_text(text: str, field: str) -> str:
    breaks = text.count("\n")
    if breaks > limits.CARD_LINE_BREAKS:
        detail = "A card's text has at most two line breaks."
        raise Refused(ErrorCode.TEXT_TOO_LONG, detail, field=field, limit=limits.CARD_LINE_BREAKS, actual=breaks)
    return checked(text, limits.CARD_BODY, field)


# --------------------------------------------------------------------------------------------------- products


def _product(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    _without_header(content)
    frame: Json = {"type": "product"}
    if content.text:
        frame["body"] = {"text": checked(content.text, limits.BODY, "content.text")}
    if content.footer:
        frame["footer"] = {"text": checked(content.footer, limits.FOOTER, "content.footer")}
    frame["action"] = {
        "catalog_id": required(content.catalog_id, "content.catalog_id"),
        "product_retailer_id": required(content.product_id, "content.product_id"),
    }
    return frame, {}


def _product_list(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    frame = _frame("product_list", content)
    if content.header_file is not None:
        detail = "A list of products has a text as its header."
        raise Refused(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail, field="content.header_file")
    frame["header"] = {"type": "text", "text": checked(content.header, limits.HEADER, "content.header")}
    counted(len(content.sections), "content.sections", most=limits.SECTIONS)
    counted(sum(len(s.rows) for s in content.sections), "content.sections.rows", most=limits.PRODUCTS)
    frame["action"] = {
        "catalog_id": required(content.catalog_id, "content.catalog_id"),
        "sections": [
            {
                **_titled(section, f"content.sections.{index}", len(content.sections)),
                "product_items": [
                    {"product_retailer_id": required(row.id, f"content.sections.{index}.rows.{place}.id")}
                    for place, row in enumerate(section.rows)
                ],
            }
            for index, section in enumerate(content.sections)
        ],
    }
    return frame, {}


def _catalog(draft: Draft, content: OutInteractive) -> tuple[Json, Uploads]:
    _without_header(content)
    frame = _frame("catalog_message", content)
    frame["action"] = {"name": "catalog_message"}
    if content.product_id:
        frame["action"]["parameters"] = {"thumbnail_product_retailer_id": content.product_id}
    return frame, {}


_RENDERERS: dict[InteractiveKind, Callable[[Draft, OutInteractive], tuple[Json, Uploads]]] = {
    InteractiveKind.LIST: _list,
    InteractiveKind.LOCATION_REQUEST: _location_request,
    InteractiveKind.CONTACT_REQUEST: _contact_request,
    InteractiveKind.FLOW: _flow,
    InteractiveKind.CAROUSEL: _carousel,
    InteractiveKind.PRODUCT: _product,
    InteractiveKind.PRODUCT_LIST: _product_list,
    InteractiveKind.CATALOG: _catalog,
}
