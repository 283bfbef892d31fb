"""One channel with everything around it, on a real Valkey, a log in memory and a blob directory, driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from shared.contract.accounts import AccountRecord
from shared.contract.base import rfc3339
from shared.contract.commands import CommandType
from shared.contract.envelope import type_name
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.roles import Common, DeliverRole, MediaRole, NormaliseRole
from shared.runtime.settings import DeliverSettings
from shared.runtime.waiting.parked import wake_recovered
from shared.state.client import Client
from shared.state.store import Store
from shared.stream.errors import NotNow
from shared.stream.lanes import Handler
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.records import Record
from tests.shared.runtime.clock import Clock
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel, Provider, raw_item

ACCOUNT = AccountRecord(account_id="acc_1", workspace_id="ws_1", channel=CHANNEL, external_id="ext-1")
OTHER = AccountRecord(account_id="acc_2", workspace_id="ws_2", channel=CHANNEL, external_id="ext-2")
CONVERSATION = "plain:acc_1:p1"
PATIENCE = 24 * 3600.0
SHORT_WAIT = 5.0
_MOST_TURNS = 500


class World:
    """What survives a process: the log, the state, the blobs, the provider. `process` is the one that runs now."""

    def __init__(
        self,
        url: str,
        directory: Path,
        clock: Clock,
        channel: PlainChannel | None = None,
        accounts: Iterable[AccountRecord] = (ACCOUNT, OTHER),
        partitions: int = 1,
    ) -> None:
        self.clock = clock
        self.channel = channel or PlainChannel()
        self.topics = Topics()
        self.log = MemoryLog()
        self._partitions = partitions
        self.client = Client(url)
        self.store = Store(self.client, lambda: clock.ms)
        self.blobs = Blobs(f"file://{directory}")
        self.accounts = AccountRegistry(CHANNEL, None)
        for record in accounts:
            self.account(record)
        self.process = Process(self)
        self._names = count(1)
        self._read: dict[str, int] = {}

    async def start(self) -> None:
        topics = (*self.topics.shared(), *self.topics.of_channel(CHANNEL))
        await self.log.ensure_topics(
            TopicSpec(topic.name, self._partitions, compact=topic.compacted) for topic in topics
        )

    @property
    def provider(self) -> Provider:
        return self.channel.provider

    def account(self, record: AccountRecord) -> None:
        """Put the account into the registry, or change it there."""
        self.accounts.apply(record.account_id.encode(), record.to_json())

    async def restart(self) -> None:
        """The process is gone with everything it knew; another one takes its partitions over."""
        health = self.process.health
        self.process = Process(self)
        for account in self.accounts:
            self.process.health._set(account.account_id, health.of(account.account_id))
        await self.process.parking.restore([0])
        wake_recovered(self.process.parking, self.process.health, self.process.outages.try_first)
        await self.process.parked_files.restore([0])

    # --- inbound

    async def receive(self, *items: dict[str, Any]) -> None:
        """Items come in by webhook and are normalised."""
        for record in await self.raw(*items):
            await self.normalise(record)

    async def raw(self, *items: dict[str, Any]) -> list[Record]:
        """Items as records of the raw topic, not yet handled. `at` is now unless the item says otherwise."""
        stamped = [{"at": self.clock.ms, **item} for item in items]
        before = (await self.log.ends(self.topics.raw(CHANNEL)))[0]
        await self.process.writer.write([raw_item(item) for item in stamped])
        return [replace(r, timestamp_ms=self.clock.ms) for r in self._written(self.topics.raw(CHANNEL))[before:]]

    # --- outbound

    async def command(self, kind: CommandType | str = CommandType.MESSAGE_SEND, **data: Any) -> Record:
        """A command as a record of the outbound topic, not yet handled."""
        if kind == CommandType.MESSAGE_SEND and "content" not in data:
            data["content"] = {"kind": "text", "text": data.pop("text", "hello")}
        document = {
            "command_id": f"cmd_{next(self._names)}",
            "workspace_id": "ws_1",
            "account_id": "acc_1",
            "conversation_id": CONVERSATION,
            **data,
        }
        if document["conversation_id"] is None:
            del document["conversation_id"]
        ce_type = kind if str(kind).startswith("channels.") else type_name(str(kind))
        named = document.get("conversation_id")
        return await self.record(orjson.dumps(document), str(ce_type), named if isinstance(named, str) else None)

    async def record(self, value: bytes, ce_type: str = "channels.message.send.v1", key: str | None = None) -> Record:
        """Bytes on the outbound topic, queued now."""
        topic, name = self.topics.outbound(CHANNEL), (key or CONVERSATION).encode()
        stored = await self.log.send(topic, name, value, (("ce_type", ce_type.encode()),))
        return replace(self._written(topic)[stored.offset], timestamp_ms=self.clock.ms)

    def _written(self, topic: str) -> list[Record]:
        """The records of the first partition: of the only one, where commands and webhooks are handled by hand."""
        return self.log._topics[topic][0]

    async def send(self, kind: CommandType | str = CommandType.MESSAGE_SEND, **data: Any) -> Record:
        """A command that is queued and handled."""
        record = await self.command(kind, **data)
        await self.handle(record)
        return record

    async def handle(self, record: Record) -> list[float]:
        """Deliver a command. Returns the waits in seconds."""
        return await self._as_a_lane(self.process.deliverer.handle, record)

    async def normalise(self, record: Record) -> list[float]:
        """Normalise a raw record. Returns the waits in seconds."""
        return await self._as_a_lane(self._in_a_wave, record)

    async def _in_a_wave(self, record: Record) -> None:
        """As a dispatcher offers it: with others, here with none, and alone where it is left."""
        with suppress(Exception):
            if not await self.process.normaliser.wave([record]):
                return
        await self.process.normaliser.handle(record)

    async def _as_a_lane(self, handler: Handler, record: Record) -> list[float]:
        """Short waits pass on the clock, then it is asked again."""
        waits: list[float] = []
        for _ in range(_MOST_TURNS):
            try:
                await handler(record)
            except NotNow as wait:
                waits.append(wait.retry_after)
                self.clock.advance(wait.retry_after)
            else:
                return waits
        raise AssertionError("it waits for ever")

    async def come_due(self, seconds: float = 0.0) -> int:
        """Let time pass and hand over what is parked, in order, until nothing more is due. Returns how many were."""
        self.clock.advance(seconds)
        handled = 0
        while records := self.process.parking.due(self.clock.ms):
            for record in records:
                await self.handle(record)
                handled += 1
                assert handled < _MOST_TURNS, "it comes due for ever"
        return handled

    async def passed(self, seconds: float) -> None:
        """Return when so much time has passed on the clock."""
        until = self.clock.seconds + seconds
        while self.clock.seconds < until:
            await asyncio.sleep(0.001)

    async def outage_ends(self, account_id: str = "acc_1") -> float:
        """Let time pass until the account's commands go on; returns the seconds."""
        began = self.clock.seconds
        for _ in range(_MOST_TURNS):
            if not self.process.outages.holds(account_id):
                await self.come_due()
                return self.clock.seconds - began
            self.clock.advance(0.1)
            await asyncio.sleep(0.003)
            await self.come_due()
        raise AssertionError("the outage never ends")

    # --- what was published

    async def values(self, topic: str) -> list[dict[str, Any]]:
        """The JSON of all records of a topic."""
        return [orjson.loads(r.value) async for r in self.records(topic) if r.value is not None]

    async def records(self, topic: str) -> AsyncIterator[Record]:
        for number in range(await self.log.partitions(topic)):
            async for record in self.log.read_partition(topic, number):
                yield record

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Type (without prefix and version) and data of everything on the inbound topic."""
        return [
            (_name(record), orjson.loads(record.value or b""))
            async for record in self.records(self.topics.inbound(CHANNEL))
        ]

    async def event_types(self) -> list[str]:
        return [name for name, _ in await self.events()]

    async def statuses(self, command_id: str | None = None) -> list[dict[str, Any]]:
        found = await self.values(self.topics.statuses(CHANNEL))
        return [status for status in found if command_id in (None, status.get("command_id"))]

    async def states(self, command_id: str | None = None) -> list[str]:
        """What was told, step by step: the states, with the part where there are many."""
        return [
            status["state"] if status["part"]["of"] == 1 else f"{status['state']}:{status['part']['index']}"
            for status in await self.statuses(command_id)
        ]

    async def feed(self, conversation_id: str = CONVERSATION) -> list[dict[str, Any]]:
        found = await self.values(self.topics.state(CHANNEL))
        return [state for state in found if state["conversation_id"] == conversation_id]

    async def dead(self) -> list[tuple[str, Record]]:
        """Codes and records of the dead letters."""
        return [
            (dict(record.headers)["dl_code"].decode(), record)
            async for record in self.records(self.topics.deadletter(CHANNEL))
        ]

    async def healths(self) -> list[str]:
        return [record["health"] for record in await self.values(self.topics.account_health)]

    async def blob(self, content: bytes, key: str = "ws_1/acc_1/file") -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await self.blobs.put(key, chunks())
        return key

    async def forget(self, pattern: str) -> None:
        """Let the time to live of some keys run out: Valkey has a clock of its own."""
        for key in await self.client.call("KEYS", pattern):
            await self.client.call("DEL", key)

    async def close(self) -> None:
        await self.process.outages.close()
        await self.process.common.close()
        await self.client.close()


class Process:
    """Everything that one process of the channel holds in memory."""

    def __init__(self, world: World) -> None:
        self.common = Common(
            world.channel,
            world.topics,
            world.log,
            world.store,
            world.blobs,
            world.accounts,
            fetch_private=True,
            clock=world.clock.read,
        )
        self.health = self.common.health
        self.identities = self.common.identities
        self.book = self.common.book
        self.writer = self.common.writer
        self.preparer = self.common.preparer
        self.rates = self.common.rates
        self.normalising = NormaliseRole(self.common)
        self.answers, self.contacts, self.normaliser = (
            self.normalising.answers,
            self.normalising.contacts,
            self.normalising.normaliser,
        )
        settings = DeliverSettings(slots=128, account_slots=32, short_wait=SHORT_WAIT, patience=PATIENCE)
        self.delivering = DeliverRole(self.common, settings, sleep=world.passed)
        self.parking = self.delivering.parking
        self.pacer = self.delivering.pacer
        self.typing = self.delivering.typing
        self.outages = self.delivering.outages
        self.sender = self.delivering.sender
        self.deliverer = self.delivering.deliverer
        files = MediaRole(self.common, 1024 * 1024)
        self.parked_files, self.media = files.parking, files.handler


class Away:
    """A connection to a Valkey that is not there."""

    def pipeline(self, **_: object) -> Away:
        return self

    def execute_command(self, *_: object) -> None:
        pass

    async def execute(self, **_: object) -> None:
        raise ConnectionError

    async def aclose(self) -> None:
        pass


def _name(record: Record) -> str:
    return dict(record.headers)["ce_type"].decode().removeprefix("channels.").removesuffix(".v1")


def soon(clock: Clock, seconds: float) -> str:
    """A time of the contract, so many seconds from now."""
    from datetime import timedelta

    return rfc3339(clock.now + timedelta(seconds=seconds))


def contents(statuses: Sequence[dict[str, Any]], field: str) -> list[Any]:
    return [status.get(field) for status in statuses]
