"""DKIM signatures (RFC 6376) of our own mail, for a relay that does not sign.

The body is read once for its hash, as a stream, before it is read again to be sent. From, Subject, To and Date are
signed one time more than they occur: nobody can put a second one on top.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator
from typing import Any

import dkim

_OVERSIGNED = (b"from", b"subject", b"to", b"date")
_CANONICAL = (b"relaxed", b"simple")  # bodies here are base64, quoted-printable or short lines: nobody touches them


class KeyUnusable(Exception):
    """The key cannot sign: it is none, or too small."""


async def body_hash(octets: AsyncGenerator[bytes, None]) -> tuple[bytes, bytes]:
    """The header block of a mail, and the hash of its body in the `simple` form (§3.4.3)."""
    digest = hashlib.sha256()
    header, _, said = (await anext(octets)).partition(b"\r\n\r\n")  # the header never comes in pieces
    waiting = b""  # line breaks at the end count as one
    while True:
        kept = said.rstrip(b"\r\n")
        if kept:
            digest.update(waiting + kept)
            waiting = b""
        waiting += said[len(kept) :]
        try:
            said = await anext(octets)
        except StopAsyncIteration:
            break
    digest.update(b"\r\n")
    return header + b"\r\n", base64.b64encode(digest.digest())


async def signature(header: bytes, hashed: bytes, domain: str, selector: str, key: str) -> bytes:
    """The DKIM-Signature field of a mail with this header and body. Off the loop. Raises KeyUnusable."""

    def sign() -> bytes:
        signer = _Signer(header + b"\r\n", hashed)
        signer.add_frozen(_OVERSIGNED)
        field: bytes = signer.sign(selector.encode(), domain.encode(), key.encode(), canonicalize=_CANONICAL)
        return field

    try:
        return await asyncio.to_thread(sign)
    except (dkim.DKIMException, ValueError, IndexError, TypeError) as unusable:
        raise KeyUnusable(type(unusable).__name__) from None


class _Signer(dkim.DKIM):  # type: ignore[misc]
    """Signs a header whose body has been hashed already: dkimpy wants the whole mail in memory."""

    def __init__(self, header: bytes, hashed: bytes) -> None:
        super().__init__(header)
        self._hashed = hashed

    def gen_header(self, fields: list[tuple[bytes, bytes]], *args: Any, **named: Any) -> bytes:
        known = [(name, self._hashed if name == b"bh" else value) for name, value in fields]
        field: bytes = super().gen_header(known, *args, **named)
        return field
