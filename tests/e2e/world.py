"""A whole world for tests: a real broker, real Valkey, blobs on disk, provider simulators and services as processes."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from PIL import Image

from sandbox.broker import Broker, Kafka, Tansu
from sandbox.channels import ROOT
from sandbox.valkey import ValkeyServer
from shared.contract.accounts import AccountRecord
from shared.contract.envelope import type_name
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.sealing import new_key, public_key, seal_credentials
from shared.runtime.process.connections import topic_specs
from shared.runtime.tools.accounts_file import apply_accounts
from shared.stream.kafka import KafkaLog
from shared.stream.log import Stored
from tests.e2e.providers import UNPACED, Connected, Person, Provider, provider
from tests.e2e.replicas import Service
from tests.e2e.topics import Reader, Seen, Statuses, eventually

WORKSPACE = "ws_test"
PARTITIONS = 6
SEND_TIMEOUT = 2.0  # seconds a send waits for the broker: an outage shows in 503s after that
SESSION_TIMEOUT = 4.0  # seconds until others take over from a member that was killed

_numbers = itertools.count(1)


def number() -> int:
    """A number that no other account, person or command of this run has."""
    return next(_numbers)


def image(width: int = 64, height: int = 48) -> bytes:
    """A real JPEG, different every time."""
    buffer = io.BytesIO()
    shade = number()
    Image.new("RGB", (width, height), (shade % 256, shade // 256 % 256, 128)).save(buffer, "JPEG")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Command:
    """A command on its way, and what it says."""

    id: str
    person: Person
    text: str


class ChannelUnderTest:
    """One channel of the world: its provider, its replicas, its topics."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.provider: Provider = provider(name)
        self.service: Service
        self.raw: Reader
        self.inbound: Reader
        self.statuses: Statuses
        self.state: Reader
        self.dead: Reader

    async def start(self, stack: AsyncExitStack, replicas: int, **environment: str) -> None:
        """Start simulator, replicas and readers; what is pushed on the stack stops them."""
        world, topics = self.world, self.world.topics
        await self.provider.start()
        stack.push_async_callback(self.provider.stop)
        await world.log.ensure_topics(topic_specs(topics, self.name, PARTITIONS))
        self.raw = world.reader(topics.raw(self.name), stack)
        self.inbound = world.reader(topics.inbound(self.name), stack)
        self.state = world.reader(topics.state(self.name), stack)
        self.dead = world.reader(topics.deadletter(self.name), stack)
        self.statuses = Statuses(world.log, topics.statuses(self.name))
        stack.push_async_callback(self.statuses.stop)
        settings = {**world.environment(), **self.provider.environment(), **environment}
        self.service = Service(self.name, world.logs, settings)
        stack.push_async_callback(self.service.stop)
        await self.service.start(replicas)
        await self.provider.webhooks_to(self.service.balancer.url)

    # --- accounts and people

    async def account(self, *, paced: bool = False, connect: bool = True, **fields: Any) -> Connected:
        """A new account of the provider, applied and known to every replica. Unpaced unless asked otherwise."""
        serial = number()
        record, credentials, handle = self.provider.open_account(serial)
        rates = {} if paced else {"rates": dict.fromkeys(("account", "pair", "group", "app"), UNPACED)}
        fields["settings"] = {**rates, **record.get("settings", {}), **fields.get("settings", {})}
        fields = {
            "account_id": f"{self.name[:2]}_{serial}",
            "workspace_id": WORKSPACE,
            "channel": self.name,
            **record,
            **fields,
        }
        account = Connected(self.world.sealed(fields, credentials), handle, credentials)
        await self.world.apply(account.record)
        await self.service.everywhere(lambda url: self._knows(url, account))
        if connect:
            await self.provider.connect(account)
        return account

    async def _knows(self, url: str, account: Connected) -> bool:
        """Whether the replica at this address has heard of the account."""
        probe = Person(account, None, f"{self.name}:{account.id}:nobody")
        data = self._data(probe, "probe", {"content": {"kind": "text", "text": "x"}})
        answer = await self._preflight(url, data, busy=503)
        return answer.get("refused", {}).get("code") != "account_disconnected" and "unavailable" not in answer

    async def change(self, account: Connected, credentials: dict[str, str] | None = None, **fields: Any) -> None:
        """Apply an account anew with other credentials or fields."""
        account.credentials = credentials or account.credentials
        record = account.record.model_dump(exclude={"sealed"}) | fields
        account.record = self.world.sealed(record, account.credentials)
        await self.world.apply(account.record)

    async def person(self, account: Connected) -> Person:
        """Somebody who has written twice, so that every window is open."""
        return (await self.people(account, 1))[0]

    async def people(self, account: Connected, count: int) -> list[Person]:
        """Several of them; returns when all of them are known by their conversation."""
        handles = [self.provider.newcomer(account, number()) for _ in range(count)]
        greetings = []
        for handle in handles:
            text = f"hello {number()}"
            await self.provider.write(account, handle, text)
            await self.provider.write(account, handle, f"{text} again")
            greetings.append(text)
        found = await self.greeted(greetings)
        return [Person(account, handle, found[text]) for handle, text in zip(handles, greetings, strict=True)]

    async def greeted(self, texts: Iterable[str], seconds: float = 60.0) -> dict[str, str]:
        """Text of an inbound message → its conversation, once all of them and their repetitions have come."""
        wanted = set(texts)

        def known() -> dict[str, str] | None:
            by_text = {seen.text: seen.key for seen in self.inbound.all if seen.type == "message.received"}
            complete = wanted <= by_text.keys() and {f"{text} again" for text in wanted} <= by_text.keys()
            return by_text if complete else None

        return await eventually(known, seconds, every=0.05, what=lambda: self._missing(wanted))

    def _missing(self, texts: set[str]) -> str:
        """Where the messages are that are not on inbound."""
        missing = texts - {seen.text for seen in self.inbound.all}
        raw = [seen for seen in self.raw.all if any(text.encode() in (seen.record.value or b"") for text in texts)]
        dead = [dict(seen.record.headers).get("dl_code") for seen in self.dead.all[-5:]]
        return f"{missing} of {len(texts)} on inbound; {len(raw)} raw records; the newest dead letters: {dead}"

    async def write(self, person: Person, text: str) -> str:
        """A person writes; the provider's id of the message."""
        return await self.provider.write(person.account, person.handle, text)

    # --- commands

    async def command(self, person: Person, kind: str = "message.send", **fields: Any) -> Command:
        """Put a command on the outbound topic and return when it is there; `text` is short for a text message."""
        command_id = fields.pop("command_id", None) or f"cmd_{number()}"
        text = fields.pop("text", "")
        if text:
            fields["content"] = {"kind": "text", "text": text}
        data = self._data(person, command_id, fields)
        await self.world.produce(self.world.topics.outbound(self.name), person.conversation_id, kind, data)
        return Command(command_id, person, text)

    @staticmethod
    def _data(person: Person, command_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        return {
            "command_id": command_id,
            "workspace_id": WORKSPACE,
            "account_id": person.account.id,
            "conversation_id": person.conversation_id,
            "actor": {"kind": "human", "id": "u_1", "display_name": "Noor"},
            **fields,
        }

    async def ask(self, person: Person, kind: str = "message.send", **fields: Any) -> dict[str, Any]:
        """What preflight says of a command."""
        if text := fields.pop("text", ""):
            fields["content"] = {"kind": "text", "text": text}
        data = self._data(person, f"cmd_{number()}", fields)
        return await self._preflight(self.service.balancer.url, data, kind)

    async def _preflight(
        self, url: str, data: dict[str, Any], kind: str = "message.send", *, busy: int = 200
    ) -> dict[str, Any]:
        """The answer; `busy` is another status that is fine: on a machine with much to do state may be late."""
        document = {"type": type_name(kind), "data": data}
        async with self.service.session.post(f"{url}/v1/preflight", json=document) as answered:
            assert answered.status in (200, busy), await answered.text()
            answer: dict[str, Any] = await answered.json()
            return answer

    async def sends(self, person: Person, text: str, **fields: Any) -> list[dict[str, Any]]:
        """Send a text and wait for its end: the last status of every part."""
        command = await self.command(person, text=text, **fields)
        return await self.statuses.end(command.id)

    async def run(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """A command of the service's command line, which must exit with `status`; what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"services.{self.name}", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.service.environment, **environment, "PYTHONPATH": str(ROOT)},
        )
        output, _ = await process.communicate()
        assert process.returncode == status, output.decode()
        return output.decode().strip()

    def texts(self, person: Person) -> list[str]:
        """The texts a person has received, oldest first."""
        return [got.text for got in self.provider.got(person)]


class World:
    """See the module. An async context manager by `running`."""

    def __init__(self, broker: Broker, home: Path) -> None:
        self.broker = broker
        self.state = ValkeyServer()
        self.home = home
        self.logs = home / "logs"
        self.topics = Topics()
        self.sealing_key = new_key()
        self.channels: dict[str, ChannelUnderTest] = {}
        self.log = KafkaLog(broker.bootstrap, client_id="test", idempotent=False, send_timeout=10.0)
        self.health: Reader
        self.capabilities: Reader
        self._stack = AsyncExitStack()

    @property
    def blobs(self) -> Blobs:
        return Blobs((self.home / "blobs").as_uri())

    def environment(self) -> dict[str, str]:
        """Settings every service gets."""
        return {
            "KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "KAFKA_IDEMPOTENT": str(isinstance(self.broker, Kafka)).lower(),
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_SEND_TIMEOUT": str(SEND_TIMEOUT),
            "KAFKA_SESSION_TIMEOUT": str(SESSION_TIMEOUT),
            "STATE_URL": self.state.url,
            "BLOB_URL": (self.home / "blobs").as_uri(),
            "SEALING_KEY": self.sealing_key,
            "TMPDIR": str(self.home / "tmp"),
        }

    async def start(self) -> None:
        for directory in (self.logs, self.home / "blobs", self.home / "tmp"):
            directory.mkdir()
        await self._stack.enter_async_context(self.state)
        await self._stack.enter_async_context(self.broker)
        await self.log.start()
        self._stack.push_async_callback(self.log.stop)
        await self.log.ensure_topics(topic_specs(self.topics, "none", PARTITIONS)[:3])
        self.health = self.reader(self.topics.account_health, self._stack)
        self.capabilities = self.reader(self.topics.capabilities, self._stack)

    async def stop(self) -> None:
        await self._stack.aclose()

    def reader(self, topic: str, stack: AsyncExitStack) -> Reader:
        reader = Reader(self.log, topic)
        stack.push_async_callback(reader.stop)
        return reader

    async def channel(self, name: str, replicas: int = 3, **environment: str) -> ChannelUnderTest:
        """A channel with its replicas, started when it is first asked for and healed when it was hurt."""
        if name not in self.channels:
            channel = self.channels[name] = ChannelUnderTest(self, name)
            await channel.start(self._stack, replicas, **environment)
        channel = self.channels[name]
        await channel.service.heal(replicas)
        return channel

    def sealed(self, fields: dict[str, Any], credentials: dict[str, str]) -> AccountRecord:
        """An account record as an operator writes it."""
        return seal_credentials(credentials, AccountRecord(**fields), public_key(self.sealing_key))

    async def apply(self, *records: AccountRecord) -> None:
        """Write accounts; the replicas follow without a restart."""
        await apply_accounts(self.log, self.topics, list(records), self.sealing_key)

    async def remove(self, account: Connected) -> None:
        """Take an account off the topic."""
        await self.log.send(self.topics.accounts, account.id.encode(), None)

    async def produce(self, topic: str, key: str, kind: str, data: Any) -> Stored:
        """A CloudEvent as the inbox core writes it."""
        value = data if isinstance(data, bytes) else orjson.dumps(data)
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"core-{number()}".encode()),
            ("ce_type", type_name(kind).encode()),
            ("ce_source", b"/inbox"),
            ("ce_subject", key.encode()),
            ("content-type", b"application/json"),
        )
        return await self.log.send(topic, key.encode(), value, headers)

    def logs_of_services(self, lines: int = 8) -> str:
        """What the services complained of last, for the report of a failed test."""
        shown = []
        for channel in self.channels.values():
            for replica in channel.service.replicas:
                said = [line[:500] for line in replica.log_text().splitlines() if '"level": "info"' not in line]
                spoken = [line for line in said if line.startswith("{")][-lines:] + said[-1:]
                shown += ["\n    ".join([f"{replica.instance}:", *dict.fromkeys(spoken)])] if said else []
        return "\n".join(shown) or "nothing"


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[World]:
    """A started world, gone without a trace afterwards."""
    with tempfile.TemporaryDirectory(prefix="world-", ignore_cleanup_errors=True) as home:
        world = World(broker, Path(home))
        try:
            await world.start()
            yield world
        finally:
            await world.stop()


def make_broker(name: str) -> Broker:
    """`tansu`, `kafka`, or `cluster`: three brokers, the first of which is the controller."""
    if name == "cluster":
        return Kafka(3, controllers=1)
    return Tansu() if name == "tansu" else Kafka()


__all__ = ["ChannelUnderTest", "Command", "Seen", "World", "image", "make_broker", "running"]
