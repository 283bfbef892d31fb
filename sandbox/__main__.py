"""`python -m sandbox`: a whole world on this machine, with a console in the browser, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from typing import Any

import aiohttp

from sandbox.broker import BrokerFailed
from sandbox.channels import channel_names
from sandbox.channels.control import SimulatorRefused
from sandbox.console.server import Console
from sandbox.world import World, WorldFailed
from shared.stream.errors import LogUnavailable

CONSOLE_PORT = 8000


def _arguments() -> argparse.Namespace:
    names = channel_names()
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--console-port", type=int, default=CONSOLE_PORT, help="the next free one if it is taken")
    parser.add_argument("--channel", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="NAME=PORT",
        type=_port,
        help="of kafka, valkey, a channel (telegram) or its simulator (telegram-simulator); otherwise a free one",
    )
    broker = parser.add_mutually_exclusive_group()
    broker.add_argument(
        "--broker", choices=("embedded", "apache"), default="embedded", help="apache: needs Java and Maven"
    )
    broker.add_argument("--kafka", metavar="HOST:PORT", type=_bootstrap, help="a broker that runs already")
    return parser.parse_args()


def _bootstrap(text: str) -> str:
    for place in text.split(","):
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise argparse.ArgumentTypeError(f"{place} is not HOST:PORT")
    return text


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    known = ["kafka", "valkey", *(process for name in channel_names() for process in (name, f"{name}-simulator"))]
    if name not in known:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
    if not number.isdecimal() or not 0 < int(number) < 65536:
        raise argparse.ArgumentTypeError(f"{number} is not a port")
    return name, int(number)


async def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Start, show where everything is, wait for a signal or a death, stop. The exit status."""
    broker = {"kafka": arguments.kafka, "apache": arguments.broker == "apache"}
    world = World(arguments.channel or channel_names(), environment, dict(arguments.port), **broker)
    console = Console(world)
    stopping = _signals()
    try:
        if not await _unless(stopping, world.start()):
            return 0
        await console.start(arguments.console_port)
        _show(world, console, arguments.console_port)
        if await _unless(stopping, died := asyncio.ensure_future(world.died())):
            raise died.result()
    except (WorldFailed, BrokerFailed, LogUnavailable, SimulatorRefused, aiohttp.ClientError) as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    else:
        print("\nStopping …", flush=True)
        return 0
    finally:
        await console.stop()
        await world.stop()


def _signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    return stopping


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> bool:
    """Do the work unless told to stop; whether it was done. Raises what it raises."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        await task
        return True
    task.cancel()
    await asyncio.wait((task,))
    return False


def _show(world: World, console: Console, wanted: int) -> None:
    taken = f"   (port {wanted} is taken)" if console.port != wanted else ""
    rows = [("Console", f"http://127.0.0.1:{console.port}{taken}")]
    for channel in world.channels.values():
        other = f"simulator {channel.simulator.url}" if channel.simulator else "the real provider, by long polling"
        rows.append((channel.sandbox.title, f"service {channel.service_url}   {other}"))
    rows += [("Kafka", world.bootstrap), ("Valkey", world.state_url), ("Files", str(world.blob_directory))]
    rows += [("Logs", str(world.logs)), ("Clients", _client_settings(world))]
    width = max(len(name) for name, _ in rows) + 2
    print("\n".join(f"{name:<{width}}{where}" for name, where in rows))
    print("\nEverything is ready. Ctrl-C stops all of it.", flush=True)


def _client_settings(world: World) -> str:
    """What a Kafka client has to be told, in Kafka's own names."""
    settings = {
        "bootstrap.servers": world.bootstrap,
        "security.protocol": "PLAINTEXT",
        "acks": "all",
        "enable.idempotence": str(world.idempotent).lower(),
        "session.timeout.ms": "6000",  # the embedded broker lets a member in after half of it
    }
    return " ".join(f"{name}={value}" for name, value in settings.items())


if __name__ == "__main__":
    raise SystemExit(asyncio.run(run(_arguments(), os.environ)))
