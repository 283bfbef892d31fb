"""A state store that refuses is one that is away: everything waits, says so, and goes on by itself, exactly once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from sandbox.valkey import ValkeyServer
from shared.runtime.http import dependencies, server
from tests.e2e.providers import NAMES, Person
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import Command, number
from tests.requirements.inside import Channel, Inside, missing
from tests.shared.state.faults import FAULTS, OF_A_CLUSTER, Fault, connections_cut

pytestmark = pytest.mark.asyncio(loop_scope="module")
LASTS = 1.2  # seconds: longer than it takes to ask again
Everybody = dict[str, tuple[Channel, Person]]


@asynccontextmanager
async def _opened(cluster: bool = False) -> AsyncIterator[tuple[Inside, Everybody]]:
    """All channels in this process, and somebody on each who has written."""
    with tempfile.TemporaryDirectory(prefix="refusing-", ignore_cleanup_errors=True) as home:
        world = Inside(Path(home))
        world.state = ValkeyServer(cluster=cluster)
        try:
            await world.start()
            everybody = {}
            for name in NAMES:
                channel = await world.channel(name)
                everybody[name] = channel, await channel.person(await channel.account())
            yield world, everybody
        finally:
            await world.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened() -> AsyncIterator[tuple[Inside, Everybody]]:
    async with _opened() as world:
        yield world


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is away or back is looked for more often than usual."""
    monkeypatch.setattr(server, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(dependencies, "QUIET_SECONDS", 0.5)


async def test_nothing_ends_while_a_cluster_has_no_slots() -> None:
    """The first, because services of one process share their metrics."""
    async with _opened(cluster=True) as (world, everybody):
        await _waits_and_goes_on(world, everybody, *OF_A_CLUSTER["without_slots"])


@pytest.mark.parametrize(("fault", "reply"), FAULTS.values(), ids=FAULTS)
async def test_nothing_ends_while_the_store_refuses(opened: tuple[Inside, Everybody], fault: Fault, reply: str) -> None:
    await _waits_and_goes_on(*opened, fault, reply)


async def test_connections_that_are_cut_again_and_again_lose_nothing(opened: tuple[Inside, Everybody]) -> None:
    world, everybody = opened
    async with connections_cut(world.state):
        commands = await _say_something(everybody)
        await asyncio.sleep(LASTS)
    await _everything_came_once(everybody, commands)


async def _waits_and_goes_on(world: Inside, everybody: Everybody, fault: Fault, reply: str) -> None:
    failures = await _failures(everybody)
    with capture_logs() as lines:
        async with fault(world.state):
            before = {name: len(channel.raw.all) for name, (channel, _) in everybody.items()}
            commands = await _say_something(everybody)
            for name, (channel, _) in everybody.items():
                await missing(channel, ["state"], 10)
                new = partial(_taken, channel, commands[name].text, before[name])
                await eventually(new, 30, what="the webhook is taken")
            await asyncio.sleep(LASTS)
            for name, (channel, person) in everybody.items():
                assert channel.statuses.ended(commands[name].id) is None
                assert commands[name].text not in channel.texts(person)
                await eventually(lambda n=name: _said(lines, n), 10, what=name)
                assert await channel.service.metric("connector_dependency_up", channel=name, dependency="state") == 0
        for channel, _ in everybody.values():
            await missing(channel, [], 10)
        await _everything_came_once(everybody, commands)
        for name in everybody:
            await eventually(lambda n=name: [line for line in _said(lines, n) if "seconds" in line], 10, what=name)
    assert await _failures(everybody) == failures
    for name in everybody:
        away, back = _said(lines, name)
        assert (away["event"], back["event"]) == ("dependency_away", "dependency_back")
        # A fault that begins by cutting connections may be noticed by that.
        assert not reply or away["reply"] in (reply, "no answer", "ConnectionError"), away


def _said(lines: list[dict[str, object]], name: str) -> list[dict[str, object]]:
    """What a channel's service has said of its state store."""
    return [line for line in lines if line.get("dependency") == "state" and line["channel"] == name]


async def _say_something(everybody: Everybody) -> dict[str, Command]:
    """On each channel a person writes, and an agent."""
    commands = {}
    for name, (channel, person) in everybody.items():
        text = f"text {number()}"
        await channel.write(person, text)
        commands[name] = await channel.command(person, text=text)
    return commands


def _taken(channel: Channel, text: str, before: int) -> bool:
    """Whether a raw record came that has the text, or refers to a blob that has it."""
    return any(not seen.record.value or text.encode() in seen.record.value for seen in channel.raw.all[before:])


async def _everything_came_once(everybody: Everybody, commands: dict[str, Command]) -> None:
    for name, (channel, person) in everybody.items():
        text = commands[name].text
        event = await channel.inbound.one(person.conversation_id, lambda seen, t=text: seen.text == t, 20)
        (status,) = await channel.statuses.end(commands[name].id, 20)
        assert status["state"] in SENT, status
        assert channel.texts(person).count(text) == 1
        assert {seen.id for seen in channel.inbound.all if seen.text == text} == {event.id}
        assert channel.dead.all == []


async def _failures(everybody: Everybody) -> float:
    """How often a record has failed: after five times it is a dead letter, however short the outage."""
    counts = [
        await c.service.metric("connector_records_total", channel=n, outcome="retried")
        for n, (c, _) in everybody.items()
    ]
    return sum(counts)
