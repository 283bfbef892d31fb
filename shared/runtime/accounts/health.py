"""Health of accounts: what was learned of them, told on `channels.account-health`, known to every replica."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from shared.channel import Account, Accounts, HealthChange
from shared.contract.errors import ErrorCode, error
from shared.contract.events import HEALTH_TYPE, AccountHealth, Health
from shared.contract.topics import Topics
from shared.runtime import metrics
from shared.runtime.accounts.rates import ToldRates
from shared.runtime.reporting.publish import fact_envelope, publish
from shared.stream.log import Log

log = structlog.get_logger()

# Nothing is sent in these states; billing is tried again now and then, because only a success can clear it.
PAUSED = frozenset({Health.REAUTH_REQUIRED, Health.BILLING_BLOCKED, Health.DISCONNECTED})
_CODES = {
    Health.REAUTH_REQUIRED: ErrorCode.ACCOUNT_REAUTH_REQUIRED,
    Health.BILLING_BLOCKED: ErrorCode.ACCOUNT_BILLING_BLOCKED,
    Health.DISCONNECTED: ErrorCode.ACCOUNT_DISCONNECTED,
}
_REFUSALS = frozenset({ErrorCode.ACCOUNT_TAKEN, ErrorCode.ACCOUNT_SEALED})  # what a record is refused for


class AccountsHealth:
    """The health of the accounts of one channel; fed by a `Table` of the health topic."""

    def __init__(self, channel: str, accounts: Accounts, log_: Log, topics: Topics, rates: ToldRates) -> None:
        self._channel = channel
        self._accounts = accounts
        self._log = log_
        self._topic = topics.account_health
        self._rates = rates
        self._known: dict[str, Health] = {}
        self._refused: set[str] = set()
        self._recovered: list[Callable[[str], None]] = []
        self._degraded: list[Callable[[str], None]] = []
        self._removed: list[Callable[[str], None]] = []

    def on_degraded(self, callback: Callable[[str], None]) -> None:
        """Called with the account id when an account is said to be degraded, by whichever replica."""
        self._degraded.append(callback)

    def on_recovery(self, callback: Callable[[str], None]) -> None:
        """Called with the account id when a paused account may send again."""
        self._recovered.append(callback)

    def on_removal(self, callback: Callable[[str], None]) -> None:
        """Called with the account id when somebody says that the account is removed."""
        self._removed.append(callback)

    def refused(self, account_id: str) -> bool:
        """Whether the last that was said of the account is that its record is refused."""
        return account_id in self._refused

    def of(self, account_id: str) -> Health:
        """The health; an account that nobody complained of is connected."""
        return self._known.get(account_id, Health.CONNECTED)

    def why_paused(self, account_id: str) -> ErrorCode | None:
        """The error code that keeps the account's queue waiting, or None when it may send."""
        health = self._known.get(account_id)
        return _CODES[health] if health in PAUSED else None

    def apply(self, key: bytes, value: bytes | None) -> None:
        """One record of the topic."""
        if value is None:
            self._forget(key.decode())
            return
        record = AccountHealth.model_validate_json(value)
        if record.channel == self._channel:
            self._set(record.account_id, record.health, record.error.code if record.error else None)

    def _set(self, account_id: str, health: Health, code: ErrorCode | None = None) -> None:
        before = self._known.get(account_id)
        (self._refused.add if code in _REFUSALS else self._refused.discard)(account_id)
        if health is before:
            return
        self._known[account_id] = health
        if before is not None:
            metrics.ACCOUNTS.labels(self._channel, before).dec()
        metrics.ACCOUNTS.labels(self._channel, health).inc()
        if before in PAUSED and health not in PAUSED:
            self._wake(account_id)
        if health is Health.DEGRADED:
            for callback in self._degraded:
                callback(account_id)
        if health is Health.REMOVED:
            for callback in self._removed:
                callback(account_id)

    def _forget(self, account_id: str) -> None:
        """Nothing is known of the account any more; it may be another channel's, of which nothing was."""
        before = self._known.pop(account_id, None)
        self._refused.discard(account_id)
        if before is not None:
            metrics.ACCOUNTS.labels(self._channel, before).dec()
        if before in PAUSED:
            self._wake(account_id)

    def _wake(self, account_id: str) -> None:
        for callback in self._recovered:
            callback(account_id)

    async def learn(self, account: Account, change: HealthChange) -> None:
        """Tell everybody when the health is another than before, and keep a rate. Raises LogUnavailable, with a rate
        StateUnavailable.

        A call with credentials that have been replaced says nothing about the new ones.
        """
        if not self._outdated(account, change):
            await self.set(account.workspace_id, account.account_id, change)
            if self._outdated(account, change):  # replaced while it was being told
                await self.set(account.workspace_id, account.account_id, HealthChange(Health.CONNECTED))
        if change.rate is not None:
            await self._rates.learn(account.record, change.rate)

    def _outdated(self, account: Account, change: HealthChange) -> bool:
        current = self._accounts.get(account.account_id)
        replaced = current is not None and current.credentials != account.credentials
        return replaced and change.health is Health.REAUTH_REQUIRED

    async def set(self, workspace_id: str, account_id: str, change: HealthChange) -> None:
        """Tell the health, also of an account that is gone. Raises LogUnavailable."""
        if change.health is None or change.health is self._known.get(account_id):
            return
        code = change.code or _CODES.get(change.health)
        record = AccountHealth(
            channel=self._channel,
            workspace_id=workspace_id,
            account_id=account_id,
            health=change.health,
            occurred_at=datetime.now(UTC),
            error=error(code) if code else None,
            detail=change.detail,
        )
        told = fact_envelope(HEALTH_TYPE, self._channel, account_id, account_id, record.occurred_at, record)
        await publish(self._log, self._topic, told)
        self._set(account_id, change.health, code)
        log.info("account_health", account_id=account_id, health=change.health)
