"""Pacing: when a call may be made, by rates that all replicas share."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from shared.channel import Account
from shared.contract.capabilities import Rate, Rates
from shared.runtime.accounts.capabilities import AccountCapabilities
from shared.runtime.waiting.slots import AccountSlots
from shared.state import keys
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.errors import NotNow

# Moments further ahead than this are not given away: the account's future would fill with commands that may yet be
# cancelled.
HORIZON_SECONDS = 900.0


def app_bucket(channel: str) -> str:
    """The key of the rate that all accounts of a channel's app share."""
    return keys.bucket(channel, "app")


async def overdraw(store: Store, channel: str, rate: Rate) -> None:
    """Draw a call from the app's rate that cannot wait: later ones wait for it. It is made without the store, too."""
    with suppress(StateUnavailable):
        await store.take([(app_bucket(channel), rate.per_second, rate.burst)], longest_wait=HORIZON_SECONDS)


class TooFar(Exception):
    """The next free moment is further away than a lane waits; `wait` in seconds until it, or until asking again."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


@dataclass(slots=True)
class _Moment:
    """When a call may be made (monotonic seconds), and whose it is; `app` is a rate it has yet to be drawn from."""

    at: float
    account_id: str
    conversation_id: str
    app: Rate | None

    def concerns(self, scope: str, account_id: str, conversation_id: str) -> bool:
        match scope:
            case "app":
                return True
            case "account":
                return self.account_id == account_id
            case _:
                return self.conversation_id == conversation_id


class Pacer:
    """Grants moments to send, in the order they are asked for, among all replicas; `slots` are for this one alone."""

    def __init__(
        self, channel: str, store: Store, abilities: AccountCapabilities, slots: AccountSlots, *, short_wait: float
    ) -> None:
        self.slots = slots
        self._name = channel
        self._store = store
        self._abilities = abilities
        self._short_wait = short_wait
        self._granted: dict[str, _Moment] = {}

    async def wait_for(self, account: Account, conversation_id: str, call_id: str, *, group: bool = False) -> None:
        """Return when this call may be made now.

        Raises NotNow for a short wait, TooFar for a long one, StateUnavailable. Either way the moment stays reserved
        for this call until it is used or forgotten.
        """
        granted = self._granted.get(call_id)
        if granted is None:
            rates = (await self._abilities.of(account.record)).rates
            wait = await self._reserve(self._buckets(rates, account, conversation_id, group=group))
            granted = _Moment(monotonic() + wait, account.account_id, conversation_id, rates.app)
            self._granted[call_id] = granted
        self._wait(granted)
        if granted.app is not None:
            # Not before: who waits for its account would hold moments of the app that other accounts can use.
            wait = await self._reserve([(app_bucket(self._name), granted.app.per_second, granted.app.burst)])
            granted.at, granted.app = monotonic() + wait, None
            self._wait(granted)

    async def _reserve(self, buckets: list[tuple[str, float, float]]) -> float:
        """Seconds until the moment that is ours now."""
        if not buckets:
            return 0.0
        taken, wait, _ = await self._store.take(buckets, longest_wait=HORIZON_SECONDS)
        if not taken:
            raise TooFar(HORIZON_SECONDS / 2)
        return wait

    def _wait(self, granted: _Moment) -> None:
        left = granted.at - monotonic()
        if left > self._short_wait:
            raise TooFar(left)
        if left > 0:
            raise NotNow(left, "rate_limited")

    async def overdraw(self, account: Account) -> None:
        """A message is sent once more, without another moment: where the whole app has a rate, it counts."""
        rates = (await self._abilities.of(account.record)).rates
        if rates.app is not None:
            await overdraw(self._store, self._name, rates.app)

    def forget(self, call_id: str) -> None:
        """The moment of this call has been used, or will not be."""
        self._granted.pop(call_id, None)

    def forget_all(self) -> None:
        """The commands have gone to another process."""
        self._granted.clear()

    async def hold_back(self, account: Account, conversation_id: str, scope: str, wait: float) -> None:
        """The provider has asked for a pause of the pair, the account or the app. Raises StateUnavailable.

        Moments that were granted for the pause move behind it, as far apart as they were.
        """
        await self._store.penalise(self._key(scope, account, conversation_id), wait)
        moments = [m for m in self._granted.values() if m.concerns(scope, account.account_id, conversation_id)]
        delay = monotonic() + wait - min((moment.at for moment in moments), default=math.inf)
        for moment in moments:
            moment.at += max(0.0, delay)

    def _buckets(
        self, rates: Rates, account: Account, conversation_id: str, *, group: bool
    ) -> list[tuple[str, float, float]]:
        scopes: list[tuple[str, Rate | None]] = [
            ("account", rates.account),
            ("pair", rates.group if group and rates.group else rates.pair),
        ]
        return [
            (self._key(scope, account, conversation_id), rate.per_second, rate.burst)
            for scope, rate in scopes
            if rate is not None
        ]

    def _key(self, scope: str, account: Account, conversation_id: str) -> str:
        match scope:
            case "app":
                return app_bucket(self._name)
            case "account":
                return keys.bucket(self._name, scope, account.account_id)
            case _:
                return keys.bucket(self._name, "pair", conversation_id)
