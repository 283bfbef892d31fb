"""The simulated Telegram itself: who exists, what was said, and what a test or console may watch."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from sandbox.simulators.common import Behaviour, Clock, Fault, Faults, marker_of
from sandbox.simulators.feed import Feed
from sandbox.simulators.telegram.bodies import Spool
from sandbox.simulators.telegram.files import FileStore
from sandbox.simulators.telegram.model import Access, Connection, Conversation, Group, Json, Message, Person, Sent
from sandbox.simulators.telegram.spec import Spec
from sandbox.simulators.telegram.updates import UpdateQueue


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is remembered; the oldest goes first."""

    messages: int = 50_000
    sent: int = 200_000
    calls: int = 10_000
    changes: int = 10_000
    files: int = 5_000
    callback_queries: int = 10_000


class RecordedCall(NamedTuple):
    """One Bot API request as it was understood, and how it was answered."""

    at: float
    bot_id: int
    method: str
    parameters: Json
    status: int
    description: str


@dataclass(slots=True, eq=False)
class Bot:
    """A bot account. `open_to_all`: every positive chat id is a person who started it (for load tests)."""

    id: int
    token: str
    first_name: str
    username: str
    updates: UpdateQueue
    open_to_all: bool = False
    privacy_mode: bool = False
    logged_out_until: float = 0.0
    user: Json = field(init=False)

    def __post_init__(self) -> None:
        self.user = {
            "id": self.id,
            "is_bot": True,
            "first_name": self.first_name,
            "username": self.username,
        }


class CallbackQuery(NamedTuple):
    """A pressed button waiting for its answer."""

    bot_id: int
    at: float
    conversation: Conversation


@dataclass(slots=True, eq=False)
class World:
    """All state of one simulator."""

    clock: Clock
    faults: Faults[Fault]
    spec: Spec
    blobs: Path
    limits: Limits = field(default_factory=Limits)
    behaviour: Behaviour = field(default_factory=Behaviour)
    feed: Feed = field(init=False)
    files: FileStore = field(init=False)
    spool: Spool = field(init=False)
    session: aiohttp.ClientSession = field(init=False)
    counters: Counter[str] = field(default_factory=Counter)
    calls: deque[RecordedCall] = field(init=False)
    violations: deque[Json] = field(init=False)
    bots: dict[int, Bot] = field(default_factory=dict)
    tokens: dict[str, Bot] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    conversations: dict[tuple[int, int, str | None], Conversation] = field(default_factory=dict)
    callback_queries: dict[str, CallbackQuery] = field(default_factory=dict)
    _history: deque[tuple[Conversation, int]] = field(default_factory=deque)
    _sent: deque[Conversation] = field(default_factory=deque)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _ids: int = 0

    def __post_init__(self) -> None:
        self.feed = Feed(self.clock, self.limits.changes)
        self.spool = Spool(self.blobs)
        self.files = FileStore(self.spool, self.clock, self.limits.files)
        self.calls = deque(maxlen=self.limits.calls)
        self.violations = deque(maxlen=self.limits.calls)

    def next_id(self) -> int:
        """A number not used before in this world."""
        self._ids += 1
        return self._ids

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run in the background until the simulator stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop deliveries, polls, followers and background work."""
        self.feed.close()
        for bot in self.bots.values():
            await bot.updates.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.session.close()

    def add_person(self, **fields: Any) -> Person:
        """A new user; `id` is made up unless given."""
        person = Person(**{"id": 700_000_000 + self.next_id(), **fields})
        self.people[person.id] = person
        return person

    def id_of_username(self, username: str) -> int | None:
        """Chat id of a public group, supergroup or channel."""
        for group in self.groups.values():
            if group.username.lower() == username.lower():
                return group.id
        return None

    def conversation(self, bot_id: int, other: Person | Group, connection_id: str | None = None) -> Conversation:
        """The conversation, made on first use."""
        key = (bot_id, other.id, connection_id)
        found = self.conversations.get(key)
        if found is None:
            group, person = (other, None) if isinstance(other, Group) else (None, other)
            access: Access = "open" if group or connection_id else "new"
            found = Conversation(bot_id, other.as_chat(), connection_id, group, person, access)
            if connection_id is not None:
                found.message_ids = self.connections[connection_id].message_ids
            self.conversations[key] = found
        return found

    def keep(self, conversation: Conversation, message: Message) -> None:
        """Store a message and tell the followers."""
        message_id = message.wire["message_id"]
        conversation.messages[message_id] = message
        self._history.append((conversation, message_id))
        if len(self._history) > self.limits.messages:
            oldest, oldest_id = self._history.popleft()
            oldest.messages.pop(oldest_id, None)
        self.announce("message", conversation, message=message.wire, outgoing=message.outgoing)

    def account(self, conversation: Conversation, message: Message, kind: str, file_hash: str) -> None:
        """Note that the chat received this from the bot."""
        wire = message.wire
        text = wire.get("text") or wire.get("caption") or ""
        conversation.sent.append(Sent(wire["message_id"], kind, text, marker_of(text), file_hash, self.clock.now()))
        self._sent.append(conversation)
        if len(self._sent) > self.limits.sent:
            self._sent.popleft().sent.popleft()

    def forget(self) -> None:
        """Forget calls, violations and what was sent; conversations stay."""
        self.calls.clear()
        self.violations.clear()
        while self._sent:
            self._sent.popleft().sent.clear()

    def announce(self, kind: str, conversation: Conversation, **data: Any) -> None:
        """Publish a change of a conversation."""
        data["bot_id"] = conversation.bot_id
        data["chat_id"] = conversation.chat["id"]
        if conversation.connection_id is not None:
            data["connection_id"] = conversation.connection_id
        self.feed.publish(kind, data)
