"""Sealed credentials: anyone can write them onto the accounts topic, only the connectors can read them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping

import orjson
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox


class CannotOpen(ValueError):
    """Sealed to another key, damaged, or not sealed at all."""


def new_key() -> str:
    """A private key, base64."""
    return b64encode(bytes(PrivateKey.generate())).decode()


def public_key(private_key: str) -> str:
    """The public key of a private one; both base64. Raises CannotOpen for what is no key."""
    return b64encode(bytes(_private(private_key).public_key)).decode()


def seal(credentials: Mapping[str, str], to_public_key: str) -> str:
    """Credentials as base64 that only the owner of the private key can open."""
    box = SealedBox(PublicKey(b64decode(to_public_key)))
    return b64encode(box.encrypt(orjson.dumps(dict(credentials)))).decode()


def unseal(sealed: str, private_key: str) -> dict[str, str]:
    """The credentials. Raises CannotOpen."""
    try:
        opened = orjson.loads(SealedBox(_private(private_key)).decrypt(b64decode(sealed)))
    except (CryptoError, ValueError) as failure:
        raise CannotOpen(type(failure).__name__) from None
    if not isinstance(opened, dict):
        raise CannotOpen("not an object")
    return {str(name): str(value) for name, value in opened.items()}


def _private(key: str) -> PrivateKey:
    try:
        return PrivateKey(b64decode(key, validate=True))
    except (CryptoError, ValueError, TypeError):
        raise CannotOpen("not a private key") from None
