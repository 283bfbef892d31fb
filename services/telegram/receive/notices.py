"""Notices about the account itself."""

from __future__ import annotations

from typing import Any

from services.telegram.receive.received import Received
from shared.channel import Event
from shared.contract.base import Timestamp
from shared.contract.events import AccountNotice, EventType


def notice(
    received: Received,
    name: str,
    text: str,
    *,
    severity: str = "info",
    values: dict[str, Any] | None = None,
    at: Timestamp | None = None,
) -> Event:
    """A notice about the account."""
    data = AccountNotice.model_validate(
        {
            **received.common(None, at or received.item.received_at),
            "notice": name,
            "severity": severity,
            "text": text,
            "values": values or {},
        }
    )
    return Event(EventType.ACCOUNT_NOTICE, data, f"{name}:{received.update_ref}")
