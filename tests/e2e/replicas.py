"""Replicas of a service as real processes, and the balancer that stands in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from sandbox.broker import HOST, free_port
from sandbox.channels import ROOT
from sandbox.processes import Child

READY_SECONDS = 90.0
STOP_SECONDS = 60.0
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


class Replica:
    """One process of a service. `instance` is its stable name: it comes back under it after a kill.

    `code` is the checkout it is started from next: this one, or another release's.
    """

    def __init__(self, channel: str, instance: str, logs: Path, environment: Mapping[str, str]) -> None:
        self.channel = channel
        self.instance = instance
        self.code = ROOT
        self.port = free_port()
        self.running = False
        self._log = logs / f"{instance}.log"
        self._environment = {
            **environment,
            "HTTP_PORT": str(self.port),
            "INSTANCE": instance,
        }
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def start(self) -> None:
        """Start the process; `ready` waits for it."""
        command = [sys.executable, "-m", f"services.{self.channel}", "run"]
        environment = {**self._environment, "PYTHONPATH": str(self.code)}
        self._child = Child(self.instance, command, self._log, environment, self.code)
        await self._child.start()
        self.running = True

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Wait until `/readyz` says so; fails with the last words of a process that died."""
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{self.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            assert self._child is not None
            assert self.exit_status is None, f"{self.instance} ended with {self.exit_status}; {self.last_words()}"
            assert asyncio.get_running_loop().time() < deadline, f"{self.instance} is not ready; {self.last_words()}"
            await asyncio.sleep(0.05)

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._child.exit_status if self._child else None

    async def kill(self) -> None:
        """kill -9, whatever state it is in."""
        self.running = False
        if self._child is not None:
            await self._child.kill()

    async def terminate(self) -> int:
        """SIGTERM, and wait until it has stopped in order; the exit status."""
        assert self._child is not None
        self.running = False
        self.ask_to_stop()
        try:
            return await asyncio.wait_for(self._child.ended(), STOP_SECONDS)
        except TimeoutError:
            await self._child.kill()
            raise AssertionError(f"{self.instance} did not stop in {STOP_SECONDS} s; {self.last_words()}") from None

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        assert self._child is not None
        self._child.signal(signal.SIGTERM)

    def last_words(self) -> str:
        return self._child.last_words() if self._child else "it never ran"

    def log_text(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Balancer:
    """One address for all replicas of a service, as a cluster has it.

    Goes round; who refuses the connection is passed over, who breaks it off costs a 502, nobody at all a 503.
    """

    def __init__(self) -> None:
        self.targets: list[Replica] = []
        self.answers: list[int] = []
        self._turn = 0
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def start(self) -> None:
        # No connection is kept: a replica that stops must not be found out by a request that then is lost.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30))
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0, backlog=1024).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            await self._session.close()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        targets = self.targets[self._turn :] + self.targets[: self._turn]
        self._turn = (self._turn + 1) % max(1, len(self.targets))
        for target in targets:
            try:
                async with self._session.request(
                    request.method, target.url + request.raw_path, data=body, headers=headers
                ) as answer:
                    passed = {k: v for k, v in answer.headers.items() if k.lower() in ("retry-after", "content-type")}
                    return self._answer(answer.status, await answer.read(), passed)
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, TimeoutError):
                return self._answer(502)
        return self._answer(503)

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> web.Response:
        self.answers.append(status)
        return web.Response(status=status, body=body, headers=headers)


class Service:
    """All replicas of one channel behind its balancer."""

    def __init__(self, channel: str, logs: Path, environment: Mapping[str, str], first: int = 1) -> None:
        """`first` is the number of the first replica: members of a group have names of their own."""
        self.channel = channel
        self.balancer = Balancer()
        self.replicas: list[Replica] = []
        self._logs = logs
        self.environment = dict(environment)
        self.session: aiohttp.ClientSession
        self._named = first - 1

    async def start(self, replicas: int) -> None:
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        await self.balancer.start()
        await asyncio.gather(*(self.add() for _ in range(replicas)))

    async def stop(self) -> None:
        await asyncio.gather(*(replica.kill() for replica in self.replicas))
        await self.balancer.stop()
        await self.session.close()

    async def add(self, code: Path = ROOT, **environment: str) -> Replica:
        """One more replica, ready and behind the balancer."""
        self._named += 1
        instance = f"{self.channel}-{self._named}"
        replica = Replica(self.channel, instance, self._logs, {**self.environment, **environment})
        replica.code = code
        self.replicas.append(replica)
        await self.bring_back(replica)
        return replica

    async def bring_back(self, replica: Replica) -> None:
        """Start a replica that was killed or terminated, under its old name."""
        await replica.start()
        await replica.ready(self.session)
        if replica not in self.balancer.targets:
            self.balancer.targets.append(replica)

    async def let_go(self, replica: Replica) -> None:
        """A rolling update's goodbye: no new requests, then SIGTERM, then a clean end."""
        if replica in self.balancer.targets:
            self.balancer.targets.remove(replica)
        assert await replica.terminate() == 0, replica.last_words()

    async def kill(self, replica: Replica) -> None:
        """kill -9; the balancer finds out by itself."""
        await replica.kill()

    async def heal(self, replicas: int) -> None:
        """As many replicas as there were at first, all running."""
        for extra in self.replicas[replicas:]:
            await extra.kill()
        del self.replicas[replicas:]
        self.balancer.targets = [r for r in self.balancer.targets if r in self.replicas]
        for replica in self.replicas:
            if replica.exit_status is not None:
                replica.running = False
        await asyncio.gather(*(self.bring_back(r) for r in self.replicas if not r.running))

    async def everywhere(self, holds: Callable[[str], Awaitable[bool]], seconds: float = 30.0) -> None:
        """Wait until something holds at every running replica; `holds` is asked with its address."""
        deadline = time.monotonic() + seconds
        for replica in self.balancer.targets:
            while not await holds(replica.url):
                assert time.monotonic() < deadline, f"{replica.instance} does not come round"
                await asyncio.sleep(0.02)

    async def readyz(self, replica: Replica) -> dict[str, object]:
        async with self.session.get(f"{replica.url}/readyz") as answer:
            return await answer.json()

    async def metric(self, replica: Replica, name: str) -> float:
        """The sum of all series of a metric."""
        async with self.session.get(f"{replica.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)

    async def post(self, path: str, **arguments: object) -> tuple[int, bytes]:
        """A POST to the balancer."""
        async with self.session.post(self.balancer.url + path, **arguments) as answer:  # type: ignore[arg-type]
            return answer.status, await answer.read()
