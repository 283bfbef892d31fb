"""Checks request bodies against Meta's OpenAPI description of the Cloud API, compiled once to Python.

The description (`business-messaging-api_v23.0.yaml`, facebook/openapi) is older than the API and in places
refuses its own examples. Every departure from it is in `_corrected` and in `_BASE_ADDITIONS`, so the list of what we
trust more than the file is short and in one place.
"""

from __future__ import annotations

import copy
import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fastjsonschema
import yaml

from sandbox.simulators.whatsapp.errors import GraphError, Json

FILE_NAME: Final = "whatsapp-business-messaging-v23.openapi.yaml"
_CHECKOUT: Final = Path(__file__).resolve().parents[3]
_TEXT: Final[Json] = {"type": "string"}

# Documented keys of POST /messages that v23 of the description lacks.
_BASE_ADDITIONS: Final[Json] = {
    "recipient": {"type": "string"},  # business-scoped user id; `to` wins when both are there
    "biz_opaque_callback_data": {"type": "string", "maxLength": 512},
    "recipient_identity_key_hash": _TEXT,
    "category": {"type": "string", "enum": ["utility", "authentication"]},  # Direct Send
    "message_activity_sharing": {"type": "boolean"},
    "ttl": {"type": "integer"},
}
_INTERACTIVE_TYPES: Final = [
    "button",
    "list",
    "flow",
    "product",
    "product_list",
    "catalog_message",
    "call_permission_request",
    "cta_url",
    "carousel",
    "location_request_message",
    "address_message",
    "request_contact_info",
    "order_details",
    "order_status",
    "voice_call",
]
_COORDINATE: Final[Json] = {"type": ["number", "string"]}


@dataclass(frozen=True, slots=True)
class Violation:
    """One request that broke the description or a documented limit; kept in `WhatsAppSimulator.violations`."""

    at: float
    method: str
    path: str
    code: int
    details: str


Check = Callable[[Json], object]


class RequestSpec:
    """Compiled validators, one per message type, and one for mark-as-read bodies."""

    def __init__(self, document: Json, source: Path) -> None:
        self.source = source
        schemas = _corrected(document["components"]["schemas"])
        self._by_type: dict[str, Check] = {}
        for kind, ref in schemas["Message"]["discriminator"]["mapping"].items():
            self._by_type[kind] = _compile(_message_schema(schemas, ref.rsplit("/", 1)[-1]), schemas)
        self._mark_read = _compile(schemas["MarkMessageRequestPayload"], schemas)

    @property
    def types(self) -> list[str]:
        """The message types the description knows."""
        return sorted(self._by_type)

    def check_message(self, body: Json) -> None:
        """Raise `GraphError` (100, 131008) when a send request breaks the description."""
        kind = body.get("type", "text")
        check = self._by_type.get(kind) if isinstance(kind, str) else None
        if check is None:
            raise GraphError(100, f"Param type must be one of {{{', '.join(self.types).upper()}}} - got {kind!r}.")
        _run(check, body)

    def check_mark_read(self, body: Json) -> None:
        """Raise `GraphError` when a read-receipt or typing request breaks the description."""
        _run(self._mark_read, body)


def find(explicit: str | os.PathLike[str] | None = None) -> Path | None:
    """Where the description lies: `explicit`, else $WHATSAPP_SPEC, else a `specs/` folder in or next to the checkout.

    Raises FileNotFoundError for a path that was named but is not there; returns None when nothing was named or found.
    """
    named = explicit or os.environ.get("WHATSAPP_SPEC")
    if named:
        path = Path(named)
        if not path.is_file():
            raise FileNotFoundError(f"no API description at {path}")
        return path
    for root in (_CHECKOUT, _CHECKOUT.parent):
        for pattern in (f"specs/{FILE_NAME}", f"*/specs/{FILE_NAME}"):
            found = sorted(root.glob(pattern))
            if found:
                return found[0]
    return None


@functools.lru_cache(maxsize=2)
def load(path: Path) -> RequestSpec:
    """Read and compile the description at `path`; about half a second, once per process."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return RequestSpec(yaml.load(path.read_text(), Loader=loader), path)


def _corrected(original: Json) -> Json:
    """The description's schemas with what is known to be wrong or missing put right."""
    schemas = copy.deepcopy(original)
    base = schemas["BaseMessageProperties"]
    # Its own examples leave out recipient_type, and a BSUID goes in `recipient` without `to`.
    base["required"] = ["messaging_product"]
    base["properties"].update(_BASE_ADDITIONS)
    base["properties"]["messaging_product"] = {"type": "string", "enum": ["whatsapp"]}

    # Only `id`, `link` and `caption`; that exactly one of the first two is there is checked in limits.py.
    media = {"type": "object", "properties": {"id": _TEXT, "link": _TEXT, "caption": _TEXT}}
    schemas["MediaObject_1"] = {**media, "additionalProperties": False}
    schemas["MediaObject"] = copy.deepcopy(schemas["MediaObject_1"])
    schemas["MediaObject"]["properties"]["filename"] = _TEXT
    own = _own_part(schemas, "AudioMessage")
    own["properties"]["audio"] = {  # voice notes since October 2025
        "type": "object",
        "properties": {"id": _TEXT, "link": _TEXT, "voice": {"type": "boolean"}},
        "additionalProperties": False,
    }
    _own_part(schemas, "StickerMessage")["properties"]["sticker"] = {
        "type": "object",
        "properties": {"id": _TEXT, "link": _TEXT},
        "additionalProperties": False,
    }
    _own_part(schemas, "TextMessage")["properties"]["text"]["required"] = ["body"]
    _own_part(schemas, "ReactionMessage")["properties"]["reaction"]["required"] = ["message_id"]
    location = _own_part(schemas, "LocationMessage")["properties"]["location"]
    # Numbers are what the documentation shows; the description says strings.
    location["properties"].update(latitude=_COORDINATE, longitude=_COORDINATE)
    location["required"] = ["latitude", "longitude"]
    # 257 contacts a message, not 5.
    _own_part(schemas, "ContactsMessage")["properties"]["contacts"]["maxItems"] = 257

    interactive = schemas["InteractiveObject"]
    interactive["properties"]["type"]["enum"] = _INTERACTIVE_TYPES
    interactive["properties"]["action"] = {"type": "object"}  # new kinds; each is checked in limits.py
    interactive["required"] = ["type"]
    schemas["BodyObject"]["properties"]["text"].pop("maxLength")  # 4096 for lists; limits.py knows which
    schemas["HeaderObject"]["properties"]["text"].pop("maxLength")
    schemas["FooterObject"]["properties"]["text"].pop("maxLength")

    schemas["LanguageObject"]["required"] = ["code"]
    component = schemas["TemplateComponent"]["properties"]
    component["type"] = component["sub_type"] = _TEXT  # upper and lower case both pass, and there are more kinds
    component["index"] = {"type": ["string", "integer"], "pattern": "^[0-9]+$"}

    mark = schemas["MarkMessageRequestPayload"]
    mark["properties"]["status"] = {"type": "string", "enum": ["read"]}
    mark["properties"]["messaging_product"] = {"type": "string", "enum": ["whatsapp"]}
    mark["properties"]["typing_indicator"] = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "enum": ["text"]}},
    }
    return schemas


def _own_part(schemas: Json, name: str) -> Json:
    """The part of a message schema that is not the shared base."""
    part: Json = schemas[name]["allOf"][1]
    return part


def _message_schema(schemas: Json, name: str) -> Json:
    """One flat object schema: as written, `allOf` of two closed objects would refuse every request."""
    base, own = schemas["BaseMessageProperties"], _own_part(schemas, name)
    return {
        "type": "object",
        "required": [*base["required"], *own["required"]],
        "properties": {**base["properties"], **own["properties"]},
        "additionalProperties": False,
    }


def _compile(schema: Json, schemas: Json) -> Check:
    used: Json = {}
    _collect(schema, schemas, used)
    check: Check = fastjsonschema.compile(
        {"$schema": "http://json-schema.org/draft-07/schema", **schema, "components": {"schemas": used}},
        use_default=False,
        use_formats=False,
    )
    return check


def _collect(part: Any, schemas: Json, used: Json) -> None:
    """Gather into `used` every schema `part` refers to: compiling all 370 for each type takes seconds."""
    if isinstance(part, dict):
        ref = part.get("$ref")
        name = ref.rsplit("/", 1)[-1] if isinstance(ref, str) else None
        if name is not None and name not in used:
            used[name] = schemas[name]
            _collect(schemas[name], schemas, used)
        for value in part.values():
            _collect(value, schemas, used)
    elif isinstance(part, list):
        for value in part:
            _collect(value, schemas, used)


def _run(check: Check, body: Json) -> None:
    try:
        check(body)
    except fastjsonschema.JsonSchemaValueException as broken:
        raise _graph_error(broken) from None


def _graph_error(broken: Any) -> GraphError:
    """Word a schema failure the way the Graph API does: which parameter, which rule."""
    where = _parameter(broken.path)
    match broken.rule:
        case "required":
            missing = next(key for key in broken.rule_definition if key not in broken.value)
            name = _parameter([*broken.path, missing])
            return GraphError(100 if missing == "messaging_product" else 131008, f"The parameter {name} is required.")
        case "additionalProperties":
            unexpected = sorted(set(broken.value) - set(broken.definition.get("properties", {})))
            return GraphError(100, f'Unexpected key "{unexpected[0]}" on param {where}.')
        case "type":
            kinds = broken.rule_definition
            return GraphError(
                100, f"Param {where} must be of type {kinds if isinstance(kinds, str) else ' or '.join(kinds)}."
            )
        case "enum":
            return GraphError(100, f"Param {where} must be one of {{{', '.join(map(str, broken.rule_definition))}}}.")
        case "maxLength":
            return GraphError(100, f"Param {where} must be at most {broken.rule_definition} characters long.")
        case "maxItems" | "minItems":
            return GraphError(131009, f"Param {where} breaks {broken.rule} {broken.rule_definition}.")
    return GraphError(100, re.sub(r"^data", where, broken.message))


def _parameter(path: list[str]) -> str:
    """`["data", "text", "body"]` as Meta writes it: `text['body']`."""
    keys = path[1:]
    return keys[0] + "".join(f"['{key}']" for key in keys[1:]) if keys else "request"
