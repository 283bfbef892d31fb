"""Meta's documented limits on outgoing messages that `messages.yaml` does not carry: lengths, counts, what depends.

Lengths are Unicode code points. Text and captions that are too long answer 100; interactive parts answer 131009
with details that name the field; missing parts answer 131008.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from sandbox.simulators.whatsapp.errors import GraphError, Json

CAPTION_MAX: Final = 1024
TEXT_MAX: Final = 4096
_MEDIA: Final = ("image", "video", "document", "audio", "sticker")


def check(body: Json) -> None:
    """Raise `GraphError` when a send request, well-formed by the description, breaks a documented limit."""
    kind = body.get("type", "text")
    if not body.get("to") and not body.get("recipient"):
        raise GraphError(131008, "The parameter to is required.")
    reply_to = (body.get("context") or {}).get("message_id")
    if reply_to is not None and not str(reply_to).startswith("wamid."):
        raise GraphError(131009, "Param context['message_id'] is not a valid message id.")
    content = body[kind]
    if kind == "text":
        _text(content)
    elif kind in _MEDIA:
        _media(kind, content)
    elif kind == "location":
        _location(content)
    elif kind == "contacts":
        for n, contact in enumerate(content):
            _required(contact.get("name", {}).get("formatted_name"), f"contacts[{n}]['name']['formatted_name']")
    elif kind == "reaction":
        if len(content.get("emoji", "")) > 32:
            raise GraphError(131009, "Param reaction['emoji'] must be one emoji.")
        if "context" in body:
            raise GraphError(100, "A reaction cannot carry a context.")
    elif kind == "interactive":
        _interactive(content)


def _text(content: Json) -> None:
    if not content["body"]:
        raise GraphError(131008, "The parameter text['body'] is required.")
    if len(content["body"]) > TEXT_MAX:
        raise GraphError(100, f"Param text['body'] must be at most {TEXT_MAX} characters long.")


def _media(kind: str, content: Json) -> None:
    if ("id" in content) == ("link" in content):
        raise GraphError(100, f"Param {kind} must have exactly one of id and link.")
    if "caption" in content:
        if kind in ("audio", "sticker"):
            raise GraphError(100, f'Unexpected key "caption" on param {kind}.')
        if len(content["caption"]) > CAPTION_MAX:
            raise GraphError(100, f"Param {kind}['caption'] must be at most {CAPTION_MAX} characters long.")


def _location(content: Json) -> None:
    for axis, bound in (("latitude", 90.0), ("longitude", 180.0)):
        try:
            value = float(content[axis])
        except ValueError:
            raise GraphError(131009, f"Param location['{axis}'] is not a number.") from None
        if not -bound <= value <= bound:
            raise GraphError(131009, f"Param location['{axis}'] is out of range.")


def _required(value: object, where: str) -> None:
    if value in (None, "", [], {}):
        raise GraphError(131008, f"The parameter {where} is required.")


def _at_most(value: object, most: int, where: str) -> None:
    if isinstance(value, str) and len(value) > most:
        raise GraphError(131009, f"{where} is too long. Max length is {most}.")


def _between(items: Any, least: int, most: int, where: str) -> None:
    if not isinstance(items, list) or not least <= len(items) <= most:
        raise GraphError(131009, f"Invalid {where} count. Min allowed is {least}, max allowed is {most}.")


def _unique(values: Iterable[object], where: str) -> None:
    seen = list(values)
    if len(set(map(str, seen))) != len(seen):
        raise GraphError(131009, f"Duplicate {where}.")


def _interactive(content: Json) -> None:
    kind = content["type"]
    action = content.get("action") or {}
    if kind not in ("location_request_message", "request_contact_info"):
        _required(action, "interactive['action']")
    if kind != "product":
        _required(content.get("body", {}).get("text"), "interactive['body']['text']")
    _at_most(content.get("body", {}).get("text"), 4096 if kind == "list" else 1024, "Body text")
    _at_most(content.get("footer", {}).get("text"), 60, "Footer text")
    for part in ("header", "footer"):
        if kind == "carousel" and part in content:
            raise GraphError(131009, f"A carousel has no {part}.")
    _header(kind, content.get("header"))
    rule = _ACTIONS.get(kind)
    if rule is not None:
        rule(action)


def _header(kind: str, header: Json | None) -> None:
    if header is None:
        if kind == "product_list":
            _required(None, "interactive['header']")
        return
    form = header["type"]
    _required(header.get(form), f"interactive['header']['{form}']")
    if form == "text":
        _at_most(header["text"], 60, "Header text")
    elif kind in ("list", "product_list"):
        raise GraphError(131009, f"Header type {form} is not allowed for interactive type {kind}.")
    elif ("id" in header[form]) == ("link" in header[form]):
        raise GraphError(100, f"Param interactive['header']['{form}'] must have exactly one of id and link.")


def _buttons(action: Json) -> None:
    buttons = action.get("buttons")
    _between(buttons, 1, 3, "buttons")
    assert isinstance(buttons, list)
    for n, button in enumerate(buttons):
        reply = button.get("reply") or {}
        _required(reply.get("id"), f"interactive['action']['buttons'][{n}]['reply']['id']")
        _required(reply.get("title"), f"interactive['action']['buttons'][{n}]['reply']['title']")
        _at_most(reply["id"], 256, "Button id")
        _at_most(reply["title"], 20, "Button title")
    _unique((b["reply"]["title"] for b in buttons), "button title")
    _unique((b["reply"]["id"] for b in buttons), "button id")


def _list(action: Json) -> None:
    _required(action.get("button"), "interactive['action']['button']")
    _at_most(action["button"], 20, "Button label")
    sections = action.get("sections")
    _between(sections, 1, 10, "sections")
    assert isinstance(sections, list)
    rows = [row for section in sections for row in section.get("rows") or []]
    _between(rows, 1, 10, "total rows")
    for section in sections:
        if len(sections) > 1:
            _required(section.get("title"), "section title when there is more than one section")
        _at_most(section.get("title"), 24, "Section title")
    for row in rows:
        _required(row.get("id"), "row id")
        _required(row.get("title"), "row title")
        _at_most(row["id"], 200, "Row id")
        _at_most(row["title"], 24, "Row title")
        _at_most(row.get("description"), 72, "Row description")
    _unique((row["id"] for row in rows), "row id")


def _cta_url(action: Json) -> None:
    parameters = action.get("parameters") or {}
    for key in ("display_text", "url"):
        _required(parameters.get(key), f"interactive['action']['parameters']['{key}']")
    _at_most(parameters["display_text"], 20, "Button label")
    _at_most(parameters["url"], 2000, "Button URL")


def _flow(action: Json) -> None:
    parameters = action.get("parameters") or {}
    for key in ("flow_message_version", "flow_cta"):
        _required(parameters.get(key), f"interactive['action']['parameters']['{key}']")
    if str(parameters["flow_message_version"]) != "3":
        raise GraphError(131009, "flow_message_version must be 3.")
    if ("flow_id" in parameters) == ("flow_name" in parameters):
        raise GraphError(131009, "Exactly one of flow_id and flow_name is required.")
    _at_most(parameters["flow_cta"], 30, "Flow button label")


def _carousel(action: Json) -> None:
    cards = action.get("cards")
    _between(cards, 2, 10, "cards")
    assert isinstance(cards, list)
    for n, card in enumerate(cards):
        if card.get("type") == "product":
            _product_card(card, f"cards[{n}]")
        else:
            _media_card(card)
    if len({_card_kind(card) for card in cards}) > 1:
        raise GraphError(131009, "All cards must have the same type and the same buttons.")


def _media_card(card: Json) -> None:
    text = (card.get("body") or {}).get("text", "")
    _at_most(text, 160, "Card body text")
    if text.count("\n") > 2:
        raise GraphError(131009, "Card body text has more than 2 line breaks.")
    header = (card.get("header") or {}).get("type")
    _required(header, "card header")
    if header not in ("image", "video"):
        raise GraphError(131009, "Card header must be an image or a video.")
    own = card.get("action") or {}
    if own.get("name") == "cta_url":
        _cta_url(own)
    else:
        _required(own.get("buttons"), "card action")


def _product_card(card: Json, where: str) -> None:
    """Only the product: what a card shows of it comes from the catalogue."""
    for key in ("header", "body", "footer"):
        if key in card:
            raise GraphError(131009, f"{where}['{key}'] is not allowed on a product card.")
    action = card.get("action") or {}
    for key in ("product_retailer_id", "catalog_id"):
        _required(action.get(key), f"{where}['action']['{key}']")
    if unknown := set(action) - {"product_retailer_id", "catalog_id"}:
        raise GraphError(131009, f"{where}['action']['{min(unknown)}'] is not allowed on a product card.")


def _card_kind(card: Json) -> tuple[object, ...]:
    """What all cards of a carousel have in common: their buttons, or the catalogue."""
    action = card.get("action") or {}
    if card.get("type") == "product":
        return "product", action.get("catalog_id")
    return (action.get("name"), *(button.get("type") for button in action.get("buttons") or []))


def _product_list(action: Json) -> None:
    _required(action.get("catalog_id"), "interactive['action']['catalog_id']")
    sections = action.get("sections")
    _between(sections, 1, 10, "sections")
    assert isinstance(sections, list)
    _between([p for s in sections for p in s.get("product_items") or []], 1, 30, "products")


def _product(action: Json) -> None:
    for key in ("catalog_id", "product_retailer_id"):
        _required(action.get(key), f"interactive['action']['{key}']")


_ACTIONS: Final[dict[str, Callable[[Json], None]]] = {
    "button": _buttons,
    "list": _list,
    "cta_url": _cta_url,
    "flow": _flow,
    "carousel": _carousel,
    "product": _product,
    "product_list": _product_list,
}
