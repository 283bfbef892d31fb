"""Channels as they run, inside the test's process: the real service on a log in memory, real Valkey, simulators.

What `tests/e2e` starts as processes on a broker is started here as tasks, so that a test can count what a service asks
of its provider, backdate what was queued, and put thousands of messages through in seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import aiohttp
import orjson

from sandbox.broker import HOST, free_port
from shared.channel import Account, Call, Files, Receipt
from shared.runtime.process import service as runtime
from shared.runtime.process.connections import ServiceConfig, topic_specs
from shared.state.client import Client
from shared.stream.memory import MemoryLog
from tests.e2e.providers import Connected, Person
from tests.e2e.topics import Seen, Statuses, eventually
from tests.e2e.world import ChannelUnderTest, World

Perform = Callable[[Call, Account, Files, str | None], Awaitable[Receipt]]
_NO_BROKER: Any = SimpleNamespace(bootstrap=f"{HOST}:9")
_PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that a service made to its provider, and when (monotonic seconds)."""

    at: float
    call: Call
    account_id: str


class Service:
    """Replicas of one channel as tasks. `asked` is what they asked of the provider; `instead` answers in its place."""

    def __init__(self, channel: str, log: MemoryLog, environment: Mapping[str, str]) -> None:
        self.asked: list[Asked] = []
        self.instead: Perform | None = None
        self.urls: list[str] = []
        self.balancer = SimpleNamespace(url="")
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))
        self._channel = channel
        self._log = log
        self._environment = environment
        self._running: list[tuple[runtime.Service, asyncio.Task[None]]] = []
        self._turns = itertools.count()

    async def start(self, replicas: int) -> None:
        for _ in range(replicas):
            await self.add()
        self.balancer.url = self.urls[0]

    async def add(self, **environment: str) -> str:
        """One more replica, ready; its address."""
        port = free_port()
        with mock.patch.dict(os.environ, {**self._environment, **environment, "HTTP_PORT": str(port)}):
            channel = import_module(f"services.{self._channel}.channel").build()
            replica = runtime.Service(channel, ServiceConfig())
        self._watch(channel)
        # Only for the start: other tests start services that are to find no broker.
        with mock.patch.object(runtime, "kafka_log", lambda *_: self._log):
            task = asyncio.create_task(replica.run())
            self._running.append((replica, task))
            self.urls.append(f"http://{HOST}:{port}")
            await self._ready(self.urls[-1], task)
        return self.urls[-1]

    def _watch(self, channel: Any) -> None:
        perform: Perform = channel.perform

        async def watched(call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
            self.asked.append(Asked(time.monotonic(), call, account.account_id))
            return await (self.instead or perform)(call, account, files, correlation)

        channel.perform = watched

    async def _ready(self, url: str, task: asyncio.Task[None]) -> None:
        while not task.done():
            try:
                async with self.session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.005)
        task.result()

    async def stop(self) -> None:
        for replica, _ in self._running:
            replica.stop()
        await asyncio.gather(*(task for _, task in self._running))
        await self.session.close()

    async def post(self, path: str, **arguments: Any) -> tuple[int, bytes]:
        """A POST to the replicas in turn."""
        url = self.urls[next(self._turns) % len(self.urls)]
        async with self.session.post(url + path, **arguments) as answer:
            return answer.status, await answer.read()

    async def everywhere(self, holds: Callable[[str], Awaitable[bool]], seconds: float = 30.0) -> None:
        """Wait until something holds at every replica; `holds` is asked with its address."""
        async with asyncio.timeout(seconds):
            for url in self.urls:
                while not await holds(url):
                    await asyncio.sleep(0.002)

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        async with self.session.get(f"{self.urls[0]}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [
            line for line in lines if line.startswith((f"{name}{{", f"{name} ")) and all(w in line for w in wanted)
        ]
        return sum(float(line.rpartition(" ")[2]) for line in found)


class Channel(ChannelUnderTest):
    """One channel with its replicas in this process."""

    service: Service  # type: ignore[assignment]
    world: Inside

    def __init__(self, world: Inside, name: str) -> None:
        super().__init__(world, name)
        self._by_account: defaultdict[str, list[Seen]] = defaultdict(list)
        self._sorted = 0  # events that are in there already

    async def start(self, stack: AsyncExitStack, replicas: int, **environment: str) -> None:
        world, topics = self.world, self.world.topics
        await self.provider.start()
        stack.push_async_callback(self.provider.stop)
        await world.log.ensure_topics(topic_specs(topics, self.name, _PARTITIONS))
        self.raw = world.reader(topics.raw(self.name), stack)
        self.inbound = world.reader(topics.inbound(self.name), stack)
        self.state = world.reader(topics.state(self.name), stack)
        self.dead = world.reader(topics.deadletter(self.name), stack)
        self.statuses = Statuses(world.log, topics.statuses(self.name))
        stack.push_async_callback(self.statuses.stop)
        settings = {**world.environment(), **self.provider.environment(), **environment}
        self.service = Service(self.name, world.log, settings)
        stack.push_async_callback(self.service.stop)
        await self.service.start(replicas)
        await self.provider.webhooks_to(self.service.balancer.url)

    def asked(self, account: Connected) -> list[Call]:
        """The calls made for an account so far, in order."""
        return [asked.call for asked in self.service.asked if asked.account_id == account.id]

    async def webhook(self, account: Connected, body: Any, replica: int | None = None) -> None:
        """A genuine webhook call, answered 200."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        path, headers = self.provider.genuine(account, content)
        if replica is None:
            status, _ = await self.service.post(f"/webhooks/{self.name}{path}", data=content, headers=headers)
        else:
            url = f"{self.service.urls[replica]}/webhooks/{self.name}{path}"
            async with self.service.session.post(url, data=content, headers=headers) as answer:
                status = answer.status
        assert status == 200, status

    async def refused(self, person: Person, kind: str = "message.send", **fields: Any) -> dict[str, Any]:
        """Send a command that must be rejected without any call; its error."""
        before = len(self.asked(person.account))
        command = await self.command(person, kind, **fields)
        (status,) = await self.statuses.end(command.id)
        assert status["state"] == "rejected", status
        assert len(self.asked(person.account)) == before
        return dict(status["error"])

    async def queued(self, seconds: float, person: Person, kind: str, **fields: Any) -> None:
        """A command that was put on its topic so many seconds ago."""
        topic = self.world.topics.outbound(self.name)
        data = orjson.dumps(self._data(person, f"old-{time.monotonic_ns()}", fields))
        stored = await self.world.log.send(
            topic, person.conversation_id.encode(), data, (("ce_type", f"channels.{kind}.v1".encode()),)
        )
        records = self.world.log._topics[topic][stored.partition]  # no consumer has run since
        records[-1] = replace(records[-1], timestamp_ms=records[-1].timestamp_ms - int(seconds * 1000))

    async def metric_reaches(self, name: str, value: float, seconds: float = 30.0) -> None:
        """Wait until a metric of this channel has come to exactly this value."""
        async with asyncio.timeout(seconds):
            while (now := await self.service.metric(name, channel=self.name)) < value:
                await asyncio.sleep(0.01)
        assert now == value

    def of(self, account: Connected) -> list[Seen]:
        """The inbound events of an account so far, by partition in order."""
        for seen in self.inbound.all[self._sorted :]:
            self._by_account[seen.data["account_id"]].append(seen)
            self._sorted += 1
        return list(self._by_account[account.id])

    async def events(self, account: Connected, count: int, seconds: float = 30.0) -> list[Seen]:
        """The inbound events of an account, once there are so many. Names that follow on their own are left out."""

        def enough() -> list[Seen] | None:
            found = [seen for seen in self.of(account) if seen.data.get("reason") != "profile"]
            return found if len(found) >= count else None

        return await eventually(enough, seconds, every=0.005, what=lambda: [(s.type, s.data) for s in self.of(account)])


class Inside(World):
    """A world without a broker and without processes of its own but Valkey."""

    log: MemoryLog  # type: ignore[assignment]
    channels: dict[str, Channel]  # type: ignore[assignment]

    def __init__(self, home: Path) -> None:
        super().__init__(_NO_BROKER, home)
        self.log = MemoryLog()

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "KAFKA_PARTITIONS": str(_PARTITIONS)}

    async def start(self) -> None:
        for directory in (self.logs, self.home / "blobs", self.home / "tmp"):
            directory.mkdir()
        await self._stack.enter_async_context(self.state)
        await self.log.ensure_topics(topic_specs(self.topics, "none", _PARTITIONS)[:3])
        self.health = self.reader(self.topics.account_health, self._stack)
        self.capabilities = self.reader(self.topics.capabilities, self._stack)

    async def channel(self, name: str, replicas: int = 1, **environment: str) -> Channel:
        """A channel, started when it is first asked for."""
        if name not in self.channels:
            self.channels[name] = Channel(self, name)
            await self.channels[name].start(self._stack, replicas, **environment)
        return self.channels[name]

    async def forget(self) -> None:
        """Everything that is not on a topic is lost."""
        client = Client(self.state.url)
        await client.call("FLUSHALL")
        await client.close()

    async def healthy(self, account: Connected, health: str, seconds: float = 30.0) -> dict[str, Any]:
        """The account's record on the health topic, once it says so."""
        return (await self.health.event(account.id, "account.health", seconds, health=health)).data


@asynccontextmanager
async def opened() -> AsyncIterator[Inside]:
    """A started world, gone without a trace afterwards."""
    with tempfile.TemporaryDirectory(prefix="inside-", ignore_cleanup_errors=True) as home:
        world = Inside(Path(home))
        try:
            await world.start()
            yield world
        finally:
            await world.stop()


async def missing(channel: Channel, names: list[str], seconds: float) -> None:
    """`/readyz` comes to say just this."""
    async with asyncio.timeout(seconds):
        while True:
            async with channel.service.session.get(f"{channel.service.urls[0]}/readyz") as answer:
                if (await answer.json())["missing"] == names:
                    return
            await asyncio.sleep(0.05)
