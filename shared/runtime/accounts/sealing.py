"""Sealed credentials: anyone can write them onto the accounts topic, only the connectors can read them.

Two texts are read. `v2:` and base64 of a sealed box over `{"channel", "workspace_id", "account_id", "credentials"}`: it
opens in the record of that account alone, so that a copy in another's record is of no use. Base64 of a sealed box over
the bare credentials is the older one, which says nothing about whose they are.

The private keys of a service are base64 with commas between them: the first is the one that is sealed to, and all of
them open. Where a text takes `private_keys`, one key alone is such a list, too.
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


def public_key(private_keys: str) -> str:
    """The public key that is sealed to, base64. Raises CannotOpen where any of the keys is none."""
    return b64encode(bytes(_private(private_keys)[0].public_key)).decode()


def first_of(private_keys: str) -> str:
    """The key that is sealed to, without those that only open."""
    return private_keys.partition(",")[0].strip()


def seal(content: Mapping[str, str], to_public_key: str) -> str:
    """A JSON object as base64 that only the owner of the private key can open. Raises CannotOpen for what is no key."""
    return _sealed(dict(content), to_public_key)


def unseal(sealed: str, private_keys: str) -> dict[str, str]:
    """What `seal` was given. Raises CannotOpen."""
    return _texts(_opened(sealed, private_keys))


def seal_credentials(credentials: Mapping[str, str], record: AccountRecord, to_public_key: str) -> AccountRecord:
    """The record with the credentials sealed for it: they open nowhere else."""
    content = {**_owner(record), "credentials": dict(credentials)}
    return record.model_copy(update={"sealed": BOUND + _sealed(content, to_public_key)})


def unseal_credentials(record: AccountRecord, private_keys: str) -> Opened:
    """The credentials of a record, none where nothing is sealed. Raises CannotOpen, SealedForAnother."""
    if record.sealed is None:
        return Opened({}, bound=True)
    if not record.sealed.startswith(BOUND):
        return Opened(unseal(record.sealed, private_keys), bound=False)
    content = _opened(record.sealed.removeprefix(BOUND), private_keys)
    if any(content.get(name) != value for name, value in _owner(record).items()):
        raise SealedForAnother("sealed for another account")
    credentials = content.get("credentials")
    if not isinstance(credentials, dict):
        raise CannotOpen("no credentials in it")
    return Opened(_texts(credentials), bound=True)


def reseal_credentials(record: AccountRecord, private_keys: str) -> AccountRecord:
    """The record with the same credentials in the same form, sealed to the first key; itself where that opens it.

    Text of the older form stays of that form: nobody has said whose it is. Raises CannotOpen, SealedForAnother.
    """
    try:
        unseal_credentials(record, first_of(private_keys))
    except SealedForAnother:
        raise
    except CannotOpen:
        opened = unseal_credentials(record, private_keys)
        if opened.bound:
            return seal_credentials(opened.credentials, record, public_key(private_keys))
        return record.model_copy(update={"sealed": seal(opened.credentials, public_key(private_keys))})
    return record


def _owner(record: AccountRecord) -> dict[str, str]:
    return {"channel": record.channel, "workspace_id": record.workspace_id, "account_id": record.account_id}


def _sealed(content: Mapping[str, object], to_public_key: str) -> str:
    try:
        box = SealedBox(PublicKey(b64decode(to_public_key, validate=True)))
    except (CryptoError, ValueError, TypeError):
        raise CannotOpen("not a public key: 32 bytes in base64 are expected") from None
    return b64encode(box.encrypt(orjson.dumps(content))).decode()


def _opened(sealed: str, private_keys: str) -> dict[str, object]:
    failed: Exception | None = None
    for key in _private(private_keys):
        try:
            opened = orjson.loads(SealedBox(key).decrypt(b64decode(sealed)))
        except (CryptoError, ValueError) as failure:
            failed = failed or failure
            continue
        if not isinstance(opened, dict):
            raise CannotOpen("not an object")
        return opened
    raise CannotOpen(type(failed).__name__)


def _texts(content: Mapping[str, object]) -> dict[str, str]:
    return {str(name): str(value) for name, value in content.items()}


def _private(keys: str) -> list[PrivateKey]:
    try:
        return [PrivateKey(b64decode(key.strip(), validate=True)) for key in keys.split(",")]
    except (CryptoError, ValueError, TypeError):
        which = "one of them is no private key" if "," in keys else "not a private key"
        raise CannotOpen(f"{which}: 32 bytes in base64 are expected") from None
