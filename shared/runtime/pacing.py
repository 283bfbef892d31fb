"""Pacing: rates shared by all replicas, and how many calls one account may have under way here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from pydantic import ValidationError

from shared.channel import Account
from shared.contract.capabilities import Capabilities, Rate, Rates
from shared.state import keys
from shared.state.store import Store
from shared.stream.errors import NotNow

BUSY_SECONDS = 0.05


class TooFar(Exception):
    """The next free moment is further away than a lane waits; `wait` in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


class Pacer:
    """Grants moments to send. A granted moment is kept until it is used, so that nobody asks twice."""

    def __init__(self, capabilities: Capabilities, store: Store, *, account_slots: int, short_wait: float) -> None:
        self._channel = capabilities.channel
        self._rates = capabilities.rates
        self._store = store
        self._account_slots = account_slots
        self._short_wait = short_wait
        self._granted: dict[str, float] = {}
        self._under_way: Counter[str] = Counter()

    async def wait_for(self, account: Account, conversation_id: str, call_id: str, *, group: bool = False) -> None:
        """Return when this call may be made now.

        Raises NotNow for a short wait (the moment is reserved), TooFar for a long one, StateUnavailable.
        """
        granted = self._granted.get(call_id)
        if granted is None:
            buckets = self._buckets(account, conversation_id, group=group)
            if not buckets:
                return
            taken, wait, _ = await self._store.take(buckets, longest_wait=self._short_wait)
            if not taken:
                raise TooFar(wait)
            granted = monotonic() + wait
            if wait > 0:
                self._granted[call_id] = granted
        if (left := granted - monotonic()) > 0:
            raise NotNow(left, "rate_limited")
        self._granted.pop(call_id, None)

    def forget(self, call_id: str) -> None:
        """The call will not be made here."""
        self._granted.pop(call_id, None)

    @contextmanager
    def under_way(self, account_id: str) -> Iterator[None]:
        """Hold one of the account's places. Raises NotNow when all are taken."""
        if self._under_way[account_id] >= self._account_slots:
            raise NotNow(BUSY_SECONDS, "account_busy")
        self._under_way[account_id] += 1
        try:
            yield
        finally:
            self._under_way[account_id] -= 1
            if not self._under_way[account_id]:
                del self._under_way[account_id]

    async def hold_back(self, account: Account, conversation_id: str, scope: str, wait: float) -> None:
        """The provider has asked for a pause of the pair, the account or the app. Raises StateUnavailable."""
        await self._store.penalise(self._key(scope, account, conversation_id), wait)

    def _buckets(self, account: Account, conversation_id: str, *, group: bool) -> list[tuple[str, float, float]]:
        rates = self._of(account)
        scopes: list[tuple[str, Rate | None]] = [
            ("account", rates.account),
            ("pair", rates.group if group and rates.group else rates.pair),
            ("app", rates.app),
        ]
        return [
            (self._key(scope, account, conversation_id), rate.per_second, rate.burst)
            for scope, rate in scopes
            if rate is not None
        ]

    def _key(self, scope: str, account: Account, conversation_id: str) -> str:
        match scope:
            case "app":
                return keys.bucket(scope, self._channel)
            case "account":
                return keys.bucket(scope, self._channel, account.account_id)
            case _:
                return keys.bucket("pair", conversation_id)

    def _of(self, account: Account) -> Rates:
        """The channel's rates, as far as the account's own settings do not say otherwise."""
        own = account.record.settings.get("rates")
        if not isinstance(own, dict):
            return self._rates
        try:
            return Rates.model_validate({**self._rates.model_dump(), **own})
        except ValidationError:
            return self._rates
