"""Checks request bodies against `messages.yaml`: what the Cloud API takes, compiled once to Python."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fastjsonschema
import yaml

from sandbox.simulators.whatsapp.errors import GraphError, Json

_DESCRIPTION: Final = Path(__file__).with_name("messages.yaml")


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
    """Compiled validators: one per message type, one per interactive action, and one for mark-as-read bodies."""

    def __init__(self, description: Json) -> None:
        every = description["every"]
        self._by_type = {kind: _compile(_message(kind, own, every)) for kind, own in description["kinds"].items()}
        self._actions = {kind: _compile(_action(own)) for kind, own in description["actions"].items()}
        self._mark_read = _compile(description["read"])

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

    def check_action(self, body: Json) -> None:
        """Raise `GraphError` when the action of an interactive message is not that of its kind.

        For a body that kept `limits.py`, whose errors say more about what both check.
        """
        interactive = body.get("interactive")
        if interactive is not None and (check := self._actions.get(interactive["type"])):
            _run(check, {"interactive": {"action": interactive.get("action", {})}})

    def check_mark_read(self, body: Json) -> None:
        """Raise `GraphError` when a read-receipt or typing request breaks the description."""
        _run(self._mark_read, body)


@functools.cache
def load() -> RequestSpec:
    """Read and compile the description; a fifth of a second, once per process."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return RequestSpec(yaml.load(_DESCRIPTION.read_text(), Loader=loader))


def _message(kind: str, own: Json, every: Json) -> Json:
    """A whole message of one kind: the keys of every message, and the one that has the kind's name."""
    return {
        "type": "object",
        "required": [*every["required"], kind],
        "properties": {**every["properties"], "type": {"type": "string", "enum": [kind]}, kind: own},
    }


def _action(own: Json) -> Json:
    """Around an action what stands around it in a message, so that errors name it in full."""
    return {
        "type": "object",
        "properties": {"interactive": {"type": "object", "properties": {"action": own}}},
    }


def _compile(schema: Json) -> Check:
    check: Check = fastjsonschema.compile(
        {"$schema": "http://json-schema.org/draft-07/schema", **_closed(schema)}, use_default=False, use_formats=False
    )
    return check


def _closed(schema: Any) -> Any:
    """The schema with every object that lists its properties refusing others."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _closed(part) for key, part in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in schema and "type" in schema else inner


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
