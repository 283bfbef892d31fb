"""What a message holds: one function per message type of the Cloud API, from Meta's keys to the contract's content."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from services.whatsapp.receive import cards
from services.whatsapp.receive.attachments import MEDIA, media, provider_error
from services.whatsapp.receive.received import Received
from shared.contract.content import (
    ContactsContent,
    Content,
    CustomPayloadContent,
    LocationContent,
    OrderContent,
    OrderItem,
    Place,
    PostbackContent,
    PostbackSource,
    SystemContent,
    TemplateContent,
    TextContent,
    UnsupportedContent,
)
from shared.contract.errors import ErrorCode
from shared.kit import loose
from shared.kit.loose import Json
from shared.kit.words import nfc

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")

# What says who wrote, when and in answer to what, and nothing of what was written.
_FRAME = frozenset(
    {"from", "from_user_id", "from_parent_user_id", "to", "to_user_id", "to_parent_user_id", "group_id", "id", "type",
     "timestamp", "context", "errors", "referral", "identity", "history_context", "origin",
     "recipient", "recipient_type", "biz_opaque_callback_data"}
)  # fmt: skip

# Why there is a message without content, by Meta's error code.
_REASONS = {"130501": "group_message", "131052": "media_unavailable", "131060": "companion_message"}


def content_of(received: Received, message: Json, message_id: str) -> Content:
    """The content of a message of any type. Total: what is not modelled comes as it is, in `custom_payload`."""
    kind = loose.text(message, "type")
    if kind is None:
        kind = next((name for name in _READERS if message.get(name)), "unknown")
        message = {**message, "type": kind}
    body = message.get(kind)
    read = _READERS.get(kind)
    if kind in _WITHOUT_CONTENT:
        return _unsupported(received, message, kind)
    if read is not None and (isinstance(body, dict) or kind == "contacts"):
        return read(received, message, body if isinstance(body, dict) else {}, message_id)
    if kind in MEDIA and (received.errors or loose.objects(message, "errors")):
        return media(received, message, {}, message_id)
    held = {name: value for name, value in message.items() if name not in _FRAME and value is not None}
    return _custom(kind, held) if held else _unsupported(received, message, kind)


def _custom(kind: str, held: Json) -> Content:
    return CustomPayloadContent(text=f"Custom payload: {kind}", raw=held)


def _unsupported(received: Received, message: Json, kind: str) -> Content:
    failure = provider_error(received, message, ErrorCode.UNSUPPORTED_BY_CHANNEL)
    real = loose.text(loose.obj(message, "unsupported"), "type")
    by_code = _REASONS.get(failure.provider_code or "") if failure else None
    reason = real or by_code or ("unknown" if kind == "unsupported" else kind)
    return UnsupportedContent(text=f"Unsupported message: {reason}", reason=reason, error=failure)


def _text(received: Received, message: Json, body: Json, message_id: str) -> Content:
    if isinstance(body.get("body"), dict | list):
        return _custom("text", {"text": body})
    return TextContent(text=nfc(loose.text(body, "body") or ""))


# ------------------------------------------------------------------------------------- places, cards, carts


def _location(received: Received, message: Json, body: Json, message_id: str) -> Content:
    latitude, longitude = loose.number(body, "latitude"), loose.number(body, "longitude")
    if latitude is None or longitude is None:
        return _custom("location", {"location": body})
    name, address = loose.text(body, "name"), loose.text(body, "address")
    described = ", ".join(part for part in (name, address) if part)
    point = f"{_degrees(latitude)}, {_degrees(longitude)}"
    return LocationContent(
        text=nfc(f"Location: {described} ({point})" if described else f"Location: {point}"),
        location=Place(latitude=latitude, longitude=longitude, name=name, address=address, url=loose.text(body, "url")),
    )


def _degrees(value: float) -> str:
    """To a millionth, which is a step on the ground."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _contacts(received: Received, message: Json, body: Json, message_id: str) -> Content:
    held = cards.cards_of(message)
    if not held:
        return _custom("contacts", {"contacts": message.get("contacts")})
    shown = "; ".join(map(cards.shown, held))
    return ContactsContent(text=nfc(f"Contact: {shown}"), contacts=held)


def _order(received: Received, message: Json, body: Json, message_id: str) -> Content:
    items = tuple(
        OrderItem(
            product_id=loose.text(entry, "product_retailer_id") or "",
            quantity=loose.number(entry, "quantity"),
            unit_price=loose.number(entry, "item_price"),
            currency=loose.text(entry, "currency"),
        )
        for entry in loose.objects(body, "product_items")
    )
    listed = ", ".join(f"{1 if item.quantity is None else item.quantity:g} × {item.product_id}" for item in items)
    cart = f"Order: {listed}" if listed else "Order"
    text = loose.text(body, "text")
    return OrderContent(text=nfc(text) if text else cart, catalog_id=loose.text(body, "catalog_id"), items=items)


# ---------------------------------------------------------------------------------------------------- answers


def _button(received: Received, message: Json, body: Json, message_id: str) -> Content:
    title = nfc(loose.text(body, "text", "payload") or "")
    return PostbackContent(text=title, source=PostbackSource.BUTTON, payload=loose.text(body, "payload"), title=title)


_ANSWERS = ("button_reply", "list_reply", "nfm_reply", "call_permission_reply")


def _interactive(received: Received, message: Json, body: Json, message_id: str) -> Content:
    kind = loose.text(body, "type") or next((name for name in _ANSWERS if loose.obj(body, name)), "unknown")
    answer = loose.obj(body, kind)
    if kind in ("button_reply", "list_reply"):
        title = nfc(loose.text(answer, "title", "id") or "")
        return PostbackContent(
            text=title,
            source=PostbackSource.BUTTON if kind == "button_reply" else PostbackSource.LIST,
            payload=loose.text(answer, "id"),
            title=title,
            description=loose.text(answer, "description"),
        )
    if kind == "nfm_reply":
        return _form(answer)
    if kind == "call_permission_reply":
        response = loose.text(answer, "response") or "unknown"
        return SystemContent(text=f"Call permission: {response}", event=f"call_permission.{response}")
    shown = loose.text(loose.obj(body, "body"), "text")
    return CustomPayloadContent(text=nfc(shown) if shown else f"Custom payload: {kind}", raw={"interactive": body})


def _form(answer: Json) -> Content:
    """The answer to a Flow or an address form: `response_json` is JSON in a string, and not always an object."""
    given = answer.get("response_json")
    try:
        values: Any = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        values = None
    source = PostbackSource.FLOW if loose.text(answer, "name") in ("flow", None) else PostbackSource.FORM
    title = loose.text(answer, "body")
    if not isinstance(values, dict):
        raw = loose.text(answer, "response_json")
        return PostbackContent(text=nfc(title or raw or ""), source=source, payload=raw, title=title)
    token = loose.text(values, "flow_token")
    fields = {name: value for name, value in values.items() if name != "flow_token"}
    nested = [value.items() if isinstance(value, dict) else ((name, value),) for name, value in fields.items()]
    shown = "\n".join(f"{name}: {_plain(value)}" for entries in nested for name, value in entries)
    return PostbackContent(text=nfc(shown or title or ""), source=source, payload=token, title=title, values=fields)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------ other kinds


def _system(received: Received, message: Json, body: Json, message_id: str) -> Content:
    event = loose.text(body, "type") or "system"
    return SystemContent(text=nfc(loose.text(body, "body") or event), event=event)


def _template(received: Received, message: Json, body: Json, message_id: str) -> Content:
    name = loose.text(body, "name")
    components = loose.objects(loose.obj(message, "template_definition") or body, "components")
    given = {
        _part(component): loose.objects(component, "parameters") for component in loose.objects(body, "components")
    }
    shown = "\n".join(
        _filled(text, given.get(_part(part), [])) for part in components for text in loose.texts([part], "text")
    )
    buttons = tuple(title for part in components for title in loose.texts(loose.objects(part, "buttons"), "text"))
    return TemplateContent(
        text=nfc(shown or _unworded(name, [given[part] for part in ("header", "body") if part in given])),
        name=name,
        language=loose.text(loose.obj(body, "language"), "code") or loose.text(body, "language"),
        buttons=buttons,
    )


def _unworded(name: str | None, given: Iterable[list[Json]]) -> str:
    """What there is to read of a template whose own words nobody sent."""
    filled = ", ".join(value for parameters in given for parameter in parameters if (value := _worded(parameter)))
    return f"Template: {name or 'unknown'} ({filled})" if filled else f"Template: {name or 'unknown'}"


def _part(component: Json) -> str:
    return (loose.text(component, "type") or "").lower()


def _filled(text: str, parameters: list[Json]) -> str:
    """The text of a template with its parameters, by name or by number, where they are known."""
    values = {
        loose.text(parameter, "parameter_name") or str(place): value
        for place, parameter in enumerate(parameters, 1)
        if (value := _worded(parameter))
    }
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def _worded(parameter: Json) -> str | None:
    kind = loose.text(parameter, "type") or "text"
    return loose.text(parameter, kind) or loose.text(loose.obj(parameter, kind), "fallback_value")


_WITHOUT_CONTENT = frozenset({"unsupported", "ephemeral", "unknown", "media_placeholder"})

_READERS: dict[str, Callable[[Received, Json, Json, str], Content]] = {
    "text": _text,
    "image": media,
    "video": media,
    "audio": media,
    "voice": media,
    "document": media,
    "sticker": media,
    "location": _location,
    "contacts": _contacts,
    "order": _order,
    "button": _button,
    "interactive": _interactive,
    "system": _system,
    "template": _template,
}
