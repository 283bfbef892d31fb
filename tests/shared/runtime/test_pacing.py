"""Pacing: an account that has to wait takes nothing from the others."""

from __future__ import annotations

import asyncio

import pytest

from shared.channel import Account
from shared.contract.accounts import AccountRecord
from shared.runtime.pacing import TooFar
from shared.stream.errors import NotNow
from tests.shared.runtime.plain_channel import CHANNEL
from tests.shared.runtime.world import CONVERSATION, World


def account(name: str, **rates: dict[str, float]) -> Account:
    record = AccountRecord(account_id=name, workspace_id="ws_1", channel=CHANNEL, settings={"rates": rates})
    return Account(record, {})


async def test_who_waits_for_its_account_takes_nothing_of_the_app(world: World) -> None:
    app = {"per_second": 10.0, "burst": 2.0}
    slow, free = account("slow", account={"per_second": 1.0, "burst": 1.0}, app=app), account("free", app=app)
    pacer = world.process.pacer
    await pacer.wait_for(slow, CONVERSATION, "s0")
    for number in range(1, 100):
        with pytest.raises((NotNow, TooFar)):
            await pacer.wait_for(slow, CONVERSATION, f"s{number}")
    await pacer.wait_for(free, "plain:free:p1", "f1")
    with pytest.raises(NotNow) as wait:
        await pacer.wait_for(free, "plain:free:p1", "f2")
    assert wait.value.retry_after <= 0.1
    world.clock.advance(0.1)
    await pacer.wait_for(free, "plain:free:p1", "f2")


async def test_a_moment_of_the_app_is_kept_too(world: World) -> None:
    app = {"per_second": 1.0, "burst": 1.0}
    pacer, one = world.process.pacer, account("one", app=app)
    await pacer.wait_for(one, CONVERSATION, "c1")
    for _ in range(3):  # asking again costs nothing
        with pytest.raises(NotNow):
            await pacer.wait_for(one, CONVERSATION, "c2")
    world.clock.advance(1.0)
    await pacer.wait_for(one, CONVERSATION, "c2")


async def test_a_place_is_called_when_one_is_free(world: World) -> None:
    pacer = world.process.pacer
    with pacer.under_way("other"):
        await pacer.place("acc_1")
    held = [pacer.under_way("acc_1") for _ in range(32)]
    for place in held:
        place.__enter__()
    waiting = [asyncio.create_task(pacer.place("acc_1")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait((waiting[0],))
    held[0].__exit__(None, None, None)
    await asyncio.wait_for(waiting[1], 0.5)
    assert not waiting[2].done()
    await asyncio.wait_for(waiting[2], 5)  # without a call, after a while
    assert not pacer._queues
