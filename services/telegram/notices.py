"""Notices about the account itself."""

from __future__ import annotations

from typing import Any

from services.telegram.arrival import Arrival
from shared.channel import Event
from shared.contract.base import Timestamp
from shared.contract.events import AccountNotice, EventType


def notice(
    arrival: Arrival,
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
            **arrival.common(None, at or arrival.item.received_at),
            "notice": name,
            "severity": severity,
            "text": text,
            "values": values or {},
        }
    )
    return Event(EventType.ACCOUNT_NOTICE, data, f"{name}:{arrival.update_ref}")
