"""Normalise: one raw record becomes events on the inbound topic, each published once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from time import time
from typing import Protocol

from shared.channel import (
    Account,
    Channel,
    Event,
    HealthChange,
    InThread,
    LeftOut,
    Outcome,
    ReceivedItem,
    StatusUpdate,
)
from shared.contract import ids
from shared.contract.content import Thread
from shared.contract.events import EventType, Message
from shared.contract.topics import Topics
from shared.media.blobs import BlobMissing, Blobs, BlobsUnavailable
from shared.policy.conversation import Conversation, from_fields
from shared.policy.windows import rule_for
from shared.runtime import metrics
from shared.runtime.accounts.apps import may_tell_of
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.inbound.enrich import FROM_CONTACT, Enriched, enrich, fields_of, remembered, target_of
from shared.runtime.inbound.parsing import Parser
from shared.runtime.inbound.raw import RawRecord, read_raw, reason_of
from shared.runtime.reporting.feed import StateFeed
from shared.runtime.reporting.identity import Identities, merge_field, merged_peers
from shared.runtime.reporting.publish import enqueue, event_envelope
from shared.runtime.reporting.threads import Threads
from shared.state.client import StateUnavailable
from shared.state.store import Observed, Store
from shared.stream.deadletter import DeadLetters
from shared.stream.errors import LogUnavailable, NotNow
from shared.stream.log import Log, Stored, acknowledged
from shared.stream.records import Record

RETRY_SECONDS = 1.0
BLOBS_AWAY = "blobs_unavailable"
LARGE = 128 * 1024  # bytes; what is larger is read beside the event loop
SEALED_PATIENCE = 120.0  # seconds that items wait for one account's record to be mended, where others can be opened


class Effects(Protocol):
    """What follows from raw records beside events."""

    async def report(self, account: Account, update: StatusUpdate, traceparent: str | None) -> None:
        """The provider has said what became of a message."""
        ...

    async def notice(self, account: Account, change: HealthChange) -> None:
        """Something was learned about the account."""
        ...

    def answer(self, account: Account, event: Event) -> None:
        """The provider expects a call soon (`Event.answer`). Must not block."""
        ...

    def published(
        self, account: Account, conversation_id: str, conversation: Conversation, events: Sequence[Event]
    ) -> None:
        """New events of a conversation are out. Must not block."""
        ...


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
        self._parser = parser
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._log = log_
        self._store = store
        self._blobs = blobs
        self._topic = topics.inbound(self._name)
        self._dead = dead
        self._feed = StateFeed(channel.capabilities, log_, store, topics)
        self._identities = identities
        self._threads = Threads(store)
        self._effects = effects
        self._ingest_seconds = metrics.INGEST_SECONDS.labels(self._name)
        self._lag_seconds = metrics.PROVIDER_LAG_SECONDS.labels(self._name)
        self._duplicates = metrics.DUPLICATES.labels(self._name)
        self._events = {kind: metrics.EVENTS.labels(self._name, kind) for kind in EventType}

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
        if not all(may_tell_of(self._channel, raw.app, account.record) for account in accounts):
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
        await self._publish(account, [o for o in outcomes if isinstance(o, Event)], raw)
        for outcome in outcomes:
            if isinstance(outcome, StatusUpdate):
                await self._effects.report(account, outcome, raw.traceparent)
            elif isinstance(outcome, HealthChange):
                await self._effects.notice(account, outcome)
            elif isinstance(outcome, LeftOut):
                metrics.LEFT_OUT.labels(self._name, outcome.kind).inc()
        if not outcomes:  # a kind that the channel has no name for: still no item goes without a count
            metrics.LEFT_OUT.labels(self._name, "other").inc()

    async def _give_up(self, record: Record, code: str, detail: str) -> None:
        try:
            await self._dead.put(record, code, detail)
        except LogUnavailable:
            raise NotNow(RETRY_SECONDS, "log_unavailable") from None
        metrics.DEAD_LETTERS.labels(self._name, code).inc()

    async def _publish(self, account: Account, events: Sequence[Event], raw: RawRecord) -> None:
        by_conversation: dict[str, list[Event]] = {}
        for event in events:
            by_conversation.setdefault(await self._identities.conversation_of(event), []).append(event)
        for conversation_id, group in by_conversation.items():
            await self._publish_group(account, conversation_id, group, raw)

    async def _publish_group(self, account: Account, conversation_id: str, events: list[Event], raw: RawRecord) -> None:
        """Publish the events of one conversation: note, publish, confirm."""
        event_ids = [self._event_id(account, event) for event in events]
        targets = list({target for target in map(target_of, events) if target})
        conversation_id, observed = await self._observe(account, conversation_id, events, event_ids, targets, raw)
        unseen = [event_id for event_id in event_ids if event_id not in observed.seen]
        fresh = [e for e, event_id in zip(events, event_ids, strict=True) if event_id not in observed.seen]
        self._duplicates.inc(len(events) - len(fresh))
        # What an event says of the conversation is written once it is out: an old one that comes again says nothing.
        said = fields_of(fresh)
        conversation = from_fields(observed.conversation | said, observed.quota_used)
        conversation = await self._count_echoes(conversation_id, conversation, fresh)
        fresh, threads = await self._in_threads(conversation_id, observed, fresh)
        enriched = self._enriched(account, conversation_id, conversation, observed, fresh)
        enriched = replace(enriched, fields=said | enriched.fields)
        await self._send(account, conversation_id, conversation, enriched, unseen, raw)
        for thread_id, thread in threads:
            await self._threads.keep(conversation_id, thread_id, thread)
        self._effects.published(account, conversation_id, conversation, fresh)
        for event in fresh:
            if event.answer is not None:
                self._effects.answer(account, event)

    async def _observe(
        self,
        account: Account,
        conversation_id: str,
        events: Sequence[Event],
        event_ids: Sequence[str],
        targets: Sequence[str],
        raw: RawRecord,
    ) -> tuple[str, Observed]:
        """Take note of the events in the conversation that theirs has become, and look into those that became part of
        it: what was said there is not told again, and can be replied to."""
        opening = [e for e in events if e.opens_window]
        newest = max(opening, key=lambda e: e.data.occurred_at, default=None)
        while True:
            observed = await self._store.observe(
                conversation_id,
                event_ids=event_ids,
                target_ids=targets,
                # A provider's clock may run ahead of ours; what has been received cannot lie in the future.
                opened_at=None if newest is None else _ms(min(newest.data.occurred_at, raw.received_at)),
                last_ref="" if newest is None else newest.provider_ref or "",
            )
            if observed.merged_into is None:
                break
            conversation_id = await self._identities.root_of(conversation_id)
        for peer in merged_peers(observed.conversation):
            before = ids.conversation_id(self._name, account.account_id, peer)
            missing = [target for target, ref in observed.targets.items() if not ref]
            seen, found = await self._store.recall(before, event_ids, missing)
            observed = replace(observed, seen=observed.seen | seen, targets=observed.targets | found)
        return conversation_id, observed

    async def _in_threads(
        self, conversation_id: str, observed: Observed, events: Sequence[Event]
    ) -> tuple[list[Event], list[tuple[str, InThread]]]:
        """The events with the threads they belong to, and what is to be kept of those once the events are out."""
        told: list[Event] = []
        kept: list[tuple[str, InThread]] = []
        topics: dict[str, str | None] = {}
        for event in events:
            thread, data = event.thread, event.data
            if thread is None or not isinstance(data, Message):
                told.append(event)
                continue
            refs = (event.provider_ref,) if event.provider_ref else ()
            joined = await self._threads.join(conversation_id, thread, refs, observed.conversation)
            before = topics.get(joined.thread_id, joined.topic)
            changed = before is not None and thread.topic is not None and thread.topic != before
            topics[joined.thread_id] = thread.topic
            known = data.thread or Thread()
            named = known.model_copy(update={"id": joined.thread_id, "subject_changed": changed or None})
            told.append(replace(event, data=data.model_copy(update={"thread": named})))
            kept.append((joined.thread_id, thread))
        return told, kept

    def _enriched(
        self,
        account: Account,
        conversation_id: str,
        conversation: Conversation,
        observed: Observed,
        events: Sequence[Event],
    ) -> Enriched:
        enriched = enrich(conversation_id, conversation, observed, events)
        if conversation.blocked and account.record.blocked_policy == "drop":
            kept = [event for event in enriched.events if event.type not in FROM_CONTACT]
            metrics.BLOCKED_DROPPED.labels(self._name).inc(len(enriched.events) - len(kept))
            return replace(enriched, events=kept)
        return enriched

    async def _send(
        self,
        account: Account,
        conversation_id: str,
        conversation: Conversation,
        enriched: Enriched,
        event_ids: Sequence[str],
        raw: RawRecord,
    ) -> None:
        """Publish, wait for the acks, and only then remember that it was published."""
        acks: list[asyncio.Future[Stored]] = []
        for event in enriched.events:
            envelope = event_envelope(self._name, event, raw.traceparent)
            acks.append(await enqueue(self._log, self._topic, envelope))
            self._measure(event, raw)
        mark = self._feed.mark(conversation)
        about_account = any(event.type is EventType.ACCOUNT_NOTICE for event in enriched.events)
        changed = mark != conversation.fed and not about_account
        if changed:
            acks.append(await self._feed.say(account.record, conversation_id, conversation))
        await acknowledged(acks)
        fields = enriched.fields | ({"fed": mark} if changed else {})
        known, used, merged_into = await self._store.confirm(
            conversation_id,
            event_ids=event_ids,
            messages=remembered(enriched.events),
            fields=fields,
        )
        if merged_into is not None:
            await self._said_before(account, conversation_id, enriched.fields)
        elif changed:
            await self._feed.keep_up(account.record, conversation_id, from_fields(known, used))

    async def _said_before(self, account: Account, conversation_id: str, fields: Mapping[str, str]) -> None:
        """What was published of a conversation while it became part of another one is known of that one."""
        root = await self._identities.root_of(conversation_id)
        peer = ids.split_conversation_id(conversation_id)[2]
        await self._store.note(root, {**fields, merge_field(peer): "0"})
        observed = await self._store.observe(root)
        if observed.merged_into is None:
            conversation = from_fields(observed.conversation, observed.quota_used)
            await self._feed.keep_up(account.record, root, conversation)

    def _event_id(self, account: Account, event: Event) -> str:
        return ids.event_id(self._name, account.account_id, event.provider_id, event.type)

    def _measure(self, event: Event, raw: RawRecord) -> None:
        data = event.data
        self._events[event.type].inc()
        if not data.backfill:
            self._lag_seconds.observe(max(0.0, (raw.received_at - data.occurred_at).total_seconds()))
            self._ingest_seconds.observe(max(0.0, time() - raw.received_at.timestamp()))
        if isinstance(data, Message) and data.content.kind in ("unsupported", "custom_payload"):
            metrics.UNSUPPORTED.labels(self._name, data.provider.type[:40]).inc()

    async def _count_echoes(
        self, conversation_id: str, conversation: Conversation, events: Sequence[Event]
    ) -> Conversation:
        """The conversation with what we sent elsewhere counted against its quota."""
        rule = rule_for(self._channel.capabilities, conversation)
        if rule is None or rule.quota is None or not rule.counts_echoes:
            return conversation
        used, opened = conversation.quota_used, conversation.last_inbound
        for event in events:
            automatic = getattr(event.data, "automatic", None)
            if (automatic and not rule.counts_automatic) or (opened and event.data.occurred_at < opened):
                continue
            if event.type is EventType.MESSAGE_ECHOED and not event.data.backfill and event.provider_ref:
                used += await self._store.count(conversation_id, event.provider_ref, _ms(event.data.occurred_at))
        return replace(conversation, quota_used=used)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
