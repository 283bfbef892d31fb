"""Keeps `channels.capabilities` in step with the accounts that are served."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import uniform

import structlog

from shared.channel import Account, HealthChange
from shared.contract.capabilities import CAPABILITIES_TYPE, CapabilityRecord
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.contract.topics import Topics
from shared.runtime.accounts.capabilities import AccountCapabilities
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.accounts.rates import ToldRates
from shared.runtime.accounts.registry import AccountRegistry, Standing
from shared.runtime.reporting.publish import fact_envelope, publish
from shared.state.client import StateUnavailable
from shared.stream.errors import LogUnavailable, RecordTooLarge
from shared.stream.log import Log

log = structlog.get_logger()
_LONGEST_NAP = 1.0
DOUBT_SECONDS = 1.0  # replicas hear of a change one by one: before one contradicts another it waits so long, or twice
_REFUSALS = {
    Standing.TAKEN: (ErrorCode.ACCOUNT_TAKEN, "Another account has this external_id."),
    Standing.SEALED_FOR_ANOTHER: (ErrorCode.ACCOUNT_SEALED, "What is sealed in it belongs to another account."),
}


class AccountTeller:
    """Keeps `channels.capabilities` in step with the accounts, and says of those that go that they are gone.

    Of an account whose record this replica cannot open it says nothing. What another replica has said wrongly, because
    it could not, is said anew: capabilities that were taken away, an account that is removed and yet there.
    """

    def __init__(
        self,
        channel: str,
        accounts: AccountRegistry,
        abilities: AccountCapabilities,
        health: AccountsHealth,
        rates: ToldRates,
        log_: Log,
        topics: Topics,
    ) -> None:
        self._name = channel
        self._accounts = accounts
        self._abilities = abilities
        self._health = health
        self._log = log_
        self._topic = topics.capabilities
        self._changed = dict.fromkeys(accounts.standings())
        self._doubted: dict[str, float] = {}  # account → when to look at it (the loop's time)
        self._woken = asyncio.Event()
        self._told: dict[str, CapabilityRecord] = {}
        accounts.on_change(self._note)
        accounts.on_standing(self._note)
        rates.on_change(self._note)
        health.on_removal(self._doubt)

    def _note(self, account_id: str, _: object = None) -> None:
        self._changed[account_id] = None
        self._woken.set()

    def _doubt(self, account_id: str) -> None:
        """What was said of the account may be wrong; not every replica is to say so in the same moment."""
        if account_id not in self._doubted:
            now = asyncio.get_running_loop().time()
            self._doubted[account_id] = now + uniform(DOUBT_SECONDS, 2 * DOUBT_SECONDS)
            self._woken.set()

    def apply(self, key: bytes, value: bytes | None) -> None:
        """One record of the topic: what has been told is not told again."""
        account_id = key.decode()
        record = CapabilityRecord.model_validate_json(value) if value else None
        if record is None:
            self._told.pop(account_id, None)
        elif record.capabilities.channel == self._name:
            self._told[account_id] = record
        else:
            return
        if (account_id in self._told) is not (self._accounts.served(account_id) is not None):
            self._doubt(account_id)

    async def run(self) -> None:
        """Until cancelled. Begins with those that have come or gone while nobody was there."""
        self._changed |= dict.fromkeys(self._told)
        while True:
            while self._changed:
                account_id = next(iter(self._changed))
                del self._changed[account_id]
                try:
                    await self._tell(account_id)
                except (LogUnavailable, StateUnavailable):
                    self._changed[account_id] = None
                    await asyncio.sleep(_LONGEST_NAP)
                except RecordTooLarge:  # told again when the account changes, or by the next start
                    log.error("capabilities_not_told", account_id=account_id, why="too large for the topic")
            self._woken.clear()
            await self._nap()

    async def _nap(self) -> None:
        """Until something changes, or something doubtful is to be looked at."""
        try:
            async with asyncio.timeout_at(min(self._doubted.values(), default=None)):
                await self._woken.wait()
        except TimeoutError:
            pass
        now = asyncio.get_running_loop().time()
        for account_id in [name for name, due in self._doubted.items() if due <= now]:
            del self._doubted[account_id]
            self._changed[account_id] = None

    async def _tell(self, account_id: str) -> None:
        standing, account = self._accounts.standing(account_id), self._accounts.served(account_id)
        if standing is None:
            await self._tell_gone(account_id)
        elif account is not None:
            await self._tell_capabilities(account)
        elif (refusal := _REFUSALS.get(standing)) and (record := self._accounts.record_of(account_id)):
            await self._health.set(record.workspace_id, account_id, HealthChange(Health.DISCONNECTED, *refusal))

    async def _tell_gone(self, account_id: str) -> None:
        told = self._told.get(account_id)
        if told is not None:
            await self._health.set(told.workspace_id, account_id, HealthChange(Health.REMOVED))
            await self._log.send(self._topic, account_id.encode(), None)  # the table forgets it when it reads that

    async def _tell_capabilities(self, account: Account) -> None:
        account_id, told = account.account_id, self._told.get(account.account_id)
        if self._health.of(account_id) is Health.REMOVED or self._health.refused(account_id):
            await self._health.learn(account, HealthChange(Health.CONNECTED))
        capabilities = await self._abilities.of(account.record)
        now = datetime.now(UTC)
        record = CapabilityRecord(
            workspace_id=account.workspace_id,
            account_id=account_id,
            external_id=account.record.external_id,
            parent_id=account.record.parent_id,
            further_names=self._accounts.further_names(account_id),
            served_since=self._accounts.served_since(account_id) or now,
            content_hash=capabilities.content_hash,
            capabilities=capabilities,
        )
        if told is not None and _says_the_same(told, record):
            return
        said = fact_envelope(CAPABILITIES_TYPE, self._name, account_id, account_id, now, record)
        # Noted before it is sent: what others write after it is read by the table, and stands.
        self._told[account_id] = record
        try:
            await publish(self._log, self._topic, said)
        except LogUnavailable:
            self._told.pop(account_id, None)
            raise


def _says_the_same(told: CapabilityRecord, record: CapabilityRecord) -> bool:
    """Since when is not compared: where two replicas have said it, the last one counts for both."""
    ours, theirs = (one.model_dump(exclude={"capabilities", "served_since"}) for one in (record, told))
    return ours == theirs and told.served_since is not None
