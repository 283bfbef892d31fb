"""What deliver does beside commands: parked ones come due, accounts are probed, health and capabilities are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.channel import HealthChange, ProviderError
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.runtime import metrics
from shared.runtime.accounts import teller
from shared.runtime.accounts.probes import AccountProbes
from shared.runtime.accounts.registry import AWAITED_SECONDS
from shared.runtime.accounts.teller import AccountTeller
from shared.runtime.waiting.lanes import is_typing, lane_of
from shared.stream.dispatcher import Dispatcher
from shared.stream.records import Record
from shared.stream.table import Table
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel, ProbingChannel, failure
from tests.shared.runtime.world import ACCOUNT, OTHER, World, soon

REAUTH = failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED)


@pytest.fixture(autouse=True)
def short_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of these tests stands still: what naps until a time has to look at it often."""
    monkeypatch.setattr(teller, "_LONGEST_NAP", 0.01)


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.002)


# ------------------------------------------------------------------------------------------------ parked commands


@asynccontextmanager
async def delivering(world: World) -> AsyncIterator[Dispatcher]:
    """Deliver as it runs: a dispatcher on the outbound topic, and what is parked submitted to it."""
    process = world.process

    async def poisoned(record: Record, bug: Exception) -> None:
        await process.deliverer.poisoned(record)

    parked = process.delivering.parked
    dispatcher = Dispatcher(
        world.log,
        "deliver",
        [world.topics.outbound(CHANNEL)],
        process.deliverer.handle,
        key_of=lane_of,
        on_poison=poisoned,
        is_ephemeral=is_typing,
        on_ephemeral=process.typing.handle,
        on_assigned=parked.assigned,
        on_revoked=parked.revoked,
        accepts=parked.has_room,
        tries=2,
    )
    async with dispatcher, running(parked.run(dispatcher)):
        yield dispatcher


async def test_parked_commands_come_due_in_order(world: World) -> None:
    world.provider.will("one", failure(ErrorCode.RATE_LIMITED, retry_after=60.0))
    async with delivering(world):
        for text in ("one", "two", "three"):
            await world.command(text=text)
        await until(lambda: len(world.process.parking) == 3)
        world.clock.advance(61)
        await until(lambda: world.provider.texts() == ["one", "two", "three"])
        await until(lambda: len(world.process.parking) == 0)


async def test_a_recovery_sends_what_waited_for_it(world: World) -> None:
    world.provider.will("one", REAUTH)
    async with delivering(world):
        for peer in range(5):
            await world.command(text="one" if not peer else str(peer), conversation_id=f"plain:acc_1:{peer}")
            await until(lambda: len(world.process.parking) > 0)
        await until(lambda: len(world.process.parking) == 5)
        await world.process.health.learn(first_account(world), HealthChange(Health.CONNECTED))
        await until(lambda: len(world.provider.texts()) == 5)


async def test_an_account_that_goes_lets_go_of_what_waited(world: World) -> None:
    world.provider.will("one", REAUTH)
    async with delivering(world):
        await world.command(text="one", command_id="c1")
        await until(lambda: len(world.process.parking) == 1)
        world.accounts.apply(b"acc_1", None)
        await asyncio.sleep(0.1)
        world.clock.advance(AWAITED_SECONDS)  # it has not come back
        await until(lambda: len(world.process.parking) == 0)
    assert (await world.states("c1"))[-1] == "rejected"


async def test_what_was_parked_before_is_taken_over(world: World) -> None:
    async with delivering(world):
        await world.command(text="one", not_before=soon(world.clock, 60))
        await until(lambda: len(world.process.parking) == 1)
    await world.restart()
    async with delivering(world):
        await until(lambda: len(world.process.parking) == 1)
        world.clock.advance(61)
        await until(lambda: world.provider.texts() == ["one"])


async def test_a_poisoned_command_ends_and_lets_the_next_one_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world.channel.plan

    def broken(kind: Any, command: Any, context: Any) -> Any:
        if getattr(getattr(command, "content", None), "text", "") == "poison":
            raise KeyError("a bug")
        return plan(kind, command, context)

    monkeypatch.setattr(world.channel, "plan", broken)
    async with delivering(world):
        await world.command(text="poison", command_id="c1")
        await world.command(text="next", command_id="c2")
        await until(lambda: world.provider.texts() == ["next"])
    (status,) = await world.statuses("c1")
    assert (status["state"], status["error"]["code"]) == ("rejected", "internal")


async def test_too_much_parked_of_a_partition_stops_the_reading_of_this_one_only(make_world: MakeWorld) -> None:
    world = await make_world(accounts=[ACCOUNT, OTHER], partitions=2)
    world.provider.will("one", REAUTH)
    full, other = await peers(world, "acc_1", 0), await peers(world, "acc_2", 1)

    async def parked() -> int:
        topic = world.topics.parked(CHANNEL)
        return len({record.key async for record in world.records(topic)})

    def full_partitions() -> float | None:
        labels = {"channel": CHANNEL, "role": "deliver"}
        return metrics.REGISTRY.get_sample_value("connector_parking_full_partitions", labels)

    elsewhere = {"account_id": "acc_2", "workspace_id": "ws_2"}
    world.process.parking._capacity = 3
    async with delivering(world) as dispatcher:
        for n, text in enumerate(("one", "two", "three")):
            await world.command(text=text, conversation_id=full[n])
            await until(lambda n=n: len(world.process.parking) > n)
        await until(lambda: full_partitions() == 1)
        turn = dispatcher.heartbeat
        await until(lambda: dispatcher.heartbeat > turn)
        await world.command(text="four", command_id="c4", conversation_id=full[3])
        await world.command(text="elsewhere", **elsewhere, conversation_id=other[0])
        await until(lambda: "elsewhere" in world.provider.texts())
        assert (await parked(), await world.states("c4")) == (3, [])
        await world.process.health.learn(first_account(world), HealthChange(Health.CONNECTED))
        await until(lambda: {"two", "three", "four"} <= set(world.provider.texts()))
        await until(lambda: full_partitions() == 0)


async def peers(world: World, account_id: str, number: int) -> list[str]:
    """Conversations of this account and partition."""
    every = [f"plain:{account_id}:{peer}" for peer in range(100)]
    topic = world.topics.outbound(CHANNEL)
    return [one for one in every if await world.log.partition_for(topic, one.encode()) == number]


def first_account(world: World) -> Any:
    account = world.accounts.get("acc_1")
    assert account is not None
    return account


# ---------------------------------------------------------------------------------------------------------- health


async def test_health_is_told_once_and_known_to_every_replica(world: World) -> None:
    first, second = world.process.health, world.process.health
    await world.restart()
    second = world.process.health
    async with Table(world.log, world.topics.account_health, second.apply) as table:
        await table.ready.wait()
        for _ in range(3):
            await first.learn(first_account(world), HealthChange(Health.REAUTH_REQUIRED))
        await until(lambda: second.why_paused("acc_1") is ErrorCode.ACCOUNT_REAUTH_REQUIRED)
        woken: list[str] = []
        second.on_recovery(woken.append)
        await first.learn(first_account(world), HealthChange(Health.CONNECTED))
        await until(lambda: woken == ["acc_1"])
    assert await world.healths() == ["reauth_required", "connected"]
    (record, _) = [record async for record in world.records(world.topics.account_health)]
    assert record.key == b"acc_1"
    assert dict(record.headers)["ce_type"] == b"channels.account.health.v1"


async def test_other_channels_health_is_not_ours(world: World) -> None:
    await world.process.health.learn(first_account(world), HealthChange(Health.DISCONNECTED))
    (record,) = [record async for record in world.records(world.topics.account_health)]
    await world.restart()
    world.process.health._known.clear()
    world.process.health.apply(b"acc_1", (record.value or b"").replace(b'"plain"', b'"other"'))
    assert world.process.health.why_paused("acc_1") is None


async def test_a_removed_record_of_health_is_forgotten_and_only_ours_was_counted(world: World) -> None:
    health = world.process.health

    def counted(state: Health) -> float:
        return metrics.REGISTRY.get_sample_value("connector_accounts", {"channel": CHANNEL, "health": state}) or 0.0

    before = {state: counted(state) for state in Health}
    health.apply(b"of-another-channel", None)
    assert {state: counted(state) for state in Health} == before
    await health.learn(first_account(world), HealthChange(Health.DISCONNECTED))
    woken: list[str] = []
    health.on_recovery(woken.append)
    health.apply(b"acc_1", None)
    assert {state: counted(state) for state in Health} == before
    assert (health.why_paused("acc_1"), woken) == (None, ["acc_1"])


# ---------------------------------------------------------------------------------------------------------- probes


@pytest.fixture
async def probed(make_world: MakeWorld) -> World:
    return await make_world(ProbingChannel())


def prober(world: World) -> ProbingChannel:
    assert isinstance(world.channel, ProbingChannel)
    return world.channel


def probes(world: World, period: float = 60.0) -> AccountProbes:
    return AccountProbes(world.channel, world.accounts, world.store, world.process.health, period)


async def test_a_revoked_token_is_found_without_traffic(probed: World) -> None:
    prober(probed).health["acc_1"] = HealthChange(Health.REAUTH_REQUIRED)
    async with running(probes(probed).run()):
        await until(lambda: probed.process.health.of("acc_1") is Health.REAUTH_REQUIRED)
        await until(lambda: probed.process.health.of("acc_2") is Health.CONNECTED)


async def test_replicas_probe_an_account_once_in_a_period(probed: World) -> None:
    async with running(probes(probed).run(), probes(probed).run(), probes(probed).run()):
        await until(lambda: len(prober(probed).probed) >= 2)
        await probed.client.call("PING")
    assert sorted(prober(probed).probed) == ["acc_1", "acc_2"]


@pytest.mark.parametrize("trouble", [ProviderError(failure(ErrorCode.PROVIDER_UNAVAILABLE)), RuntimeError("a bug")])
async def test_a_probe_without_an_answer_says_nothing(probed: World, trouble: Exception) -> None:
    prober(probed).health["acc_1"] = trouble
    async with running(probes(probed).run()):
        await until(lambda: len(prober(probed).probed) == 2)
        await until(lambda: probed.process.health._known.get("acc_2") is Health.CONNECTED)
    assert probed.process.health.of("acc_1") is Health.CONNECTED
    assert await probed.healths() == ["connected"]


async def test_a_hanging_probe_does_not_hold_up_the_others(make_world: MakeWorld) -> None:
    accounts = [ACCOUNT.model_copy(update={"account_id": f"acc_{n}", "external_id": f"ext-{n}"}) for n in range(200)]
    world = await make_world(ProbingChannel(), accounts=accounts)
    never = asyncio.Event()
    probe = prober(world).probe

    async def slow(account: Any) -> HealthChange:
        if account.account_id == "acc_0":
            await never.wait()
        return await probe(account)

    world.channel.probe = slow  # type: ignore[attr-defined]
    async with running(probes(world).run()):
        await until(lambda: len(prober(world).probed) == 199)


async def test_new_credentials_are_probed_at_once(probed: World) -> None:
    prober(probed).health["acc_1"] = HealthChange(Health.REAUTH_REQUIRED)
    async with running(probes(probed).run()):
        await until(lambda: probed.process.health.of("acc_1") is Health.REAUTH_REQUIRED)
        prober(probed).health["acc_1"] = HealthChange(Health.CONNECTED)
        probed.account(ACCOUNT.model_copy(update={"display_name": "mended"}))
        await until(lambda: probed.process.health.of("acc_1") is Health.CONNECTED)


async def test_a_channel_that_cannot_be_probed_is_not(world: World) -> None:
    await probes(world).run()
    assert world.provider.asked == []


# ---------------------------------------------------------------------------------------------------- capabilities


@asynccontextmanager
async def telling(world: World) -> AsyncIterator[AccountTeller]:
    teller = world.process.delivering.teller
    async with Table(world.log, world.topics.capabilities, teller.apply) as table:
        await table.ready.wait()
        async with running(teller.run()):
            yield teller


async def capabilities(world: World) -> dict[str, Any]:
    """What the compacted topic holds."""
    held: dict[str, Any] = {}
    async for record in world.records(world.topics.capabilities):
        key = (record.key or b"").decode()
        held[key] = record.value
    return {key: value for key, value in held.items() if value is not None}


async def eventually(world: World, *accounts: str) -> None:
    async with asyncio.timeout(5):
        while set(await capabilities(world)) != set(accounts):
            await asyncio.sleep(0.002)


async def written(world: World) -> int:
    return len([record async for record in world.records(world.topics.capabilities)])


async def test_capabilities_are_told_per_account_and_once(world: World) -> None:
    async with telling(world):
        await eventually(world, "acc_1", "acc_2")
    async with telling(world):
        await eventually(world, "acc_1", "acc_2")
        world.account(ACCOUNT.model_copy(update={"display_name": "another name"}))
        world.account(ACCOUNT.model_copy(update={"account_id": "acc_3", "external_id": "ext-3"}))
        await eventually(world, "acc_1", "acc_2", "acc_3")
    assert await written(world) == 3


async def test_an_account_that_goes_is_said_to_be_gone(world: World) -> None:
    async with telling(world):
        await eventually(world, "acc_1", "acc_2")
        world.accounts.apply(b"acc_1", None)
        await eventually(world, "acc_2")
        assert await world.healths() == ["removed"]
        world.account(ACCOUNT)
        await eventually(world, "acc_1", "acc_2")
        await until(lambda: world.process.health.of("acc_1") is Health.CONNECTED)
    assert await world.healths() == ["removed", "connected"]


async def test_an_account_that_went_while_nobody_was_there(world: World) -> None:
    async with telling(world):
        await eventually(world, "acc_1", "acc_2")
    world.accounts.apply(b"acc_2", None)
    async with telling(world):
        await eventually(world, "acc_1")
    assert await world.healths() == ["removed"]


async def test_other_channels_accounts_are_left_alone(make_world: MakeWorld) -> None:
    world = await make_world(accounts=[ACCOUNT])
    async with telling(world):
        await eventually(world, "acc_1")
    (record,) = [record async for record in world.records(world.topics.capabilities)]
    foreign = (record.value or b"").replace(b'"plain"', b'"other"').replace(b'"acc_1"', b'"theirs"')
    await world.log.send(world.topics.capabilities, b"theirs", foreign)
    async with telling(world):
        world.account(OTHER)
        await eventually(world, "acc_1", "acc_2", "theirs")
    assert await world.healths() == []


async def test_changed_capabilities_are_told_again(make_world: MakeWorld) -> None:
    world = await make_world(accounts=[ACCOUNT])
    async with telling(world):
        await eventually(world, "acc_1")
    world.channel = PlainChannel(edit="rejected")
    await world.restart()
    async with telling(world):
        async with asyncio.timeout(5):
            while await written(world) < 2:
                await asyncio.sleep(0.002)


async def test_capabilities_wait_for_the_log(world: World) -> None:
    async with telling(world):
        await eventually(world, "acc_1", "acc_2")
        world.log.available = False
        world.account(ACCOUNT.model_copy(update={"account_id": "acc_3", "external_id": "ext-3"}))
        await asyncio.sleep(0.02)
        world.log.available = True
        await eventually(world, "acc_1", "acc_2", "acc_3")
