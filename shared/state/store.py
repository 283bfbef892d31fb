"""What the connectors ask of their state: each method is one script or one command, see `keys` for their meaning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

import orjson

from shared.state import keys
from shared.state.client import Client
from shared.state.keys import ConversationKeys

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Observed:
    """What `observe` found: event ids already published, provider refs of targets ('' where unknown), the
    conversation's fields after the change, and how many messages count against the quota.

    `merged_into` is the peer of the conversation that this one has become part of: then it has been left alone.
    """

    seen: frozenset[str]
    targets: dict[str, str]
    conversation: Fields
    quota_used: int
    merged_into: str | None = None


class Observation(NamedTuple):
    """What `observe` is told of an inbound item, and asked: see there."""

    conversation_id: str
    event_ids: Sequence[str] = ()
    target_ids: Sequence[str] = ()
    opened_at: int | None = None
    last_ref: str = ""
    fields: Mapping[str, str] = {}


class Confirmation(NamedTuple):
    """What `confirm` is told: see there."""

    conversation_id: str
    event_ids: Sequence[str] = ()
    messages: Mapping[str, str] = {}
    fields: Mapping[str, str] = {}


class Confirmed(NamedTuple):
    """A conversation once its events are out, and how many messages count against its quota; `merged_into` is the peer
    of the conversation that it has become part of meanwhile."""

    conversation: Fields
    quota_used: int
    merged_into: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command finds: see `Observed`; `ledger` is empty for a command that was never seen."""

    conversation: Fields
    quota_used: int
    cancelled: Fields
    ledger: Fields
    targets: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Intended:
    """Whether a call may be made: `ok`, `taken` (with the ledger's value) or `quota` (with what is used)."""

    answer: str
    value: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended: what changes in the ledger, the quota, the message index and the conversation."""

    set_fields: Mapping[str, str] = field(default_factory=dict)
    drop_fields: Sequence[str] = ()
    parts: Mapping[str, tuple[str, int, str]] = field(default_factory=dict)  # field → value, its rank and its time
    outbox: Sequence[str] = ()  # provider references to remember by time
    quota_drop: Sequence[str] = ()
    quota_add: Sequence[str] = ()
    messages: Mapping[str, str] = field(default_factory=dict)  # message id → provider reference
    conversation: Mapping[str, str] = field(default_factory=dict)
    ends: bool = False  # nothing of the command is left to be made: its ledger need not outlive a wait


class Binding(NamedTuple):
    """What a provider message id is, to be known for `ttl` seconds: see `bind`."""

    channel: str
    account_id: str
    provider_ref: str
    about: Mapping[str, Any]
    ttl: int = keys.SENT.ttl


def _fields(flat: Sequence[Any]) -> Fields:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _observed(asked: Observation, answer: Sequence[Any]) -> Observed:
    seen, targets, flat, used, into = answer
    if into:
        return Observed(frozenset(), {}, {}, 0, into)
    return Observed(
        frozenset(event for event, flag in zip(asked.event_ids, seen, strict=True) if flag),
        dict(zip(asked.target_ids, targets, strict=True)),
        _fields(flat),
        used,
    )


class Store:
    """State shared by all replicas. Every method raises StateUnavailable."""

    def __init__(self, client: Client, clock: Callable[[], int] | None = None) -> None:
        """`clock` tells milliseconds; without one it is the server's, the only one that all replicas share."""
        self.client = client
        self._clock = clock

    def _moment(self) -> int | str:
        return "" if self._clock is None else self._clock()

    # --- inbound

    async def observe(
        self,
        conversation_id: str,
        *,
        event_ids: Sequence[str] = (),
        target_ids: Sequence[str] = (),
        opened_at: int | None = None,
        last_ref: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> Observed:
        """As `observe_all`, of one conversation."""
        asked = Observation(conversation_id, event_ids, target_ids, opened_at, last_ref, fields or {})
        return (await self.observe_all([asked]))[0]

    async def observe_all(self, asked: Sequence[Observation]) -> list[Observed]:
        """Take note of inbound items before their events are published, and read what they need, in one round trip.

        `opened_at` (ms) is the provider's time of a message that opens the window; the newest wins.
        """
        calls = []
        for conversation_id, event_ids, target_ids, opened_at, last_ref, fields in asked:
            at = ConversationKeys(conversation_id)
            names = [at.record, at.quota, at.cancelled, at.joined]
            names += [*map(at.seen, event_ids), *map(at.message, target_ids)]
            opened = "" if opened_at is None else opened_at
            written = orjson.dumps(fields) if fields else b"{}"
            calls.append((names, (keys.CONVERSATION.ttl, len(event_ids), opened, last_ref, written)))
        answers = await self.client.scripts(keys.OBSERVE, calls)
        return [_observed(*pair) for pair in zip(asked, answers, strict=True)]

    async def confirm_all(self, told: Sequence[Confirmation]) -> list[Confirmed]:
        """The events are on the topic: remember them, their messages (message id → provider reference), and what was
        told of the conversations, in one round trip."""
        calls = []
        for conversation_id, event_ids, messages, fields in told:
            at = ConversationKeys(conversation_id)
            names = [at.record, at.quota, at.joined, *map(at.seen, event_ids), *map(at.message, messages)]
            lives = (keys.SEEN.ttl, keys.MESSAGE.ttl, keys.CONVERSATION.ttl)
            written = orjson.dumps(fields) if fields else b"{}"
            calls.append((names, (*lives, len(event_ids), written, *messages.values())))
        answers = await self.client.scripts(keys.CONFIRM, calls)
        return [Confirmed(_fields(flat), used, into or None) for flat, used, into in answers]

    async def recall(
        self, conversation_id: str, event_ids: Sequence[str], target_ids: Sequence[str]
    ) -> tuple[frozenset[str], dict[str, str]]:
        """What a conversation that has become part of another one had seen, and the references of its messages."""
        at = ConversationKeys(conversation_id)
        found = await asyncio.gather(
            *(self.client.call("EXISTS", at.seen(event)) for event in event_ids),
            *(self.client.call("GET", at.message(target)) for target in target_ids),
        )
        targets = zip(target_ids, found[len(event_ids) :], strict=True)
        return (
            frozenset(event for event, seen in zip(event_ids, found[: len(event_ids)], strict=True) if seen),
            {target: ref for target, ref in targets if ref is not None},
        )

    async def adopt(self, channel: str, account_id: str, alias: str, peer: str) -> str:
        """The peer that goes by this alias; `peer` itself when the alias is new."""
        key = keys.alias(channel, account_id, alias)
        known: str = await self.client.script(keys.ADOPT, [key], [keys.ALIAS.ttl, peer])
        return known

    async def peers(self, channel: str, aliases: Sequence[tuple[str, str]]) -> list[str | None]:
        """The peers that go by these aliases (account id, alias), in one round trip. A name in use is not forgotten."""
        names = [keys.alias(channel, account_id, alias) for account_id, alias in aliases]
        return await self.client.calls([("GETEX", name, "EX", keys.ALIAS.ttl) for name in names])

    async def rename(self, channel: str, account_id: str, alias: str, peer: str) -> None:
        """From now on this alias means `peer`."""
        await self.client.call("SET", keys.alias(channel, account_id, alias), peer, "EX", keys.ALIAS.ttl)

    async def since(self, conversation_id: str, at_ms: int | None = None) -> int:
        """Since when (ms) a conversation is one: for ever `at_ms` (or now) where nobody has said so before."""
        key = ConversationKeys(conversation_id).joined
        moment = self._moment() if at_ms is None else at_ms
        return int(await self.client.script(keys.SINCE, [key], [keys.JOINED.ttl, moment]))

    async def joined(self, conversation_id: str) -> str | None:
        """The peer of the conversation that this one has become part of, or None."""
        known: str | None = await self.client.call("HGET", ConversationKeys(conversation_id).joined, "into")
        return known

    async def join(self, conversation_id: str, peer: str) -> str:
        """It becomes part of the peer's conversation. Returns the peer of the one that it has become part of first."""
        key = ConversationKeys(conversation_id).joined
        into: str = await self.client.script(keys.JOIN, [key], [keys.JOINED.ttl, peer])
        return into

    async def record(self, conversation_id: str) -> Fields:
        """What is known of a conversation, as it is."""
        return dict(await self.client.call("HGETALL", ConversationKeys(conversation_id).record))

    async def erase(self, names: Sequence[str]) -> int:
        """Delete keys, each by itself: they are in many slots. Returns how many there were."""
        return sum(await asyncio.gather(*(self.client.call("DEL", name) for name in names)))

    async def merge(self, conversation_id: str, peer: str, fields: Mapping[str, str]) -> str | None:
        """Add what was known of the peer's conversation, once. Returns the peer of the conversation that this one has
        itself become part of; then nothing was added."""
        at = ConversationKeys(conversation_id)
        arguments = [keys.CONVERSATION.ttl, peer, orjson.dumps(dict(fields))]
        into = await self.client.script(keys.MERGE, [at.record, at.joined], arguments)
        return into or None

    async def has_ledger(self, conversation_id: str, command_id: str) -> bool:
        """Whether something of a command has been done in this conversation."""
        return bool(await self.client.call("EXISTS", ConversationKeys(conversation_id).ledger(command_id)))

    # --- outbound

    async def open(self, conversation_id: str, command_id: str, target_ids: Sequence[str] = ()) -> Opened:
        """Everything a command needs to be judged, in one round trip. A target is None when it is not known and
        '' when it is known but has no provider reference yet."""
        at = ConversationKeys(conversation_id)
        record, used, cancelled, ledger, targets = await self.client.script(
            keys.OPEN,
            [at.record, at.quota, at.cancelled, at.ledger(command_id), *map(at.message, target_ids)],
            [],
        )
        return Opened(
            _fields(record),
            used,
            _fields(cancelled),
            _fields(ledger),
            dict(zip(target_ids, targets, strict=True)),
        )

    async def intend(
        self,
        conversation_id: str,
        command_id: str,
        call: str,
        value: str,
        *,
        pending: Sequence[str] = (),
        quota_limit: int | None = None,
        quota_members: Sequence[str] = (),
        waits: float = 0.0,
        plan: str = "",
        bindings: Sequence[Binding] = (),
    ) -> Intended:
        """Claim a call before it is made; reserves the quota of the whole message with the first call.

        `waits` is for how many seconds the rest of the command may wait: the ledger outlives it. `plan` is kept beside
        the claim. The bindings go in the same round trip.
        """
        at = ConversationKeys(conversation_id)
        claim = self.client.script(
            keys.INTEND,
            [at.record, at.quota, at.cancelled, at.ledger(command_id), *map(at.message, pending)],
            [
                keys.LEDGER.ttl + int(waits),
                keys.MESSAGE.ttl,
                call,
                value,
                "" if quota_limit is None else quota_limit,
                orjson.dumps(list(quota_members)),
                keys.QUOTA.ttl,
                self._moment(),
                plan,
            ],
        )
        (answer, found), _ = await _both(claim, self._bind(bindings))
        return Intended(answer, found)

    async def settle(self, conversation_id: str, command_id: str, change: Settlement) -> Fields:
        """Write how a call ended. Returns the ledger after it."""
        return (await self.settle_and_bind(conversation_id, command_id, change, ()))[0]

    async def settle_and_bind(
        self, conversation_id: str, command_id: str, change: Settlement, bindings: Sequence[Binding]
    ) -> tuple[Fields, list[list[Any]]]:
        """`settle` and `bind` in one round trip: the ledger after it, and what each binding was told early."""
        at = ConversationKeys(conversation_id)
        written = {
            "set": dict(change.set_fields),
            "drop": list(change.drop_fields),
            "unquota": list(change.quota_drop),
            "quota": list(change.quota_add),
            "parts": {name: list(part) for name, part in change.parts.items()},
            "outbox": list(change.outbox),
            "refs": list(change.messages.values()),
            "conversation": dict(change.conversation),
            "ends": change.ends,
        }
        settled = self.client.script(
            keys.SETTLE,
            [at.record, at.quota, at.ledger(command_id), at.outbox, *map(at.message, change.messages)],
            [
                keys.LEDGER.ttl,
                keys.MESSAGE.ttl,
                orjson.dumps(written),
                keys.OUTBOX.ttl,
                keys.CONVERSATION.ttl,
                keys.QUOTA.ttl,
                self._moment(),
            ],
        )
        flat, early = await _both(settled, self._bind(bindings))
        return _fields(flat), [[orjson.loads(status) for status in told] for told in early]

    async def advance(
        self, conversation_id: str, command_id: str, part: str, value: str, rank: int, at: str
    ) -> tuple[bool, Fields]:
        """Move a part on if `rank` is higher than what is there. Returns whether it moved, and the ledger.

        `at` is the time in the status (RFC 3339, as the contract writes it): it gives way to a later one told before.
        """
        moved, flat = await self.client.script(
            keys.ADVANCE,
            [ConversationKeys(conversation_id).ledger(command_id)],
            [part, value, rank, keys.LEDGER.ttl, at],
        )
        return bool(moved), _fields(flat)

    async def bind(self, bindings: Sequence[Binding]) -> list[list[Any]]:
        """Say what provider message ids are. Returns the statuses of each that came before, until `drop_waiting`."""
        return [[orjson.loads(status) for status in told] for told in await self._bind(bindings)]

    def _bind(self, bindings: Sequence[Binding]) -> asyncio.Future[list[Any]]:
        calls = []
        for channel, account_id, provider_ref, about, ttl in bindings:
            names = [keys.sent(channel, account_id, provider_ref), keys.waiting(channel, account_id, provider_ref)]
            calls.append((names, (ttl, orjson.dumps(about))))
        return self.client.scripts(keys.BIND, calls)

    async def match(
        self, channel: str, account_id: str, provider_ref: str, status: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """What a provider message id is; None leaves the status waiting (a day, 16 at most) until `bind` tells."""
        names = [keys.sent(channel, account_id, provider_ref), keys.waiting(channel, account_id, provider_ref)]
        known = await self.client.script(keys.MATCH, names, [keys.WAITING.ttl, orjson.dumps(dict(status)), 16])
        return None if known is None else dict(orjson.loads(known))

    async def sent(self, channel: str, account_id: str, provider_ref: str) -> dict[str, Any] | None:
        """What a provider message id is, or None."""
        known = await self.client.call("GET", keys.sent(channel, account_id, provider_ref))
        return None if known is None else dict(orjson.loads(known))

    async def drop_waiting(self, channel: str, account_id: str, provider_ref: str) -> None:
        """The statuses that `bind` has given have been told."""
        await self.client.call("DEL", keys.waiting(channel, account_id, provider_ref))

    async def outbox(self, conversation_id: str, until_ms: int) -> list[str]:
        """Provider refs of our messages sent up to this time and not read yet."""
        refs = await self.client.call("ZRANGEBYSCORE", ConversationKeys(conversation_id).outbox, "-inf", until_ms)
        return list(refs)

    async def empty_outbox(self, conversation_id: str, until_ms: int) -> None:
        """Our messages up to this time have been read."""
        await self.client.call("ZREMRANGEBYSCORE", ConversationKeys(conversation_id).outbox, "-inf", until_ms)

    async def tell(self, conversation_id: str, command_id: str, field: str, value: str) -> None:
        """Set one field of a ledger; of one that is gone nothing is kept."""
        await self.client.script(keys.TELL, [ConversationKeys(conversation_id).ledger(command_id)], [field, value])

    async def cancel(self, conversation_id: str, rule: str, at_ms: int) -> None:
        """Keep a cancel rule of a conversation for those of its commands that were queued before `at_ms`."""
        key = ConversationKeys(conversation_id).cancelled
        await self.client.script(keys.CANCEL, [key], [rule, at_ms, keys.CANCELLED.ttl])

    async def note(self, conversation_id: str, fields: Mapping[str, str]) -> None:
        """Set fields of a conversation."""
        flat = [item for pair in fields.items() for item in pair]
        key = ConversationKeys(conversation_id).record
        await asyncio.gather(
            self.client.call("HSET", key, *flat), self.client.call("EXPIRE", key, keys.CONVERSATION.ttl)
        )

    async def count(self, conversation_id: str, member: str, at_ms: int) -> bool:
        """Count a message of ours, sent elsewhere, against the quota; False when it has been counted before."""
        key = ConversationKeys(conversation_id).quota
        added, _ = await asyncio.gather(
            self.client.call("ZADD", key, "NX", at_ms, member), self.client.call("EXPIRE", key, keys.QUOTA.ttl)
        )
        return bool(added)

    # --- threads of a conversation

    async def find_thread(self, conversation_id: str, names: Sequence[str]) -> str | None:
        """The id of the thread that the first known of these names belongs to, or None."""
        at = ConversationKeys(conversation_id)
        known = await self.client.call("MGET", *map(at.thread, names))
        return next((str(thread_id) for thread_id in known if thread_id is not None), None)

    async def join_thread(self, conversation_id: str, names: Sequence[str], new_id: str) -> str:
        """The id of the thread of these names, the strongest first: `new_id` where none is known. All belong to it."""
        at = ConversationKeys(conversation_id)
        thread_id: str = await self.client.script(
            keys.JOIN_THREAD, list(map(at.thread, names)), [keys.THREAD.ttl, new_id]
        )
        return thread_id

    async def thread_note(self, conversation_id: str, thread_id: str) -> Fields:
        """What is kept of a thread."""
        return dict(await self.client.call("HGETALL", ConversationKeys(conversation_id).note(thread_id)))

    async def keep_note(self, conversation_id: str, thread_id: str, fields: Mapping[str, str]) -> None:
        """Keep this of a thread; it is the one of the conversation that was written in last."""
        at = ConversationKeys(conversation_id)
        arguments = [keys.NOTE.ttl, orjson.dumps(dict(fields)), thread_id, keys.CONVERSATION.ttl]
        await self.client.script(keys.KEEP_NOTE, [at.record, at.note(thread_id)], arguments)

    # --- rates, locks, cursors, tokens

    async def take(
        self, buckets: Sequence[tuple[str, float, float]], *, longest_wait: float, reserve: float = 0.0
    ) -> tuple[bool, float, int]:
        """One token of every bucket (key, per second, burst), or of none when the wait were longer.

        `reserve` tokens have to stay in each: what asks with one gives way to what asks without. The buckets of one
        call are of one channel. Returns whether it was taken, the seconds to wait, and the index of the bucket that
        makes us wait.
        """
        arguments: list[Any] = [int(longest_wait * 1000), reserve, keys.BUCKET.ttl * 1000]
        for _, per_second, burst in buckets:
            arguments += [1000 / per_second, burst]
        taken, wait, slowest = await self.client.script(keys.TAKE, [key for key, _, _ in buckets], arguments)
        return bool(taken), wait / 1000, slowest - 1

    async def penalise(self, bucket: str, wait: float) -> None:
        """Nothing passes this bucket for `wait` seconds."""
        await self.client.script(keys.PENALISE, [bucket], [int(wait * 1000), keys.BUCKET.ttl * 1000])

    async def rate(self, *scope: str) -> tuple[float, float] | None:
        """How fast the provider lets an account send (per second, burst), or None where it has not said so."""
        known = await self.client.call("GET", keys.rate(*scope))
        if known is None:
            return None
        per_second, burst = orjson.loads(known)
        return per_second, burst

    async def set_rate(self, per_second: float, burst: float, *scope: str) -> None:
        """The provider has said how fast an account may send."""
        value = orjson.dumps([per_second, burst])
        await self.client.call("SET", keys.rate(*scope), value, "EX", keys.RATE.ttl)

    @asynccontextmanager
    async def lease(self, *scope: str) -> AsyncIterator[bool]:
        """A lock shared by all replicas, for at most its TTL; yields whether we hold it."""
        key, holder = keys.lease(*scope), uuid4().hex
        held = await self.client.call("SET", key, holder, "NX", "EX", keys.LEASE.ttl)
        try:
            yield bool(held)
        finally:
            if held:
                await self.client.script(keys.RELEASE, [key], [holder])

    async def first_in(self, period: float, *scope: str) -> bool:
        """True for one caller per scope and period (seconds, at most a day), whatever the number of replicas."""
        life = max(1, int(min(period, keys.PERIOD.ttl) * 1000))
        taken = await self.client.call("SET", keys.period(*scope), "1", "NX", "PX", life)
        return bool(taken)

    async def cursor(self, channel: str, account_id: str) -> str | None:
        known: str | None = await self.client.call("GET", keys.cursor(channel, account_id))
        return known

    async def set_cursor(self, channel: str, account_id: str, value: str) -> None:
        await self.client.call("SET", keys.cursor(channel, account_id), value, "EX", keys.CURSOR.ttl)

    async def secret(self, channel: str, account_id: str) -> str | None:
        """The sealed rotating tokens of an account."""
        known: str | None = await self.client.call("GET", keys.secret(channel, account_id))
        return known

    async def replace_secret(self, channel: str, account_id: str, expected: str | None, value: str) -> bool:
        """Set the sealed tokens if they are still what the caller has seen."""
        changed = await self.client.script(
            keys.COMPARE_AND_SET,
            [keys.secret(channel, account_id)],
            [expected or "", value, keys.SECRET.ttl],
        )
        return bool(changed)

    # --- files that the provider has

    async def upload(self, key: str) -> str | None:
        """The provider's id of a file (`keys.upload`)."""
        known: str | None = await self.client.call("GET", key)
        return known

    async def keep_upload(self, key: str, ref: str) -> None:
        await self.client.call("SET", key, ref, "EX", keys.UPLOAD.ttl)

    async def forget_upload(self, key: str) -> None:
        await self.client.call("DEL", key)


async def _both(first: asyncio.Future[Any], second: asyncio.Future[Any]) -> tuple[Any, Any]:
    """Two answers of one round trip, for the price of none: gathering makes no task of a future, but a third one."""
    try:
        return await first, await second
    except BaseException:
        second.cancel()
        raise
