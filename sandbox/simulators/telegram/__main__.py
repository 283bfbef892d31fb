"""Run the Telegram simulator: `python -m sandbox.simulators.telegram --port 8081 --bot 123456:TEST`."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop

from sandbox.simulators.common import Clock
from sandbox.simulators.telegram.simulator import TelegramSimulator


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Telegram Bot API simulator")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--time-scale", type=float, default=1.0, help="how much faster than the wall its clock runs")
    parser.add_argument("--bot", action="append", default=[], metavar="TOKEN", help="create a bot; may be repeated")
    parser.add_argument("--open-to-all", action="store_true", help="those bots may write to any positive chat id")
    return parser.parse_args()


async def _main(arguments: argparse.Namespace) -> None:
    simulator = TelegramSimulator(Clock(arguments.time_scale))
    for token in arguments.bot:
        simulator.setup.bot(token, open_to_all=arguments.open_to_all)
    await simulator.start(arguments.port, arguments.host)
    print(simulator.origin, flush=True)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
    await simulator.stop()


if __name__ == "__main__":
    uvloop.run(_main(_arguments()))
