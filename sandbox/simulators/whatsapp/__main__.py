"""Run the WhatsApp simulator: `python -m sandbox.simulators.whatsapp --port 8901`."""

from __future__ import annotations

import gc
from pathlib import Path

from sandbox.simulators.common import Clock
from sandbox.simulators.process import parser, serve
from sandbox.simulators.whatsapp import APP_SECRET, PHONE_NUMBER_ID, TOKEN, Behaviour, WhatsAppSimulator


def main() -> None:
    asked = parser("whatsapp", 8901, __doc__)
    asked.add_argument("--token", default=TOKEN)
    asked.add_argument("--app-secret", default=APP_SECRET)
    asked.add_argument("--throughput", type=float, default=80.0, help="messages per second of the first number")
    asked.add_argument("--open-world", action="store_true", help="anybody written to exists and has just written")
    asked.add_argument("--no-pair-limit", action="store_true")
    asked.add_argument("--read-after", type=float, help="seconds until customers read; never without it")
    asked.add_argument("--media-folder", type=Path, help="where files are kept; a temporary folder without it")
    asked.add_argument("--seed", type=int, default=0)
    arguments = asked.parse_args()
    behaviour = Behaviour(
        open_world=arguments.open_world, pair_limit=not arguments.no_pair_limit, read_after=arguments.read_after
    )
    simulator = WhatsAppSimulator(
        clock=Clock(arguments.time_scale),
        behaviour=behaviour,
        seed=arguments.seed,
        media_folder=arguments.media_folder,
    )
    simulator.world.tokens = {arguments.token: None}
    next(iter(simulator.world.apps.values())).secret = arguments.app_secret
    simulator.world.numbers[PHONE_NUMBER_ID].throughput = arguments.throughput
    gc.freeze()  # the compiled description and the imports live as long as the process
    gc.set_threshold(50_000, 20, 100)  # the message rings hold no cycles worth looking for at every turn
    serve(simulator, arguments)


if __name__ == "__main__":
    main()
