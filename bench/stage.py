"""Where a scenario plays: a fresh broker and state server, and the processes that are measured."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from bench.channels import Profile, Served, environment
from bench.processes import Measured
from sandbox.broker import HOST, Broker, Kafka, Tansu, free_port
from sandbox.valkey import ValkeyServer
from shared.contract.accounts import AccountRecord
from shared.contract.topics import Topics
from shared.runtime.accounts.sealing import new_key, public_key, seal_credentials
from shared.runtime.process.connections import topic_specs
from shared.runtime.tools.accounts_file import apply_accounts
from shared.state.client import Client
from shared.state.store import Store
from shared.stream.embedded import consumer_class
from shared.stream.kafka import KafkaLog

ROOT = Path(__file__).resolve().parent.parent
PARTITIONS = 12
READY_SECONDS = 60.0


class BenchFailed(Exception):
    """The scenario did not do what it measures; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: a process, where it listens, and its own topics."""

    process: Measured
    url: str
    topics: Topics


class Stage:
    """An async context manager. `profiles` is a directory for profiles of our services, made by cProfile."""

    def __init__(self, *, real_kafka: bool, profiles: Path | None) -> None:
        self._real_kafka = real_kafka
        self._profiles = profiles
        if profiles is not None:
            profiles.mkdir(parents=True, exist_ok=True)
        self._broker: Broker = Kafka() if real_kafka else Tansu()
        self._state = ValkeyServer()
        self._home = Path(tempfile.mkdtemp(prefix="bench-"))
        self.sealing_key = new_key()
        self._opened: set[str] = set()
        self.log: KafkaLog
        self.store: Store
        self.http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        await asyncio.gather(self._broker.start(), self._state.start())
        self.log = KafkaLog(self.bootstrap, client_id="bench", idempotent=self._real_kafka, send_timeout=30)
        await self.log.start()
        self.store = Store(Client(self._state.url))
        self.http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self.store.client.close()
        await self.log.stop()
        await asyncio.gather(self._broker.stop(), self._state.stop())
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    @property
    def blobs(self) -> str:
        return (self._home / "blobs").as_uri()

    # ------------------------------------------------------------------------------------------------ processes

    @asynccontextmanager
    async def service(
        self, of: Served, roles: str, *, accounts: int = 1, provider: str = "http://127.0.0.1:1", **settings: str
    ) -> AsyncIterator[Side]:
        """Our service as it is run in production, with so many accounts; yields when it is ready."""
        topics = await self._topics("ours", of)
        records = [self._sealed(of.account(number)) for number in range(accounts)]
        await apply_accounts(self.log, topics, records, self.sealing_key)
        port = free_port()
        (self._home / "blobs").mkdir(exist_ok=True)
        variables = {
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "KAFKA_IDEMPOTENT": str(self._real_kafka).lower(),
            "KAFKA_TOPIC_PREFIX": topics.prefix,
            "STATE_URL": self._state.url,
            "BLOB_URL": self.blobs,
            "HTTP_PORT": str(port),
            "ROLES": roles,
            "SEALING_KEY": self.sealing_key,
            "LOG_LEVEL": "WARNING",
            **environment(of, provider),
            **settings,
        }
        command = [sys.executable, *self._profiler(of, roles), "-m", f"services.{of.name}", "run"]
        async with self._run(f"{of.name} {roles}", command, port, variables) as process:
            yield Side(process, f"http://{HOST}:{port}", topics)

    def _profiler(self, of: Served, roles: str) -> Sequence[str]:
        if self._profiles is None:
            return ()
        return ("-m", "cProfile", "-o", str(self._profiles / f"{of.name}-{roles.replace(',', '-')}.pstats"))

    def _sealed(self, entry: dict[str, Any]) -> AccountRecord:
        credentials = entry.pop("credentials")
        return seal_credentials(credentials, AccountRecord(**entry), public_key(self.sealing_key))

    @asynccontextmanager
    async def bare(self, of: Profile, roles: str, *, provider: str = "") -> AsyncIterator[Side]:
        """The yardstick; yields when it is ready."""
        topics = await self._topics("bare", of)
        port = free_port()
        options = ["--roles", roles, "--prefix", topics.prefix, "--port", str(port), "--provider", provider]
        options += ["--idempotent"] if self._real_kafka else []
        command = [sys.executable, "-m", "bench.bare", of.name, "--bootstrap", self.bootstrap, *options]
        async with self._run(f"bare {roles}", command, port, {}) as process:
            yield Side(process, f"http://{HOST}:{port}", topics)

    @asynccontextmanager
    async def peer(self, of: Profile) -> AsyncIterator[str]:
        """A provider that answers at once; its address."""
        port = free_port()
        command = [sys.executable, "-m", "bench.peer", of.name, "--port", str(port)]
        async with self._run("peer", command, port, {}):
            yield f"http://{HOST}:{port}"

    @asynccontextmanager
    async def simulator(self, of: Profile, *options: str) -> AsyncIterator[str]:
        """The sandbox's simulator of the provider; its address."""
        port = free_port()
        command = [sys.executable, "-m", f"sandbox.simulators.{of.name}", "--port", str(port), *options]
        async with self._run("simulator", command, port, {}):
            yield f"http://{HOST}:{port}"

    @asynccontextmanager
    async def _run(
        self, name: str, command: Sequence[str], port: int, variables: Mapping[str, str]
    ) -> AsyncIterator[Measured]:
        variables = {"PYTHONPATH": str(ROOT), **variables}
        process = Measured(name, command, self._home / f"{name.replace(' ', '-')}-{port}.log", variables)
        await process.start()
        try:
            await self._until_ready(process, f"http://{HOST}:{port}/readyz")
            yield process
        finally:
            await process.stop()

    async def _until_ready(self, process: Measured, url: str) -> None:
        """A peer has no such path and says so; that it answers is enough."""
        ended = asyncio.ensure_future(process.ended())
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not ended.done():
                    with contextlib.suppress(aiohttp.ClientError):
                        async with self.http.get(url) as answer:
                            if answer.status != 503:
                                return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        finally:
            ended.cancel()
        raise BenchFailed(f"{process.name} did not become ready; {process.last_words()}")

    async def load(self, of: Profile, url: str, seconds: float, **options: float) -> dict[str, float]:
        """Run the load generator to its end; see `bench.load` for what it says."""
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.load", of.name, "--url", url, "--seconds", str(seconds), *given),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise BenchFailed("the load generator failed")
        outcome: dict[str, float] = orjson.loads(output)
        if outcome["refused"]:
            raise BenchFailed(f"{outcome['refused']} webhooks were refused")
        return outcome

    # ---------------------------------------------------------------------------------------- topics and state

    async def open(self, conversation_id: str, address: Mapping[str, str]) -> None:
        """The contact has just written, so that we may; once per conversation."""
        if conversation_id not in self._opened:
            self._opened.add(conversation_id)
            fields = {"address": orjson.dumps(address).decode()}
            await self.store.observe(conversation_id, opened_at=int(time.time() * 1000), last_ref="1", fields=fields)

    async def _topics(self, prefix: str, of: Served) -> Topics:
        topics = Topics(prefix)
        await self.log.ensure_topics(topic_specs(topics, of.name, PARTITIONS))
        return topics

    @asynccontextmanager
    async def reader(self, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer of a whole topic, outside of any group."""
        reader = consumer_class(idempotent=self._real_kafka)
        consumer = reader(bootstrap_servers=self.bootstrap, fetch_max_wait_ms=50)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()
