"""How fast providers let accounts send, as they said themselves; kept for all replicas."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from shared.channel import Account
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Rate
from shared.runtime.accounts.registry import AccountRegistry
from shared.state.store import Store

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
