"""The providers as tests play them: one face for three simulators, found by the folders of services."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Protocol

from sandbox.channels import ROOT
from shared.contract import ids
from shared.contract.accounts import AccountRecord

NAMES = tuple(
    sorted(
        path.stem
        for path in (ROOT / "tests" / "e2e" / "providers").glob("[a-z]*.py")
        if (ROOT / "services" / path.stem / "__main__.py").exists()
    )
)
# So fast that only the test itself sets the pace.
UNPACED = {"per_second": 100_000.0, "burst": 100_000.0}


@dataclass(slots=True)
class Connected:
    """An account on both sides: `handle` is what the simulator calls it."""

    record: AccountRecord
    handle: Any
    credentials: dict[str, str] = field(repr=False, default_factory=dict)

    @property
    def id(self) -> str:
        return self.record.account_id


@dataclass(slots=True)
class Person:
    """Somebody who has written to an account; `conversation_id` as the events name it."""

    account: Connected
    handle: Any
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Got:
    """A message that reached a person."""

    id: str
    kind: str
    text: str
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One text: who wrote it (a number of the test's own), under which id, when (Unix seconds), answering what."""

    person: int
    id: int
    text: str = "hello"
    at: float = field(default_factory=time.time)
    name: str | None = "Ida Berg"
    reply_to: int | None = None
    type: str = "text"
    content: Any = None  # of another type than text
    echo: bool = False  # written by the business in the channel's own app

    def later(self, seconds: float, **changes: Any) -> Said:
        return replace(self, id=self.id + 1, at=self.at + seconds, **changes)


class Provider(Protocol):
    """One simulator, as the tests shared by all channels use it; `sim.clock` is the provider's."""

    name: str
    sim: Any

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def environment(self) -> Mapping[str, str]:
        """Settings of the service that lead it to the simulator."""
        ...

    async def webhooks_to(self, url: str) -> None:
        """Where this provider delivers from now on."""
        ...

    def open_account(self, number: int) -> tuple[dict[str, Any], dict[str, str], Any]:
        """A new account: fields of its record, its credentials, and what the simulator calls it."""
        ...

    async def connect(self, account: Connected) -> None:
        """Deliver the account's webhooks; called once it is applied."""
        ...

    def newcomer(self, account: Connected, number: int) -> Any:
        """Somebody new, who has not written yet."""
        ...

    async def write(self, account: Connected, handle: Any, text: str) -> str:
        """A person writes; the provider's message id as events carry it."""
        ...

    async def send_file(self, account: Connected, handle: Any, kind: str, content: bytes, filename: str) -> None:
        """A person sends an image or a document."""
        ...

    def got(self, person: Person) -> list[Got]:
        """What a person received through the API, oldest first."""
        ...

    def shows_typing(self, person: Person) -> bool:
        """Whether the person sees us typing now."""
        ...

    tells_names: bool
    """Whether its webhooks say what people are called."""

    tells_several: bool
    """Whether a webhook may bring several messages."""

    refusal: Mapping[str, Any]
    """Settings of an `error` with which it refuses a message for good."""

    def fail_sends(self, kind: str, **settings: Any) -> None:
        """Plan a fault of sends: `error`, `slow`, `hang`, `refuse`, `drop_answer`; `where` may name an `account`."""
        ...

    def slow_transfers(self, kind: str, account: Connected) -> None:
        """Files of an account `trickle` on their way to us, or are left `unread` on their way from us."""
        ...

    def behave(self) -> None:
        """End all planned faults."""
        ...

    def revoke(self, account: Connected) -> None:
        """The account's credentials stop working."""
        ...

    def reauthorise(self, account: Connected) -> dict[str, str]:
        """The owner has connected the account anew: its new credentials."""
        ...

    def bad_requests(self) -> list[Any]:
        """Requests that broke the provider's rules; empty for a correct service."""
        ...

    def forged(self) -> tuple[str, bytes, dict[str, str]]:
        """A webhook with a wrong proof: path below `/webhooks/<channel>`, body, headers."""
        ...

    def wrote(self, account: Connected, *said: Said) -> Any:
        """The body of a webhook as the provider writes it, for what its simulator does not play: old times, odd types,
        bulk.
        """
        ...

    def peer(self, person: int) -> str:
        """The last part of the conversation of a person who writes by these bodies."""
        ...

    def message_id(self, number: int) -> str:
        """The provider's name for a message of these bodies."""
        ...

    def genuine(self, account: Connected, body: bytes) -> tuple[str, dict[str, str]]:
        """Path and headers that prove any body."""
        ...


def conversation_of(of: Provider, account: Connected, person: int) -> str:
    """The conversation of a person who writes by `Provider.wrote`."""
    return ids.conversation_id(of.name, account.id, of.peer(person))


def provider(name: str) -> Provider:
    """The provider of a channel, not started."""
    made: Provider = import_module(f"tests.e2e.providers.{name}").build()
    return made
