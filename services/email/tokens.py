"""Names that we give to our own mail: Message-IDs, bounce addresses and reply addresses, made and recognised.

A name says nothing of whom it is for and cannot be guessed: it is a digest, keyed by a secret of the service, of the
account and of what it stands for. Its last characters prove to whoever has the key that it is one of ours. It is made
of a-z and 2-7, because relays change the case of addresses, and short, because a local part has at most 64 octets.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["message", "bounce", "reply"]

_BODY = 16  # characters of five bits
_CHECK = 6
_TOKEN = f"[a-z2-7]{{{_BODY + _CHECK}}}"
_MESSAGE_ID = re.compile(rf"m({_TOKEN})@")
_RECIPIENT = re.compile(rf"[+=]([br])({_TOKEN})$")
_KINDS: dict[str, Kind] = {"b": "bounce", "r": "reply"}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Makes names with the service's key and recognises them, those made with former keys as well."""

    key: bytes = field(default=b"", repr=False)
    former: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, keys: str) -> Tokens:
        """Of keys with commas between them, the present one first."""
        key, *former = (one.strip().encode() for one in keys.split(","))
        return cls(key, tuple(former))

    def message_id(self, account_id: str, domain: str, correlation: str) -> str:
        """The Message-ID (without angle brackets) of what `correlation` (command and part) names: always the same."""
        return f"m{self._token('message', account_id, correlation)}@{domain}"

    def verp(self, account_id: str, correlation: str) -> str:
        """The token of one message in its envelope: in the sender's address, where bounces go, and as ENVID."""
        return self._token("bounce", account_id, correlation)

    def reply_token(self, account_id: str, thread: str) -> str:
        """The token of a thread, in the address that answers go to. `thread` names it, in the words of its root."""
        return self._token("reply", account_id, thread)

    def is_own(self, account_id: str, message_id: str) -> bool:
        """Whether a Message-ID (without angle brackets) is one that this account has given a message of ours."""
        found = _MESSAGE_ID.match(message_id.lower())
        return found is not None and self.accepts("message", account_id, found[1])

    def accepts(self, kind: Kind, account_id: str, token: str) -> bool:
        """Whether a token was made here, for this account and as this kind."""
        given, body = token[_BODY:].encode(), token[:_BODY]
        return any(
            hmac.compare_digest(given, _check(key, kind, account_id, body).encode()) for key in (self.key, *self.former)
        )

    def _token(self, kind: Kind, account_id: str, of: str) -> str:
        body = _digest(self.key, kind, account_id, of)[:_BODY]
        return body + _check(self.key, kind, account_id, body)


def _check(key: bytes, kind: Kind, account_id: str, body: str) -> str:
    return _digest(key, f"check {kind}", account_id, body)[:_CHECK]


def _digest(key: bytes, *parts: str) -> str:
    said = b"".join(b"%d:%b" % (len(part.encode()), part.encode()) for part in parts)
    digest = hmac.digest(key, b"email tokens " + said, hashlib.sha256)
    return base64.b32encode(digest).decode().lower()


def report_name(token: str) -> str:
    """What a message goes by that a report names by its token alone."""
    return f"v:{token}"


def bounce_address(token: str, domain: str) -> str:
    """The envelope sender of one message."""
    return f"bounce+b{token}@{domain}"


def reply_address(token: str, address: str) -> str:
    """The account's address with the token of a thread as its plus part."""
    local, _, domain = address.rpartition("@")
    return f"{local}+r{token}@{domain}"


def read_recipient(local_part: str) -> tuple[Kind, str] | None:
    """The kind and the token of an address we have given out, by its local part; None for any other address.

    Some relays write an equals sign for the plus. Whose token it is, and whether it is one at all, `Tokens.accepts`
    tells.
    """
    found = _RECIPIENT.search(local_part.lower())
    return (_KINDS[found[1]], found[2]) if found else None
