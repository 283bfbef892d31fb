"""Accounts without a webhook: each is polled by one process, the cursor moves only behind what is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import orjson
import pytest

from shared.channel import Batch, HealthChange, ProviderError
from shared.contract.accounts import AccountRecord
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.runtime.inbound import pull
from shared.runtime.inbound.pull import Puller
from shared.stream.records import Partition
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, PullingChannel, failure, item, raw_item
from tests.shared.runtime.world import ACCOUNT, World

PULLED = [AccountRecord(account_id=f"bot_{n}", workspace_id="ws_1", channel=CHANNEL, mode="pull") for n in range(8)]


@pytest.fixture
async def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(pull, "_IDLE_POLL_SECONDS", 0.01)
    monkeypatch.setattr(pull, "backoff", lambda _: 0.001)
    return await make_world(PullingChannel(), accounts=[ACCOUNT, *PULLED], partitions=4)


@pytest.fixture
async def pullers(world: World) -> AsyncIterator[Callable[[], Puller]]:
    """Makes running pullers of one group, and stops them at the end."""
    running: list[tuple[Puller, asyncio.Task[None]]] = []

    def start() -> Puller:
        process = world.process
        puller = Puller(
            CHANNEL,
            channel(world),
            world.accounts,
            world.log,
            world.store,
            process.writer,
            process.health,
            world.topics,
            group="pull",
            instance_id=None,
        )
        running.append((puller, asyncio.create_task(puller.run())))
        return puller

    yield start
    for puller, task in running:
        await puller.stop()
        await task


def channel(world: World) -> PullingChannel:
    assert isinstance(world.channel, PullingChannel)
    return world.channel


def batch(name: str, cursor: str, account: str = "bot_0") -> Batch:
    return Batch((raw_item(item(id=name, account=account)),), cursor)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.002)


async def kept(world: World) -> list[str]:
    return [orjson.loads(record.value or b"")["id"] async for record in world.records(world.topics.raw(CHANNEL))]


def pulled_now(world: World) -> set[str]:
    return {account for account, count in channel(world).pullers.items() if count}


async def test_a_batch_is_durable_before_the_cursor_moves(world: World, pullers: Callable[[], Puller]) -> None:
    pullers()
    channel(world).waiting["bot_0"].put_nowait(batch("m1", "c1"))
    channel(world).waiting["bot_0"].put_nowait(batch("m2", "c2"))
    async with asyncio.timeout(5):
        while await world.store.cursor(CHANNEL, "bot_0") != "c2":
            await asyncio.sleep(0.002)
    assert await kept(world) == ["m1", "m2"]
    assert channel(world).cursors.count(("bot_0", None)) == 1


async def test_what_is_not_durable_is_pulled_again(world: World, pullers: Callable[[], Puller]) -> None:
    pullers()
    await until(lambda: "bot_0" in pulled_now(world))
    await world.store.set_cursor(CHANNEL, "bot_0", "c0")
    world.log.available = False
    channel(world).waiting["bot_0"].put_nowait(batch("m1", "c1"))
    await until(lambda: channel(world).cursors.count(("bot_0", "c0")) >= 1)
    assert await world.store.cursor(CHANNEL, "bot_0") == "c0"
    world.log.available = True
    channel(world).waiting["bot_0"].put_nowait(batch("m1", "c1"))
    async with asyncio.timeout(5):
        while await world.store.cursor(CHANNEL, "bot_0") != "c1":
            await asyncio.sleep(0.002)
    assert await kept(world) == ["m1"]


async def test_only_pull_accounts_are_pulled(world: World, pullers: Callable[[], Puller]) -> None:
    pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    assert "acc_1" not in pulled_now(world)


async def test_its_heart_beats_while_its_loop_turns(world: World, pullers: Callable[[], Puller]) -> None:
    puller = pullers()
    for _ in range(3):
        world.clock.advance(1)
        await until(lambda: puller.heartbeat == world.clock.read())


async def test_two_replicas_share_the_accounts(world: World, pullers: Callable[[], Puller]) -> None:
    first = pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    second = pullers()
    await until(lambda: 0 < len(first._tasks) < 8 and len(first._tasks) + len(second._tasks) == 8)
    await until(lambda: len(pulled_now(world)) == 8)
    assert not set(first._tasks) & set(second._tasks)
    await second.stop()
    await until(lambda: len(first._tasks) == 8 and len(pulled_now(world)) == 8)
    assert channel(world).most_pullers == 1


async def test_who_stays_with_a_replica_is_pulled_on_through_a_rebalance(
    world: World, pullers: Callable[[], Puller]
) -> None:
    first = pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    before = dict(first._tasks)
    second = pullers()
    await until(lambda: 0 < len(first._tasks) < 8 and len(first._tasks) + len(second._tasks) == 8)
    stayed = dict(first._tasks)
    assert stayed.items() <= before.items()
    await second.stop()
    await until(lambda: len(first._tasks) == 8 and len(pulled_now(world)) == 8)
    assert stayed.items() <= first._tasks.items()
    assert {account for account, _ in channel(world).cursors[8:]}.isdisjoint(stayed)


async def test_nothing_is_kept_while_the_partitions_change_hands(world: World, pullers: Callable[[], Puller]) -> None:
    puller = pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    ours = [Partition(world.topics.accounts, number) for number in range(4)]
    await puller._revoked(ours)
    for name in ("bot_0", "bot_1"):
        channel(world).waiting[name].put_nowait(batch(f"m of {name}", "c1", name))
    await until(lambda: not channel(world).waiting["bot_0"].qsize() + channel(world).waiting["bot_1"].qsize())
    for _ in range(20):
        await asyncio.sleep(0)
    assert await kept(world) == []
    numbers = {name: await world.log.partition_for(world.topics.accounts, name.encode()) for name in ("bot_0", "bot_1")}
    await puller._assigned([one for one in ours if one.number != numbers["bot_0"]])
    stays = [f"m of {name}" for name in ("bot_1",) if numbers[name] != numbers["bot_0"]]
    await until(lambda: "bot_0" not in puller._tasks)
    async with asyncio.timeout(5):
        while await kept(world) != stays:
            await asyncio.sleep(0.002)
    assert await world.store.cursor(CHANNEL, "bot_0") is None


async def test_a_new_account_is_pulled_and_one_that_goes_is_not(world: World, pullers: Callable[[], Puller]) -> None:
    pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    world.account(PULLED[0].model_copy(update={"account_id": "bot_new"}))
    await until(lambda: "bot_new" in pulled_now(world))
    world.accounts.apply(b"bot_new", None)
    await until(lambda: "bot_new" not in pulled_now(world))
    world.account(PULLED[1].model_copy(update={"mode": "webhook"}))
    await until(lambda: "bot_1" not in pulled_now(world))


async def test_new_credentials_begin_anew(world: World, pullers: Callable[[], Puller]) -> None:
    pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    before = channel(world).cursors.count(("bot_0", None))
    world.account(PULLED[0].model_copy(update={"settings": {"changed": True}}))
    await until(lambda: channel(world).cursors.count(("bot_0", None)) == before + 1)


async def test_a_paused_account_is_left_alone_until_it_is_well(world: World, pullers: Callable[[], Puller]) -> None:
    pullers()
    refused = failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED)
    channel(world).waiting["bot_0"].put_nowait(ProviderError(refused))
    await until(lambda: len(channel(world).cursors) >= 8 and len(pulled_now(world)) == 7)
    assert await world.healths() == ["reauth_required"]
    asked = len(channel(world).cursors)
    await asyncio.sleep(0.05)
    assert len(channel(world).cursors) == asked
    account = world.accounts.get("bot_0")
    assert account is not None
    await world.process.health.learn(account, HealthChange(Health.CONNECTED))
    await until(lambda: "bot_0" in pulled_now(world))


@pytest.mark.parametrize(
    "trouble",
    [
        ProviderError(failure(ErrorCode.PROVIDER_UNAVAILABLE)),
        ProviderError(failure(ErrorCode.ACCOUNT_DISCONNECTED, health=Health.DEGRADED, provider_code="409")),
        RuntimeError("a bug in the channel"),
    ],
)
async def test_what_passes_is_tried_again(world: World, pullers: Callable[[], Puller], trouble: Exception) -> None:
    pullers()
    channel(world).waiting["bot_0"].put_nowait(trouble)
    channel(world).waiting["bot_0"].put_nowait(batch("m1", "c1"))
    async with asyncio.timeout(5):
        while await world.store.cursor(CHANNEL, "bot_0") != "c1":
            await asyncio.sleep(0.002)
    assert await kept(world) == ["m1"]
    if isinstance(trouble, ProviderError) and trouble.failure.health:
        await until(lambda: world.process.health.of("bot_0") is Health.CONNECTED)
        assert await world.healths() == ["degraded", "connected"]


async def test_stopping_leaves_nobody_polling(world: World, pullers: Callable[[], Puller]) -> None:
    puller = pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    await puller.stop()
    assert pulled_now(world) == set()


@pytest.mark.parametrize("what", ["stop", "revoke"])
async def test_no_poller_is_begun_for_what_went_while_it_was_looked_up(
    world: World, pullers: Callable[[], Puller], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    looking_up, answered = asyncio.Event(), asyncio.Event()
    partition_for = world.log.partition_for

    async def slow(topic: str, key: bytes) -> int:
        if key == b"bot_7":  # the last: the others have been found to be ours
            looking_up.set()
            await answered.wait()
        return await partition_for(topic, key)

    puller = pullers()
    await until(lambda: len(pulled_now(world)) == 8)
    monkeypatch.setattr(world.log, "partition_for", slow)
    await looking_up.wait()
    if what == "stop":
        await puller.stop()
    else:
        await puller._revoked([Partition(world.topics.accounts, number) for number in range(4)])
        await puller._assigned([])
    begun = len(channel(world).cursors)
    answered.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not puller._tasks
    assert len(channel(world).cursors) == begun
