"""An account whose record cannot be opened: what concerns it waits, nothing is said of it, nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application

from shared.channel import Accounts, RawItem, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.events import Health
from shared.runtime.accounts import teller
from shared.runtime.accounts.registry import AccountSealed
from shared.runtime.http.bodies import Bodies
from shared.runtime.inbound import normalise
from shared.runtime.roles import IngressRole
from shared.runtime.settings import HttpSettings
from shared.stream.errors import NotNow
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, SECRET, MediaChannel, PlainChannel, item
from tests.shared.runtime.test_parked_and_told import capabilities, telling, until
from tests.shared.runtime.world import ACCOUNT, OTHER, World

SEALED = ACCOUNT.model_copy(update={"sealed": "v2:bm90IHNlYWxlZA=="})
# Two workspaces: one vote each, so that it is the record and not our key.
NEIGHBOUR = OTHER


def seal_it(world: World) -> None:
    """The world without a key hears of the account anew, and cannot open it."""
    world.accounts.apply(ACCOUNT.account_id.encode(), None)
    with contextlib.suppress(ValueError):
        world.account(SEALED)


@pytest.fixture
def sealed(world: World) -> Iterator[World]:
    seal_it(world)
    yield world


async def test_its_commands_wait_and_go_out_once_it_is_opened(sealed: World) -> None:
    command = await sealed.command(text="hello")
    with pytest.raises(NotNow) as wait:
        await sealed.process.deliverer.handle(command)
    assert wait.value.why == "account_sealed"
    sealed.account(ACCOUNT)
    await sealed.receive(item())
    await sealed.process.deliverer.handle(command)
    assert await sealed.states() == ["sent"]


async def test_its_webhook_items_wait_and_are_kept_when_it_stays_shut(
    sealed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = await sealed.raw(item())
    with pytest.raises(AccountSealed):
        await sealed.process.normaliser.handle(record)
    monkeypatch.setattr(sealed.accounts, "_locked_out", True)
    monkeypatch.setattr(normalise, "SEALED_PATIENCE", -1.0)
    with pytest.raises(AccountSealed):  # our key is wrong: that is nothing about this record
        await sealed.process.normaliser.handle(record)
    monkeypatch.setattr(sealed.accounts, "_locked_out", False)
    await sealed.process.normaliser.handle(record)
    assert [code for code, _ in await sealed.dead()] == ["account_sealed"]
    assert await sealed.events() == []


async def test_its_files_are_parked(make_world: MakeWorld) -> None:
    channel = MediaChannel()
    channel.media["f1"] = [b"\x89PNG\r\n\x1a\n"]
    world = await make_world(channel)
    await world.receive(item(files=["f1"]))
    seal_it(world)
    (message,) = [record async for record in world.records(world.topics.inbound(CHANNEL))]
    await world.process.media.handle(message)
    assert len(world.process.parked_files) == 1
    assert await world.event_types() == ["message.received"]


class ProvenByAccount(PlainChannel):
    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        accounts.get(request.route)


class OfApps(PlainChannel):
    """The route names the app, as an account's settings do."""

    def unbatch(self, request: WebhookRequest) -> list[RawItem]:
        items = super().unbatch(request)
        return [RawItem(one.key, one.body, one.account_id, one.external_id, app=request.route) for one in items]

    def app_of(self, account: AccountRecord) -> str:
        return str(account.settings.get("app"))


async def posted(world: World, route: str, *items: dict[str, Any]) -> int:
    app = Application()
    app.add_routes(IngressRole(world.process.common).routes(Bodies(HttpSettings())))
    async with TestClient(TestServer(app)) as client:
        url = f"/webhooks/{CHANNEL}/{route}"
        answer = await client.post(url, json=list(items), headers={"x-secret": SECRET})
        return answer.status


async def test_a_webhook_that_only_its_credentials_could_prove_is_to_come_again(make_world: MakeWorld) -> None:
    world = await make_world(ProvenByAccount())
    assert await posted(world, ACCOUNT.account_id, item()) == 200
    seal_it(world)
    assert await posted(world, ACCOUNT.account_id, item()) == 503
    assert await posted(world, NEIGHBOUR.account_id, item()) == 200


async def test_a_body_of_one_app_about_anothers_account_is_refused_whole(make_world: MakeWorld) -> None:
    ours = ACCOUNT.model_copy(update={"settings": {"app": "a"}})
    world = await make_world(OfApps(), accounts=(ours, OTHER.model_copy(update={"settings": {"app": "b"}})))
    theirs = item(account=None, external="ext-2")
    assert await posted(world, "a", item(), theirs) == 401
    assert await posted(world, "b", item()) == 401
    assert [record async for record in world.records(world.topics.raw(CHANNEL))] == []
    assert await posted(world, "a", item(), item(account="nobody knows it")) == 200


async def test_an_item_that_came_before_its_account_is_no_way_round(make_world: MakeWorld) -> None:
    world = await make_world(OfApps(), accounts=())
    assert await posted(world, "a", item()) == 200
    world.account(ACCOUNT.model_copy(update={"settings": {"app": "b"}}))
    (record,) = [record async for record in world.records(world.topics.raw(CHANNEL))]
    await world.normalise(record)
    assert [code for code, _ in await world.dead()] == ["foreign_app"]
    assert await world.events() == []


# ------------------------------------------------------------------------------------------------ what is said of it


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "DOUBT_SECONDS", 0.01)


@pytest.mark.usefixtures("at_once")
async def test_nothing_is_said_of_what_cannot_be_opened(world: World) -> None:
    async with telling(world):
        await told(world, "acc_1", "acc_2")
    seal_it(world)
    world.accounts.apply(NEIGHBOUR.account_id.encode(), None)
    async with telling(world):
        await told(world, "acc_1")
    assert await world.healths() == ["removed"]  # the neighbour, which is gone


@pytest.mark.usefixtures("at_once")
async def test_what_was_taken_away_wrongly_is_told_again(world: World) -> None:
    async with telling(world):
        await told(world, "acc_1", "acc_2")
        await world.log.send(world.topics.capabilities, b"acc_1", None)
        await told(world, "acc_1", "acc_2")
        world.process.health._set("acc_1", Health.REMOVED)
        await until(lambda: world.process.health.of("acc_1") is Health.CONNECTED)


@pytest.mark.usefixtures("at_once")
async def test_who_is_refused_is_told_why_and_when_that_is_over(world: World) -> None:
    second = NEIGHBOUR.model_copy(update={"account_id": "second", "external_id": "ext-1"})
    async with telling(world):
        await told(world, "acc_1", "acc_2")
        world.account(second)
        await until(lambda: world.process.health.refused("second"))
        assert "second" not in await capabilities(world)
        world.accounts.apply(b"acc_1", None)
        await told(world, "acc_2", "second")
        await until(lambda: world.process.health.of("second") is Health.CONNECTED)
    assert await world.healths() == ["disconnected", "removed", "connected"]


async def told(world: World, *accounts: str) -> None:
    """The topic holds the capabilities of exactly these accounts."""
    held: dict[str, Any] = {}

    for _ in range(2000):
        held = await capabilities(world)
        if set(held) == set(accounts):
            return
        await asyncio.sleep(0.005)
    raise AssertionError(set(held))
