"""What a benchmark must know of a channel: its settings, accounts, webhooks, commands and its provider's answers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from shared.channel import Channel

NAMES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py")))
WORKSPACE = "ws_bench"
TEXT = "Hello, is the blue one still available in size 42? I could pick it up on Friday after five."


@dataclass(frozen=True, slots=True)
class Webhook:
    """One call of the provider to us, ready to be sent."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Recipient:
    """A contact who has written: the last part of the conversation id, and the address that normalise kept."""

    peer: str
    address: dict[str, str]


class Served(Protocol):
    """What it takes to run a channel's service."""

    name: str

    def settings(self, provider_url: str) -> dict[str, str]:
        """Settings of the service, lower case and without the channel's prefix."""
        ...

    def account(self, number: int) -> dict[str, Any]:
        """An account record with its credentials in the clear."""
        ...


class Profile(Served, Protocol):
    """A channel of webhooks. Everything is a function of a running number, so that every process makes the same."""

    send_path: str  # of the call that sends a text, below the provider's address

    def webhook(self, number: int, conversations: int, *, media: bool = False) -> Webhook:
        """The webhook of inbound message `number`, in one of so many conversations, for account 0.

        A text ends in `#<number>`.
        """
        ...

    def recipient(self, number: int) -> Recipient:
        """The contact of conversation `number`."""
        ...

    def call(self, text: str, recipient: str) -> dict[str, Any]:
        """The body of the call that sends a text: what a bare client would send."""
        ...

    def answer(self, path: str, body: bytes, number: int) -> bytes:
        """The provider's answer to call `number`, as JSON."""
        ...


def raised(*buckets: str) -> dict[str, Any]:
    """Settings that raise the rates a channel has so high that nobody waits; they are still taken, as in production."""
    return {"rates": {bucket: {"per_second": 1e6, "burst": 1e6} for bucket in buckets}}


def profile(name: str) -> Profile:
    """The profile of a channel."""
    return cast(Profile, importlib.import_module(f"bench.channels.{name}").PROFILE)


def build(of: Profile, provider_url: str = "http://127.0.0.1:1") -> Channel:
    """The channel itself, as its service would build it."""
    settings: ModuleType = importlib.import_module(f"services.{of.name}.settings")
    channel: ModuleType = importlib.import_module(f"services.{of.name}.channel")
    return cast(Channel, channel.build(settings.Settings(**of.settings(provider_url))))


def environment(of: Served, provider_url: str) -> dict[str, str]:
    """The same settings as environment variables."""
    return {f"{of.name}_{name}".upper(): value for name, value in of.settings(provider_url).items()}
