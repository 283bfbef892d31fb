"""An item on its way through `normalise`: whose it is, when it came, and what every event of it carries."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from services.telegram.peers import Peer
from shared.channel import ReceivedItem
from shared.kit.facts import facts, message_id
from shared.kit.loose import as_moment

# Telegram began in August 2013: an earlier time is no time.
_EARLIEST = datetime(2013, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(days=1)


class Unreadable(Exception):
    """The payload of a known kind lacks what its events need: it is told as an unknown one."""


class Received(NamedTuple):
    """The item and the id of its update; `update_ref` tells apart what has no id of its own."""

    item: ReceivedItem
    update_ref: str

    def moment(self, seconds: float | None) -> datetime:
        """The provider's time; milliseconds are understood, an absent or absurd time is the time of receipt."""
        received_at = self.item.received_at
        return as_moment(seconds, _EARLIEST, received_at + _CLOCK_SKEW) or received_at

    def facts(self, peer: Peer, occurred_at: datetime) -> dict[str, Any]:
        """The fields of every event."""
        return facts(self.item, str(peer), occurred_at)

    def message_id(self, ref: str) -> str:
        """Our id of the message with this reference."""
        return message_id(self.item.account, ref)


def received_of(item: ReceivedItem, update: dict[str, Any]) -> Received:
    """The item of an update; one without an id is told apart by its bytes."""
    number = update.get("update_id")
    if isinstance(number, int | str) and not isinstance(number, bool) and str(number):
        return Received(item, str(number)[:32])
    return Received(item, hashlib.blake2s(item.body, digest_size=12).hexdigest())
