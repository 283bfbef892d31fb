"""An item on its way through `normalise`: whose it is, when it came, and what every event of it carries."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

from services.telegram.peers import CHANNEL, Peer
from shared.channel import ReceivedItem
from shared.contract import ids

# Telegram began in August 2013: an earlier time is no time.
_EARLIEST = datetime(2013, 1, 1, tzinfo=UTC).timestamp()
_CLOCK_SKEW = 86_400.0


class Unreadable(Exception):
    """The payload of a known kind lacks what its events need: it is told as an unknown one."""


class Received(NamedTuple):
    """The item and the id of its update; `update_ref` tells apart what has no id of its own."""

    item: ReceivedItem
    update_ref: str

    @property
    def account_id(self) -> str:
        return self.item.account.account_id

    def moment(self, seconds: float | None) -> datetime:
        """The provider's time; milliseconds are understood, an absent or absurd time is the time of receipt."""
        received_at = self.item.received_at
        if seconds is None:
            return received_at
        if seconds > 1e11:
            seconds /= 1000
        if not _EARLIEST <= seconds <= received_at.timestamp() + _CLOCK_SKEW:
            return received_at
        return datetime.fromtimestamp(seconds, UTC)

    def common(self, peer: Peer | None, occurred_at: datetime) -> dict[str, Any]:
        """The fields of every event; without a peer it is about the account."""
        account = self.item.account
        about = f"{CHANNEL}:{account.account_id}"
        return {
            "channel": CHANNEL,
            "workspace_id": account.workspace_id,
            "account_id": account.account_id,
            "conversation_id": about if peer is None else f"{about}:{peer}",
            "occurred_at": occurred_at,
            "received_at": self.item.received_at,
            "sequence": self.item.sequence,
        }

    def message_id(self, ref: str) -> str:
        """Our id of the message with this reference."""
        return ids.message_id(CHANNEL, self.account_id, ref)


def received_of(item: ReceivedItem, update: dict[str, Any]) -> Received:
    """The item of an update; one without an id is told apart by its bytes."""
    number = update.get("update_id")
    if isinstance(number, int | str) and not isinstance(number, bool) and str(number):
        return Received(item, str(number)[:32])
    return Received(item, hashlib.blake2s(item.body, digest_size=12).hexdigest())
