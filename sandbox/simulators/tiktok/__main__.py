"""Run the TikTok simulator: `python -m sandbox.simulators.tiktok --port 8083`."""

from __future__ import annotations

from pathlib import Path

from sandbox.simulators.common import Clock
from sandbox.simulators.process import parser, serve

from . import Options, TikTokSimulator


def main() -> None:
    defaults = Options()
    asked = parser("tiktok", 8083, __doc__)
    asked.add_argument("--app-id", default=defaults.app_id)
    asked.add_argument("--app-secret", default=defaults.app_secret)
    asked.add_argument("--callback-url", help="where webhooks go before anybody called webhook/update")
    asked.add_argument("--qps", type=int, default=defaults.queries_per_second, help="0: no limit")
    asked.add_argument("--echo", choices=["off", "before", "after"], default=defaults.echo)
    asked.add_argument("--media-directory", type=Path, help="default: a temporary one")
    arguments = asked.parse_args()
    options = Options(
        app_id=arguments.app_id,
        app_secret=arguments.app_secret,
        queries_per_second=arguments.qps,
        echo=arguments.echo,
    )
    clock = Clock(arguments.time_scale)
    simulator = TikTokSimulator(options, clock=clock, media_directory=arguments.media_directory)
    simulator.platform.webhooks.callback_url = arguments.callback_url
    serve(simulator, arguments)


if __name__ == "__main__":
    main()
