"""Rotating tokens: one refresh for any number of callers, nothing lost on the way, the owner asked only when needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from services.tiktok.api.client import Client
from services.tiktok.channel import TikTokChannel
from shared.channel import Account, Call, Files, OpenFile, ProviderError
from shared.contract.commands import File
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.kit.grants import Grant, ProcessTokens
from tests.channels.tiktok.conftest import BUSINESS, OpenChannel, account_of, fail, settings_for


class NoFiles(Files):
    async def open(self, file: File) -> OpenFile:
        raise AssertionError("no file is sent here")


def text(thread: str, body: str = "Hi") -> Call:
    params = {"recipient_type": "CONVERSATION", "recipient": thread, "message_type": "TEXT", "text": {"body": body}}
    return Call("business/message/send", params)


async def send(channel: TikTokChannel, account: Account, thread: str, body: str = "Hi") -> str:
    receipt = await channel.perform(text(thread, body), account, NoFiles())
    return receipt.provider_message_ids[0]


def refreshes(sim: TikTokSimulator) -> int:
    return sim.platform.ledger.totals["refresh"]


async def test_fifty_sends_on_three_replicas_refresh_once(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str
) -> None:
    sim.options.window_messages = 50
    sim.options.refresh_ends_old_access = True
    store = ProcessTokens()
    replicas = [await open_channel(store) for _ in range(3)]
    await asyncio.gather(*(send(replica, account, thread) for replica in replicas))
    sim.platform.tokens.expire(BUSINESS)
    sent = await asyncio.gather(*(send(replicas[i % 3], account, thread, f"{i}") for i in range(47)))
    assert len(set(sent)) == 47
    assert refreshes(sim) == 1
    assert sim.violations == []


async def test_fifty_sends_with_a_token_known_to_be_expired_refresh_once(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str, clock: Clock
) -> None:
    sim.options.window_messages = 50
    store = ProcessTokens()
    replicas = [await open_channel(store) for _ in range(3)]
    clock.advance(25 * 3600)
    await sim.people.writes(BUSINESS, "lena", silent=True)
    await asyncio.gather(*(send(replicas[i % 3], account, thread, f"{i}") for i in range(50)))
    assert refreshes(sim) == 1
    # The call was never made with the dead token.
    assert [call.code for call in sim.platform.ledger.calls if call.endpoint == "send"] == [0] * 50


async def test_a_token_is_refreshed_before_it_expires(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    await send(channel, account, thread)
    clock.advance(22 * 3600)
    await send(channel, account, thread)
    assert refreshes(sim) == 0
    clock.advance(1.5 * 3600)
    await send(channel, account, thread)
    assert refreshes(sim) == 1


async def test_an_early_refresh_that_fails_costs_nothing(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    clock.advance(23.5 * 3600)
    fail(sim, "refresh", code=50000)
    await send(channel, account, thread)
    await send(channel, account, thread)
    assert refreshes(sim) == 1  # not tried again with every send
    sim.platform.faults.clear()
    clock.advance(31)
    await send(channel, account, thread)
    assert refreshes(sim) == 2


async def test_a_refresh_that_cannot_be_made_now_is_no_reason_to_ask_the_owner(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str, clock: Clock
) -> None:
    clock.advance(25 * 3600)
    fail(sim, "refresh", status=503)
    with pytest.raises(ProviderError) as failed:
        await send(channel, account, thread)
    assert failed.value.failure.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert failed.value.failure.certain
    assert failed.value.failure.health is None
    sim.platform.faults.clear()
    await send(channel, account, thread)


async def test_a_dead_refresh_token_asks_for_the_owner(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    sim.platform.tokens.remove(BUSINESS)
    with pytest.raises(ProviderError) as failed:
        await send(channel, account, thread)
    failure = failed.value.failure
    assert (failure.code, failure.certain) == (ErrorCode.ACCOUNT_REAUTH_REQUIRED, True)
    assert (failure.health, failure.scope) == (Health.REAUTH_REQUIRED, "account")
    assert sim.sent(thread) == []


async def test_a_new_authorization_replaces_what_was_stored(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str, clock: Clock
) -> None:
    store = ProcessTokens()
    channel = await open_channel(store)
    sim.platform.tokens.expire(BUSINESS)
    await send(channel, account, thread)
    sim.platform.tokens.remove(BUSINESS)
    with pytest.raises(ProviderError):
        await send(channel, account, thread)
    again = account_of(sim.platform.tokens.issue(BUSINESS), clock.now())
    await send(channel, again, thread)
    await send(await open_channel(store), again, thread)


async def test_a_caller_that_gives_up_does_not_lose_the_new_pair(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str, clock: Clock
) -> None:
    store = ProcessTokens()
    channel = await open_channel(store)
    clock.advance(25 * 3600)
    await sim.people.writes(BUSINESS, "lena", silent=True)
    sending = asyncio.create_task(send(channel, account, thread))
    while refreshes(sim) == 0:
        await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await channel.stop()
    stored = Grant.of_stored(await store.get("tiktok_1"))
    assert stored is not None
    assert sim.platform.tokens.check(stored.access_token).business_id == BUSINESS
    await channel.start()
    await send(channel, account, thread)
    assert refreshes(sim) == 1


class Flaky(ProcessTokens):
    """A store that is away when the new pair is to be kept."""

    failures = 2

    async def replace(self, account_id: str, expected: str | None, value: str) -> bool:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        return await super().replace(account_id, expected, value)


async def test_a_pair_is_kept_although_the_store_is_away_for_a_moment(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str
) -> None:
    store = Flaky()
    channel = await open_channel(store)
    sim.platform.tokens.expire(BUSINESS)
    await send(channel, account, thread)
    stored = Grant.of_stored(await store.get("tiktok_1"))
    assert stored is not None
    assert sim.platform.tokens.check(stored.access_token).business_id == BUSINESS


async def test_a_process_goes_on_with_a_pair_the_store_never_got(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str
) -> None:
    store = Flaky()
    store.failures = 100
    channel = await open_channel(store)
    for _ in range(2):
        sim.platform.tokens.expire(BUSINESS)
        await send(channel, account, thread)
    assert refreshes(sim) == 2


class Busy(ProcessTokens):
    """A store that tells when somebody did not get the lease."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = asyncio.Event()

    @asynccontextmanager
    async def exclusive(self, account_id: str) -> AsyncIterator[bool]:
        async with super().exclusive(account_id) as held:
            if not held:
                self.refused.set()
            yield held


async def test_a_lease_held_elsewhere_is_waited_for(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, thread: str
) -> None:
    store = Busy()
    ours, theirs = await open_channel(store), await open_channel(store)
    sim.platform.tokens.expire(BUSINESS)
    async with store.exclusive("tiktok_1") as held:
        assert held
        waiting = asyncio.create_task(send(ours, account, thread))
        await store.refused.wait()
        assert refreshes(sim) == 0
    await waiting
    await send(theirs, account, thread)
    assert refreshes(sim) == 1


async def test_without_a_refresh_token_only_the_owner_helps(
    sim: TikTokSimulator, channel: TikTokChannel, account: Account, thread: str
) -> None:
    bare = replace(account, credentials={"access_token": account.credentials["access_token"]})
    await send(channel, bare, thread)
    sim.platform.tokens.expire(BUSINESS)
    with pytest.raises(ProviderError) as failed:
        await send(channel, bare, thread)
    assert failed.value.failure.code is ErrorCode.ACCOUNT_REAUTH_REQUIRED


async def test_exchange_inspect_and_revoke(sim: TikTokSimulator, account: Account, clock: Clock) -> None:
    client = Client(settings_for(sim), clock=clock.now)
    await client.start()
    redirect = "https://inbox.example.org/tiktok/"
    business, grant = await client.exchange(sim.platform.tokens.consent(BUSINESS, redirect_uri=redirect), redirect)
    assert (business, grant.expires_at) == (BUSINESS, clock.now() + 86400)
    assert "message.list.send" in grant.scopes
    connected = replace(account, credentials={"access_token": grant.access_token, "refresh_token": grant.refresh_token})
    assert (await client.inspect(connected))["creator_id"] == BUSINESS
    await client.revoke(connected)
    with pytest.raises(ProviderError):
        await client.inspect(connected)
    await client.stop()
    assert sim.violations == []


def test_a_pair_shows_no_secret() -> None:
    grant = Grant("act.secret", "rft.secret", 1.0, 2.0, ("a",), "seed", 3.0)
    assert "secret" not in repr(grant)
    assert Grant.of_stored(grant.stored()) == grant


@pytest.mark.parametrize("value", [None, "", "{}", "[]", "nonsense", '{"access_token": "a", "unknown": 1}'])
def test_what_is_no_pair_is_none(value: str | None) -> None:
    assert Grant.of_stored(value) is None


@pytest.mark.parametrize(
    ("told", "expires"),
    [("1795340000", 1795340000.0), ("2026-11-22T09:33:20Z", 1795340000.0), ("", None), ("soon", None)],
)
def test_an_expiry_is_a_number_or_a_time(told: str, expires: float | None) -> None:
    assert Grant.of_credentials({"access_token": "a", "expires_at": told}).expires_at == expires
