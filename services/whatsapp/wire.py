"""Tolerant readers of Meta's JSON: every value may be missing, of another type or out of range; nothing here raises.

Readers instead of models: a webhook has some two hundred optional keys whose types drift between Graph versions, and
a reader that answers None costs a tenth of a validated model.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

_EARLIEST = datetime(2009, 1, 1, tzinfo=UTC)  # before WhatsApp nobody wrote
_AHEAD = timedelta(days=1)
_MILLISECONDS = 1e11


def text(source: Json, *names: str) -> str | None:
    """The first of the named values that is a non-empty string or a number, as a string."""
    for name in names:
        value = source.get(name)
        if isinstance(value, str):
            if value:
                return value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            return str(int(value)) if isinstance(value, int) or value.is_integer() else str(value)
    return None


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


def texts(entries: list[Json], *names: str) -> tuple[str, ...]:
    """Of every entry the first of the named values, where it has one."""
    return tuple(found for entry in entries if (found := text(entry, *names)))


def flag(source: Json, name: str) -> bool:
    """Whether the named value is true, or the word."""
    return source.get(name) in (True, "true")


def number(source: Json, name: str) -> float | None:
    """The named number, also when written as a string; None for what is not finite."""
    value = source.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return None
    return found if abs(found) < float("inf") else None


def moment(source: Json, name: str, received_at: datetime) -> datetime:
    """The named time (Unix seconds, or milliseconds as some senders have it); `received_at` for an absurd one."""
    seconds = number(source, name)
    if seconds is None:
        return received_at
    try:
        found = datetime.fromtimestamp(seconds / 1000 if seconds >= _MILLISECONDS else seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return received_at
    return found if _EARLIEST <= found <= received_at + _AHEAD else received_at


# Letters that are drawn as nothing: people choose them for a name that is none.
_DRAWN_AS_NOTHING = frozenset("\u115f\u1160\u2800\u3164\uffa0")
# Blanks, controls and marks of direction; not the private use area, where some fonts have a logo.
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})


def shows(value: str) -> bool:
    """Whether anything of the text can be seen."""
    return any(
        character not in _DRAWN_AS_NOTHING and unicodedata.category(character) not in _UNSEEN for character in value
    )


def nfc(value: str) -> str:
    """The text in Unicode normal form C: the only change made to what somebody wrote."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


# Characters that show nothing, and those that turn the reading direction round and hide what a name ends with.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_NAME_MAX = 255


def safe_filename(name: str | None) -> str | None:
    """A file name somebody else chose: the last step of a path, without control characters."""
    last = _CONTROL.sub("_", nfc(name or "")).replace("\\", "/").rpartition("/")[2]
    return last[-_NAME_MAX:] or None


def sha256_hex(value: str | None) -> str | None:
    """A SHA-256 as lower-case hex; Meta gives base64 in webhooks and either form elsewhere."""
    if value is None:
        return None
    if len(value) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in value):
        return value.lower()
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 32 else None
