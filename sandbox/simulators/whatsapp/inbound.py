"""What a customer can send, as the content of Meta's inbound messages: `{type, <type>: {...}}`.

Every builder's keyword arguments are also the JSON keys of the control API's `POST /_sim/customers/{ref}/messages`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from sandbox.simulators.whatsapp.errors import Json, status_error

# Types that are no message of the user in the sense of the customer service window.
NOT_REFRESHING: Final = frozenset({"system", "edit", "revoke", "request_welcome"})
MEDIA_KINDS: Final = frozenset({"image", "video", "audio", "voice_note", "legacy_voice", "document", "sticker"})


def text(body: str) -> Json:
    return {"type": "text", "text": {"body": body}}


def media(kind: str, block: Json, *, caption: str | None = None, filename: str | None = None) -> Json:
    """`block` is the stored file's `{id, mime_type, sha256, url?}`."""
    extra: Json = {}
    name = {"voice_note": "audio", "legacy_voice": "voice"}.get(kind, kind)
    if name == "audio":
        extra["voice"] = kind == "voice_note"
    if name == "sticker":
        extra["animated"] = False
    if caption is not None:
        extra["caption"] = caption
    if filename is not None and name == "document":
        extra["filename"] = filename
    return {"type": name, name: {**block, **extra}}


def location(latitude: float, longitude: float, name: str = "", address: str = "", url: str = "") -> Json:
    place: Json = {"latitude": latitude, "longitude": longitude, "name": name, "address": address, "url": url}
    return {"type": "location", "location": {k: v for k, v in place.items() if v != ""}}


def contacts(cards: list[Json], origin: str | None = None) -> Json:
    """`origin` contact_request marks the answer to a request-contact-info button."""
    return {"type": "contacts", "contacts": cards} | ({"origin": origin} if origin else {})


def reaction(message_id: str, emoji: str | None = None) -> Json:
    """No emoji: the reaction is taken back."""
    return {"type": "reaction", "reaction": {"message_id": message_id} | ({"emoji": emoji} if emoji else {})}


def button_reply(id: str, title: str) -> Json:
    return _interactive("button_reply", {"id": id, "title": title})


def list_reply(id: str, title: str, description: str | None = None) -> Json:
    return _interactive(
        "list_reply", {"id": id, "title": title} | ({"description": description} if description else {})
    )


def flow_reply(response: Any, body: str = "Sent", name: str | None = "flow") -> Json:
    """`response` may be any JSON value: flows with a broken endpoint answer with non-objects."""
    reply: Json = {"body": body, "response_json": orjson.dumps(response).decode()}
    return _interactive("nfm_reply", reply if name is None else {"name": name, **reply})


def template_button(payload: str, text: str) -> Json:
    """A tap on a template's quick reply; give `reply_to` the template message."""
    return {"type": "button", "button": {"payload": payload, "text": text}}


def order(catalog_id: str, product_items: list[Json], text: str | None = None) -> Json:
    return {
        "type": "order",
        "order": {"catalog_id": catalog_id, "product_items": product_items} | ({"text": text} if text else {}),
    }


def unsupported(real_type: str = "poll", code: int = 131051) -> Json:
    """Polls and whatever else the API does not carry."""
    details = "Message type is currently not supported."
    return {"type": "unsupported", "errors": [status_error(code, details)], "unsupported": {"type": real_type}}


def media_too_large() -> Json:
    """A file over 100 MB: Meta could not fetch it for us."""
    return {"type": "unsupported", "errors": [status_error(131052, "Media file is too large.")]}


def edit(original_message_id: str, message: Json) -> Json:
    """Coexistence numbers only; `message` is the new content."""
    return {"type": "edit", "edit": {"original_message_id": original_message_id, "message": message}}


def revoke(original_message_id: str) -> Json:
    return {"type": "revoke", "revoke": {"original_message_id": original_message_id}}


def request_welcome() -> Json:
    return {"type": "request_welcome"}


def _interactive(kind: str, reply: Json) -> Json:
    return {"type": "interactive", "interactive": {"type": kind, kind: reply}}


BUILDERS: Final[dict[str, Callable[..., Json]]] = {
    "text": text,
    "location": location,
    "contacts": contacts,
    "reaction": reaction,
    "button_reply": button_reply,
    "list_reply": list_reply,
    "flow_reply": flow_reply,
    "template_button": template_button,
    "order": order,
    "unsupported": unsupported,
    "media_too_large": media_too_large,
    "edit": edit,
    "revoke": revoke,
    "request_welcome": request_welcome,
}


def build(kind: str, fields: Json) -> Json:
    """The content for `kind`; raises ValueError for an unknown kind or wrong fields."""
    try:
        return BUILDERS[kind](**fields)
    except KeyError:
        raise ValueError(f"unknown kind {kind!r}; one of {', '.join(sorted({*BUILDERS, *MEDIA_KINDS}))}") from None
    except TypeError as error:
        raise ValueError(str(error)) from None
