"""Replicas join, leave and die under full load."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.chaos.conftest import Measured, count
from tests.e2e.conftest import KAFKA
from tests.e2e.load import Load, Result
from tests.e2e.replicas import Service
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

REPLICAS = 3
PEOPLE = 200
# TikTok's quota would end every load after ten messages a person: under this profile two of theirs lift it.
LOADED = {"TIKTOK_WINDOW_PROFILE": "documented"}


async def loaded(world: World, name: str) -> ChannelUnderTest:
    """A channel with three replicas, ready for more than its provider would allow."""
    channel = await world.channel(name, REPLICAS, **LOADED)
    if name == "tiktok":
        channel.provider.sim.options.window_messages = 1_000_000
    return channel


def numbers(result: Result) -> dict[str, Any]:
    """What of a result goes on record."""
    return {
        "messages": result.messages,
        "commands": result.commands,
        "lost": result.lost_in + result.lost_out,
        "duplicated": result.ids_of_one_message + result.duplicated_out,
        "events_told_again_with_the_same_id": result.repeated_in,
        "conversations_out_of_order": result.disordered_in + result.disordered_out,
        "uncertain": result.uncertain,
        "of_these_arrived": result.uncertain_arrived,
        "and_never_found_out": result.uncertain_for_ever,
    }


async def coming_and_going(service: Service, until: asyncio.Future[Any], chance: random.Random) -> int:
    """Replicas leave in order and come back, one or two at a time; returns how many times one left."""
    left = 0
    while not until.done():
        leaving = chance.sample(service.replicas, chance.choice((1, 1, 2)))
        await asyncio.gather(*(service.let_go(replica) for replica in leaving))
        left += len(leaving)
        await asyncio.gather(*(service.bring_back(replica) for replica in leaving))
    return left


@pytest.mark.parametrize(
    ("world", "name"),
    [
        pytest.param("tansu", "telegram"),
        pytest.param("kafka", "telegram", marks=KAFKA.marks),
        pytest.param("kafka", "whatsapp", marks=KAFKA.marks),
        pytest.param("kafka", "tiktok", marks=KAFKA.marks),
    ],
    indirect=["world"],
)
async def test_three_replicas_come_and_go(world: World, name: str, measured: Measured) -> None:
    channel = await loaded(world, name)
    people = await channel.people(await channel.account(), PEOPLE)
    load = Load(channel, people, messages=count(10_000), commands=count(10_000))
    traffic = asyncio.gather(load.write(per_second=250), load.command(per_second=250))
    left = await coming_and_going(channel.service, traffic, random.Random(1))
    await traffic
    await load.settled(300)
    result = load.result()
    measured(**numbers(result), times_a_replica_left=left)
    result.assert_exact()
    assert result.uncertain == 0
    assert result.repeated_in == 0
    assert channel.provider.bad_requests() == []


@pytest.mark.parametrize(
    ("world", "name"),
    [
        pytest.param("tansu", "telegram"),
        pytest.param("kafka", "telegram", marks=KAFKA.marks),
        pytest.param("kafka", "whatsapp", marks=KAFKA.marks),
        pytest.param("kafka", "tiktok", marks=KAFKA.marks),
    ],
    indirect=["world"],
)
async def test_replicas_are_killed(world: World, name: str, measured: Measured) -> None:
    """kill -9 at random points, 50 times; each time messages and commands are under way."""
    channel = await loaded(world, name)
    people = await channel.people(await channel.account(), 50)
    kills, each = count(50), 100
    load = Load(channel, people, messages=kills * 20, commands=kills * each)
    traffic = asyncio.ensure_future(load.write(per_second=10))
    chance = random.Random(2)
    for _ in range(kills):
        ended = load.ended()
        await load.command_some(each)
        await eventually(lambda e=ended: load.ended() >= e + chance.randint(1, each - 10), 120, what="sends")
        victim = chance.choice(channel.service.replicas)
        await channel.service.kill(victim)
        await channel.service.bring_back(victim)
    await traffic
    await load.settled(300)
    result = load.result()
    measured(kills=kills, **numbers(result))
    result.assert_exact()
    if name != "telegram":  # the others can be asked, or bring our id back
        assert result.uncertain_for_ever == 0


@pytest.mark.parametrize(
    ("world", "name"),
    [
        pytest.param("tansu", "telegram"),
        pytest.param("kafka", "telegram", marks=KAFKA.marks),
        pytest.param("kafka", "whatsapp", marks=KAFKA.marks),
    ],
    indirect=["world"],
)
async def test_messages_of_fifty_parts_are_killed_on_their_way(world: World, name: str, measured: Measured) -> None:
    """Every part arrives once and in order, apart from the ones that are reported uncertain."""
    channel = await loaded(world, name)
    people = await channel.people(await channel.account(), count(20))
    size = 4000  # below the longest message of both channels, so that every part is one of these lines
    lines = [f"line {n:02} ".ljust(size, "x") for n in range(50)]
    commands = [await channel.command(person, text="\n".join(lines)) for person in people]
    chance, kills = random.Random(3), 0

    def arrived() -> int:
        return sum(len(channel.provider.got(person)) for person in people)

    def ended() -> bool:
        return all(channel.statuses.ended(command.id) for command in commands)

    while not ended():
        seen = arrived()
        goal = seen + chance.randint(5, 60)
        await eventually(lambda g=goal: arrived() >= g or ended(), 120, what="parts at the simulator")
        if not ended():
            victim = chance.choice(channel.service.replicas)
            await channel.service.kill(victim)
            await channel.service.bring_back(victim)
            kills += 1
    parts, missing, twice, uncertain, disordered = 0, 0, 0, 0, 0
    for command, person in zip(commands, people, strict=True):
        statuses = channel.statuses.ended(command.id)
        assert statuses is not None
        got = [text.split()[1] for text in channel.texts(person)]
        parts += len(statuses)
        twice += len(got) - len(set(got))
        disordered += got != sorted(got)
        doubtful = {f"{s['part']['index']:02}" for s in statuses if s["state"] == "uncertain"}
        uncertain += len(doubtful)
        missing += len({f"{n:02}" for n in range(50)} - set(got) - doubtful)
        assert all(s["state"] in SENT | {"uncertain"} for s in statuses)
    measured(
        messages=len(commands), parts=parts, kills=kills, missing=missing, twice=twice, uncertain=uncertain,
        messages_out_of_order=disordered,
    )  # fmt: skip
    assert (missing, twice, disordered) == (0, 0, 0)
    assert parts == 50 * len(commands)
