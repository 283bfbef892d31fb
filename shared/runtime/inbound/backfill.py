"""History: what was said while nobody listened, put on the raw topic like anything that comes in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from shared.channel import Account, Channel, Event, RawItem, ReadsHistory, ReceivedItem
from shared.contract.events import EventType
from shared.runtime.inbound.raw import RawWriter
from shared.state.store import Store


class Fetched(NamedTuple):
    """How many conversations were read, and how many items of them are on the raw topic."""

    conversations: int
    items: int


async def backfill(
    channel: Channel,
    history: ReadsHistory,
    account: Account,
    writer: RawWriter,
    store: Store,
    *,
    since: datetime,
    peer: str | None = None,
) -> Fetched:
    """Fetch what the provider shows of an account's conversations (`history` is the channel), or of one.

    What is on the inbound topic already is published with the same `ce_id` or not at all: normalise sees to that.
    Messages that this service has sent are left out, their statuses have told of them. It may be done again at any
    time. Raises ProviderError, LogUnavailable, StateUnavailable; what was written by then stays.
    """
    conversations = items = 0
    async for batch in history.backfill(account, since, peer):
        ours = [replace(item, account_id=account.account_id) for item in batch.items]
        written = [item for item in ours if not await _sent_by_us(channel, account, item, store)]
        await writer.write(written)
        conversations += 1
        items += len(written)
    return Fetched(conversations, items)


async def _sent_by_us(channel: Channel, account: Account, item: RawItem, store: Store) -> bool:
    """Whether an item is nothing but a message that a command has sent."""
    try:
        outcomes = channel.normalise(ReceivedItem(account.record, item.body, datetime.now(UTC)))
    except ValueError:
        return False  # normalise will say so
    match list(outcomes):
        case [Event(type=EventType.MESSAGE_ECHOED, provider_ref=str(ref))]:
            return await store.sent(channel.capabilities.channel, account.account_id, ref) is not None
    return False
