"""Dead letters as operators look at them: which ones are meant, and what one says."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.contract.base import rfc3339
from shared.contract.ids import split_conversation_id
from shared.state.keys import digest
from shared.stream.records import Record, header

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(value: str, now: datetime) -> datetime:
    """A time as operators write it: so long ago (`90s`, `15m`, `2h`, `7d`), or RFC 3339. Raises ValueError."""
    if ago := _AGO.fullmatch(value):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a time like 2h, 7d or 2026-01-31T12:00:00Z") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant: those of a code, of an account (our id, or the provider's name for it), not older."""

    code: str | None = None
    account: str | None = None
    since: datetime | None = None

    def __call__(self, letter: Record) -> bool:
        if self.code is not None and _text(letter, "dl_code") != self.code:
            return False
        if self.since is not None and _time(letter) < self.since.timestamp() * 1000:
            return False
        return self.account is None or self.account in (account_of(letter), _text(letter, "external_id"))


def account_of(letter: Record) -> str | None:
    """Our id of the account that a letter is about, where it says so."""
    if named := _text(letter, "account_id"):
        return named
    try:
        return split_conversation_id((letter.key or b"").decode())[1]
    except ValueError:
        pass
    try:
        document = orjson.loads(letter.value or b"")
    except orjson.JSONDecodeError:
        return None
    found = document.get("account_id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def name_of(letter: Record) -> str:
    """What `show` calls it: its partition and offset."""
    return f"{letter.partition}:{letter.offset}"


def summary(letter: Record, now: datetime) -> dict[str, Any]:
    """A letter without what people wrote and who they are."""
    return {
        "letter": name_of(letter),
        "code": _text(letter, "dl_code"),
        "detail": _text(letter, "dl_detail"),
        "account": account_of(letter) or _text(letter, "external_id"),
        "conversation": None if letter.key is None else digest(letter.key.decode("utf-8", "replace")),
        "from": {name: _text(letter, f"dl_{name}") for name in ("topic", "partition", "offset")},
        "at": rfc3339(datetime.fromtimestamp(_time(letter) / 1000, UTC)),
        "age_seconds": round(now.timestamp() - _time(letter) / 1000),
        "bytes": len(letter.value or b""),
        "blob": _text(letter, "dl_blob"),
    }


def whole(letter: Record, now: datetime) -> dict[str, Any]:
    """A letter with its key, headers and value, whatever they say."""
    headers: Mapping[str, str] = {name: value.decode("utf-8", "replace") for name, value in letter.headers}
    return {
        **summary(letter, now),
        "key": None if letter.key is None else letter.key.decode("utf-8", "replace"),
        "headers": headers,
        **_value(letter.value or b""),
    }


def _value(value: bytes) -> dict[str, Any]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": b64encode(value).decode()}


def _text(letter: Record, name: str) -> str | None:
    value = header(letter, name)
    return None if value is None else value.decode("utf-8", "replace")


def _time(letter: Record) -> int:
    said = header(letter, "dl_time") or b""
    return int(said) if said.isdigit() else letter.timestamp_ms
