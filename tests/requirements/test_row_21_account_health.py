"""Row 21: an account that cannot send any more says so, with or without traffic, and says when it can again."""

from __future__ import annotations

import pytest

from tests.e2e.providers import NAMES
from tests.e2e.topics import eventually
from tests.requirements.inside import Channel, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("name", NAMES)
async def test_a_revoked_token_is_noticed_without_any_traffic(name: str) -> None:
    """The probe that runs every minute, run more often."""
    async with opened() as world:
        channel = await world.channel(name, DELIVER_PROBE_EVERY="0.1")
        account = await channel.account()
        await world.healthy(account, "connected")
        assert channel.asked(account) == []
        channel.provider.revoke(account)
        record = await world.healthy(account, "reauth_required")
        assert record["error"]["code"] == "account_reauth_required"
        await channel.change(account, channel.provider.reauthorise(account))
        await eventually(lambda: len(world.health.of(account.id)) >= 3)
        told = [seen.data["health"] for seen in world.health.of(account.id)]
        assert told == ["connected", "reauth_required", "connected"]


async def test_what_was_queued_meanwhile_is_sent_after_reconnecting(channel: Channel) -> None:
    account = await channel.account()
    person = await channel.person(account)
    channel.provider.revoke(account)
    commands = [await channel.command(person, text=f"text {n}") for n in range(8)]  # TikTok's window takes ten
    await channel.world.healthy(account, "reauth_required")
    await channel.statuses.state(commands[-1].id, "deferred")
    assert all(channel.statuses.ended(command.id) is None for command in commands)
    await channel.change(account, channel.provider.reauthorise(account))
    ends = [await channel.statuses.end(command.id, 20) for command in commands]
    assert [status["state"] for (status,) in ends] == ["sent"] * len(commands)
    assert channel.texts(person) == [command.text for command in commands]


async def test_authorization_that_tiktok_withdraws_disconnects(tiktok: Channel) -> None:
    account = await tiktok.account()
    body = {
        "event": "authorization.removed",
        "user_openid": account.handle,
        "create_time": 1,
        "content": '{"reason": 1}',
    }
    await tiktok.webhook(account, body)
    await tiktok.world.healthy(account, "disconnected")


async def test_an_account_that_is_removed_says_so_and_comes_back(channel: Channel) -> None:
    account = await channel.account()
    await channel.world.remove(account)
    await channel.world.healthy(account, "removed")
    await channel.world.apply(account.record)
    await eventually(lambda: channel.world.health.of(account.id)[-1].data["health"] == "connected")
