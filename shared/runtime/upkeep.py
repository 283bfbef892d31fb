"""Upkeep: what is done beside handling. Parked records come due, accounts are probed, capabilities told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from random import uniform
from time import time

import structlog
from prometheus_client import Gauge

from shared.channel import Account, Channel, HealthChange, Probes, ProviderError
from shared.contract.capabilities import CAPABILITIES_TYPE, CapabilityRecord
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.contract.topics import Topics
from shared.runtime.accounts import AccountRegistry, Standing
from shared.runtime.health import AccountsHealth
from shared.runtime.jobs import account_group, account_in_outage, account_of
from shared.runtime.learning import ToldRates
from shared.runtime.publish import fact_envelope, publish
from shared.runtime.varying import capabilities_of
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.dispatcher import Dispatcher
from shared.stream.errors import LogUnavailable, RecordTooLarge
from shared.stream.log import Log
from shared.stream.parking import Parking
from shared.stream.records import Partition

log = structlog.get_logger()

_LONGEST_NAP = 1.0
_NOT_OURS_YET = 0.05
_PROBES_AT_ONCE = 32
DOUBT_SECONDS = 1.0  # replicas hear of a change one by one: before one contradicts another it waits so long, or twice

_REFUSALS = {
    Standing.TAKEN: (ErrorCode.ACCOUNT_TAKEN, "Another account has this external_id."),
    Standing.SEALED_FOR_ANOTHER: (ErrorCode.ACCOUNT_SEALED, "What is sealed in it belongs to another account."),
}


def wake_recovered(parking: Parking, health: AccountsHealth, try_first: Callable[[str], None] | None = None) -> None:
    """After `restore`: the reason why an account's records were parked may have gone meanwhile.

    `try_first` finds out whether an account's provider answers again, and wakes what waits for that.
    """
    for group in parking.groups():
        account_id = account_of(group)
        if account_id is not None and health.why_paused(account_id) is None:
            parking.wake(group)
        held_id = account_in_outage(group)
        if held_id is not None and try_first is not None:
            try_first(held_id)


class ParkedRecords:
    """What a role has parked: taken over with its partitions, submitted when it comes due; an account's is woken
    when the account is well again, or gone.

    `assigned`, `revoked` and `has_room` are for the dispatcher: of a partition of which too many wait no more is read,
    for they are all in memory. `waiting` shows how many there are, `full` how many partitions have no room.
    """

    def __init__(
        self,
        parking: Parking,
        accounts: AccountRegistry,
        health: AccountsHealth,
        waiting: Gauge,
        full: Gauge,
        try_first: Callable[[str], None] | None = None,
    ) -> None:
        self._parking = parking
        self._health = health
        self._try_first = try_first
        self._waiting = waiting
        self._full = full
        self._told_full: frozenset[int] = frozenset()
        health.on_recovery(self._wake)
        accounts.on_change(lambda account_id, account: None if account else self._wake(account_id))
        accounts.on_standing(lambda account_id, _: self._wake(account_id))  # it may be opened now

    def _wake(self, account_id: str) -> None:
        self._parking.wake(account_group(account_id))

    async def assigned(self, partitions: frozenset[Partition]) -> None:
        """Raises LogUnavailable."""
        await self._parking.restore([partition.number for partition in partitions])
        wake_recovered(self._parking, self._health, self._try_first)

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        self._parking.drop(partition.number for partition in partitions)

    @property
    def full(self) -> frozenset[int]:
        """The partitions of which no more is read, because too much of them waits."""
        return self._parking.full

    def has_room(self, partition: Partition) -> bool:
        return self._parking.has_room(partition.number)

    async def run(self, dispatcher: Dispatcher) -> None:
        """Until cancelled."""
        while True:
            now = int(time() * 1000)
            refused = [record for record in self._parking.due(now) if not dispatcher.submit(record)]
            for record in refused:
                self._parking.undo(record)
            self._waiting.set(len(self._parking))
            self._tell_full()
            if refused:  # their partition is being opened, or given up: `changed` would wake us at once
                await asyncio.sleep(_NOT_OURS_YET)
            else:
                await self._nap(now)

    def _tell_full(self) -> None:
        full = self._parking.full
        self._full.set(len(full))
        for partition in full - self._told_full:
            log.warning("parking_full", topic=self._parking.topic, partition=partition)
        for partition in self._told_full - full:
            log.info("parking_has_room", topic=self._parking.topic, partition=partition)
        self._told_full = full

    async def _nap(self, now: int) -> None:
        due = self._parking.next_due()
        wait = _LONGEST_NAP if due is None else min(max((due - now) / 1000, 0.02), _LONGEST_NAP)
        try:
            async with asyncio.timeout(wait):
                await self._parking.changed.wait()
            self._parking.changed.clear()
        except TimeoutError:
            pass


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
        places = asyncio.Semaphore(_PROBES_AT_ONCE)

        async def probe(account: Account) -> None:
            async with places:
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


class AccountTeller:
    """Keeps `channels.capabilities` in step with the accounts, and says of those that go that they are gone.

    Of an account whose record this replica cannot open it says nothing. What another replica has said wrongly, because
    it could not, is said anew: capabilities that were taken away, an account that is removed and yet there.
    """

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        health: AccountsHealth,
        rates: ToldRates,
        log_: Log,
        topics: Topics,
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._health = health
        self._rates = rates
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
        capabilities = capabilities_of(self._channel, account.record, await self._rates.of(account.record))
        now = datetime.now(UTC)
        record = CapabilityRecord(
            workspace_id=account.workspace_id,
            account_id=account_id,
            external_id=account.record.external_id,
            parent_id=account.record.parent_id,
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
