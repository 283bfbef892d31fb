"""Holds a request against its table; the first deviation raises `Malformed`, naming the field, never its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from .errors import Code, Malformed
from .tables import BUTTON_TITLE, SEND_PARTS, Credentials, Endpoint, Field, Kind

_TYPES: dict[Kind, Any] = {
    Kind.STRING: str,
    Kind.INTEGER: int,
    Kind.OBJECT: dict,
    Kind.OBJECTS: list,
    Kind.STRINGS: list,
}


class Headers(Protocol):
    """The part of a header mapping the checks read; names in any case."""

    def get(self, name: str, /) -> str | None: ...


class RequestCheck:
    """One endpoint's checks, prepared once so that a send costs microseconds."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._shape = _Shape(endpoint.fields)

    def headers(self, headers: Headers, *, has_query: bool) -> str | None:
        """Return the access token of an account endpoint, None for an app endpoint.

        Raises `Malformed` for credentials in the wrong place, a wrong content type, or a query on a POST.
        """
        endpoint = self.endpoint
        if headers.get("Authorization") is not None:
            raise Malformed("credentials do not travel in the Authorization header")
        token = headers.get("Access-Token")
        if endpoint.credentials is Credentials.ACCESS_TOKEN:
            if not token:
                raise Malformed("Access-Token header is missing or empty", code=Code.TOKEN_EMPTY)
        elif token is not None:
            raise Malformed(f"{endpoint.name} takes no Access-Token header")
        if endpoint.method == "POST":
            wanted = "multipart/form-data" if endpoint.multipart else "application/json"
            if not (headers.get("Content-Type") or "").startswith(wanted):
                raise Malformed(f"Content-Type must be {wanted}", status=400 if endpoint.multipart else 200)
            if has_query:
                raise Malformed("a POST takes no query parameters")
        return token

    def body(self, raw: bytes) -> dict[str, Any]:
        """Parse and check a JSON body."""
        try:
            params = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Malformed("request body is not JSON") from None
        if not isinstance(params, dict):
            raise Malformed("request body is not a JSON object")
        return self.params(params)

    def query(self, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Parse and check a query string; integers and lists come back as such."""
        params: dict[str, Any] = {}
        for name, text in query:
            if name in params:
                raise Malformed(f"{name} is given twice")
            params[name] = _typed(self._shape.fields.get(name), text)
        return self.params(params)

    def params(self, params: dict[str, Any]) -> dict[str, Any]:
        """Check parsed parameters and return them."""
        self._shape.check(params, "")
        if self.endpoint.name == "send":
            _check_send(params)
        return params


class _Shape:
    """The fields of one object, indexed."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = {field.name: field for field in fields}
        self._required = frozenset(field.name for field in fields if field.required)
        self._nested = {field.name: _Shape(field.fields) for field in fields if field.fields}

    def check(self, params: Mapping[str, Any], where: str) -> None:
        for name, value in params.items():
            field = self.fields.get(name)
            if field is None:
                raise Malformed(f"{where}{name} is not a parameter of this endpoint")
            _check_value(field, value, where)
            nested = self._nested.get(name)
            if nested is not None:
                for item in value if field.kind is Kind.OBJECTS else (value,):
                    if not isinstance(item, dict):
                        raise Malformed(f"{where}{name} must be {field.kind.value}")
                    nested.check(item, f"{where}{name}.")
        if not self._required <= params.keys():
            missing = min(self._required - params.keys())
            raise Malformed(f"{where}{missing} is required")


def _check_value(field: Field, value: Any, where: str) -> None:
    kind = field.kind
    if not isinstance(value, _TYPES[kind]) or isinstance(value, bool):
        raise Malformed(f"{where}{field.name} must be {kind.value}")
    if kind is Kind.OBJECT:
        return
    size = value if kind is Kind.INTEGER else characters(value) if kind is Kind.STRING else len(value)
    if not field.minimum <= size <= field.maximum:
        raise Malformed(f"{where}{field.name} must be within {field.minimum} and {field.maximum}")
    if kind is Kind.STRINGS and not all(isinstance(item, str) for item in value):
        raise Malformed(f"{where}{field.name} must be {kind.value}")
    if field.choices and not field.choices.issuperset((value,) if kind is Kind.STRING else value):
        raise Malformed(f"{where}{field.name} must be one of {', '.join(sorted(field.choices))}")


def characters(text: str) -> int:
    """Length in UTF-16 units: the unit of the limits is undocumented and this one is never the smaller."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _typed(field: Field | None, text: str) -> Any:
    if field is None or field.kind is Kind.STRING:
        return text
    if field.kind is Kind.INTEGER:
        if not text.isdecimal() or len(text) > 16:
            raise Malformed(f"{field.name} must be an integer")
        return int(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Malformed(f"{field.name} must be a JSON array") from None


def _check_send(params: dict[str, Any]) -> None:
    """The rules of a send that one field alone cannot express."""
    wanted = SEND_PARTS[params["message_type"]]
    for part in SEND_PARTS.values():
        if (part in params) != (part == wanted):
            raise Malformed(f"message_type {params['message_type']} takes {wanted}, and no other content")
    if "direct_reply" in params:
        if "recipient" in params or "recipient_type" in params:
            raise Malformed("direct_reply excludes recipient and recipient_type")
        if wanted == "sender_action":
            raise Malformed("a direct reply needs a message")
    elif "recipient" not in params or "recipient_type" not in params:
        raise Malformed("recipient and recipient_type are required")
    if "referenced_message_info" in params and wanted != "text":
        raise Malformed("referenced_message_info is allowed with TEXT only")
    if wanted == "template":
        longest = BUTTON_TITLE[params["template"]["type"]]
        if any(characters(button["title"]) > longest for button in params["template"]["buttons"]):
            raise Malformed(f"template.buttons.title must be within 1 and {longest}")
