"""Replicas join, leave and die under full load."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.conftest import Measured, count
from tests.e2e.conftest import KAFKA
from tests.e2e.load import Load, Result
from tests.e2e.providers import Person
from tests.e2e.replicas import Replica, Service
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, Command, World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

REPLICAS = 3
PEOPLE = 200
PARTS = 50
# TikTok's quota would end every load after ten messages a person: under this profile two of theirs lift it.
LOADED = {"TIKTOK_WINDOW_PROFILE": "documented"}


everywhere = pytest.mark.parametrize(
    ("world", "name"),
    [
        pytest.param("tansu", "telegram"),
        pytest.param("kafka", "telegram", marks=KAFKA.marks),
        pytest.param("kafka", "whatsapp", marks=KAFKA.marks),
        pytest.param("kafka", "tiktok", marks=KAFKA.marks),
    ],
    indirect=["world"],
)


async def loaded(world: World, name: str, replicas: int = REPLICAS, **environment: str) -> ChannelUnderTest:
    """A channel with its replicas, ready for more than its provider would allow."""
    channel = await world.channel(name, replicas, **LOADED, **environment)
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


@everywhere
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


@everywhere
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


def fifty_parts(number: int) -> str:
    """Longer than fifty messages may be, each line just short of one: every part is one of them."""
    return "\n".join(f"{number:04} {part:02} ".ljust(4000, "x") for part in range(PARTS))


async def sending(channel: ChannelUnderTest, person: Person, enough: asyncio.Event) -> list[Command]:
    """Messages of fifty parts, one after the other."""
    commands: list[Command] = []
    while not enough.is_set():
        command = await channel.command(person, text=fifty_parts(len(commands)))
        commands.append(command)
        # Slow where many die: a rebalance waits for those that are being started.
        await eventually(lambda c=command: channel.statuses.ended(c.id), 900, every=0.1, what="the end of fifty parts")
    return commands


async def killing(service: Service, replica: Replica, kills: Iterator[int], chance: random.Random) -> None:
    """kill -9, again and again, at any moment of the second in which it is back."""
    for _ in kills:
        await asyncio.sleep(chance.uniform(0, 1))
        await service.kill(replica)
        await service.bring_back(replica)


@pytest.mark.timeout(5400)
@pytest.mark.parametrize(
    ("world", "name"),
    [pytest.param("kafka", "telegram", marks=KAFKA.marks), pytest.param("kafka", "whatsapp", marks=KAFKA.marks)],
    indirect=["world"],
)
async def test_messages_of_fifty_parts_are_killed_on_their_way(world: World, name: str, measured: Measured) -> None:
    """kill -9 a thousand times, all replicas at once: every part arrives once and in order, or is told as uncertain."""
    # All are killed at once on few cores, so that each is back only after seconds: as long as outside of tests, the
    # group waits for its members, and no rebalance takes the time in which parts are sent.
    channel = await loaded(world, name, KAFKA_SESSION_TIMEOUT="10")
    account = await channel.account(settings={"max_text_parts": PARTS})
    people = await channel.people(account, 24)
    channel.provider.fail_sends("slow", seconds=0.02)  # fifty parts take a second: most kills cut some of them
    enough, kills = asyncio.Event(), count(1000)
    traffic = asyncio.gather(*(sending(channel, person, enough) for person in people))
    service, left, chance = channel.service, iter(range(kills)), random.Random(3)
    await asyncio.gather(*(killing(service, replica, left, chance) for replica in service.replicas))
    enough.set()
    messages, missing, twice, disordered, uncertain = 0, 0, 0, 0, 0
    for person, commands in zip(people, await traffic, strict=True):
        expected, doubtful = set(), set()
        for number, command in enumerate(commands):
            statuses = channel.statuses.ended(command.id)
            assert statuses is not None
            assert len(statuses) == PARTS
            assert all(status["state"] in SENT | {"uncertain"} for status in statuses)
            expected |= {(number, part) for part in range(PARTS)}
            doubtful |= {(number, s["part"]["index"]) for s in statuses if s["state"] == "uncertain"}
        got = [(int(text[:4]), int(text[5:7])) for text in channel.texts(person)]
        messages += len(commands)
        missing += len(expected - set(got) - doubtful)
        twice += len(got) - len(set(got))
        disordered += got != sorted(got)
        uncertain += len(doubtful)
    measured(
        kills=kills, messages=messages, parts=PARTS * messages, missing=missing, twice=twice, uncertain=uncertain,
        people_who_got_them_out_of_order=disordered,
    )  # fmt: skip
    assert (missing, twice, disordered) == (0, 0, 0)
    assert channel.provider.bad_requests() == []
