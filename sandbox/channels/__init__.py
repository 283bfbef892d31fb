"""What the sandbox must know of a channel: one small module per channel, found by its name."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import aiohttp

from sandbox.channels.control import Simulator

WORKSPACE = "ws_demo"
ROOT = Path(__file__).resolve().parent.parent.parent
SIMULATORS = "sandbox.simulators"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody a customer can be played as. `peers` are the last parts of the conversation ids they may have."""

    id: str
    name: str
    detail: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileView:
    """A file in a bubble; without an `id` it cannot be fetched."""

    id: str | None
    kind: Literal["image", "video", "audio", "file"]
    name: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ButtonView:
    """A button under a bubble: `data` goes to the action `press`, `url` is only shown."""

    title: str
    data: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message as the customer's app shows it. `at` is Unix time in seconds; `mine`: the customer wrote it."""

    id: str
    mine: bool
    at: float
    text: str = ""
    reply_to: str | None = None
    files: tuple[FileView, ...] = ()
    buttons: tuple[tuple[ButtonView, ...], ...] = ()
    reactions: tuple[str, ...] = ()
    my_reaction: str | None = None
    edited: bool = False
    deleted: bool = False
    read: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A conversation as the customer's app shows it. `typing_until` is Unix time in seconds."""

    messages: tuple[Bubble, ...] = ()
    typing_until: float = 0.0
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """A file the customer sends, read from the browser as it is passed on."""

    filename: str
    mime_type: str
    content: AsyncIterator[bytes]

    @property
    def kind(self) -> str:
        """image, video, audio or document, by what the browser says."""
        family = self.mime_type.partition("/")[0]
        return family if family in ("image", "video", "audio") else "document"


Action = Callable[[str, Mapping[str, Any], Upload | None], Awaitable[None]]
"""What a person does: person id, the fields the page sends, a file. Raises `SimulatorRefused`, KeyError."""


class Customers(Protocol):
    """The people of a simulated channel.

    `actions` by name; the page offers what is there. `write` (text, reply_to, with a file too), `edit` (message_id,
    text), `delete` (message_id), `react` (message_id, emoji, empty to take it back), `press` (message_id, data),
    `start` (payload), `block` (blocked), `read`.
    """

    @property
    def actions(self) -> Mapping[str, Action]: ...

    async def people(self) -> list[Person]: ...

    async def add_person(self, name: str) -> None: ...

    async def view(self, person_id: str) -> View: ...

    async def open_file(self, file_id: str) -> aiohttp.ClientResponse:
        """A file of a bubble; the caller closes the response."""


class ChannelSandbox(Protocol):
    """How one channel lives in the sandbox. Made by `describe(environment)` of its module."""

    title: str
    colour: str  # of the channel, for the page
    simulator_arguments: tuple[str, ...] | None
    """For `python -m sandbox.simulators.<name>`, a port is added; None: the service talks to the real provider."""

    def environment(self, simulator_url: str | None) -> dict[str, str]:
        """Environment variables of the service, on top of what every service gets."""

    async def prepare(self, simulator: Simulator | None) -> list[dict[str, Any]]:
        """Set the scene in the simulator; returns the accounts, as an accounts file has them."""

    async def connect(self, simulator: Simulator | None, service_url: str) -> None:
        """Do what an operator does in the provider's dashboard, once the service is ready."""

    def customers(self, simulator: Simulator) -> Customers: ...


def channel_names() -> list[str]:
    """The channels that have a description here and a service to run."""
    described = (path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.stem != "control")
    return sorted(name for name in described if (ROOT / "services" / name / "__main__.py").exists())


def describe(name: str, environment: Mapping[str, str]) -> ChannelSandbox:
    """The description of a channel under these environment variables."""
    described: ChannelSandbox = importlib.import_module(f"{__name__}.{name}").describe(environment)
    return described
