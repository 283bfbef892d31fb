"""Rebuild: refill the state store from the topics after it has lost its data. Nothing is published or sent.

Three sources, in this order: the raw topic (read again by `normalise`: addresses, names, windows, which events are
out), the state feed (what was last said of every conversation), the statuses (what became of every command).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence

import orjson
from pydantic import ValidationError

from shared.channel import Account, Channel, Event, HealthChange, NamesMessages, StatusUpdate, TemplateChange
from shared.contract.errors import ErrorCode
from shared.contract.state import ConversationState
from shared.contract.statuses import MessageStatus, State, supersedes
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.policy.conversation import Conversation, flags
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.inbound.normalise import Normaliser
from shared.runtime.reporting import ledger
from shared.runtime.reporting.statuses import About
from shared.runtime.roles import Common, NormaliseRole
from shared.state.client import StateUnavailable
from shared.state.store import Binding, Settlement, Store
from shared.stream.errors import NotNow
from shared.stream.log import Log, Stored
from shared.stream.memory import MemoryLog
from shared.stream.records import Headers, Record

_AT_ONCE = 64
_NOTHING_SENT = frozenset((State.REJECTED, State.EXPIRED, State.CANCELLED, State.DONE))


class _Nowhere(MemoryLog):
    """A log that takes everything and keeps nothing: what is read again has been published before."""

    async def enqueue(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> asyncio.Future[Stored]:
        done: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        done.set_result(Stored(0, 0))
        return done

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Stored:
        return Stored(0, 0)


async def rebuild(
    channel: Channel, accounts: AccountRegistry, stream: Log, store: Store, blobs: Blobs, topics: Topics
) -> Counter[str]:
    """Returns how many records of each source were used. Raises LogUnavailable, StateUnavailable."""
    name = channel.capabilities.channel
    used: Counter[str] = Counter()
    silent = Common(channel, topics, _Nowhere(), store, blobs, accounts)
    role = NormaliseRole(silent, _NoEffects())
    try:
        used["raw"] = await _read_raw(role.normaliser, stream, topics.raw(name))
    finally:
        await role.close()
        await silent.close()
    for number in range(await stream.partitions(topics.state(name))):
        async for record in stream.read_partition(topics.state(name), number):
            used["state"] += await _from_feed(store, record)
    for number in range(await stream.partitions(topics.statuses(name))):
        commands, count = await _commands(stream, topics.statuses(name), number)
        used["statuses"] += count
        waiting = [_restore(name, store, *key, parts) for key, parts in commands.items()]
        waiting += [_bind_names(channel, accounts, store, *key, parts) for key, parts in commands.items()]
        for first in range(0, len(waiting), _AT_ONCE):
            await asyncio.gather(*waiting[first : first + _AT_ONCE])
    return used


async def _read_raw(reader: Normaliser, stream: Log, topic: str) -> int:
    """Read the raw topic again, each partition in its order: that of conversations matters."""
    count = 0
    for number in range(await stream.partitions(topic)):
        async for record in stream.read_partition(topic, number):
            await _read_again(reader, record)
            count += 1
    return count


async def _read_again(reader: Normaliser, record: Record) -> None:
    while True:
        try:
            await reader.handle(record)
            return
        except AccountSealed:  # whoever can open it, later, brings it back
            return
        except NotNow as wait:
            if wait.why == "state_unavailable":
                raise StateUnavailable("while the raw topic was read") from None
            await asyncio.sleep(wait.retry_after)  # an account that may yet be heard of, the blob store


class _NoEffects:
    """What follows from records has followed: statuses and health have topics of their own, answers are too late."""

    async def report(self, account: Account, update: StatusUpdate, traceparent: str | None) -> None:
        pass

    async def notice(self, account: Account, change: HealthChange) -> None:
        pass

    def template(self, account: Account, change: TemplateChange) -> None:
        pass

    def answer(self, account: Account, event: Event) -> None:
        pass

    def published(
        self, account: Account, conversation_id: str, conversation: Conversation, events: Sequence[Event]
    ) -> None:
        pass


async def _from_feed(store: Store, record: Record) -> int:
    """What the feed last said of a conversation: flags that no inbound message brings back."""
    if record.value is None:
        return 0
    try:
        state = ConversationState.model_validate_json(record.value)
    except ValidationError:
        return 0
    told = flags(
        blocked=state.blocked,
        unreachable=ErrorCode.RECIPIENT_BLOCKED in state.reasons,
        undeliverable=ErrorCode.UNDELIVERED in state.reasons,
        opted_out=state.opted_out,
        closed_by_provider=state.window is not None and state.window.closed_by_provider,
    )
    opened = None
    if state.window is not None and state.last_inbound_at is not None:  # without a window it is told to the minute only
        opened = int(state.last_inbound_at.timestamp() * 1000)
    observed = await store.observe(state.conversation_id, opened_at=opened)
    if observed.merged_into is not None:  # the feed of the one that it has become part of says what holds
        return 0
    known = observed.conversation
    if changed := {field: value for field, value in told.items() if value != known.get(field, "0")}:
        await store.note(state.conversation_id, changed)
    return 1


_Commands = dict[tuple[str, str], dict[int, MessageStatus]]


async def _commands(stream: Log, topic: str, number: int) -> tuple[_Commands, int]:
    """What has become of the parts of the commands whose statuses are on this partition, and how many statuses are."""
    commands: _Commands = defaultdict(dict)
    count = 0
    async for record in stream.read_partition(topic, number):
        try:
            status = MessageStatus.model_validate_json(record.value or b"")
        except ValidationError:
            continue
        if status.command_id is None or status.conversation_id is None or status.state is State.DEFERRED:
            continue
        parts = commands[status.conversation_id, status.command_id]
        known = parts.get(status.part.index)
        if supersedes(status.state, known.state if known else None):
            parts[status.part.index] = status
        count += 1
    return commands, count


async def _bind_names(
    channel: Channel,
    accounts: AccountRegistry,
    store: Store,
    conversation_id: str,
    command_id: str,
    parts: dict[int, MessageStatus],
) -> None:
    """Reports find the message by the names that the channel has given it, also where nobody knows whether it went."""
    status = parts.get(0)
    if not isinstance(channel, NamesMessages) or status is None or status.state in _NOTHING_SENT:
        return
    try:
        account = accounts.get(status.account_id)
    except AccountSealed:
        return
    if account is not None:
        names = channel.names_of(account.record, command_id)
        about = About(conversation_id, command_id, 0, status.part.of, 0, status.target_message_id, names[0])
        known = about.as_dict()
        await store.bind([Binding(channel.capabilities.channel, account.account_id, name, known) for name in names])


async def _restore(
    channel: str, store: Store, conversation_id: str, command_id: str, parts: dict[int, MessageStatus]
) -> None:
    """The ledger of a command: it is not sent a second time."""
    of = next(iter(parts.values())).part.of
    fields: dict[str, str] = {}
    if len(parts) == of:
        told = [orjson.loads(parts[index].to_json()) for index in sorted(parts)]
        fields[ledger.END] = orjson.dumps(told).decode()
    messages: dict[str, str] = {}
    for status in parts.values():
        if status.provider_message_id and status.message_id:
            messages[status.message_id] = status.provider_message_id
            part = status.part.index
            about = About(conversation_id, command_id, part, of, part, status.target_message_id)
            await store.bind([Binding(channel, status.account_id, status.provider_message_id, about.as_dict())])
    await store.settle(
        conversation_id,
        command_id,
        Settlement(
            set_fields=fields,
            parts={
                ledger.part_field(status.part.index): ledger.entry_of(status)
                for status in sorted(parts.values(), key=lambda status: status.occurred_at)
            },
            messages=messages,
        ),
    )
