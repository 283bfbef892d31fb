"""The simulator: an SMTP server for the accounts' mail, and the control interface on a port of its own."""

from __future__ import annotations

from aiohttp import web

from sandbox.simulators.common import Clock
from sandbox.simulators.feed import Feed
from sandbox.simulators.process import listen

from . import control
from .delivery import Delivery
from .people import People
from .sink import Sink
from .world import KEPT_CHANGES, Options, World


class EmailSimulator:
    """Everybody else's mail, on localhost.

    `world` is its state, `people` plays those who write; the same over HTTP is under `/_sim/`. Stopping keeps the mail,
    so that a second `start` on the same ports is an outage that ended.
    """

    def __init__(self, options: Options | None = None, *, clock: Clock | None = None, smtp_port: int = 0) -> None:
        self.options = options or Options()
        self.clock = clock or Clock()
        self.world = World(self.options, self.clock)
        self.delivery = Delivery(self.options, self.clock)
        self._sink = Sink(self.world)
        self.people = People(self.world, self.delivery)
        self._control = control.build(self.world, self.delivery, self.people)
        self._smtp_port = smtp_port
        self._url = ""
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; with port 0 on a free one."""
        await self._sink.start(self._smtp_port, host)
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=1.0)
        self._url = await listen(self._runner, port, host)

    async def stop(self) -> None:
        """Stop listening, let hung commands go, and drop what people wrote and nobody took."""
        await self._sink.stop()
        await self.delivery.stop()
        self.world.feed.close()
        self.world.feed = Feed(self.clock, KEPT_CHANGES)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Scheme, host and port of the control interface."""
        return self._url

    @property
    def smtp_port(self) -> int:
        """Where accounts hand in their mail."""
        return self._sink.port

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path.startswith("/_sim/"):
            return await self._control.handle(http)
        return web.Response(status=404, text="404: mail is handed in by SMTP")
