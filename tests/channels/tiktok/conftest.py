"""A running simulator and channels that talk to it; the clock stands still until a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import SecretStr

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import Options, TikTokSimulator
from sandbox.simulators.tiktok.faults import CallFault
from sandbox.simulators.tiktok.tokens import TokenPair
from services.tiktok.channel import TikTokChannel
from services.tiktok.settings import Settings
from shared.channel import Account, TokenStore
from shared.contract.accounts import AccountRecord

BUSINESS = "-0aAcme"
START = 1_795_340_000.0

OpenChannel = Callable[..., Awaitable[TikTokChannel]]


@pytest.fixture
async def clock() -> Clock:
    return Clock(scale=0, start=START)


@pytest.fixture
async def sim(clock: Clock) -> AsyncIterator[TikTokSimulator]:
    simulator = TikTokSimulator(Options(queries_per_second=0, echo="off"), clock=clock, wall=clock.now)
    await simulator.start()
    yield simulator
    await simulator.stop()


def settings_for(sim: TikTokSimulator, **changes: object) -> Settings:
    known: dict[str, object] = {
        "app_id": sim.options.app_id,
        "app_secret": SecretStr(sim.options.app_secret),
        "api_url": sim.url + "/open_api/v1.3",
        "authorize_url": sim.url + "/v2/auth/authorize/",
        "timeout": 5.0,
    }
    return Settings.model_validate(known | changes)


def account_of(pair: TokenPair, now: float = START, **credentials: str) -> Account:
    record = AccountRecord(account_id="tiktok_1", workspace_id="ws_1", channel="tiktok", external_id=pair.open_id)
    known = {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "expires_at": str(now + pair.expires_in),
        "refresh_expires_at": str(now + pair.refresh_token_expires_in),
    }
    return Account(record, known | credentials)


@pytest.fixture
async def account(sim: TikTokSimulator) -> Account:
    return account_of(sim.add_account(BUSINESS, "acme", display_name="Acme Ltd"))


@pytest.fixture
async def open_channel(sim: TikTokSimulator, clock: Clock) -> AsyncIterator[OpenChannel]:
    opened: list[TikTokChannel] = []

    async def start(tokens: TokenStore | None = None, **changes: object) -> TikTokChannel:
        channel = TikTokChannel(settings_for(sim, **changes), tokens, clock.now)
        await channel.start()
        opened.append(channel)
        return channel

    yield start
    for channel in opened:
        await channel.stop()


@pytest.fixture
async def channel(open_channel: OpenChannel) -> TikTokChannel:
    return await open_channel()


@pytest.fixture
async def thread(sim: TikTokSimulator, account: Account) -> str:
    """A conversation whose window has just opened; its webhook went nowhere."""
    await sim.people.writes(BUSINESS, "lena", silent=True, display_name="Lena K 🌻")
    return sim.platform.world.thread(BUSINESS, "lena").conversation_id


def fail(sim: TikTokSimulator, endpoint: str, **fault: object) -> None:
    """Plan a misbehaviour of one endpoint; `code` answers HTTP 200 with that return code."""
    known = {"kind": "error", "where": {"endpoint": endpoint}}
    sim.platform.faults.active.append(CallFault.model_validate(known | fault))
