"""Proof that a request comes from the provider, in a time that tells nothing of the secret behind it."""

from __future__ import annotations

import hmac
from collections.abc import Iterable


def proven(given: str, expected: Iterable[bytes]) -> bool:
    """Whether what a request gives is one of `expected`: all are compared, and an empty one proves nothing."""
    # Bytes, because compare_digest refuses strings that are not ASCII.
    told = given.encode("utf-8", "replace")
    fits = [hmac.compare_digest(told, one) and bool(one) for one in expected]
    return any(fits)


def digests(secrets: Iterable[str | bytes], message: bytes) -> list[bytes]:
    """HMAC-SHA256 of a message with each secret; with an empty one, which anybody has, there is none."""
    keys = [secret.encode() if isinstance(secret, str) else secret for secret in secrets]
    return [hmac.digest(key, message, "sha256") for key in keys if key]
