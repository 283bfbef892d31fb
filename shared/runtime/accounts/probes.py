"""Asks providers now and then whether credentials still work."""

from __future__ import annotations

import asyncio

import structlog

from shared.channel import Account, Channel, Probes, ProviderError
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.accounts.registry import AccountRegistry
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.errors import LogUnavailable

log = structlog.get_logger()

_PROBES_AT_ONCE = 32


class AccountProbes:
    """Asks providers now and then whether credentials still work: once per account and period among all replicas.

    A paused account whose record changes is asked for at once: new credentials are not to wait for their turn.
    """

    def __init__(
        self, channel: Channel, accounts: AccountRegistry, store: Store, health: AccountsHealth, period: float
    ) -> None:
        self._channel = channel
        self._accounts = accounts
        self._store = store
        self._health = health
        self._period = period
        self._mended: set[str] = set()
        self._changed = asyncio.Event()
        accounts.on_change(self._note)

    def _note(self, account_id: str, account: Account | None) -> None:
        if account is not None and self._health.why_paused(account_id) is not None:
            self._mended.add(account_id)
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while isinstance(self._channel, Probes):
            next_round = clock() + self._period
            await self._round(self._channel)
            while await self._changes_before(next_round):
                for account_id in list(self._mended):
                    self._mended.discard(account_id)
                    if (mended := self._accounts.served(account_id)) is not None:
                        await self._probe(self._channel, mended)

    async def _round(self, prober: Probes) -> None:
        """Many at a time: thousands of accounts, one after the other, would outlast the period."""
        slots = asyncio.Semaphore(_PROBES_AT_ONCE)

        async def probe(account: Account) -> None:
            async with slots:
                if await self._is_due(account):
                    await self._probe(prober, account)

        await asyncio.gather(*map(probe, self._accounts))

    async def _changes_before(self, end: float) -> bool:
        """Whether a paused account changes before `end` (the loop's time); returns when one does, or at the end."""
        try:
            async with asyncio.timeout_at(end):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def _is_due(self, account: Account) -> bool:
        name = self._channel.capabilities.channel
        try:
            return await self._store.first_in(self._period * 0.9, "probe", name, account.account_id)
        except StateUnavailable:
            return False

    async def _probe(self, prober: Probes, account: Account) -> None:
        try:
            await self._health.learn(account, await prober.probe(account))
        except (ProviderError, LogUnavailable, StateUnavailable) as unknown:
            # A probe that gets no answer says nothing about the account.
            log.info("probe_failed", account_id=account.account_id, exc_info=unknown)
        except Exception as bug:  # one odd account must not end the probing of the others
            log.error("probe_failed", account_id=account.account_id, exc_info=bug)
