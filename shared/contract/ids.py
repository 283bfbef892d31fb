"""Deterministic ids: the same provider fact always gets the same id, on every replica and on every replay."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from uuid import UUID

# Changing this value changes every message link that was ever copied: it never changes.
_NAMESPACE = UUID("6f2b9a52-7a0e-5d55-9b0c-3d1a8f3f6c11").bytes


@lru_cache(4096)  # a record's ids are asked for when it is looked up, written and remembered
def _derived(*parts: str) -> str:
    # Length prefixes keep ("a:b", "c") and ("a", "b:c") apart.
    name = "".join([f"{len(part)}:{part}" for part in parts])
    # The UUIDv5 of RFC 9562, as `uuid.uuid5` makes it, at a quarter of its cost: every record takes several.
    digest = bytearray(hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def conversation_id(channel: str, account_id: str, peer: str) -> str:
    """`<channel>:<account_id>:<peer>`; opaque to everyone but the channel that made the peer."""
    return f"{channel}:{account_id}:{peer}"


def split_conversation_id(value: str) -> tuple[str, str, str]:
    """Channel, account id and peer of a conversation id. Raises ValueError for anything else."""
    parts = value.split(":", 2)
    if len(parts) != 3 or not all(parts):
        raise ValueError("not a conversation id")
    return parts[0], parts[1], parts[2]


@lru_cache(4096)  # asked several times about each name of a payload
def personal_peer(value: str) -> str:
    """A peer for an identity that is personal data (a phone number, an address).

    Conversation ids are record keys and log fields, where personal data must not stand.
    """
    return "p-" + hashlib.blake2s(value.encode(), digest_size=15, person=b"peer").hexdigest()


def message_id(channel: str, account_id: str, provider_message_id: str) -> str:
    """Our id of a provider's message; `provider_message_id` must be unique within the account."""
    return _derived("message", channel, account_id, provider_message_id)


def part_message_id(command_id: str, part: int) -> str:
    """Our id of an outbound part, known before the provider has given it one."""
    return _derived("part", command_id, str(part))


def event_id(channel: str, account_id: str, provider_id: str, kind: str) -> str:
    """`ce_id` of an event that has a provider id: a redelivered webhook makes the same one."""
    return _derived("event", channel, account_id, provider_id, kind)


def status_id(command_id: str, part: int, state: str, detail: str = "") -> str:
    """`status_id` and `ce_id` of a status: the same fact reported twice has one id."""
    return _derived("status", command_id, str(part), state, detail)


def attachment_id(message: str, index: int, file: str | None = None) -> str:
    """Id of the attachment at `index` (from 0) of a message.

    `file` is the provider's lasting name of the file itself, where an edit of the message may replace it.
    """
    return _derived("attachment", message, str(index), *((file,) if file else ()))


def blob_key(workspace_id: str, account_id: str, attachment: str) -> str:
    """Object key of an attachment: known before the file is, and free of personal data."""
    return f"{workspace_id}/{account_id}/{attachment[:2]}/{attachment}"


# Object keys of the connectors' own, whatever a workspace may be called.
OWN_BLOBS = frozenset({"raw-blob", "fetched"})
# Nothing that a store, a file system or a URL might take for another place: controls, backslashes, and the signs that
# make one up when they are decoded, once or twice.
_ODD_KEY = re.compile(r"[\x00-\x1f\x7f\\]|%(?:2e|2f|5c|0|1|7f|25)", re.I)


def is_blob_of(workspace_id: str, key: str) -> bool:
    """Whether a command of a workspace may name this object key: it begins with `<workspace_id>/` and stays there.

    The rest is any path without empty, `.` and `..` steps; the key has at most 1,024 bytes (the bound of S3).
    """
    first, *steps = key.split("/")
    inside = first == workspace_id and first not in OWN_BLOBS and len(steps) > 0
    return (
        inside
        and not any(step in ("", ".", "..") for step in steps)
        and _ODD_KEY.search(key) is None
        and len(key.encode("utf-8", "replace")) <= 1024
    )
