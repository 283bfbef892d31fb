"""What the service leans on stops, hangs or forgets, while messages flow in both directions."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import quantiles

import pytest
from valkey.asyncio import Valkey

from tests.chaos.conftest import Measured, count, seconds
from tests.chaos.test_replicas import REPLICAS, loaded, numbers
from tests.e2e.conftest import KAFKA
from tests.e2e.load import Load
from tests.e2e.providers import NAMES, Person
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, World, number
from tests.shared.state.faults import FAULTS, connections_cut

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

on_tansu = pytest.mark.parametrize("world", ["tansu"], indirect=True)
on_kafka = pytest.mark.parametrize("world", [KAFKA], indirect=True)


@asynccontextmanager
async def flowing(channel: ChannelUnderTest, full: int = 2000, per_second: float = 40) -> AsyncIterator[Load]:
    """A load that flows while the block does its harm; afterwards all of it has settled."""
    people = await channel.people(await channel.account(), 50)
    load = Load(channel, people, messages=count(full), commands=count(full))
    traffic = asyncio.gather(load.write(per_second), load.command(per_second))
    await eventually(lambda: load.ended() > 20, 60, what="the load")
    yield load
    await traffic
    await load.settled(240)


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_valkey_stops_for_thirty_seconds(world: World, name: str, measured: Measured) -> None:
    channel = await loaded(world, name)
    async with flowing(channel) as load:
        world.state.node.pause()
        await asyncio.sleep(seconds(30))
        answer = await channel.service.readyz(channel.service.replicas[0])
        world.state.node.resume()
    result = load.result()
    measured(**numbers(result))
    assert answer["missing"] == ["state"]
    result.assert_exact()


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_valkey_refuses_in_every_way_one_after_the_other(world: World, name: str, measured: Measured) -> None:
    """Each for ten seconds: a record that fails for four is a dead letter. The last cuts connections all the time."""
    channel = await loaded(world, name)
    faults = {**FAULTS, "connections_cut": (connections_cut, "")}
    back: list[float] = []
    async with flowing(channel, full=5000, per_second=30) as load:
        for fault_name, (fault, _) in faults.items():
            channel.service.balancer.answers.clear()
            async with fault(world.state):
                await asyncio.sleep(seconds(10))
                if fault_name != "connections_cut":
                    answer = await channel.service.readyz(channel.service.replicas[0])
                    assert "state" in answer["missing"], fault_name
                assert 503 not in channel.service.balancer.answers, fault_name
            began = time.monotonic()
            await _ready(channel)
            back.append(time.monotonic() - began)
    result = load.result()
    lines = [line for replica in channel.service.replicas for line in replica.log_text().splitlines()]
    said = Counter(kind for kind in ("dependency_away", "dependency_back") for line in lines if kind in line)
    measured(
        **numbers(result),
        faults=len(faults),
        dead_letters=len(channel.dead.all),
        lines_away=said["dependency_away"],
        lines_back=said["dependency_back"],
        seconds_until_ready=round(max(back), 1),
    )
    assert channel.dead.all == []
    result.assert_exact()


async def _ready(channel: ChannelUnderTest) -> None:
    """Every replica says so."""
    async with asyncio.timeout(20):
        for replica in channel.service.replicas:
            while (await channel.service.readyz(replica))["missing"]:
                await asyncio.sleep(0.05)


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_valkey_forgets_everything(world: World, name: str, measured: Measured) -> None:
    """Windows become unknown, not closed; events may be told again with the same id; nothing is sent twice."""
    channel = await loaded(world, name)
    async with flowing(channel) as load, Valkey(port=world.state.port) as client:
        await client.flushall()
        await asyncio.sleep(seconds(5))
        await client.flushall()
    result = load.result()
    measured(**numbers(result))
    result.assert_exact()


@on_kafka
@pytest.mark.parametrize("name", NAMES)
async def test_the_kafka_broker_stops_for_thirty_seconds(world: World, name: str, measured: Measured) -> None:
    channel = await loaded(world, name)
    people = await channel.people(await channel.account(), 50)
    load = Load(channel, people, messages=count(2000), commands=count(2000))
    await load.command()
    (node,) = world.broker.nodes
    traffic = asyncio.ensure_future(load.write(per_second=60))
    await eventually(lambda: load.ended() > 20 and load.arrived() > 20, 60, what="the load")
    channel.service.balancer.answers.clear()
    await node.kill()
    await asyncio.sleep(seconds(30))
    refused = Counter(channel.service.balancer.answers)
    await node.start()
    await traffic
    await load.settled(300)
    result = load.result()
    measured(**numbers(result), webhooks_answered_503=refused[503])
    result.assert_exact()


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_the_provider_answers_5xx_for_two_minutes(world: World, name: str, measured: Measured) -> None:
    """No command fails, none is sent twice. Where an answer leaves a doubt, the part is reported uncertain."""
    channel = await loaded(world, name)
    people = await channel.people(await channel.account(), 50)
    load = Load(channel, people, messages=0, commands=count(500))
    channel.provider.fail_sends("error", status=503)
    await load.command(per_second=100)
    await asyncio.sleep(seconds(120))
    channel.provider.behave()
    began = time.monotonic()
    await load.settled(240)
    result = load.result()
    measured(**numbers(result), seconds_to_recover=round(time.monotonic() - began))
    assert (result.lost_out, result.duplicated_out, result.not_sent) == (0, 0, Counter()), result
    assert result.disordered_out == 0


async def latencies(channel: ChannelUnderTest, person: Person, sends: int) -> list[float]:
    """Milliseconds from a command on the topic to its text at the simulator, one after the other."""
    taken = []
    for _ in range(sends):
        text = f"probe {number()}"
        began = time.perf_counter()
        await channel.command(person, text=text)
        await eventually(lambda t=text: channel.texts(person)[-1:] == [t], 30, every=0.002, what=text)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def p99(taken: list[float]) -> int:
    """Milliseconds."""
    return round(quantiles(taken, n=100)[98])


@asynccontextmanager
async def beside(
    world: World, name: str, measured: Measured, harm: Callable[[ChannelUnderTest], Awaitable[Load]]
) -> AsyncIterator[Load]:
    """Measures another account before and during the harm, which is a load that cannot get on."""
    channel = await loaded(world, name)
    free = await channel.person(await channel.account())
    await latencies(channel, free, 20)  # warm
    idle = await latencies(channel, free, count(200))
    load = await harm(channel)
    beside_it = await latencies(channel, free, count(200))
    measured(p99_idle_ms=p99(idle), p99_beside_ms=p99(beside_it))
    # Two cores run everything here, the simulator and this test too: noise of a scheduler's turn is allowed for.
    assert p99(beside_it) <= 2 * p99(idle) + 25
    yield load


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_a_throttled_account_with_500_commands_delays_no_other(
    world: World, name: str, measured: Measured
) -> None:
    async def throttled(channel: ChannelUnderTest) -> Load:
        slow = {"per_second": 1.0, "burst": 1.0}
        people = await channel.people(await channel.account(settings={"rates": {"account": slow}}), 25)
        load = Load(channel, people, messages=0, commands=500)
        await load.command(per_second=5000)
        return load

    async with beside(world, name, measured, throttled) as load:
        measured(commands_waiting=500 - load.ended())
        assert load.ended() < 250


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_a_provider_that_hangs_for_one_account_delays_no_other(
    world: World, name: str, measured: Measured
) -> None:
    async def hanging(channel: ChannelUnderTest) -> Load:
        account = await channel.account()
        people = await channel.people(account, 200)
        channel.provider.fail_sends("hang", where={"account": account.handle})
        load = Load(channel, people, messages=0, commands=200)
        await load.command(per_second=5000)
        return load

    async with beside(world, name, measured, hanging) as load:
        load.channel.provider.behave()
        await load.settled(240)
        result = load.result()
        measured(**numbers(result))
        assert (result.lost_out, result.duplicated_out, result.not_sent) == (0, 0, Counter()), result


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_a_dead_token_with_500_commands_fails_none(world: World, name: str, measured: Measured) -> None:
    channel = await loaded(world, name)
    account = await channel.account()
    people = await channel.people(account, 50)
    channel.provider.revoke(account)
    load = Load(channel, people, messages=0, commands=count(500))
    await load.command(per_second=2000)
    await asyncio.sleep(seconds(60))
    assert load.ended() == 0
    began = time.monotonic()
    await channel.change(account, channel.provider.reauthorise(account))
    await load.settled(120)
    took = time.monotonic() - began
    result = load.result()
    measured(**numbers(result), seconds_until_all_were_sent=round(took, 1))
    result.assert_exact()
    assert took < 60


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_rebuild_brings_back_what_valkey_has_lost(world: World, name: str, measured: Measured) -> None:
    """Refilled from the topics, every conversation has the window, the quota and the address it had before."""
    channel = await loaded(world, name)
    people = await channel.people(await channel.account(), 50)
    load = Load(channel, people, messages=count(500), commands=count(300))
    await asyncio.gather(load.write(), load.command())
    await load.settled(120)
    async with Valkey(port=world.state.port, decode_responses=True) as client:
        before = await _conversations(client)
        replicas = list(channel.service.replicas)
        await asyncio.gather(*(channel.service.let_go(replica) for replica in replicas))
        await client.flushall()
        await channel.run("rebuild")
        after = await _conversations(client)
    await asyncio.gather(*(channel.service.bring_back(replica) for replica in replicas))
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    measured(conversations=len(before), that_differ=len(differing))
    shown = [(before.get(key), after.get(key)) for key in list(differing)[:3]]
    assert not differing, f"{len(differing)} of {len(before)}: {shown}"
    assert len(before) >= 50
    (status,) = await channel.sends(people[0], "after the rebuild")
    assert status["state"] in SENT
    assert len(channel.service.replicas) == REPLICAS


async def _conversations(client: Valkey) -> dict[str, object]:
    """What Valkey has of every conversation: its fields, and what was counted against its quota."""
    found: dict[str, object] = {}
    async for key in client.scan_iter("c:*", count=1000):
        fields = await client.hgetall(key)
        fields.pop("name", None)  # where the provider was asked for it, it will be asked again
        found[key] = fields
    async for key in client.scan_iter("q:*", count=1000):
        found[key] = sorted(await client.zrange(key, 0, -1))
    return found
