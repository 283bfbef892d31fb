"""Pacing: an account that has to wait takes nothing from the others."""

from __future__ import annotations

import pytest

from shared.channel import Account
from shared.contract.accounts import AccountRecord
from shared.runtime.outbound.pacing import TooFar
from shared.stream.errors import NotNow
from tests.shared.runtime.plain_channel import CHANNEL
from tests.shared.runtime.world import CONVERSATION, World


def account(name: str, **rates: dict[str, float]) -> Account:
    record = AccountRecord(account_id=name, workspace_id="ws_1", channel=CHANNEL, settings={"rates": rates})
    return Account(record, {})


async def test_who_waits_for_its_account_takes_nothing_of_the_app(world: World) -> None:
    app = {"per_second": 0.25, "burst": 2.0}  # so slow that no busy machine sees a token come back
    slow, free = account("slow", account={"per_second": 1.0, "burst": 1.0}, app=app), account("free", app=app)
    pacer = world.process.pacer
    await pacer.wait_for(slow, CONVERSATION, "s0")
    for number in range(1, 100):
        with pytest.raises((NotNow, TooFar)):
            await pacer.wait_for(slow, CONVERSATION, f"s{number}")
    await pacer.wait_for(free, "plain:free:p1", "f1")
    with pytest.raises(NotNow) as wait:
        await pacer.wait_for(free, "plain:free:p1", "f2")
    assert wait.value.retry_after <= 4.0
    world.clock.advance(4.0)
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
