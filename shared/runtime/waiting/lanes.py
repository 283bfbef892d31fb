"""Lanes and parking groups: what a record waits behind, and what it waits for."""

from __future__ import annotations

from shared.contract import ids
from shared.contract.commands import CommandType
from shared.stream.records import Record, header

# These act on what is queued and must not queue behind it.
OVERTAKING = frozenset({CommandType.MESSAGE_CANCEL, CommandType.CONTACT_BLOCK, CommandType.CONTACT_UNBLOCK})
_OVERTAKING_TYPES = frozenset(f"channels.{kind}.v1".encode() for kind in OVERTAKING)
_TYPING_PREFIX = b"channels.typing."
_ACCOUNT_GROUP = "account "
_OUTAGE_GROUP = "outage "


def lane_of(record: Record) -> bytes:
    """The lane of a record: its conversation's, or one beside it for what must overtake."""
    key = record.key or b""
    return b"\x00" + key if header(record, "ce_type") in _OVERTAKING_TYPES else key


def account_called(record: Record) -> str | None:
    """The account at whose provider a command will call, where its key says it; None for what makes no call."""
    if header(record, "ce_type") in _OVERTAKING_TYPES:
        return None
    try:
        return ids.split_conversation_id((record.key or b"").decode())[1]
    except ValueError:
        return None


def lane_group(record: Record) -> str:
    """The parking group of what waits for a time of its own: its conversation."""
    return f"lane {(record.key or b'').decode('utf-8', 'replace')}"


def account_group(account_id: str) -> str:
    """The parking group of what waits for its account to recover."""
    return _ACCOUNT_GROUP + account_id


def account_of(group: str) -> str | None:
    """The account whose recovery a parking group waits for, or None."""
    return group.removeprefix(_ACCOUNT_GROUP) if group.startswith(_ACCOUNT_GROUP) else None


def outage_group(account_id: str) -> str:
    """The parking group of what waits for the provider to answer an account again."""
    return _OUTAGE_GROUP + account_id


def account_in_outage(group: str) -> str | None:
    """The account for whose provider a parking group waits, or None."""
    return group.removeprefix(_OUTAGE_GROUP) if group.startswith(_OUTAGE_GROUP) else None


def is_typing(record: Record) -> bool:
    return (header(record, "ce_type") or b"").startswith(_TYPING_PREFIX)
