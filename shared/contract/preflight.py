"""What `POST /v1/preflight` answers: what would become of a command, with nothing sent."""

from __future__ import annotations

from typing import Any, Literal

from shared.contract.base import Model
from shared.contract.errors import Error
from shared.contract.statuses import Warning
from shared.contract.vocabularies import OptionalWait


class CallParts(Model):
    """Which parts of the message a call makes."""

    first: int
    """The first of them, from 0."""
    count: int
    """How many they are."""
    of: int
    """How many parts the message has."""


class PlannedCall(Model):
    """A call to the provider that would be made. What is in it is for people to look at and may change at any time."""

    method: str
    """The provider's name of the call."""
    params: dict[str, Any]
    """What would be sent, without credentials."""
    parts: CallParts | None = None
    """Which parts of the message it makes; absent where it makes none."""
    files: dict[str, dict[str, Any]] | None = None
    """Files that go along, by the name of their parameter; each as a command has it, without defaults."""
    warnings: tuple[Warning, ...] | None = None
    """What would be done differently from what the command asks."""
    names: tuple[str, ...] | None = None
    """Names that the sent message will be known by."""
    thread: dict[str, Any] | None = None
    """What would be kept of the thread."""


class Accepted(Model):
    """The command would be carried out now."""

    accepted: Literal[True]
    """It would be carried out."""
    conversation_id: str
    """The conversation it would go to."""
    parts: int
    """How many messages the contact would get."""
    calls: tuple[PlannedCall, ...]
    """The calls that would be made, in order."""
    warnings: tuple[Warning, ...]
    """What would be done differently from what the command asks."""
    waits_for: OptionalWait = None
    """What it would wait for first; absent, nothing."""


class NotAccepted(Model):
    """The command would be refused now."""

    accepted: Literal[False]
    """It would be refused."""
    refused: Error
    """Why."""
    warnings: tuple[Warning, ...] | None = None
    """Fields of the command that nobody knows."""


class Unavailable(Model):
    """Nobody can say at the moment: ask again."""

    unavailable: Literal["state", "blobs", "account"]
    """What is away: the state store, the blob store, or the key that opens the account's credentials."""
