"""Notices about the account itself."""

from __future__ import annotations

from typing import Any

from services.telegram.receive.received import Received
from shared.channel import Event
from shared.contract.base import Timestamp
from shared.kit.facts import Severity, account_notice


def notice(
    received: Received,
    name: str,
    text: str,
    *,
    severity: Severity = "info",
    values: dict[str, Any] | None = None,
    at: Timestamp | None = None,
) -> Event:
    """A notice about the account."""
    named = f"{name}:{received.update_ref}"
    return account_notice(received.item, name, text, named, severity=severity, values=values, at=at)
