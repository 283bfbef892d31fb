"""Keeps `channels.<ch>.templates` in step with the provider: what differs is published, what is gone is removed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from shared.channel import Account, Channel, HasTemplates, ProviderError, TemplateChange
from shared.contract.templates import TEMPLATE_TYPE, Template, TemplateRecord
from shared.contract.topics import Topics
from shared.runtime import metrics
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.reporting.publish import enqueue, fact_envelope
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.errors import LogUnavailable, RecordTooLarge
from shared.stream.log import Log, acknowledged

log = structlog.get_logger()
PERIOD = 3600.0  # seconds between two looks at all templates of an account, among all replicas
SOON = 0.5  # seconds that a change waits for others: a name that changes in ten languages is asked for once
_ELECTED = 30.0  # seconds in which all replicas hear of a changed account: one of them acts
_FIRST_AGAIN, _LONGEST_AGAIN = 30.0, 900.0  # seconds until what has failed is tried again; it doubles
_AT_ONCE = 8  # accounts
MOST_NAMES = 100  # of an account that wait; beyond it, all of its templates are looked at


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be looked at: all templates of an account, or those of one name. `turn` names what only one replica
    is to do, and for how many seconds no other does; None for what is ours alone."""

    account_id: str
    name: str | None = None
    turn: tuple[float, str] | None = None
    failures: int = 0


class TemplateSync:
    """Asks the provider for templates: hourly, when an account is new or changed, and when a webhook names one.

    Every account waits for itself: one whose provider gives no answer is asked again later, and no other is kept. Of an
    account that is gone all templates are removed; of one whose record cannot be opened here nothing is said.
    """

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        store: Store,
        log_: Log,
        topics: Topics,
        period: float = PERIOD,
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._store = store
        self._log = log_
        self._topic = topics.templates(self._name)
        self._period = period
        self._told: dict[str, dict[str, tuple[str, str]]] = {}  # account → record key → name, digest of the content
        self._due: dict[tuple[str, str | None], tuple[float, _Job]] = {}  # until when it waits (the loop's time)
        self._busy: set[str] = set()
        self._behind: set[str] = set()
        self._woken = asyncio.Event()
        if isinstance(channel, HasTemplates):
            accounts.on_change(self._changed)

    # --- what is heard

    def apply(self, key: bytes, value: bytes | None) -> None:
        """One record of the topic: what has been told is not told again."""
        name, account_id = key.decode(), key.decode().partition(":")[0]
        known = self._told.setdefault(account_id, {})
        if value is None:
            known.pop(name, None)
        else:
            record = TemplateRecord.model_validate_json(value)
            known[name] = record.name, _digest(record)

    def change(self, account: Account, change: TemplateChange) -> None:
        """A webhook has named a template. Each is normalised once, so that it is ours to look at it."""
        waiting = sum(1 for account_id, name in self._due if account_id == account.account_id and name is not None)
        self._want(_Job(account.account_id, change.name if waiting < MOST_NAMES else None), SOON)

    def _changed(self, account_id: str, account: Account | None) -> None:
        said = "" if account is None else account.record.to_json().decode()
        self._want(_Job(account_id, turn=(_ELECTED, said)), 0.0)

    def _want(self, job: _Job, delay: float) -> None:
        """Look at it then; what is wanted twice is looked at once, and as early as anybody wants it."""
        place, at = (job.account_id, job.name), asyncio.get_running_loop().time() + delay
        waiting = self._due.get(place)
        if waiting is not None and waiting[1].turn is None and job.turn is not None:
            job = replace(job, turn=None)
        self._due[place] = (at if waiting is None else min(at, waiting[0]), job)
        self._woken.set()

    # --- what is done

    async def run(self) -> None:
        """Until cancelled; at once where the channel has no templates."""
        if not isinstance(self._channel, HasTemplates):
            return
        clock = asyncio.get_running_loop().time
        slots, next_round = asyncio.Semaphore(_AT_ONCE), clock()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                if clock() >= next_round:
                    next_round = clock() + self._period
                    self._look_at_all()
                for job in self._taken(clock()):
                    tasks.create_task(self._do(self._channel, job, slots))
                ready = (at for at, job in self._due.values() if job.account_id not in self._busy)
                try:
                    async with asyncio.timeout_at(min((next_round, *ready))):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    def _look_at_all(self) -> None:
        told = {account_id for account_id, templates in self._told.items() if templates}
        for account_id in told.union(account.account_id for account in self._accounts):
            self._want(_Job(account_id, turn=(self._period * 0.9, "all")), 0.0)

    def _taken(self, now: float) -> Iterator[_Job]:
        """Jobs whose time has come, one of each account: they may contradict each other otherwise."""
        for place, (at, job) in sorted(self._due.items(), key=lambda item: item[1][0]):
            if at <= now and job.account_id not in self._busy:
                del self._due[place]
                self._busy.add(job.account_id)
                yield job

    async def _do(self, channel: HasTemplates, job: _Job, slots: asyncio.Semaphore) -> None:
        try:
            async with slots:
                if job.turn is not None:
                    seconds, said = job.turn
                    if not await self._store.first_in(seconds, "templates", self._name, job.account_id, said):
                        return
                    job = replace(job, turn=None)
                await self._look(channel, job)
                self._went_well(job.account_id)
        except (ProviderError, LogUnavailable, StateUnavailable) as failed:
            self._again(job, failed)
        except Exception as bug:  # one odd account must not end the others' templates
            log.error("templates_not_synced", account_id=job.account_id, exc_info=bug)
            self._count(job.account_id, "bug")
        finally:
            self._busy.discard(job.account_id)
            self._woken.set()

    def _again(self, job: _Job, failed: Exception) -> None:
        code = failed.failure.code if isinstance(failed, ProviderError) else type(failed).__name__
        asked = failed.failure.retry_after if isinstance(failed, ProviderError) else None
        seconds = min(_LONGEST_AGAIN, max(_FIRST_AGAIN * 2 ** min(job.failures, 10), asked or 0.0))
        if job.account_id not in self._behind:
            log.warning("templates_not_synced", account_id=job.account_id, code=code, seconds=round(seconds))
        self._behind.add(job.account_id)
        self._count(job.account_id, "failed")
        self._want(replace(job, name=None, failures=job.failures + 1), seconds)

    def _went_well(self, account_id: str) -> None:
        if account_id in self._behind:
            self._behind.discard(account_id)
            log.info("templates_synced_again", account_id=account_id)
        self._count(account_id, "ok")

    def _count(self, account_id: str, outcome: str) -> None:
        metrics.TEMPLATE_SYNCS.labels(self._name, outcome).inc()
        metrics.TEMPLATES_BEHIND.labels(self._name).set(len(self._behind))

    async def _look(self, channel: HasTemplates, job: _Job) -> None:
        """Raises ProviderError, LogUnavailable; nothing is removed then."""
        account = self._accounts.served(job.account_id)
        if account is None:
            if self._accounts.standing(job.account_id) is None:
                await self._remove(self._told.get(job.account_id, {}).keys())
            return
        before = dict(self._told.get(job.account_id, {}))
        found: dict[str, TemplateRecord] = {}
        async for template in channel.templates(account, job.name):
            record = self._record(account, template)
            found[record.key] = record
        now = self._told.get(job.account_id, {})
        # What another replica has told meanwhile is newer than our list.
        untouched = {key for key in before.keys() | found.keys() if now.get(key) == before.get(key)}
        await self._publish(job.account_id, [found[key] for key in found if key in untouched])
        gone = [key for key in untouched - found.keys() if job.name is None or before[key][0] == job.name]
        await self._remove(gone)

    def _record(self, account: Account, template: Template) -> TemplateRecord:
        return TemplateRecord(
            **dict(template),
            channel=self._name,
            workspace_id=account.workspace_id,
            account_id=account.account_id,
            updated_at=datetime.now(UTC),
        )

    async def _publish(self, account_id: str, records: Iterable[TemplateRecord]) -> None:
        known = self._told.setdefault(account_id, {})
        acks = {}
        try:
            for record in records:
                said = record.name, _digest(record)
                if known.get(record.key) == said:
                    continue
                told = fact_envelope(TEMPLATE_TYPE, self._name, account_id, record.key, record.updated_at, record)
                try:
                    acks[record.key] = await enqueue(self._log, self._topic, told)
                except RecordTooLarge:  # the others are told
                    log.error("template_not_told", account_id=account_id, why="too large for the topic")
                    continue
                known[record.key] = said
            await acknowledged(list(acks.values()))
        except LogUnavailable:
            for key in acks:
                known.pop(key, None)
            raise

    async def _remove(self, keys: Iterable[str]) -> None:
        """The table forgets them when it reads that."""
        await acknowledged([await self._log.enqueue(self._topic, key.encode(), None) for key in sorted(keys)])


def _digest(record: TemplateRecord) -> str:
    """Of all that a record says, but since when."""
    said = record.model_dump_json(exclude={"updated_at"}, exclude_none=True)
    return hashlib.blake2s(said.encode(), digest_size=16).hexdigest()
