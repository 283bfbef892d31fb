"""The Telegram simulator as one object: start it in a test or as a process, then play customer."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import aiohttp
from aiohttp import web

from sandbox.simulators.common import Clock, Fault, Faults
from sandbox.simulators.process import listen
from sandbox.simulators.telegram import control, spec
from sandbox.simulators.telegram.bodies import Upload
from sandbox.simulators.telegram.customer import Customer
from sandbox.simulators.telegram.model import Json, Sent
from sandbox.simulators.telegram.server import Server
from sandbox.simulators.telegram.setup import Setup
from sandbox.simulators.telegram.view import show_conversation, show_state
from sandbox.simulators.telegram.world import Limits, RecordedCall, World


class TelegramSimulator:
    """Telegram on one port: `/bot<token>/<method>`, `/file/bot<token>/<path>` and `/_sim/`.

    `setup` makes bots, people and business accounts; `customer` acts for people; `faults` plans misbehaviour;
    `clock` can be advanced.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        limits: Limits | None = None,
        seed: int = 0,
    ) -> None:
        self._blobs = tempfile.TemporaryDirectory(prefix="telegram-simulator-")
        self.clock = clock or Clock()
        self.faults = Faults(Fault, seed)
        self.world = World(
            self.clock,
            self.faults,
            spec.load(),
            Path(self._blobs.name),
            limits or Limits(),
        )
        self.setup = Setup(self.world)
        self.customer = Customer(self.world, self.setup)
        self._server = Server(self.world, control.build(self.world, self.setup, self.customer))
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 takes a free one."""
        # A webhook body is small and its receiver near: what matters is that no bot waits for another's connections.
        self.world.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._runner = web.ServerRunner(web.Server(self._server.handle, access_log=None), shutdown_timeout=1)
        self.url = await listen(self._runner, port, host)

    async def stop(self) -> None:
        """Stop listening and delivering; received files are deleted."""
        await self.world.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._blobs.cleanup()

    @property
    def base_url(self) -> str:
        """For `telegram.Bot(base_url=…)`."""
        return f"{self.url}/bot"

    @property
    def file_url(self) -> str:
        """For `telegram.Bot(base_file_url=…)`."""
        return f"{self.url}/file/bot"

    @property
    def violations(self) -> list[Json]:
        """Requests the Bot API description does not allow: `bot_id`, `method`, `problem`."""
        return list(self.world.violations)

    @property
    def calls(self) -> list[RecordedCall]:
        """Recent Bot API requests, oldest first."""
        return list(self.world.calls)

    @property
    def counters(self) -> Counter[str]:
        """Answers by status, updates by fate."""
        return self.world.counters

    def sent(self, chat_id: int) -> list[Sent]:
        """What a chat received from bots, in order, edits and deletions aside."""
        found = (c for (_, chat, _), c in self.world.conversations.items() if chat == chat_id)
        return [sent for conversation in found for sent in conversation.sent]

    def conversation(self, bot_id: int, chat_id: int, connection_id: str | None = None) -> Json:
        """A conversation as the customer sees it; raises `KeyError` when nothing was ever said."""
        return show_conversation(self.world, self.world.conversations[bot_id, chat_id, connection_id])

    def state(self) -> Json:
        """What `GET /_sim/state` shows."""
        return show_state(self.world)

    def upload(self, data: bytes, filename: str, mime_type: str = "") -> Upload:
        """A file for `customer.send_file`."""
        return self.world.spool.store_bytes(data, filename, mime_type)
