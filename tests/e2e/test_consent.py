"""An owner connects a TikTok business from a product: start, consent page, callback, and the account works."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest_asyncio

from shared.contract.accounts import AccountRecord
from shared.runtime.accounts import states
from shared.runtime.accounts.sealing import unseal_credentials
from tests.e2e.conftest import REPLICAS
from tests.e2e.providers import Connected
from tests.e2e.replicas import Service
from tests.e2e.topics import SENT, Reader, eventually
from tests.e2e.world import WORKSPACE, ChannelUnderTest, World, number

TOKEN = "a-token-of-the-product"
PUBLIC = "https://connect.example"
PRODUCT = "https://inbox.example/channels"


class Product:
    """A product with a bearer token, and an owner's browser that follows no redirect by itself."""

    def __init__(self, service: Service, accounts: Reader, key: str) -> None:
        self.service = service
        self.accounts = accounts
        self.key = key

    async def get(self, address: str, **headers: str) -> tuple[int, str, dict[str, Any]]:
        """Status, where it leads to, and the answer where it is JSON. Our public address is the replica's."""
        address = address.replace(PUBLIC, self.service.replicas[0].url, 1)
        async with self.service.session.get(address, headers=headers, allow_redirects=False) as answered:
            is_json = answered.content_type == "application/json"
            return answered.status, answered.headers.get("Location", ""), await answered.json() if is_json else {}

    async def start(self, status: int = 200, token: str | None = TOKEN, **query: str) -> dict[str, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        asked = {"workspace_id": WORKSPACE, **query}
        found, _, answer = await self.get(f"{PUBLIC}/v1/tiktok/oauth/start?{urlencode(asked)}", **headers)
        assert found == status, answer
        return answer

    async def consented(self, **query: str) -> str:
        """The address that TikTok sends the owner's browser to."""
        begun = await self.start(**query)
        status, back, _ = await self.get(begun["authorize_url"])
        assert status == 302
        assert back.startswith(begun["redirect_uri"])
        return back

    def record(self, account_id: str) -> AccountRecord | None:
        seen = self.accounts.of(account_id)
        return AccountRecord.model_validate(seen[-1].data) if seen else None


@pytest_asyncio.fixture(loop_scope="session")
async def tiktok(world: World) -> ChannelUnderTest:
    return await world.channel("tiktok", REPLICAS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def product(world: World) -> Any:
    """A replica of its own that has what consent needs."""
    tiktok = await world.channel("tiktok", REPLICAS)
    sim: Any = tiktok.provider
    settings = {
        **tiktok.service.environment,
        "TIKTOK_AUTHORIZE_URL": f"{sim.sim.url}/v2/auth/authorize/",
        "HTTP_PUBLIC_URL": PUBLIC,
        "API_TOKENS": TOKEN,
        "API_RETURN_URLS": PRODUCT,
        "ROLES": "deliver",
    }
    async with AsyncExitStack() as stack:
        service = Service("tiktok", world.logs, settings, first=100)
        stack.push_async_callback(service.stop)
        await service.start(1)
        yield Product(service, world.reader(world.topics.accounts, stack), world.sealing_key)


def _owner(channel: ChannelUnderTest) -> str:
    """A business whose owner sits in front of the consent page."""
    sim: Any = channel.provider
    business_id = f"-000owner{number()}"
    sim.sim.add_account(business_id, business_id)
    sim.sim.consent.business_id, sim.sim.consent.scope = business_id, None
    return business_id


async def test_an_owner_connects_an_account_that_works(
    product: Product, tiktok: ChannelUnderTest, world: World
) -> None:
    business_id, account_id = _owner(tiktok), f"tt_{number()}"
    await product.start(401, token=None, account_id=account_id)
    back = await product.consented(account_id=account_id, display_name="Shop", return_url=f"{PRODUCT}?tab=2")
    status, location, _ = await product.get(back)
    assert (status, location) == (302, f"{PRODUCT}?tab=2&account_id={account_id}&connected=true")
    record = await eventually(lambda: product.record(account_id), what="the account's record")
    assert (record.workspace_id, record.external_id, record.display_name) == (WORKSPACE, business_id, "Shop")
    credentials = unseal_credentials(record, product.key).credentials
    assert {"access_token", "refresh_token", "expires_at", "refresh_expires_at", "scope"} <= credentials.keys()
    logs = product.service.replicas[0].log_text()
    assert not any(secret in logs for secret in (*credentials.values(), back.partition("code=")[2][:20]))

    account = Connected(record, business_id, credentials)
    await tiktok.service.everywhere(lambda url: tiktok._knows(url, account))
    person = await tiktok.person(account)
    assert {sent["state"] for sent in await tiktok.sends(person, "Connected")} <= SENT


async def test_what_is_not_ours_changes_nothing_and_leads_nowhere(
    product: Product, tiktok: ChannelUnderTest, world: World
) -> None:
    _owner(tiktok)
    account_id = f"tt_{number()}"
    back = await product.consented(account_id=account_id, return_url=PRODUCT)
    query = dict(parse_qsl(urlsplit(back).query))
    said, _, mac = query["state"].partition(".")
    theirs = states.begun("tiktok", "ws_of_others", account_id, 4e9)
    old = states.begun("tiktok", WORKSPACE, account_id, 1e9, return_url=PRODUCT)
    other = states.begun("whatsapp", WORKSPACE, account_id, 4e9)
    forged = {
        "nothing": "",
        "no signature": said,
        "another workspace, signed by another": states.signed(theirs, "AAAA"),
        "another workspace, with our signature": f"{states.signed(theirs, 'AAAA').partition('.')[0]}.{mac}",
        "expired": states.signed(old, product.key),
        "of another channel": states.signed(other, product.key),
        "odd": "€.€",
    }
    for why, state in forged.items():
        address = f"{PUBLIC}/v1/tiktok/oauth/callback/?{urlencode({**query, 'state': state})}"
        assert (await product.get(address))[:2] == (400, ""), why
    assert (await product.get(back))[0] == 302, "the genuine one is still good"
    assert (await product.get(back))[:2] == (400, ""), "and good once"
    records = [seen for seen in product.accounts.all if seen.key == account_id]
    assert len(records) <= 1


async def test_nobody_is_sent_where_the_product_is_not(
    product: Product, tiktok: ChannelUnderTest, world: World
) -> None:
    for address in (
        "https://evil.example/channels",
        "https://inbox.example.evil.example/channels",
        "https://inbox.example@evil.example/channels",
        "https://inbox.example/channels/../other",
        "https://inbox.example/channels/%2e%2e/other",
        "https://inbox.example/channelsX",
        "https://inbox.example:444/channels",
        "http://inbox.example/channels",
        "//inbox.example/channels",
        "https:\\\\evil.example/channels",
        "javascript:alert(1)",
        f"{PRODUCT}/{'x' * 600}",
    ):
        answer = await product.start(400, account_id="tt_new", return_url=address)
        assert answer["code"] == "invalid_return_url", address
    await product.start(200, account_id="tt_new", return_url=f"{PRODUCT}/tiktok?tab=2")


async def test_an_account_of_others_is_not_taken(product: Product, tiktok: ChannelUnderTest, world: World) -> None:
    theirs = await tiktok.account(workspace_id="ws_of_others")
    elsewhere = AccountRecord(account_id=f"wa_{number()}", workspace_id=WORKSPACE, channel="whatsapp")
    await world.apply(elsewhere)
    for account_id in (theirs.id, elsewhere.account_id):
        for _ in range(200):  # replicas hear of an account one by one
            address = (
                f"{PUBLIC}/v1/tiktok/oauth/start?{urlencode({'workspace_id': WORKSPACE, 'account_id': account_id})}"
            )
            status, _, refused = await product.get(address, Authorization=f"Bearer {TOKEN}")
            if status == 400:
                break
            await asyncio.sleep(0.05)
        assert refused.get("code") == "account_taken"
    assert (await product.start(400, account_id="a b"))["code"] == "invalid_account"

    sim: Any = tiktok.provider
    sim.sim.consent.business_id, sim.sim.consent.scope = theirs.handle, None
    back = await product.consented(account_id=f"tt_{number()}", return_url=PRODUCT)
    _, location, _ = await product.get(back)
    assert parse_qs(urlsplit(location).query)["error"] == ["account_taken"]
    assert product.record(theirs.id) == theirs.record


async def test_what_tiktok_or_the_owner_refuses_is_said(
    product: Product, tiktok: ChannelUnderTest, world: World
) -> None:
    _owner(tiktok)
    account_id = f"tt_{number()}"
    back = await product.consented(account_id=account_id, return_url=PRODUCT)
    _, location, _ = await product.get(re.sub(r"code=[^&]*", "code=guessed", back))
    outcome = parse_qs(urlsplit(location).query)
    assert (outcome["connected"], len(outcome["error"])) == (["false"], 1)
    begun = await product.start(account_id=account_id)
    state = parse_qs(urlsplit(begun["authorize_url"]).query)["state"][0]
    address = f"{begun['redirect_uri']}?{urlencode({'error': 'access_denied', 'state': state})}"
    assert (await product.get(address))[:2] == (400, "")
    sim: Any = tiktok.provider
    sim.sim.consent.scope = ("message.list.read", "user.info.basic")
    back = await product.consented(account_id=account_id, return_url=PRODUCT)
    _, location, _ = await product.get(back)
    assert parse_qs(urlsplit(location).query)["error"] == ["account_reauth_required"]
    assert product.record(account_id) is None
