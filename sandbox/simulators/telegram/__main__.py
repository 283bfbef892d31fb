"""Run the Telegram simulator: `python -m sandbox.simulators.telegram --port 8081 --bot 123456:TEST`."""

from __future__ import annotations

from sandbox.simulators.common import Clock
from sandbox.simulators.process import parser, serve
from sandbox.simulators.telegram.simulator import TelegramSimulator


def main() -> None:
    asked = parser("telegram", 8081, __doc__)
    asked.add_argument("--bot", action="append", default=[], metavar="TOKEN", help="create a bot; may be repeated")
    asked.add_argument("--open-to-all", action="store_true", help="those bots may write to any positive chat id")
    arguments = asked.parse_args()
    simulator = TelegramSimulator(Clock(arguments.time_scale))
    for token in arguments.bot:
        simulator.setup.bot(token, open_to_all=arguments.open_to_all)
    serve(simulator, arguments)


if __name__ == "__main__":
    main()
