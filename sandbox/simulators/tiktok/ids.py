"""Mints ids as awkward as the platform's own: base64-like, always with `+`, `/` and `=` inside."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from base64 import b64encode

# Encodes as "+/A/": whoever forgets to escape an id in a query string loses it at once.
_AWKWARD = b"\xfb\xf0\x3f"


class Mint:
    """A series of ids unlike those of any other run, so a receiver's memory of yesterday does not match."""

    def __init__(self) -> None:
        self._series = secrets.token_bytes(3) + _AWKWARD + secrets.token_bytes(3)
        self._numbers = itertools.count(1)

    def message_id(self) -> str:
        """A message or media id, 24 characters."""
        return b64encode(self._series + next(self._numbers).to_bytes(7, "big")).decode()

    def number(self) -> int:
        """The next number of the series, for ids that are not base64."""
        return next(self._numbers)


def stable_id(*parts: str) -> str:
    """The same 24-character id for the same parts in every run: a person's id, a thread's id."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return b64encode(digest[:3] + _AWKWARD + digest[3:13]).decode()


def comment_id(number: int) -> str:
    """A 19-digit id, beyond what a double can hold exactly."""
    return str(7_400_000_000_000_000_001 + number)
