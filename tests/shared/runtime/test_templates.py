"""Templates on their topic: one replica asks, only differences are told, and nothing is removed on half an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import pytest

from shared.channel import Account, Failure, ProviderError, TemplateChange
from shared.contract.errors import ErrorCode
from shared.contract.templates import Template
from shared.runtime.accounts import templates
from shared.runtime.accounts.templates import TemplateSync
from shared.stream.table import Table
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, PlainChannel
from tests.shared.runtime.world import ACCOUNT, OTHER, World

AWAY = ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE))


class TemplateChannel(PlainChannel):
    """`kept` is what the provider has, by account; a list ends with `broken` where that is set."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[Template]] = {}
        self.broken: dict[str, Exception] = {}
        self.asked: list[tuple[str, str | None]] = []

    async def templates(self, account: Account, name: str | None = None) -> AsyncIterator[Template]:
        self.asked.append((account.account_id, name))
        for template in self.kept.get(account.account_id, []):
            if name in (None, template.name):
                yield template
        if (broken := self.broken.get(account.account_id)) is not None:
            raise broken


def template(name: str, status: str = "approved") -> Template:
    return Template(template_id=name, name=name, language="en", status=status, sendable=status == "approved")


@pytest.fixture
def channel() -> TemplateChannel:
    return TemplateChannel()


@asynccontextmanager
async def synced(world: World, replicas: int = 1, period: float = 3600.0) -> AsyncIterator[list[TemplateSync]]:
    """So many replicas, each with its own table of the topic."""
    topic = world.topics.templates(CHANNEL)
    syncs, tables = [], []
    for _ in range(replicas):
        sync = TemplateSync(world.channel, world.accounts, world.store, world.log, world.topics, period)
        table = Table(world.log, topic, sync.apply)
        await table.start()
        await table.ready.wait()
        syncs.append(sync)
        tables.append(table)
    tasks = [asyncio.create_task(sync.run()) for sync in syncs]
    try:
        yield syncs
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for table in tables:
            await table.stop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.002)


def told(world: World, key: str) -> list[str | None]:
    """The statuses that were told of a template; None where it was removed."""
    (partition,) = world.log._partitions(world.topics.templates(CHANNEL))
    records = [record for record in partition if record.key == key.encode()]
    return [orjson.loads(r.value)["status"] if r.value else None for r in records]


async def test_one_of_two_replicas_asks_and_the_other_says_nothing(
    make_world: MakeWorld, channel: TemplateChannel
) -> None:
    world = await make_world(channel)
    channel.kept["acc_1"] = [template("hello")]
    async with synced(world, replicas=2):
        await until(lambda: told(world, "acc_1:hello:en") == ["approved"])
        await asyncio.sleep(0.05)
    assert sorted(channel.asked) == [("acc_1", None), ("acc_2", None)]
    assert told(world, "acc_1:hello:en") == ["approved"]


async def test_only_what_differs_is_told_and_what_is_gone_is_removed(
    make_world: MakeWorld, channel: TemplateChannel
) -> None:
    world = await make_world(channel)
    channel.kept["acc_1"] = [template("stays"), template("changes"), template("goes")]
    async with synced(world):
        await until(lambda: told(world, "acc_1:goes:en") == ["approved"])
    channel.kept["acc_1"] = [template("stays"), template("changes", "paused")]
    await world.store.erase([key async for key in _periods(world)])
    async with synced(world):  # a restart: what was told before is read from the topic
        await until(lambda: told(world, "acc_1:goes:en") == ["approved", None])
    assert told(world, "acc_1:stays:en") == ["approved"]
    assert told(world, "acc_1:changes:en") == ["approved", "paused"]


async def _periods(world: World) -> AsyncIterator[str]:
    for key in await world.client.call("KEYS", "*"):
        yield key


async def test_a_webhook_asks_for_one_name_and_removes_no_other(
    make_world: MakeWorld, channel: TemplateChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "SOON", 0.01)
    world = await make_world(channel)
    channel.kept["acc_1"] = [template("one"), template("two")]
    async with synced(world) as (sync,):
        await until(lambda: told(world, "acc_1:two:en") == ["approved"])
        account = world.accounts.served("acc_1")
        assert account is not None
        channel.kept["acc_1"] = [template("one", "paused")]
        for _ in range(10):
            sync.change(account, TemplateChange("one"))
        await until(lambda: told(world, "acc_1:one:en") == ["approved", "paused"])
        assert channel.asked.count(("acc_1", "one")) == 1
        assert told(world, "acc_1:two:en") == ["approved"], "nobody has asked for it"
        sync.change(account, TemplateChange("two"))
        await until(lambda: told(world, "acc_1:two:en") == ["approved", None])


async def test_half_an_answer_removes_nothing_and_is_asked_for_again(
    make_world: MakeWorld, channel: TemplateChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "SOON", 0.01)
    monkeypatch.setattr(templates, "_FIRST_AGAIN", 0.05)
    world = await make_world(channel)
    channel.kept["acc_1"] = [template("first"), template("second")]
    channel.kept["acc_2"] = [template("other")]
    async with synced(world) as (sync,):
        await until(lambda: told(world, "acc_1:second:en") == ["approved"])
        channel.kept["acc_1"], channel.broken["acc_1"] = [template("first", "paused")], AWAY
        account, other = world.accounts.served("acc_1"), world.accounts.served("acc_2")
        assert account is not None and other is not None
        sync.change(account, TemplateChange(None))
        channel.kept["acc_2"] = [template("other", "paused")]
        sync.change(other, TemplateChange("other"))
        await until(lambda: told(world, "acc_2:other:en") == ["approved", "paused"])
        await until(lambda: len(channel.asked) >= 5)
        assert (told(world, "acc_1:first:en"), told(world, "acc_1:second:en")) == (["approved"], ["approved"])
        del channel.broken["acc_1"]
        await until(lambda: told(world, "acc_1:second:en") == ["approved", None])
        assert told(world, "acc_1:first:en") == ["approved", "paused"]


async def test_a_bug_about_one_account_costs_the_others_nothing(
    make_world: MakeWorld, channel: TemplateChannel
) -> None:
    world = await make_world(channel)
    channel.broken["acc_1"] = RuntimeError("a bug")
    channel.kept["acc_2"] = [template("hello")]
    async with synced(world):
        await until(lambda: told(world, "acc_2:hello:en") == ["approved"])


async def test_an_account_that_comes_is_asked_for_and_one_that_goes_has_none(
    make_world: MakeWorld, channel: TemplateChannel
) -> None:
    world = await make_world(channel, accounts=(ACCOUNT,))
    channel.kept["acc_2"] = [template("hello")]
    async with synced(world):
        await until(lambda: ("acc_1", None) in channel.asked)
        world.account(OTHER)
        await until(lambda: told(world, "acc_2:hello:en") == ["approved"])
        world.accounts.apply(b"acc_2", None)
        await until(lambda: told(world, "acc_2:hello:en") == ["approved", None])
