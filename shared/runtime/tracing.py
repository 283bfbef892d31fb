"""W3C trace context: taken from a webhook or a record, carried on in record headers."""

from __future__ import annotations

import random
import re

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(value: str | None) -> str | None:
    """The value when it is a trace context, None otherwise: what strangers send is not passed on unread."""
    return value if value and _TRACEPARENT.fullmatch(value) else None


def new_traceparent() -> str:
    """A new trace, not sampled: downstream decides."""
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-00"
