"""A provider that answers nothing useful for two minutes: what is queued waits, in order, and goes out afterwards."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from tests.chaos.conftest import Measured, count, seconds
from tests.chaos.test_dependencies import NAMES, latencies, on_tansu, p99
from tests.chaos.test_replicas import loaded
from tests.e2e.load import Load
from tests.e2e.world import ChannelUnderTest, World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

QUEUED = 200
PEOPLE = 50
# One message of each may be in flight when it begins, and until a replica has had its third answer another one of those
# whose answers came before.
IN_DOUBT = PEOPLE + 2 * 3
OUTAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "502": ("error", {"status": 502, "html": True}),
    "503 with Retry-After": ("error", {"status": 503, "html": True, "retry_after": 5}),
    "504": ("error", {"status": 504, "html": True}),
    "200 with HTML": ("error", {"status": 200, "html": True}),
    "reset": ("refuse", {}),
    "no answer": ("hang", {}),
}


async def queue(channel: ChannelUnderTest, kind: str, settings: dict[str, Any]) -> Load:
    """An account whose sends fail so, with commands for it."""
    account = await channel.account()
    people = await channel.people(account, PEOPLE)
    channel.provider.fail_sends(kind, where={"account": account.handle}, **settings)
    load = Load(channel, people, messages=0, commands=count(QUEUED))
    await load.command()
    return load


@on_tansu
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", OUTAGES)
async def test_an_outage_ends_nothing(world: World, name: str, what: str, measured: Measured) -> None:
    """Of one kind, two minutes long: in doubt is only what was in flight, and a minute after it all else is sent."""
    channel = await loaded(world, name)
    kind, settings = OUTAGES[what]
    load = await queue(channel, kind, settings)
    await asyncio.sleep(seconds(120))
    channel.provider.behave()
    measured(**{"queued": count(QUEUED), **await settled(load, time.monotonic(), what)})
    assert channel.provider.bad_requests() == []


async def settled(load: Load, began: float, what: str) -> dict[str, int]:
    """What became of a queue once its outage has ended, at `began`."""
    await load.settled(max(1.0, began + 90 - time.monotonic()))
    result, took = load.result(), round(time.monotonic() - began)
    assert (result.lost_out, result.duplicated_out, result.disordered_out) == (0, 0, 0), (what, result)
    assert result.not_sent == Counter(), (what, result)
    assert result.uncertain <= (0 if load.channel.name == "tiktok" else IN_DOUBT), (what, result)
    assert took <= 60, (what, took)
    return {"in_doubt": result.uncertain, "seconds_to_the_last": took}


@on_tansu
@pytest.mark.parametrize("name", NAMES)
async def test_six_outages_at_once_end_nothing(world: World, name: str, measured: Measured) -> None:
    """Each of an account of its own, two minutes long, beside an account without any.

    In doubt is only what was in flight when it began, and a minute after its end everything else is sent.
    """
    channel = await loaded(world, name)
    free = await channel.person(await channel.account())
    await latencies(channel, free, 20)  # warm
    idle = await latencies(channel, free, count(100))
    loads = {what: await queue(channel, kind, settings) for what, (kind, settings) in OUTAGES.items()}
    until = time.monotonic() + seconds(120)
    await asyncio.sleep(5)  # the burst of commands is a load of its own on few cores
    beside = await latencies(channel, free, count(100))
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    channel.provider.behave()
    began = time.monotonic()
    found = {what: await settled(load, began, what) for what, load in loads.items()}
    in_doubt = ", ".join(f"{what}: {told['in_doubt']}" for what, told in found.items())
    measured(
        queued_each=count(QUEUED),
        in_doubt=in_doubt,
        seconds_to_the_last=max(told["seconds_to_the_last"] for told in found.values()),
        p99_idle_ms=p99(idle),
        p99_beside_ms=p99(beside),
    )
    assert p99(beside) <= 2 * p99(idle) + 25
    assert channel.provider.bad_requests() == []
