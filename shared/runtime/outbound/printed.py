"""Commands as files have them, and calls as JSON: what the command line and preflight show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from shared.channel import (
    Call,
    Refused,
)
from shared.contract.commands import (
    CommandType,
)
from shared.contract.envelope import type_name
from shared.contract.errors import ErrorCode, error


def writable(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries. Raises ValueError when they hold what is read as JSON but cannot be written as such again."""
    try:
        orjson.dumps(entries)
    except orjson.JSONEncodeError:
        raise ValueError("It is nested too deeply, or has a number beyond 64 bits.") from None
    return entries


_INFERRED_TYPES = (
    ("content", CommandType.MESSAGE_SEND),
    ("emoji", CommandType.REACTION_SET),
)


def read_command(document: Mapping[str, Any]) -> tuple[str, dict[str, Any], PlanContextFacts]:
    """Type, data and context of a command file: a structured CloudEvent, `{type, data}`, or the bare data."""
    data = document.get("data") if isinstance(document.get("data"), dict) else document
    assert isinstance(data, Mapping)
    given = next((told for told in (document.get("type"), data.get("type")) if told is not None), None)
    if given is None:
        ce_type = type_name(next((t for f, t in _INFERRED_TYPES if f in data), CommandType.MESSAGE_SEND))
    else:  # what is no text is no type either, and refused as an unknown one
        ce_type = given if str(given).startswith("channels.") else type_name(str(given))
    context = document.get("context")
    data = {name: value for name, value in data.items() if name not in ("type", "context")}  # they say how to read it
    return ce_type, data, context if isinstance(context, dict) else {}


PlanContextFacts = Mapping[str, Any]


def refused(code: ErrorCode, detail: str | None, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The line of a command that is not carried out."""
    return {"refused": json.loads(error(code, detail, **(facts or {})).to_json())}


def printable_calls(calls: Any) -> list[dict[str, Any]]:
    """Calls as JSON-able dictionaries, with the indices of the parts each one makes.

    Raises Refused when a call cannot be written as JSON, which nobody could send either.
    """
    total = sum(call.parts for call in calls)
    printed: list[dict[str, Any]] = []
    first = 0
    for call in calls:
        printed.append(_printable_call(call, first, total))
        first += call.parts
    try:
        return writable(printed)
    except ValueError as unwritable:
        raise Refused(ErrorCode.INVALID_COMMAND, str(unwritable)) from None


def _printable_call(call: Call, first: int, total: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"method": call.method, "params": dict(call.params)}
    if call.parts:
        entry["parts"] = {"first": first, "count": call.parts, "of": total}
    if call.files:
        entry["files"] = {n: f.model_dump(mode="json", exclude_defaults=True) for n, f in call.files.items()}
    if call.warnings:
        entry["warnings"] = [w.model_dump(mode="json", exclude_none=True) for w in call.warnings]
    if call.names:
        entry["names"] = list(call.names)
    if call.thread:
        entry["thread"] = asdict(call.thread)
    return entry
