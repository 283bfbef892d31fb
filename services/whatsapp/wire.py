"""What is Meta's own in its JSON: times, and digests in two notations."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta

from shared.kit.loose import Json, as_moment

_EARLIEST = datetime(2009, 1, 1, tzinfo=UTC)  # before WhatsApp nobody wrote
_AHEAD = timedelta(days=1)


def moment(source: Json, name: str, received_at: datetime) -> datetime:
    """The named time; `received_at` for an absurd one."""
    return as_moment(source.get(name), _EARLIEST, received_at + _AHEAD) or received_at


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
