"""Events go out: noted in the state, put on the inbound topic, confirmed; those of many conversations together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import time
from typing import Protocol

from shared.channel import Account, Channel, Event, InThread
from shared.contract import ids
from shared.contract.content import Thread
from shared.contract.events import EventType, Message
from shared.contract.topics import Topics
from shared.policy.conversation import Conversation, from_fields
from shared.policy.windows import rule_for
from shared.runtime import metrics
from shared.runtime.inbound.enrich import FROM_CONTACT, enrich, fields_of, remembered, target_of
from shared.runtime.inbound.raw import RawRecord
from shared.runtime.reporting.feed import StateFeed
from shared.runtime.reporting.identity import Identities, merge_field, merged_peers
from shared.runtime.reporting.publish import enqueue, event_envelope
from shared.runtime.reporting.threads import Threads
from shared.state.store import Confirmation, Confirmed, Observation, Observed, Store
from shared.stream.log import Log, Stored, acknowledged


class Follows(Protocol):
    """What follows from events that are out."""

    def answer(self, account: Account, event: Event) -> None:
        """The provider expects a call soon (`Event.answer`). Must not block."""
        ...

    def published(
        self, account: Account, conversation_id: str, conversation: Conversation, events: Sequence[Event]
    ) -> None:
        """New events of a conversation are out. Must not block."""
        ...


@dataclass(slots=True)
class Group:
    """The events of one conversation that came with one raw record. What is below `failure` fills on the way."""

    account: Account
    conversation_id: str
    events: list[Event]
    raw: RawRecord
    failure: Exception | None = None
    event_ids: list[str] = field(init=False)
    unseen: list[str] = field(init=False)
    fresh: list[Event] = field(init=False)  # those that had not been published
    told: Sequence[Event] = field(init=False)  # those that are, others among them
    fields: dict[str, str] = field(init=False)  # what they say of the conversation, written once they are out
    conversation: Conversation = field(init=False)  # as it is with them
    threads: list[tuple[str, InThread]] = field(init=False)
    mark: str | None = field(init=False)  # what the state feed says from now on, where that is something else
    acks: list[asyncio.Future[Stored]] = field(default_factory=list, init=False)


class Publisher:
    """Publishes each event once, in the order of its group. A repetition after a failure has the same ids."""

    def __init__(
        self, channel: Channel, log_: Log, store: Store, topics: Topics, identities: Identities, follows: Follows
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._log = log_
        self._store = store
        self._topic = topics.inbound(self._name)
        self._feed = StateFeed(channel.capabilities, log_, store, topics)
        self._identities = identities
        self._threads = Threads(store)
        self._follows = follows
        self._ingest_seconds = metrics.INGEST_SECONDS.labels(self._name)
        self._lag_seconds = metrics.PROVIDER_LAG_SECONDS.labels(self._name)
        self._duplicates = metrics.DUPLICATES.labels(self._name)
        self._events = {kind: metrics.EVENTS.labels(self._name, kind) for kind in EventType}

    async def publish(self, groups: Sequence[Group]) -> None:
        """Note, publish, wait for the acks, and only then remember that it was published.

        The groups are of different conversations. One that fails has its `failure` set and stops no other; raises
        StateUnavailable for all.
        """
        asked = list(map(self._asked, groups))
        found = list(zip(groups, await self._store.observe_all(asked), strict=True))
        moved = [group for group, observed in found if observed.merged_into is not None]
        read = [(group, observed) for group, observed in found if observed.merged_into is None]
        composing = (_attempt(group, self._compose(group, observed)) for group, observed in read)
        ends = await _all(composing, together=any(map(_in_threads, groups)))
        here = [group for (group, _), composed in zip(read, ends, strict=True) if composed]
        here = [group for group in here if await _attempt(group, self._enqueue(group))]
        here = [group for group in here if await _attempt(group, acknowledged(group.acks))]
        confirmed = await self._store.confirm_all(list(map(_confirmation, here)))
        following = (_attempt(group, self._follow(group, now)) for group, now in zip(here, confirmed, strict=True))
        await _all(following, together=any(group.threads for group in here))
        for group in moved:  # each alone: what it has become part of may be the conversation of another group
            group.conversation_id = await self._identities.root_of(group.conversation_id)
            await self.publish([group])

    def _asked(self, group: Group) -> Observation:
        events, raw = group.events, group.raw
        group.event_ids = [
            ids.event_id(self._name, group.account.account_id, event.provider_id, event.type) for event in events
        ]
        targets = list({target for target in map(target_of, events) if target})
        newest = max((e for e in events if e.opens_window), key=lambda e: e.data.occurred_at, default=None)
        if newest is None:
            return Observation(group.conversation_id, group.event_ids, targets)
        # A provider's clock may run ahead of ours; what has been received cannot lie in the future.
        opened_at = _ms(min(newest.data.occurred_at, raw.received_at))
        return Observation(group.conversation_id, group.event_ids, targets, opened_at, newest.provider_ref or "")

    # --- what is told

    async def _compose(self, group: Group, observed: Observed) -> None:
        """The events that are new, with what only state knows."""
        if merged := merged_peers(observed.conversation):
            observed = await self._recalled(group, observed, merged)
        seen = observed.seen
        group.unseen = [event_id for event_id in group.event_ids if event_id not in seen]
        fresh = [e for e, event_id in zip(group.events, group.event_ids, strict=True) if event_id not in seen]
        if len(fresh) < len(group.events):
            self._duplicates.inc(len(group.events) - len(fresh))
        # What an event says of the conversation is written once it is out: an old one that comes again says nothing.
        said = fields_of(fresh)
        conversation = from_fields(observed.conversation | said, observed.quota_used)
        conversation = await self._count_echoes(group.conversation_id, conversation, fresh)
        group.fresh, group.threads = await self._in_threads(group.conversation_id, observed, fresh)
        enriched = enrich(group.conversation_id, conversation, observed, group.fresh)
        group.told, group.fields, group.conversation = enriched.events, said | enriched.fields, conversation
        if conversation.blocked and group.account.record.blocked_policy == "drop":
            group.told = [event for event in enriched.events if event.type not in FROM_CONTACT]
            metrics.BLOCKED_DROPPED.labels(self._name).inc(len(enriched.events) - len(group.told))

    async def _recalled(self, group: Group, observed: Observed, merged: Sequence[str]) -> Observed:
        """Look into the conversations that became part of this one: what was said there is not told again, and can be
        replied to."""
        for peer in merged:
            before = ids.conversation_id(self._name, group.account.account_id, peer)
            missing = [target for target, ref in observed.targets.items() if not ref]
            seen, found = await self._store.recall(before, group.event_ids, missing)
            observed = replace(observed, seen=observed.seen | seen, targets=observed.targets | found)
        return observed

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

    async def _in_threads(
        self, conversation_id: str, observed: Observed, events: list[Event]
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

    # --- out, and remembered

    async def _enqueue(self, group: Group) -> None:
        for event in group.told:
            envelope = event_envelope(self._name, event, group.raw.traceparent)
            group.acks.append(await enqueue(self._log, self._topic, envelope))
            self._measure(event, group.raw)
        mark = self._feed.mark(group.conversation)
        about_account = any(event.type is EventType.ACCOUNT_NOTICE for event in group.told)
        group.mark = mark if mark != group.conversation.fed and not about_account else None
        if group.mark is not None:
            said = await self._feed.say(group.account.record, group.conversation_id, group.conversation)
            group.acks.append(said)

    def _measure(self, event: Event, raw: RawRecord) -> None:
        data = event.data
        self._events[event.type].inc()
        if not data.backfill:
            self._lag_seconds.observe(max(0.0, (raw.received_at - data.occurred_at).total_seconds()))
            self._ingest_seconds.observe(max(0.0, time() - raw.received_at.timestamp()))
        if isinstance(data, Message) and data.content.kind in ("unsupported", "custom_payload"):
            metrics.UNSUPPORTED.labels(self._name, data.provider.type[:40]).inc()

    async def _follow(self, group: Group, now: Confirmed) -> None:
        """What follows once it is out."""
        if now.merged_into is not None:
            await self._said_before(group.account, group.conversation_id, group.fields)
        elif group.mark is not None:
            conversation = from_fields(now.conversation, now.quota_used)
            await self._feed.keep_up(group.account.record, group.conversation_id, conversation)
        for thread_id, thread in group.threads:
            await self._threads.keep(group.conversation_id, thread_id, thread)
        self._follows.published(group.account, group.conversation_id, group.conversation, group.fresh)
        for event in group.fresh:
            if event.answer is not None:
                self._follows.answer(group.account, event)

    async def _said_before(self, account: Account, conversation_id: str, fields: Mapping[str, str]) -> None:
        """What was published of a conversation while it became part of another one is known of that one."""
        root = await self._identities.root_of(conversation_id)
        peer = ids.split_conversation_id(conversation_id)[2]
        await self._store.note(root, {**fields, merge_field(peer): "0"})
        observed = await self._store.observe(root)
        if observed.merged_into is None:
            conversation = from_fields(observed.conversation, observed.quota_used)
            await self._feed.keep_up(account.record, root, conversation)


def _in_threads(group: Group) -> bool:
    return any(event.thread is not None for event in group.events)


async def _all(steps: Iterable[Awaitable[bool]], *, together: bool) -> list[bool]:
    """How the steps end. `together` where they wait for the state store: elsewhere a task for each costs more."""
    return list(await asyncio.gather(*steps)) if together else [await step for step in steps]


async def _attempt(group: Group, step: Awaitable[None]) -> bool:
    try:
        await step
    except Exception as failure:
        group.failure = failure
    return group.failure is None


def _confirmation(group: Group) -> Confirmation:
    fields = group.fields if group.mark is None else group.fields | {"fed": group.mark}
    return Confirmation(group.conversation_id, group.unseen, remembered(group.told), fields)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
