"""Sealed credentials: anyone can write them onto the accounts topic, only the connectors can read them.

Two texts are read. `v2:` and base64 of a sealed box over `{"channel", "workspace_id", "account_id", "credentials"}`: it
opens in the record of that account alone, so that a copy in another's record is of no use. Base64 of a sealed box over
the bare credentials is the older one, which says nothing about whose they are.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from shared.contract.accounts import AccountRecord

BOUND = "v2:"


class CannotOpen(ValueError):
    """Sealed to another key, damaged, or not sealed at all."""


class SealedForAnother(CannotOpen):
    """It opens, and what is in it belongs to another account."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The credentials of a record; `bound` is false for the older text, which would open in any record."""

    credentials: dict[str, str] = field(repr=False)
    bound: bool


def new_key() -> str:
    """A private key, base64."""
    return b64encode(bytes(PrivateKey.generate())).decode()


def public_key(private_key: str) -> str:
    """The public key of a private one; both base64. Raises CannotOpen for what is no key."""
    return b64encode(bytes(_private(private_key).public_key)).decode()


def seal(content: Mapping[str, str], to_public_key: str) -> str:
    """A JSON object as base64 that only the owner of the private key can open."""
    return _sealed(dict(content), to_public_key)


def unseal(sealed: str, private_key: str) -> dict[str, str]:
    """What `seal` was given. Raises CannotOpen."""
    return _texts(_opened(sealed, private_key))


def seal_credentials(credentials: Mapping[str, str], record: AccountRecord, to_public_key: str) -> AccountRecord:
    """The record with the credentials sealed for it: they open nowhere else."""
    content = {**_owner(record), "credentials": dict(credentials)}
    return record.model_copy(update={"sealed": BOUND + _sealed(content, to_public_key)})


def unseal_credentials(record: AccountRecord, private_key: str) -> Opened:
    """The credentials of a record, none where nothing is sealed. Raises CannotOpen, SealedForAnother."""
    if record.sealed is None:
        return Opened({}, bound=True)
    if not record.sealed.startswith(BOUND):
        return Opened(unseal(record.sealed, private_key), bound=False)
    content = _opened(record.sealed.removeprefix(BOUND), private_key)
    if any(content.get(name) != value for name, value in _owner(record).items()):
        raise SealedForAnother("sealed for another account")
    credentials = content.get("credentials")
    if not isinstance(credentials, dict):
        raise CannotOpen("no credentials in it")
    return Opened(_texts(credentials), bound=True)


def _owner(record: AccountRecord) -> dict[str, str]:
    return {"channel": record.channel, "workspace_id": record.workspace_id, "account_id": record.account_id}


def _sealed(content: Mapping[str, object], to_public_key: str) -> str:
    box = SealedBox(PublicKey(b64decode(to_public_key)))
    return b64encode(box.encrypt(orjson.dumps(content))).decode()


def _opened(sealed: str, private_key: str) -> dict[str, object]:
    key = _private(private_key)
    try:
        opened = orjson.loads(SealedBox(key).decrypt(b64decode(sealed)))
    except (CryptoError, ValueError) as failure:
        raise CannotOpen(type(failure).__name__) from None
    if not isinstance(opened, dict):
        raise CannotOpen("not an object")
    return opened


def _texts(content: Mapping[str, object]) -> dict[str, str]:
    return {str(name): str(value) for name, value in content.items()}


def _private(key: str) -> PrivateKey:
    try:
        return PrivateKey(b64decode(key, validate=True))
    except (CryptoError, ValueError, TypeError):
        raise CannotOpen("not a private key: 32 bytes in base64 are expected") from None
