"""Row 7: every command ends in a state that says what became of it, whatever the provider does."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.channel import Account, Call, Failure, Files, ProviderError, Receipt
from shared.contract.base import rfc3339
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.contract.statuses import State
from tests.e2e.topics import eventually
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
COMMANDS = 150
PEOPLE = 15
SECONDS = 1.5  # that a command has
GRACE = 60.0
ENDS = {"sent", "delivered", "read", "played", "done", "failed", "rejected", "expired", "cancelled", "uncertain"}

FAILURES = (
    Failure(ErrorCode.CONTENT_REJECTED),
    Failure(ErrorCode.RECIPIENT_BLOCKED),
    Failure(ErrorCode.RECIPIENT_UNKNOWN),
    Failure(ErrorCode.WINDOW_CLOSED),
    Failure(ErrorCode.PROVIDER_UNAVAILABLE),
    Failure(ErrorCode.RATE_LIMITED, retry_after=0.2),
    Failure(ErrorCode.RATE_LIMITED, retry_after=600),
    Failure(ErrorCode.UNCERTAIN, certain=False),
    Failure(ErrorCode.FILE_UNAVAILABLE),
)


class Whims:
    """A provider in a bad mood: a third of the calls succeed, the others end in any way a call can end."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._sent = 0

    async def __call__(self, call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        if self._rng.random() < 0.05:
            raise RuntimeError("a bug in the client")
        if self._rng.random() < 0.6:
            raise ProviderError(self._rng.choice(FAILURES))
        first, self._sent = self._sent, self._sent + call.parts
        made = tuple(f"made-{account.account_id}-{first + part}" for part in range(call.parts))
        return Receipt(made, state=State.SENT)


async def test_a_hundred_and_fifty_commands_and_a_moody_provider(channel: Channel) -> None:
    account = await channel.account()
    people = await channel.people(account, PEOPLE)
    channel.service.instead = Whims(7)
    rng = random.Random(3)
    ends = rfc3339(datetime.now(UTC) + timedelta(seconds=SECONDS))
    commands = [
        await channel.command(
            rng.choice(people),
            not_after=ends,
            reply_policy=rng.choice(["degrade", "strict"]),
            on_uncertain=rng.choice(["report", "report", "resend"]),
            **_anything(rng),
        )
        for _ in range(COMMANDS)
    ]
    ids = {command.id for command in commands}

    def still_open() -> list[str]:
        return [one for one in ids if not _ended(channel, one)]

    await eventually(lambda: not still_open(), SECONDS + GRACE, what=still_open)
    for one in ids:
        ends_of: dict[int, set[str]] = {}
        for status in channel.statuses.by_command[one]:
            if status["state"] in ENDS:
                ends_of.setdefault(status["part"]["index"], set()).add(status["state"])
        assert all(len(states) == 1 for states in ends_of.values()), channel.statuses.by_command[one]


async def test_an_account_that_is_disconnected_lets_its_commands_expire(channel: Channel) -> None:
    person = await channel.person(await channel.account())

    async def dead(call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        raise ProviderError(Failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED))

    channel.service.instead = dead
    ends = rfc3339(datetime.now(UTC) + timedelta(seconds=1))
    commands = [await channel.command(person, text=f"text {n}", not_after=ends) for n in range(10)]
    states = await asyncio.gather(*(channel.statuses.end(command.id) for command in commands))
    assert [status["state"] for (status,) in states] == ["expired"] * len(commands)
    assert "deferred" in channel.statuses.states(commands[0].id)


def _anything(rng: random.Random) -> dict[str, Any]:
    target = {"message_id": "3fa85f64-5717-5562-b3fc-2c963f66afa6"}
    return rng.choice(
        (
            {"text": "short"},
            {"text": "long " * 3000},
            {"text": "in answer to what?", "reply_to": target},
            {"content": {"kind": "media", "attachments": [{"blob": "not/there", "kind": "image"}]}},
            {"content": {"kind": "location", "location": {"latitude": 52.5, "longitude": 13.4}}},
            {"content": {"kind": "template", "name": "hello_world", "language": "en_US"}},
            {"content": {"kind": "hologram"}},
            {"text": "internal", "visibility": "internal"},
        )
    )


def _ended(channel: Channel, command_id: str) -> bool:
    """Every part that was told of has come to an end, and there is at least one."""
    last: dict[int, str] = {}
    for status in channel.statuses.by_command.get(command_id, ()):
        if status["state"] in ENDS:
            last[status["part"]["index"]] = status["state"]
    parts = {s["part"]["of"] for s in channel.statuses.by_command.get(command_id, ()) if s["state"] != "deferred"}
    refused = last.get(0) in ("rejected", "expired", "cancelled") and len(last) == 1
    return bool(last) and (refused or len(last) == max(parts))
