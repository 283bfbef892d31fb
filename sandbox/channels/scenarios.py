"""What can happen at a simulated provider: each scenario is one request to `/_sim/`, with a name people understand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.channels.control import Simulator
from sandbox.channels.customers import Row

DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Scenario:
    """`does` is a sentence for the page; in `path`, `{account}` stands for the provider's id of the account."""

    title: str
    does: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)
    closes: Callable[[Row], float | None] | None = None
    """Of what lets time pass until somebody's window is closed: Unix seconds of its end, from `GET conversation`."""


def closing(hours: int, closes: Callable[[Row], float | None]) -> Scenario:
    """The end of somebody's window; `closes` as in `Scenario`."""
    does = (
        f"Time passes until this person's {hours} hours are over. The connector, whose clock goes on as before, learns "
        "it from the next refusal."
    )
    return Scenario("Close the window", does, "clock", closes=closes)


def usual(
    send: str, refusal: Mapping[str, Any], throttling: Mapping[str, Any], *, webhooks: bool = True
) -> dict[str, Scenario]:
    """What can happen everywhere. `send` is the call that sends a message (Telegram: a text), `refusal` and
    `throttling` are how the provider words them, as fields of a fault; `webhooks`: whether deliveries can be struck.
    """
    next_send = {"where": {"call": send}, "count": 1}
    one_delivery = {"where": {"call": "webhook"}, "count": 1}
    found = {
        "skip_day": Scenario(
            "Skip 24 hours", "A day passes at the provider: windows and links end there.", "clock", {"advance": DAY}
        ),
        "refuse": Scenario(
            "Refuse the next message",
            "The provider finds fault with it; the agent reads why.",
            "faults",
            {"kind": "error", **next_send, **refusal},
        ),
        "throttle": Scenario(
            "Throttle the next message",
            "The provider wants it later; the connector waits and sends it then.",
            "faults",
            {"kind": "error", **next_send, **throttling},
        ),
        "lose_answer": Scenario(
            "Lose the next answer",
            "The message arrives, and nobody tells the connector: it is in doubt.",
            "faults",
            {"kind": "drop_answer", **next_send},
        ),
        "silent": Scenario(
            "Go silent",
            "The provider takes messages to send and does not answer, until all of this is ended.",
            "faults",
            {"kind": "hang", "where": {"call": send}},
        ),
        "revoke": Scenario(
            "Revoke the token",
            "The account's credentials are no longer taken; messages wait until it is connected again.",
            "accounts/{account}/revoke",
        ),
    }
    if webhooks:
        found["twice"] = Scenario(
            "Deliver twice",
            "The next webhook comes two times; the inbox hears of it once.",
            "faults",
            {"kind": "duplicate", **one_delivery},
        )
        found["late"] = Scenario(
            "Deliver late",
            "The next webhook is held back for three seconds; others overtake it.",
            "faults",
            {"kind": "reorder", "seconds": 3, **one_delivery},
        )
    return found


class Scenarios:
    """Lets one channel's scenarios happen. Every method raises SimulatorRefused and `aiohttp.ClientError`."""

    def __init__(self, simulator: Simulator, scenarios: Mapping[str, Scenario], account: str) -> None:
        self._simulator = simulator
        self._scenarios = scenarios
        self._account = account

    async def run(self, name: str, person: str) -> None:
        """Raises KeyError where there is no such scenario. `person` is whose window one of them closes."""
        scenario = self._scenarios[name]
        body = dict(scenario.body)
        if scenario.closes is not None:
            end = scenario.closes(await self._simulator.get("conversation", person=person))
            now = (await self._simulator.get("clock"))["now"]
            body["advance"] = max(0.0, (end or now) - now) + 1
        await self._simulator.post(scenario.path.format(account=self._account), body)

    async def end(self) -> None:
        """End what was planned. Time that has passed, and a token that is gone, do not come back by it."""
        await self._simulator.delete("faults")

    async def state(self) -> Row:
        """`planned`: faults as the simulator lists them; `ahead`: seconds by which its time is ahead of ours."""
        clock = await self._simulator.get("clock")
        return {"planned": await self._simulator.get("faults"), "ahead": round(clock["now"] - time.time())}
