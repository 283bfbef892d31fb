"""Rows 18 and 43: taking over from an AI, or stopping a workflow, calls back what has not been handed over."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.providers import Person
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
SLOW = {"pair": {"per_second": 0.01, "burst": 1}, "account": None, "group": None, "app": None}
QUEUED = 30


async def _queue(channel: Channel) -> tuple[Person, list[str], list[str]]:
    """Somebody to whom one message is sent and many wait for their turn: those of an AI's run, those of a person."""
    account = await channel.account(paced=True, settings={"rates": SLOW})
    person = await channel.person(account)
    await channel.sends(person, "the one that goes out at once")
    ai = {"actor": {"kind": "ai_agent", "id": "bot"}, "workflow_run_id": "run_1"}
    of_ai = [(await channel.command(person, text=f"from the AI {n}", **ai)).id for n in range(QUEUED)]
    by_hand = [(await channel.command(person, text=f"by hand {n}")).id for n in range(3)]
    for one in (*of_ai, *by_hand):
        await channel.statuses.state(one, "deferred")
    return person, of_ai, by_hand


async def _states(channel: Channel, ids: list[str]) -> list[str]:
    ends = await asyncio.gather(*(channel.statuses.end(one) for one in ids))
    return [status["state"] for (status,) in ends]


@pytest.mark.parametrize("what", [{"cancel_actor_kind": "ai_agent"}, {"cancel_workflow_run_id": "run_1"}])
async def test_what_an_ai_has_queued_is_cancelled_and_nothing_else(channel: Channel, what: dict[str, str]) -> None:
    person, of_ai, by_hand = await _queue(channel)
    cancel = await channel.command(person, "message.cancel", **what)
    (done,) = await channel.statuses.end(cancel.id, 10)
    assert (done["state"], done["count"]) == ("done", QUEUED)
    assert await _states(channel, of_ai) == ["cancelled"] * QUEUED
    assert all(channel.statuses.ended(one) is None for one in by_hand)
    assert len(channel.asked(person.account)) == 1


async def test_one_command_or_a_whole_conversation(channel: Channel) -> None:
    person, of_ai, by_hand = await _queue(channel)
    await channel.command(person, "message.cancel", cancel_command_id=of_ai[0])
    assert await _states(channel, of_ai[:1]) == ["cancelled"]
    assert all(channel.statuses.ended(one) is None for one in (*of_ai[1:], *by_hand))
    await channel.command(person, "message.cancel", cancel_conversation=True)
    assert set(await _states(channel, [*of_ai, *by_hand])) == {"cancelled"}
    assert len(channel.asked(person.account)) == 1


async def test_what_stands_behind_others_is_never_sent(channel: Channel) -> None:
    """It is told when its turn comes, with those ahead of it gone: the conversation keeps its order."""
    person, of_ai, by_hand = await _queue(channel)
    await channel.command(person, "message.cancel", cancel_command_id=by_hand[1])
    await channel.command(person, "message.cancel", cancel_actor_kind="ai_agent")
    assert set(await _states(channel, of_ai)) == {"cancelled"}
    await channel.command(person, "message.cancel", cancel_command_id=by_hand[0])
    assert await _states(channel, by_hand[:2]) == ["cancelled", "cancelled"]
    assert channel.statuses.ended(by_hand[2]) is None
    assert len(channel.asked(person.account)) == 1


async def test_what_is_queued_afterwards_goes_its_way(channel: Channel) -> None:
    account = await channel.account()
    person = await channel.person(account)
    cancel = await channel.command(person, "message.cancel", cancel_conversation=True)
    await channel.statuses.end(cancel.id)
    (status,) = await channel.sends(person, "a person has taken over")
    assert status["state"] == "sent"
