"""Pull: accounts without a webhook are polled, each by one process, the cursor moved only after the ack."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from time import monotonic

import structlog

from shared.channel import Account, Batch, HealthChange, NotTaken, ProviderError, Pulls
from shared.contract.events import Health
from shared.contract.topics import Topics
from shared.policy.retry import backoff
from shared.runtime import metrics
from shared.runtime.accounts.health import PAUSED, AccountsHealth
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.inbound.raw import RawWriter
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.errors import LogUnavailable
from shared.stream.log import Log, LogConsumer
from shared.stream.records import Partition

log = structlog.get_logger()

_IDLE_POLL_SECONDS = 1.0


class Puller:
    """Shares the pull accounts out by the group assignment of the accounts topic's partitions.

    `heartbeat` is when its loop has turned last, in monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        channel: Pulls,
        accounts: AccountRegistry,
        log_: Log,
        store: Store,
        writer: RawWriter,
        health: AccountsHealth,
        topics: Topics,
        *,
        group: str,
        instance_id: str | None,
    ) -> None:
        self.heartbeat = monotonic()
        self._name = name
        self._channel = channel
        self._accounts = accounts
        self._log = log_
        self._store = store
        self._writer = writer
        self._health = health
        self._topic = topics.accounts
        self._partitions: set[int] = set()
        self._settled = asyncio.Event()  # not while the partitions change hands
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._numbers: dict[str, int] = {}  # their accounts' partitions
        self._keeping: set[str] = set()  # accounts one of whose batches is being made durable
        self._stopping = False
        self._consumer: LogConsumer = log_.consumer(
            group,
            [self._topic],
            instance_id=instance_id,
            on_assigned=self._assigned,
            on_revoked=self._revoked,
        )
        accounts.on_change(lambda account_id, _: self._account_changed(account_id))
        health.on_recovery(lambda _: self._consumer.wake())

    async def run(self) -> None:
        """Poll until stopped. Raises what kills it."""
        await self._consumer.start()
        while not self._stopping:
            self.heartbeat = monotonic()
            try:
                # The records do not matter, the membership does: polling keeps it alive.
                await self._consumer.poll(
                    [Partition(self._topic, number) for number in self._partitions], 500, _IDLE_POLL_SECONDS
                )
                await self._match_tasks()
            except LogUnavailable:
                await asyncio.sleep(_IDLE_POLL_SECONDS)

    async def stop(self) -> None:
        """Give the batches under way up, then leave the group: what has no cursor yet is pulled again."""
        self._stopping = True
        self._consumer.wake()
        self._partitions.clear()
        await self._cancel(list(self._tasks))
        await self._consumer.stop()

    async def _assigned(self, partitions: Collection[Partition]) -> None:
        self._partitions = {partition.number for partition in partitions}
        gone = [account_id for account_id in self._tasks if self._numbers[account_id] not in self._partitions]
        await self._cancel(gone)
        self._settled.set()

    async def _revoked(self, partitions: Collection[Partition]) -> None:
        """At every rebalance all partitions go, and most come back: until then polling goes on and keeps nothing.

        Two hundred mailboxes would have to be opened anew for each replica that comes or leaves.
        """
        self._settled.clear()
        self._partitions -= {partition.number for partition in partitions}
        await self._cancel(list(self._keeping))

    def _account_changed(self, account_id: str) -> None:
        """New credentials or a new mode: begin anew with them."""
        task = self._tasks.get(account_id)
        if task is not None:
            task.cancel()
        self._consumer.wake()

    async def _match_tasks(self) -> None:
        numbers = {
            account.account_id: await self._log.partition_for(self._topic, account.account_id.encode())
            for account in self._accounts
        }
        if not self._settled.is_set():
            return
        wanted = self._wanted(numbers)
        await self._cancel([account_id for account_id in self._tasks if account_id not in wanted])
        # Asked again: during the waits above partitions may have gone, records have changed, the stop have come.
        for account_id, account in self._wanted(numbers).items() if self._settled.is_set() else ():
            task = self._tasks.get(account_id)
            self._numbers[account_id] = numbers[account_id]
            if task is None or task.done():
                self._tasks[account_id] = asyncio.create_task(self._pull(account), name=f"pull-{account_id}")

    def _wanted(self, numbers: Mapping[str, int]) -> dict[str, Account]:
        """The accounts that are ours to pull at this moment; `numbers` has their partitions."""
        if self._stopping:
            return {}
        return {
            account.account_id: account
            for account in self._accounts
            if account.record.mode == "pull"
            and numbers.get(account.account_id) in self._partitions
            and self._health.of(account.account_id) not in PAUSED
        }

    async def _cancel(self, account_ids: list[str]) -> None:
        tasks = [self._tasks.pop(account_id) for account_id in account_ids]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, account: Account) -> None:
        failures = 0
        while True:
            try:
                cursor = await self._store.cursor(self._name, account.account_id)
                async for batch in self._channel.updates(account, cursor):
                    await self._keep(account.account_id, batch)
                    failures = 0
                    metrics.PULLS.labels(self._name, "ok").inc()
                    if self._health.of(account.account_id) is Health.DEGRADED:
                        await self._health.learn(account, HealthChange(Health.CONNECTED))
            except ProviderError as refused:
                metrics.PULLS.labels(self._name, str(refused.failure.code)).inc()
                if refused.failure.health is not None:
                    await self._learn(account, HealthChange(refused.failure.health, refused.failure.code))
                    if refused.failure.health in PAUSED:
                        return
                failures += 1
                await asyncio.sleep(refused.failure.retry_after or backoff(failures))
            except (LogUnavailable, NotTaken, StateUnavailable) as away:
                metrics.PULLS.labels(self._name, type(away).__name__).inc()
                failures += 1
                await asyncio.sleep(backoff(failures))
            except Exception as bug:  # one odd account must not end the pulling of the others
                metrics.PULLS.labels(self._name, "internal").inc()
                log.error("pull_failed", account_id=account.account_id, exc_info=bug)
                failures += 1
                await asyncio.sleep(backoff(failures))

    async def _keep(self, account_id: str, batch: Batch) -> None:
        """Make a batch durable, then move the cursor. While the partitions change hands nobody does: they may be
        another replica's next."""
        while not self._settled.is_set():
            await self._settled.wait()
        self._keeping.add(account_id)
        try:
            await self._writer.write(batch.items)
            await self._store.set_cursor(self._name, account_id, batch.cursor)
        finally:
            self._keeping.discard(account_id)

    async def _learn(self, account: Account, change: HealthChange) -> None:
        try:
            await self._health.learn(account, change)
        except LogUnavailable:
            log.warning("health_not_told", account_id=account.account_id, health=change.health)
