"""Run the email simulator: `python -m sandbox.simulators.email --smtp-port 2500 --deliver-to 127.0.0.1:25`."""

from __future__ import annotations

from sandbox.simulators.common import Clock
from sandbox.simulators.process import parser, serve

from . import EmailSimulator, Options


def main() -> None:
    asked = parser("email", 8084, __doc__)
    asked.add_argument("--smtp-port", type=int, default=0, help="where accounts hand in their mail; 0: a free one")
    asked.add_argument("--deliver-to", default="", metavar="HOST:PORT", help="the SMTP server that gets people's mail")
    arguments = asked.parse_args()
    options = Options(deliver_to=arguments.deliver_to)
    serve(EmailSimulator(options, clock=Clock(arguments.time_scale), smtp_port=arguments.smtp_port), arguments)


if __name__ == "__main__":
    main()
