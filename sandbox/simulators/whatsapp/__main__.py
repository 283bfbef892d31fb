"""Run the WhatsApp simulator as a process of its own: `python -m sandbox.simulators.whatsapp --port 8901`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
from pathlib import Path

import uvloop

from sandbox.simulators.common import Clock
from sandbox.simulators.whatsapp.behaviour import Behaviour
from sandbox.simulators.whatsapp.simulator import APP_SECRET, PHONE_NUMBER_ID, TOKEN, WhatsAppSimulator


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.simulators.whatsapp", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8901)
    parser.add_argument("--time-scale", type=float, default=1.0, help="simulated seconds per real second")
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--app-secret", default=APP_SECRET)
    parser.add_argument("--throughput", type=float, default=80.0, help="messages per second of the first number")
    parser.add_argument("--open-world", action="store_true", help="anybody written to exists and has just written")
    parser.add_argument("--no-pair-limit", action="store_true")
    parser.add_argument("--read-after", type=float, help="seconds until customers read; never without it")
    parser.add_argument("--media-folder", type=Path, help="where files are kept; a temporary folder without it")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    behaviour = Behaviour(
        open_world=options.open_world, pair_limit=not options.no_pair_limit, read_after=options.read_after
    )
    simulator = WhatsAppSimulator(
        clock=Clock(options.time_scale),
        behaviour=behaviour,
        seed=options.seed,
        media_folder=options.media_folder,
    )
    simulator.world.tokens = {options.token: None}
    next(iter(simulator.world.apps.values())).secret = options.app_secret
    simulator.world.numbers[PHONE_NUMBER_ID].throughput = options.throughput
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    await simulator.start(options.port, options.host)
    print(simulator.base_url, flush=True)
    gc.freeze()  # the compiled description and the imports live as long as the process
    gc.set_threshold(50_000, 20, 100)  # the message rings hold no cycles worth looking for at every turn
    try:
        await stopped.wait()
    finally:
        await simulator.stop()


if __name__ == "__main__":
    uvloop.run(_serve(_arguments()))
