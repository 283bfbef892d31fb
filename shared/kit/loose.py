"""Loose readers of JSON: every value may be missing, of another type or out of range; nothing here raises.

`as_…` read a value, the others the named member of an object. A reader that answers None costs a tenth of a validated
model, which pays where payloads have hundreds of optional keys.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = 1e11  # a larger number of seconds is a time nobody means: it counts milliseconds
_LATEST = 1e14  # milliseconds; calendars end before


def as_text(value: Any) -> str | None:
    """A string that is not empty, or a number as one: ids come as either."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(int(value)) if isinstance(value, int) or value.is_integer() else str(value)


def as_number(value: Any) -> float | None:
    """A finite number, also when written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return None
    return found if math.isfinite(found) else None


def as_moment(value: Any, earliest: datetime, latest: datetime) -> datetime | None:
    """A time in seconds since 1970, or in milliseconds; None for one before `earliest` or after `latest`."""
    told = as_number(value)
    if told is None or not 0 <= told < _LATEST:
        return None
    found = _EPOCH + (timedelta(milliseconds=told) if told >= _MILLISECONDS else timedelta(seconds=told))
    return found if earliest <= found <= latest else None


def text(source: Json, *names: str) -> str | None:
    """The first of the named values that is a text or a number, as text."""
    for name in names:
        value = source.get(name)
        if found := value if isinstance(value, str) else as_text(value):
            return found
    return None


def texts(entries: list[Json], *names: str) -> tuple[str, ...]:
    """Of every entry the first of the named values, where it has one."""
    return tuple(found for entry in entries if (found := text(entry, *names)))


def number(source: Json, name: str) -> float | None:
    """The named number."""
    return as_number(source.get(name))


def flag(source: Json, name: str) -> bool:
    """Whether the named value is true, or the word."""
    return source.get(name) in (True, "true")


def obj(source: Json, name: str) -> Json:
    """The named object, or an empty one."""
    value = source.get(name)
    return value if isinstance(value, dict) else {}


def items(source: Json, name: str) -> list[Any]:
    """The named list, or an empty one; its members may be anything. An object that stands alone is a list of one."""
    value = source.get(name)
    if isinstance(value, dict) and value:
        return [value]
    return value if isinstance(value, list) else []


def objects(source: Json, name: str) -> list[Json]:
    """The objects of the named list."""
    return [entry for entry in items(source, name) if isinstance(entry, dict)]
