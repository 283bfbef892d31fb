"""What the sandbox must know of a channel: one small module per channel, found by its name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sandbox.channels.control import Simulator
from sandbox.channels.customers import Customers
from sandbox.channels.scenarios import Scenario

ROOT = Path(__file__).resolve().parent.parent.parent
SIMULATORS = "sandbox.simulators"


class ChannelSandbox(Protocol):
    """How one channel lives in the sandbox. Made by `describe(environment)` of its module."""

    title: str
    colour: str  # of the channel, for the page
    subjects: bool  # messages are mail: they have a subject, and may have html beside their text
    simulator_arguments: tuple[str, ...] | None
    """For `python -m sandbox.simulators.<name>`, a port is added; None: the service talks to the real provider."""

    def environment(self, simulator_url: str | None) -> dict[str, str]:
        """Environment variables of the service, on top of what every service gets."""

    scenarios: Mapping[str, Scenario]  # what can happen at the simulated provider, by name
    untold: Mapping[str, str]  # by what customers do: a sentence, where the provider tells the business nothing of it
    has_templates: bool  # the simulator lists templates, as the provider's API does

    async def prepare(self, simulator: Simulator) -> None:
        """Set the scene in the simulator: people, and what else is there before anybody writes."""

    async def connected(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        """The accounts as an accounts file has them, with credentials that the simulator takes from now on.

        Asked for again after a simulated provider has revoked them.
        """

    async def connect(self, simulator: Simulator | None, service_url: str) -> None:
        """Do what an operator does in the provider's dashboard, once the service is ready."""

    def customers(self, simulator: Simulator) -> Customers: ...


def channel_names() -> list[str]:
    """The channels that have a description here and a service to run."""
    described = (path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    return sorted(name for name in described if (ROOT / "services" / name / "__main__.py").exists())


def describe(name: str, environment: Mapping[str, str]) -> ChannelSandbox:
    """The description of a channel under these environment variables."""
    described: ChannelSandbox = importlib.import_module(f"{__name__}.{name}").describe(environment)
    return described
