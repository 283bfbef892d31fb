"""A rate that the provider tells: every replica paces by it, it outlives a restart, and the operator's goes first."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shared.channel import Account, HealthChange
from shared.contract.accounts import AccountRecord
from shared.contract.capabilities import Capabilities, Rate, Rates
from shared.contract.events import Health
from shared.runtime.accounts import rates as learning
from shared.runtime.accounts.capabilities import capabilities_of
from shared.runtime.outbound.pacing import TooFar
from shared.state.client import StateUnavailable
from shared.stream.errors import NotNow
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import PlainChannel, ProbingChannel, item
from tests.shared.runtime.test_parked_and_told import capabilities, probes, running, telling, until
from tests.shared.runtime.world import ACCOUNT, Process, World

HOURLY = Rate(per_second=1 / 3600, burst=1)
FAST = Rate(per_second=1000, burst=1000)


@pytest.fixture
async def slow(make_world: MakeWorld) -> World:
    """A channel that usually sends one message an hour."""
    return await make_world(PlainChannel(rates=Rates(account=HOURLY)))


def account(world: World, account_id: str = "acc_1") -> Account:
    found = world.accounts.get(account_id)
    assert found is not None
    return found


async def passes(process: Process, world: World, calls: int = 5) -> int:
    """How many of so many calls may be made at once."""
    made = 0
    for number in range(calls):
        try:
            await process.pacer.wait_for(account(world), f"plain:acc_1:{number}", f"call-{id(process)}-{number}")
            made += 1
        except (NotNow, TooFar):
            pass
    return made


async def test_without_a_word_of_the_provider_the_usual_rate_holds(slow: World) -> None:
    assert await passes(slow.process, slow) == 1


async def test_a_rate_told_by_webhook_is_everybodys(slow: World) -> None:
    other = Process(slow)
    await slow.receive(item("rate", rate=1000))
    assert await passes(slow.process, slow) == 5
    assert await passes(other, slow) == 5
    assert slow.process.health._known == {}  # nothing was said of the health


async def test_a_replica_that_has_asked_before_follows_soon(slow: World) -> None:
    other = Process(slow)
    assert await other.rates.of(ACCOUNT) is None
    await slow.receive(item("rate", rate=1000))
    assert await other.rates.of(ACCOUNT) is None
    slow.clock.advance(learning.FRESH_SECONDS)
    assert await other.rates.of(ACCOUNT) == FAST


async def test_a_rate_outlives_a_restart(slow: World) -> None:
    await slow.receive(item("rate", rate=1000))
    await slow.restart()
    assert await passes(slow.process, slow) == 5


async def test_a_probe_tells_a_rate(make_world: MakeWorld) -> None:
    channel = ProbingChannel(rates=Rates(account=HOURLY))
    channel.health["acc_1"] = HealthChange(Health.CONNECTED, rate=FAST)
    world = await make_world(channel)
    async with running(probes(world).run()):
        await until(lambda: world.process.health._known.get("acc_2") is Health.CONNECTED)
        await until(lambda: "acc_1" in world.process.rates._known)
    assert await passes(world.process, world) == 5


async def test_a_rate_belongs_to_the_number_behind_the_account(slow: World) -> None:
    await slow.receive(item("rate", rate=1000))
    slow.account(ACCOUNT.model_copy(update={"external_id": "ext-9"}))
    assert await passes(slow.process, slow) == 1


async def test_the_rate_of_an_account_that_is_gone_is_not_kept_in_memory(slow: World) -> None:
    await slow.process.rates.learn(ACCOUNT, FAST)
    slow.accounts.apply(b"acc_1", None)
    assert slow.process.rates._known == {}


async def test_the_operators_rate_goes_first(slow: World) -> None:
    await slow.receive(item("rate", rate=1000))
    own = {"rates": {"account": {"per_second": 0.001, "burst": 2}}}
    slow.account(ACCOUNT.model_copy(update={"settings": own}))
    assert await passes(slow.process, slow) == 2


class _Varying(PlainChannel):
    def capabilities_of(self, account: AccountRecord) -> Capabilities:
        if "twenty" not in account.settings:
            return self.capabilities
        return self.capabilities.model_copy(update={"rates": Rates(account=Rate(per_second=20, burst=20))})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1000),
        ({"twenty": True}, 20),
        ({"twenty": True, "rates": {"account": {"per_second": 3, "burst": 3}}}, 3),
        ({"rates": {"pair": {"per_second": 3, "burst": 3}}}, 1000),
        ({"rates": {"account": {"per_second": -1, "burst": 3}}}, 1000),
        ({"rates": "much"}, 1000),
    ],
)
def test_what_an_accounts_settings_make_of_it_goes_before_the_told_rate(
    settings: dict[str, Any], expected: float
) -> None:
    channel = _Varying(rates=Rates(account=HOURLY))
    found = capabilities_of(channel, ACCOUNT.model_copy(update={"settings": settings}), FAST)
    assert found.rates.account is not None
    assert found.rates.account.per_second == expected


async def published(world: World) -> dict[str, float]:
    held = await capabilities(world)
    return {name: orjson.loads(value)["capabilities"]["rates"]["account"]["burst"] for name, value in held.items()}


async def test_the_published_capabilities_say_it(slow: World) -> None:
    async with telling(slow) as teller:
        await until(lambda: len(teller._told) == 2)
        assert await published(slow) == {"acc_1": 1, "acc_2": 1}
        await slow.receive(item("rate", rate=1000))
        await until(lambda: teller._told["acc_1"].capabilities.rates.account == FAST)
        assert await published(slow) == {"acc_1": 1000, "acc_2": 1}


async def test_a_restart_does_not_publish_the_usual_rate_in_between(slow: World) -> None:
    await slow.receive(item("rate", rate=1000))
    async with telling(slow) as teller:
        await until(lambda: len(teller._told) == 2)
    await slow.restart()
    before = len([record async for record in slow.records(slow.topics.capabilities)])
    async with telling(slow):
        slow.account(ACCOUNT.model_copy(update={"display_name": "same as before"}))
        slow.account(ACCOUNT.model_copy(update={"account_id": "acc_3", "external_id": "ext-3"}))
        await until(lambda: len(slow.process.rates._known) >= 2)
    assert before == 2
    assert (await published(slow))["acc_1"] == 1000


async def test_capabilities_wait_for_the_state(slow: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    rate = slow.store.rate

    async def away_at_first(*scope: str) -> tuple[float, float] | None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise StateUnavailable("away")
        return await rate(*scope)

    monkeypatch.setattr(slow.store, "rate", away_at_first)
    monkeypatch.setattr("shared.runtime.accounts.teller._LONGEST_NAP", 0.01)
    async with telling(slow) as teller:
        await until(lambda: len(teller._told) == 2)
    assert calls >= 4
