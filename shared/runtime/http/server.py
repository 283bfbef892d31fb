"""The HTTP side of a service: webhooks, preflight, health, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from shared.runtime import metrics
from shared.runtime.http.bodies import Bodies, BodyRefused
from shared.runtime.http.dependencies import Dependencies
from shared.runtime.http.guard import ApiGuard
from shared.runtime.http.listener import Connections, listen
from shared.runtime.settings import HttpSettings

RETRY_AFTER_SECONDS = "5"
REQUESTS_SECONDS = 5.0
# aiohttp waits as long again for a request that it has cancelled.
LONGEST_STOP = 2 * REQUESTS_SECONDS
CHECK_SECONDS = 1.0  # half of what Kubernetes waits for /readyz
OPS_CONNECTIONS = 100  # of the port for health and metrics
WATCH_SECONDS = 2.0  # between two looks of our own: what is away is said although nobody asks
Check = Callable[[], Awaitable[bool | Sequence[str]]]
_ALWAYS = frozenset({"/livez", "/readyz", "/metrics"})


def body_refused(refused: BodyRefused) -> web.Response:
    """The answer to a request whose body is not taken."""
    retry = {"Retry-After": RETRY_AFTER_SECONDS} if refused.status == 503 else {}
    return web.Response(status=refused.status, headers=retry)


class HealthChecks:
    """What `/livez` and `/readyz` answer: liveness is the watchdog's, readiness names what is missing.

    Each dependency is said to be away once, and once to be back: see `Dependencies`.
    """

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._dependencies = Dependencies(channel)
        self._checks: dict[str, Check] = {}
        self._warnings: list[Callable[[], Sequence[str]]] = []
        self._alive: list[Callable[[], bool]] = []
        self.accepting = False

    def require(self, name: str, check: Check) -> None:
        """Ready only while `check` answers true, or names nothing that is missing."""
        self._checks[name] = check
        metrics.READY.labels(self._channel, name).set(0)

    def warn(self, about: Callable[[], Sequence[str]]) -> None:
        """Said on `/readyz`, and no reason to be left alone."""
        self._warnings.append(about)

    def watch(self, alive: Callable[[], bool]) -> None:
        """Alive only while `alive` answers true."""
        self._alive.append(alive)

    @property
    def alive(self) -> bool:
        return all(check() for check in self._alive)

    def failed(self, name: str, kind: str) -> None:
        """A call of this dependency has failed, between two checks. Nobody would see it come back without a check."""
        if name in self._checks:
            self._dependencies.failed(name, kind)

    async def missing(self) -> list[str]:
        """Names of the dependencies that are away: all are asked at once, and have `CHECK_SECONDS` to answer."""
        found = await asyncio.gather(*(_trouble(name, check) for name, check in self._checks.items()))
        absent = [what for trouble in found for what in trouble]
        for name, trouble in zip(self._checks, found, strict=True):
            metrics.READY.labels(self._channel, name).set(not trouble)
        if not self.accepting:  # what a start waits for has log lines of its own
            return ["accepting", *absent]
        for name, trouble in zip(self._checks, found, strict=True):
            if trouble:
                self._dependencies.missed(name, next(iter(trouble.values())))
            else:
                self._dependencies.answered(name)
        return absent

    async def keep_watch(self) -> None:
        """Look at everything now and then, until cancelled."""
        while True:
            await self.missing()
            await asyncio.sleep(WATCH_SECONDS)

    @web.middleware
    async def gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nothing but health and metrics is answered before the service has started, or while it stops."""
        if self.accepting or request.path in _ALWAYS:
            return await handler(request)
        return web.Response(status=503, headers={"Retry-After": RETRY_AFTER_SECONDS})

    async def livez(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": self.alive}, status=200 if self.alive else 503)

    async def readyz(self, _: web.Request) -> web.Response:
        missing = await self.missing()
        return web.Response(
            status=503 if missing else 200,
            body=orjson.dumps({"ready": not missing, "missing": missing, **self._warned()}),
            content_type="application/json",
        )

    def _warned(self) -> dict[str, list[str]]:
        warnings = [warning for about in self._warnings for warning in about()]
        return {"warnings": warnings} if warnings else {}


async def _trouble(name: str, check: Check) -> dict[str, str]:
    """What is missing of a dependency, and why; nothing where it is there."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            answer = await check()
    except TimeoutError:
        answer = False
    except Exception as broken:  # a check that fails in its own way is no reason to end
        return {name: type(broken).__name__}
    if isinstance(answer, bool):
        return {} if answer else {name: "no answer"}
    return dict.fromkeys(answer, "missing")


class Server:
    """The listener of one service; `measure` is called before the metrics are read, for gauges that nothing moves.

    Health and metrics have a port of their own where `settings` say so.
    """

    def __init__(
        self,
        settings: HttpSettings,
        health: HealthChecks,
        measure: Callable[[], None],
        guard: ApiGuard | None = None,
    ) -> None:
        self._settings = settings
        self._measure = measure
        self.bodies = Bodies(settings)
        self.connections = Connections(settings)
        guards = [guard.guard] if guard is not None else []
        self._app = web.Application(client_max_size=settings.max_body, middlewares=[health.gate, *guards])
        self._ops = self._app if settings.ops_port is None else web.Application()
        self._ops.add_routes(
            [
                web.get("/livez", health.livez),
                web.get("/readyz", health.readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runners: list[web.AppRunner] = []
        self._listening: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The port it listens on, once it has started."""
        return int(self._listening[0].sockets[0].getsockname()[1])

    @property
    def ops_port(self) -> int:
        """The port of health and metrics, once it has started."""
        return int(self._listening[-1].sockets[0].getsockname()[1])

    def add_routes(self, routes: list[web.RouteDef]) -> None:
        """Before `start`."""
        self._app.add_routes(routes)

    async def start(self) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        await self._serve(self._app, self._settings, self.connections)
        if self._ops is not self._app:
            apart = {"port": self._settings.ops_port, "max_connections": OPS_CONNECTIONS}
            settings = self._settings.model_copy(update=apart)
            await self._serve(self._ops, settings, Connections(settings))

    async def _serve(self, app: web.Application, settings: HttpSettings, connections: Connections) -> None:
        runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=REQUESTS_SECONDS)
        self._runners.append(runner)
        await runner.setup()
        self._listening.append(await listen(runner, settings, connections))

    async def stop(self) -> None:
        """Stop listening; requests under way have `REQUESTS_SECONDS` to end. Idempotent."""
        runners, self._runners = self._runners, []
        for listening in self._listening:
            listening.close()
        await asyncio.gather(*(runner.cleanup() for runner in runners))

    async def _metrics(self, _: web.Request) -> web.Response:
        self._measure()
        return web.Response(body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})
