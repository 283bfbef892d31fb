"""Row 34: a phone that sends its quick reply twice sends it once, and hears the same twice."""

from __future__ import annotations

import asyncio

import pytest

from shared.state import keys
from tests.e2e.providers import NAMES
from tests.requirements.inside import Channel, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_same_key_twice_is_one_call_and_the_same_answer(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    command = await channel.command(person, text="On my way")
    (first,) = await channel.statuses.end(command.id)
    told = len(channel.statuses.by_command[command.id])
    await channel.command(person, command_id=command.id, text="On my way")
    (after,) = await channel.sends(person, "anything else")  # behind it, in the same conversation
    assert after["state"] == "sent"
    again = [status for status in channel.statuses.by_command[command.id][told:] if status["state"] == first["state"]]
    assert len(channel.statuses.by_command[command.id]) > told
    assert all(s["status_id"] == first["status_id"] and s["message_id"] == first["message_id"] for s in again)
    assert channel.texts(person) == ["On my way", "anything else"]


async def test_a_refusal_is_repeated_as_well(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    for _ in range(2):
        command = await channel.command(person, command_id=f"twice-{person.account.id}", content={"kind": "hologram"})
    await channel.sends(person, "anything else")
    statuses = channel.statuses.by_command[command.id]
    assert [status["state"] for status in statuses] == ["rejected", "rejected"]
    assert len({status["status_id"] for status in statuses}) == 1


@pytest.mark.parametrize("name", NAMES)
async def test_twenty_at_once_on_three_replicas_are_one_call(name: str) -> None:
    async with opened() as world:
        channel = await world.channel(name, 3)
        person = await channel.person(await channel.account())
        twenty = (channel.command(person, command_id="the-same", text="On my way") for _ in range(20))
        await asyncio.gather(*twenty)
        await channel.sends(person, "anything else")
        assert channel.texts(person) == ["On my way", "anything else"]


async def test_a_command_is_remembered_for_longer_than_a_day() -> None:
    assert keys.LEDGER.ttl > 24 * 3600
