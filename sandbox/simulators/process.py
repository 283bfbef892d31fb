"""A simulator as a process of its own: its arguments, the address as its first line, and an orderly end."""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import Protocol

import uvloop
from aiohttp import web


class Simulator(Protocol):
    """Something to serve; `url` is known once it is started."""

    @property
    def url(self) -> str: ...

    async def start(self, port: int, host: str) -> None: ...

    async def stop(self) -> None: ...


async def listen(runner: web.BaseRunner, port: int, host: str) -> str:
    """Serve at an address; port 0 takes a free one. Returns its URL."""
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    return f"http://{host}:{runner.addresses[0][1]}"


def parser(name: str, port: int, description: str | None) -> argparse.ArgumentParser:
    """The arguments every simulator has."""
    made = argparse.ArgumentParser(prog=f"python -m sandbox.simulators.{name}", description=description)
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, default=port, help="0: a free one; the address is the first line printed")
    made.add_argument("--time-scale", type=float, default=1.0, help="seconds that pass for the provider in one of ours")
    return made


def serve(simulator: Simulator, arguments: argparse.Namespace) -> None:
    """Run until SIGINT or SIGTERM."""
    uvloop.run(_until_told(simulator, arguments.port, arguments.host))


async def _until_told(simulator: Simulator, port: int, host: str) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await simulator.start(port, host)
    print(simulator.url, flush=True)
    try:
        await told.wait()
    finally:
        await simulator.stop()
