"""JSON of strangers: read strictly where it is right, leniently where it still says something, never too deep."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

DEEPEST = 240  # levels: writers of JSON give up at 254, and an event has some of its own around a payload
_INT64 = 2**63
_LONGEST_INT = 20  # characters; Python reads numbers of some thousand digits, and refuses the text with a longer one


NOT_JSON = "The payload is not JSON."


def read_json(given: bytes | str, otherwise: str = NOT_JSON) -> Any:
    """The document in `given`, of any depth that can be read. Raises ValueError, with the sentence `otherwise`.

    What is no strict JSON but can still be read is: bytes that are no UTF-8 and the halves of an emoji that somebody's
    cut left alone become replacement characters, a line break inside a text is one, a number that no writer of JSON
    takes is text where it is too long and nothing where it is none.
    """
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError:
        pass
    text = given.decode("utf-8-sig", "replace") if isinstance(given, bytes) else given.removeprefix("\ufeff")
    try:
        return _mended(json.loads(text, strict=False, parse_int=_whole))
    except (ValueError, RecursionError):
        raise ValueError(otherwise) from None


def read_shallow(given: bytes | str, otherwise: str = NOT_JSON) -> Any:
    """As `read_json`, for what is to be published again. Raises ValueError also for more than `DEEPEST` levels."""
    document = read_json(given, otherwise)
    marks = (b"{", b"[") if isinstance(given, bytes) else ("{", "[")
    if sum(map(given.count, marks)) > DEEPEST and _is_deeper(document):  # type: ignore[arg-type]  # marks are of its own type
        raise ValueError("The payload is nested too deeply.")
    return document


def as_object(given: bytes) -> dict[str, Any]:
    """The object that an answer is, strictly read; an empty one for anything else."""
    try:
        found = orjson.loads(given)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_deeper(document: Any) -> bool:
    level = [document]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_INT else digits


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_mended(name): _mended(inner) for name, inner in value.items()}
        case list():
            return [_mended(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
        case int() if not -_INT64 <= value < _INT64:
            return str(value)
    return value
