"""Runs the simulator as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

import uvloop

from sandbox.simulators.common import Clock

from . import Options, TikTokSimulator


def _arguments() -> argparse.Namespace:
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m sandbox.simulators.tiktok", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8083)
    parser.add_argument("--app-id", default=defaults.app_id)
    parser.add_argument("--app-secret", default=defaults.app_secret)
    parser.add_argument("--callback-url", help="where webhooks go before anybody called webhook/update")
    parser.add_argument("--qps", type=int, default=defaults.queries_per_second, help="0: no limit")
    parser.add_argument("--echo", choices=["off", "before", "after"], default=defaults.echo)
    parser.add_argument("--time-scale", type=float, default=1.0, help="how many times faster than the wall")
    parser.add_argument("--media-directory", type=Path, help="default: a temporary one")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    options = Options(
        app_id=arguments.app_id,
        app_secret=arguments.app_secret,
        queries_per_second=arguments.qps,
        echo=arguments.echo,
    )
    clock = Clock(arguments.time_scale)
    simulator = TikTokSimulator(options, clock=clock, media_directory=arguments.media_directory)
    simulator.platform.webhooks.callback_url = arguments.callback_url
    await simulator.start(arguments.port, arguments.host)
    print(simulator.base_url, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await simulator.stop()


if __name__ == "__main__":
    uvloop.run(_run(_arguments()))
