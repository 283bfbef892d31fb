"""What a provider reveals by the way, kept for all replicas: other names of a contact, how fast an account may send."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from shared.channel import Account, Channel, Event, Initiates, Refused
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias, Contact
from shared.contract.capabilities import Rate
from shared.contract.events import ContactUpdated, EventType
from shared.contract.topics import Topics
from shared.runtime.accounts import AccountRegistry
from shared.runtime.identity import Identities
from shared.runtime.jobs import Job
from shared.runtime.publish import event_envelope, publish
from shared.state.store import Store
from shared.stream.log import Log


class Names:
    """Keeps learned names as aliases of the conversation, and tells of those that are new."""

    def __init__(self, channel: Channel, identities: Identities, log: Log, topics: Topics) -> None:
        # Asked once: looking a protocol up takes longer than the rest of learning nothing new.
        self._initiates = channel if isinstance(channel, Initiates) else None
        self._name = channel.capabilities.channel
        self._identities = identities
        self._log = log
        self._topic = topics.inbound(self._name)

    async def learn(self, job: Job, aliases: Sequence[Alias]) -> None:
        """Raises StateUnavailable, LogUnavailable. Learning the same again changes nothing and is not told."""
        if self._initiates is None:
            return
        account_id = job.account.account_id
        _, _, peer = ids.split_conversation_id(job.conversation_id)
        added, names = [], []
        for alias in aliases:
            try:
                name, _ = self._initiates.peer_of((alias,))
            except Refused:
                continue
            if name == peer:
                continue
            names.append(name)
            if await self._identities.known(account_id, name) is None:
                added.append(alias)
        if names:
            await self._identities.resolve(account_id, peer, names)
        if added:
            await self._tell(job, added)

    async def _tell(self, job: Job, added: Sequence[Alias]) -> None:
        now = datetime.now(UTC)
        data = ContactUpdated(
            channel=self._name,
            workspace_id=job.account.workspace_id,
            account_id=job.account.account_id,
            conversation_id=job.conversation_id,
            occurred_at=now,
            received_at=now,
            contact=Contact(aliases=tuple(added)),
            added=tuple(added),
            reason="named_by_provider",
        )
        event = Event(EventType.CONTACT_UPDATED, data, provider_id=f"{job.command.command_id}|named")
        envelope = event_envelope(self._name, event, job.traceparent)
        await publish(self._log, self._topic, envelope)


FRESH_SECONDS = 15.0


class _Told(NamedTuple):
    """`whose` is the provider's id of the account, `read_at` by the clock."""

    read_at: float
    whose: str | None
    rate: Rate | None


class ToldRates:
    """How fast providers let accounts send, as they said themselves. What another replica was told is known here
    within `FRESH_SECONDS`.

    A rate belongs to the provider's account: ours with another number or bot behind it has not been told any.
    """

    def __init__(
        self, channel: str, accounts: AccountRegistry, store: Store, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._channel = channel
        self._store = store
        self._clock = clock
        self._known: dict[str, _Told] = {}
        self._changed: list[Callable[[str], None]] = []
        accounts.on_change(self._forget)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Called with the account id when its rate is another than was known here. Must not block."""
        self._changed.append(callback)

    async def of(self, account: AccountRecord) -> Rate | None:
        """The account's rate, or None where the provider has not said any. Raises StateUnavailable."""
        known = self._known.get(account.account_id)
        if known and known.whose == account.external_id and self._clock() - known.read_at < FRESH_SECONDS:
            return known.rate
        found = await self._store.rate(*self._scope(account))
        rate = Rate(per_second=found[0], burst=found[1]) if found else None
        self._know(account, rate)
        return rate

    async def learn(self, account: AccountRecord, rate: Rate) -> None:
        """The provider has said it. Raises StateUnavailable."""
        await self._store.set_rate(rate.per_second, rate.burst, *self._scope(account))
        self._know(account, rate)

    def _scope(self, account: AccountRecord) -> tuple[str, str, str]:
        return self._channel, account.account_id, account.external_id or ""

    def _know(self, account: AccountRecord, rate: Rate | None) -> None:
        before = self._known.get(account.account_id)
        self._known[account.account_id] = _Told(self._clock(), account.external_id, rate)
        if rate != (before.rate if before else None):
            for callback in self._changed:
                callback(account.account_id)

    def _forget(self, account_id: str, account: Account | None) -> None:
        if account is None:
            self._known.pop(account_id, None)
