"""Normalise: one raw record becomes events on the inbound topic, each published once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from shared.channel import (
    Account,
    Channel,
    Event,
    HasApps,
    HealthChange,
    LeftOut,
    Outcome,
    ReceivedItem,
    StatusUpdate,
    TemplateChange,
)
from shared.contract.events import ConsentChanged
from shared.contract.topics import Topics
from shared.media.blobs import BlobMissing, Blobs, BlobsUnavailable
from shared.runtime import metrics
from shared.runtime.accounts.apps import may_tell_of
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.inbound.parsing import Parser
from shared.runtime.inbound.publishing import Follows, Group, Publisher
from shared.runtime.inbound.raw import RawRecord, read_raw, reason_of
from shared.runtime.reporting.identity import Identities
from shared.runtime.reporting.statuses import About
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.deadletter import DeadLetters
from shared.stream.errors import LogUnavailable, NotNow
from shared.stream.log import Log
from shared.stream.records import Record

RETRY_SECONDS = 1.0
BLOBS_AWAY = "blobs_unavailable"
LARGE = 128 * 1024  # bytes; what is larger is read beside the event loop
PARSED_TOGETHER_SECONDS = 0.05  # so long payloads that are parsed wait for others that go out with them
SEALED_PATIENCE = 120.0  # seconds that items wait for one account's record to be mended, where others can be opened


class Effects(Follows, Protocol):
    """What follows from raw records beside events."""

    async def report(self, account: Account, update: StatusUpdate, traceparent: str | None) -> None:
        """The provider has said what became of a message."""
        ...

    async def notice(self, account: Account, change: HealthChange) -> None:
        """Something was learned about the account."""
        ...

    def template(self, account: Account, change: TemplateChange) -> None:
        """A template of the account is not as it was."""
        ...


@dataclass(slots=True)
class _Plain:
    """A raw record of one account about which nothing is odd so far."""

    record: Record
    account: Account
    raw: RawRecord
    events: list[Event]
    others: Sequence[Outcome]
    groups: list[Group] = field(default_factory=list)


class Normaliser:
    """The handler of the raw topic."""

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        log_: Log,
        store: Store,
        blobs: Blobs,
        topics: Topics,
        dead: DeadLetters,
        identities: Identities,
        effects: Effects,
        parser: Parser | None = None,
    ) -> None:
        self._channel = channel
        self._apps = channel if isinstance(channel, HasApps) else None
        self._parser = parser
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._store = store
        self._blobs = blobs
        self._dead = dead
        self._identities = identities
        self._effects = effects
        self._publisher = Publisher(channel, log_, store, topics, identities, effects)

    async def handle(self, record: Record) -> None:
        """Handle one raw record. Raises NotNow while Kafka, Valkey or the blob store is away."""
        raw = read_raw(record)
        try:
            accounts = self._accounts.find(raw.account_id, raw.external_id)
        except AccountSealed:
            await self._while_sealed(record, raw)
            return
        if not accounts:
            self._accounts.expect(record)
            await self._give_up(record, "unknown_account", "no account of this name")
            return
        if not all(may_tell_of(self._apps, raw.app, account.record) for account in accounts):
            await self._give_up(record, "foreign_app", "told by an app that is not the account's")
            return
        try:
            body = await self._body(record, raw)
        except BlobMissing:
            await self._give_up(record, "body_missing", "the body is not in the blob store")
            return
        except BlobsUnavailable:
            raise NotNow(RETRY_SECONDS, BLOBS_AWAY) from None
        try:
            items = [
                ReceivedItem(account.record, body, raw.received_at, record.offset, raw.blob) for account in accounts
            ]
            if len(body) < LARGE:
                outcomes = [self._channel.normalise(item) for item in items]
            else:
                outcomes = [await asyncio.to_thread(self._channel.normalise, item) for item in items]
        except ValueError as unreadable:
            await self._give_up(record, "unreadable", reason_of(unreadable))
            return
        try:
            for account, learned in zip(accounts, outcomes, strict=True):
                await self._tell(account, learned, raw)
        except StateUnavailable:
            raise NotNow(RETRY_SECONDS, "state_unavailable") from None
        except LogUnavailable:
            raise NotNow(RETRY_SECONDS, "log_unavailable") from None

    async def _body(self, record: Record, raw: RawRecord) -> bytes:
        """What `normalise` gets. Raises BlobMissing, BlobsUnavailable, NotNow."""
        if self._parser is not None:
            return await self._parser.parsed(record.value or b"", raw.blob, self._blobs)
        return record.value or b"" if raw.blob is None else await self._blobs.read(raw.blob)

    async def overdue(self, record: Record, why: str) -> bool:
        """Keep a record whose body alone cannot be had as a dead letter: its conversation goes on. While the blob store
        as a whole is away, everybody's bodies wait. Raises NotNow."""
        if why != BLOBS_AWAY or not await self._blobs.reachable():
            return False
        await self._give_up(record, "body_unavailable", "the blob store is there and does not give the body")
        return True

    async def _while_sealed(self, record: Record, raw: RawRecord) -> None:
        """Wait while our key may be the wrong one, or the record a moment's mistake. One that stays shut is not to fill
        the window that others' records come in by: what concerns it is kept, and sent back by hand. Raises NotNow.
        """
        named = self._accounts.names_of(raw.account_id, raw.external_id)
        waited = max(map(self._accounts.sealed_for, named), default=0.0)
        if self._accounts.locked_out or waited < SEALED_PATIENCE:
            raise AccountSealed
        await self._give_up(record, "account_sealed", "the account's record cannot be opened")

    async def _tell(self, account: Account, outcomes: Sequence[Outcome], raw: RawRecord) -> None:
        found = [await self._of_message(account, outcome) for outcome in outcomes if isinstance(outcome, Event)]
        events = [event for event in found if event is not None]
        conversation_ids = [await self._identities.conversation_of(event) for event in events]
        for group in _groups(account, events, conversation_ids, raw):
            await self._publisher.publish([group])
            if group.failure is not None:
                raise group.failure
        await self._pass_on(account, outcomes, raw)

    async def _pass_on(self, account: Account, outcomes: Sequence[Outcome], raw: RawRecord) -> None:
        """What is no event."""
        for outcome in outcomes:
            if isinstance(outcome, StatusUpdate):
                await self._effects.report(account, outcome, raw.traceparent)
            elif isinstance(outcome, HealthChange):
                await self._effects.notice(account, outcome)
            elif isinstance(outcome, TemplateChange):
                self._effects.template(account, outcome)
            elif isinstance(outcome, LeftOut):
                metrics.LEFT_OUT.labels(self._name, outcome.kind).inc()
        if not outcomes:  # a kind that the channel has no name for: still no item goes without a count
            metrics.LEFT_OUT.labels(self._name, "other").inc()

    # --- many records together

    async def wave(self, records: Sequence[Record]) -> Sequence[Record]:
        """Handle records of different lanes together. Returns those that are left, for `handle`: about which something
        is odd, and which have failed; all of them are when it raises."""
        if self._parser is None:
            return await self._together(records, [self._plain(record, record.value or b"") for record in records])
        left: list[Record] = []
        async for parsed in self._as_parsed(self._parser, records):
            some = [record for record, _ in parsed]
            try:
                left += await self._together(some, [plain for _, plain in parsed])
            except Exception:  # what went out before stays out
                left += some
        return left

    async def _together(self, records: Sequence[Record], read: Sequence[_Plain | None]) -> Sequence[Record]:
        plain = [one for one in read if one is not None]
        found = await self._identities.conversations_of([one.events for one in plain])
        first: list[_Plain] = []
        taken: set[str] = set()
        for one, conversation_ids in zip(plain, found, strict=True):
            if taken.isdisjoint(conversation_ids):  # else it is behind another record of its conversation
                taken.update(conversation_ids)
                one.groups = _groups(one.account, one.events, conversation_ids, one.raw)
                first.append(one)
        await self._publisher.publish([group for one in first for group in one.groups])
        out = [one for one in first if all(group.failure is None for group in one.groups)]
        rest = [one for one in out if one.others or not one.events]
        ends = await asyncio.gather(
            *(self._pass_on(one.account, one.others, one.raw) for one in rest), return_exceptions=True
        )
        failed = {id(one) for one, end in zip(rest, ends, strict=True) if end is not None}
        handled = {id(one.record) for one in out if id(one) not in failed}
        return [record for record in records if id(record) not in handled]

    async def _as_parsed(
        self, parser: Parser, records: Sequence[Record]
    ) -> AsyncIterator[list[tuple[Record, _Plain | None]]]:
        """The records with what they say, some at a time: nobody waits long for a payload that takes long."""
        tasks = {asyncio.create_task(self._parsed(parser, record)): record for record in records}
        try:
            pending = set(tasks)
            while pending:
                done, pending = await asyncio.wait(pending, timeout=PARSED_TOGETHER_SECONDS)
                if done:
                    yield [(record, task.result()) for task, record in tasks.items() if task in done]
        finally:
            for task in tasks:
                task.cancel()

    async def _parsed(self, parser: Parser, record: Record) -> _Plain | None:
        """As `_plain`, of a record whose payload is parsed in a worker: once, the quick way."""
        try:
            body = await parser.quickly(record.value or b"", read_raw(record).blob, self._blobs)
        except Exception:
            return None
        return None if body is None else self._plain(record, body)

    def _plain(self, record: Record, body: bytes) -> _Plain | None:
        """The record, read; None for what takes a closer look, or fails: `handle` finds out why."""
        raw = read_raw(record)
        if (raw.blob is not None and self._parser is None) or len(body) >= LARGE:
            return None
        try:
            accounts = self._accounts.find(raw.account_id, raw.external_id)
            if len(accounts) != 1 or not may_tell_of(self._apps, raw.app, accounts[0].record):
                return None
            item = ReceivedItem(accounts[0].record, body, raw.received_at, record.offset, raw.blob)
            outcomes = self._channel.normalise(item)
        except Exception:
            return None
        events = [outcome for outcome in outcomes if isinstance(outcome, Event)]
        if any(event.of_message is not None for event in events):
            return None
        others = [outcome for outcome in outcomes if not isinstance(outcome, Event)]
        return _Plain(record, accounts[0], raw, events, others)

    async def _of_message(self, account: Account, event: Event) -> Event | None:
        """The event in the conversation that the message went to which it is about; None where nobody knows that."""
        if event.of_message is None:
            return event
        for name in event.of_message:
            known = await self._store.sent(self._name, account.account_id, name)
            if known is not None:
                conversation_id = await self._identities.root_of(About.read(known).conversation_id)
                data = event.data.model_copy(update={"conversation_id": conversation_id})
                if isinstance(data, ConsentChanged) and conversation_id != event.data.conversation_id:
                    data = data.model_copy(update={"contact": None})  # it names somebody else
                return replace(event, data=data)
        metrics.LEFT_OUT.labels(self._name, "message_unknown").inc()
        return None

    async def _give_up(self, record: Record, code: str, detail: str) -> None:
        try:
            await self._dead.put(record, code, detail)
        except LogUnavailable:
            raise NotNow(RETRY_SECONDS, "log_unavailable") from None
        metrics.DEAD_LETTERS.labels(self._name, code).inc()


def _groups(account: Account, events: Sequence[Event], conversation_ids: Sequence[str], raw: RawRecord) -> list[Group]:
    by_conversation: dict[str, list[Event]] = {}
    for event, conversation_id in zip(events, conversation_ids, strict=True):
        by_conversation.setdefault(conversation_id, []).append(event)
    return [Group(account, conversation_id, group, raw) for conversation_id, group in by_conversation.items()]
