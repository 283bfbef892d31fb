"""What events of every channel share: fields, ids, notices about the account."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from shared.channel import Event, ReceivedItem
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.events import AccountNotice, EventType, Health

Severity = Literal["info", "warning", "critical"]


def facts(item: ReceivedItem, peer: str | None, at: datetime) -> dict[str, Any]:
    """The fields of every event: what happened `at`, in the conversation with `peer`, or to the account itself."""
    account = item.account
    about = f"{account.channel}:{account.account_id}"
    return {
        "channel": account.channel,
        "workspace_id": account.workspace_id,
        "account_id": account.account_id,
        "conversation_id": about if peer is None else f"{about}:{peer}",
        "occurred_at": at,
        "received_at": item.received_at,
        "sequence": item.sequence,
    }


def message_id(account: AccountRecord, ref: str) -> str:
    """Our id of a message; `ref` is its name within the account."""
    return ids.message_id(account.channel, account.account_id, ref)


def attachment_names(account: AccountRecord, message: str, index: int = 0, file: str | None = None) -> dict[str, str]:
    """`attachment_id` of a message's file, and the `blob` it will be; `file` as in `ids.attachment_id`."""
    attachment_id = ids.attachment_id(message, index, file)
    return {
        "attachment_id": attachment_id,
        "blob": ids.blob_key(account.workspace_id, account.account_id, attachment_id),
    }


def account_notice(
    item: ReceivedItem,
    notice: str,
    text: str,
    provider_id: str,
    *,
    severity: Severity = "info",
    values: dict[str, Any] | None = None,
    at: datetime | None = None,
    health: Health | None = None,
) -> Event:
    """A fact about the account itself; without `at` it is of the time of receipt."""
    data = AccountNotice(
        **facts(item, None, at or item.received_at),
        notice=notice,
        severity=severity,
        text=text,
        health=health,
        values=values or {},
    )
    return Event(EventType.ACCOUNT_NOTICE, data, provider_id)
