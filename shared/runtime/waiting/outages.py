"""Outages: an account whose provider gives no useful answers is held, tried with harmless calls, and let go by ramp."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import NamedTuple

import structlog

from shared.channel import Account, Channel, ChecksSending, Failure, HealthChange, ProviderError
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode
from shared.contract.events import Health
from shared.policy.breaker import CircuitBreaker
from shared.runtime import metrics
from shared.runtime.accounts.health import PAUSED, AccountsHealth
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.waiting.stillness import Stillness
from shared.stream.errors import LogUnavailable

log = structlog.get_logger()

TRIAL_SECONDS = 10.0
TRIALS_AT_ONCE = 8
RAMP_SECONDS = 0.2
BRIEF_SECONDS = 1.0  # for so long the outcome of a first trial is waited for in the lane: most take milliseconds
SEVERAL = 3  # accounts in a row whose breakers open, with no good answer of any: then the host is suspected

Wake = Callable[[str, int | None], object]


class Held(Exception):
    """The account is held. `until`: the provider has asked for silence so long; None where nobody knows.

    `briefly`: it is only being tried before its next message.
    """

    def __init__(self, until: datetime | None, *, briefly: bool) -> None:
        super().__init__(until)
        self.until = until
        self.briefly = briefly


class Entered(NamedTuple):
    """A call under way: of which period of its breaker, and since when."""

    period: int
    at: float


class Outages:
    """One circuit breaker per account that is in trouble; the others have none.

    The host is held through its accounts: when several have opened in a row and no account has got a good answer
    since, each of the others is tried before its next message. So is an account that another replica has said to be
    `degraded`, and one whose records were parked for an outage when this process took them over.
    """

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        health: AccountsHealth,
        wake: Wake,
        *,
        width: int,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`wake(account_id, most)` lets commands that were parked for the account go on: `most` of them, or all.

        `width`: calls of an account at once when all is well.
        """
        self._channel = channel
        self._name = channel.capabilities.channel
        self._checks = channel if isinstance(channel, ChecksSending) else None
        self._accounts = accounts
        self._health = health
        self._wake = wake
        self._width = width
        self._clock = clock
        self._sleep = sleep
        self._breakers: dict[str, CircuitBreaker] = {}
        self._mending: dict[str, asyncio.Task[None]] = {}
        self._opened: set[str] = set()  # since the last good answer of any account
        self._proven: set[str] = set()  # tried and found good while the host is suspected
        self._doubted: set[str] = set()  # to be tried before their next message
        self._tried_first: dict[str, float] = {}  # when a first trial began
        self._trials = asyncio.Semaphore(TRIALS_AT_ONCE)
        self._stillness = Stillness()
        health.on_degraded(self._doubted.add)

    # --- calls

    def check(self, account_id: str) -> None:
        """Raises Held while no call of the account may begin."""
        if self._doubted or len(self._opened) >= SEVERAL:
            self._try_first(account_id)
        breaker = self._breakers.get(account_id)
        if breaker is not None and breaker.room == 0:
            began = self._tried_first.get(account_id)
            briefly = began is not None and self._clock() - began < BRIEF_SECONDS
            raise Held(self._asked_until(breaker), briefly=briefly)

    def enter(self, account_id: str) -> Entered:
        """A call begins, straight after `check` has let it; what to give to `leave`."""
        breaker = self._breakers.get(account_id)
        return Entered(0 if breaker is None else breaker.enter(), self._stillness.now())

    def leave(self, account_id: str, entered: Entered, failure: Failure | None, *, answered: bool = True) -> None:
        """A call has ended: with `failure`, or well. `answered` False: it ended before the provider was asked.

        What fails while this process itself stands still says nothing of the provider.
        """
        period = entered.period
        good = _says(failure) if answered else None
        if good is False and self._stillness.since(entered.at):
            good = None
        breaker = self._breakers.get(account_id)
        if good:
            self._opened.clear()
            self._proven.clear()
        if breaker is None:
            if good is not False:
                return
            breaker = self._breakers[account_id] = CircuitBreaker(self._width, self._clock)
            period = breaker.enter()
        was_open = breaker.open
        breaker.leave(period, good, failure.retry_after or 0.0 if failure else 0.0)
        if breaker.open and not was_open:
            self._opened.add(account_id)
            self._begin(account_id)
        elif breaker.spotless:
            del self._breakers[account_id]

    def held(self, account_id: str) -> bool:
        """The account's breaker is open: a question about a message would not be answered either."""
        breaker = self._breakers.get(account_id)
        return breaker is not None and breaker.open

    def holds(self, account_id: str) -> bool:
        """Something will still let commands go on that are parked for the account."""
        return account_id in self._mending

    # --- trying

    def try_first(self, account_id: str) -> None:
        """Try the way before the next call, and let what is parked for the account go on by ramp."""
        breaker = self._breakers.get(account_id)
        if breaker is None:
            breaker = self._breakers[account_id] = CircuitBreaker(self._width, self._clock)
        if breaker.closed:
            breaker.hold(trial_now=True)
            self._begin(account_id)

    def _try_first(self, account_id: str) -> None:
        suspected = len(self._opened) >= SEVERAL and account_id not in self._proven
        if account_id in self._doubted or suspected:
            self._doubted.discard(account_id)
            self._proven.add(account_id)
            self._tried_first[account_id] = self._clock()
            self.try_first(account_id)

    def _begin(self, account_id: str) -> None:
        """The account's breaker has opened."""
        metrics.HELD_ACCOUNTS.labels(self._name).set(len(self._breakers))
        task = self._mending.get(account_id)
        if task is None or task.done():
            self._mending[account_id] = asyncio.create_task(self._mend(account_id))

    async def _mend(self, account_id: str) -> None:
        """Until the breaker is closed, or the account gone: try the way, then let the queue go on."""
        told = False
        began = self._clock()
        try:
            while (breaker := self._breakers.get(account_id)) is not None and not breaker.closed:
                account = self._accounts.served(account_id)
                if account is None:
                    break
                if not breaker.open:
                    breaker.rest()
                    self._wake(account_id, breaker.room)
                    await self._sleep(RAMP_SECONDS)
                    continue
                if breaker.trial_at > self._clock():
                    if not told:
                        told = await self._tell(account)
                    await self._sleep(min(1.0, max(0.01, breaker.trial_at - self._clock())))
                    continue
                good, retry_after = await self._try(account)
                breaker.tried(good, retry_after)
        finally:
            self._mending.pop(account_id, None)
            self._tried_first.pop(account_id, None)
            self._opened.discard(account_id)
            if (breaker := self._breakers.get(account_id)) is not None and (breaker.spotless or breaker.open):
                del self._breakers[account_id]
            metrics.HELD_ACCOUNTS.labels(self._name).set(len(self._breakers))
        if told:
            log.info("provider_answers", account_id=account_id, after_seconds=round(self._clock() - began, 1))
        self._wake(account_id, None)

    async def _tell(self, account: Account) -> bool:
        """Say that the account is held: in the log, and to the other replicas and the inbox as its health."""
        log.warning("provider_unavailable", channel=self._name, account_id=account.account_id)
        if self._health.of(account.account_id) not in PAUSED:
            try:
                change = HealthChange(Health.DEGRADED, ErrorCode.PROVIDER_UNAVAILABLE)
                await self._health.learn(account, change)
            except LogUnavailable:
                pass  # the others find out by themselves
            self._doubted.discard(account.account_id)
        return True

    async def _try(self, account: Account) -> tuple[bool, float]:
        """Whether the way is good, and in how many seconds the provider wants to be asked again."""
        if self._checks is None:
            return True, 0.0  # then a message of the account tries it, one at a time
        async with self._trials:
            try:
                async with asyncio.timeout(TRIAL_SECONDS):
                    await self._checks.check_sending(account)
            except ProviderError as refused:
                return _says(refused.failure) is not False, refused.failure.retry_after or 0.0
            except TimeoutError:
                return False, 0.0
            except Exception as bug:  # of ours: the next message will show
                log.error("check_sending_failed", channel=self._name, exc_info=bug)
        return True, 0.0

    def _asked_until(self, breaker: CircuitBreaker) -> datetime | None:
        if breaker.asked_until is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=max(0.0, breaker.asked_until - self._clock()))

    async def close(self) -> None:
        """Stop trying."""
        self._stillness.close()
        tasks = list(self._mending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _says(failure: Failure | None) -> bool | None:
    """What the end of a call says of the way: good, bad, or nothing."""
    if failure is None:
        return True
    if not failure.certain:
        return False
    match ERRORS[failure.code].error_class:
        case ErrorClass.TRANSIENT:
            return False
        case ErrorClass.RATE | ErrorClass.ACCOUNT | ErrorClass.INTERNAL:
            return None
        case _:
            return True
