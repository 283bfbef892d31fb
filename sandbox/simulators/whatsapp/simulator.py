"""WhatsAppSimulator: the platform with a server, its Graph API and the control interface on one port."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.simulators.control import PREFIX
from sandbox.simulators.process import listen
from sandbox.simulators.whatsapp import control
from sandbox.simulators.whatsapp.graph import GraphAPI
from sandbox.simulators.whatsapp.media import MB
from sandbox.simulators.whatsapp.nodes import Nodes
from sandbox.simulators.whatsapp.platform import Platform
from sandbox.simulators.whatsapp.transfers import Transfers


class WhatsAppSimulator(Platform):
    """Meta's Cloud API on localhost; arguments as of `Platform`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._graph = GraphAPI(self.core, self.sender, Nodes(self.core, self.business), Transfers(self.core))
        self._control = control.build(self)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """`http://host:port`; stands for https://graph.facebook.com."""
        return self.core.base_url

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Serve the Graph API and, under `/_sim/`, the control interface; port 0 picks a free one."""
        app = web.Application(client_max_size=4 * MB)
        app.router.add_route("*", f"{PREFIX.rstrip('/')}{{rest:(/.*)?}}", self._control.handle)
        app.add_routes(self._graph.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self.core.base_url = await listen(self._runner, port, host)

    async def stop(self) -> None:
        """Stop serving and delivering, and remove temporary files."""
        self._graph.close()
        self.core.feed.close()
        if self._runner is not None:
            await self._runner.cleanup()
        for timer in list(self.clock.live):
            timer.cancel()
        await self.sender.close()
        await self.webhooks.close()
        self.media.close()
