"""An account that cannot send waits without failing, and nobody else waits with it."""

from __future__ import annotations

import time

import pytest

from tests.e2e.load import Load
from tests.e2e.providers import Connected
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, World, number

QUEUED = 20


@pytest.mark.timeout(120)
async def test_a_revoked_token_fails_nothing_and_all_is_sent_after_it_is_renewed(
    channel: ChannelUnderTest, world: World
) -> None:
    account = await channel.account()
    people = await channel.people(account, 5)
    neighbour = await channel.person(await channel.account())
    channel.provider.revoke(account)
    load = Load(channel, people, messages=0, commands=QUEUED)
    await load.command()

    def deferred() -> bool:
        return all("deferred" in channel.statuses.states(command_id) for command_id in load.command_ids)

    await eventually(deferred, what=lambda: [channel.statuses.states(command_id) for command_id in load.command_ids])
    assert load.ended() == 0
    await eventually(lambda: _health(world, account) == "reauth_required", what="the account's health")
    (unaffected,) = await channel.sends(neighbour, "Nobody waits for others")
    assert unaffected["state"] in SENT

    renewed = channel.provider.reauthorise(account)
    began = time.monotonic()
    await channel.change(account, renewed)
    await load.settled(60)
    assert time.monotonic() - began < 60
    load.result().assert_exact()
    await eventually(lambda: _health(world, account) == "connected", what="the account's health")


def _health(world: World, account: Connected) -> str | None:
    return next((seen.data["health"] for seen in reversed(world.health.of(account.id))), None)


@pytest.mark.timeout(120)
async def test_a_throttled_account_does_not_delay_another(channel: ChannelUnderTest, world: World) -> None:
    slow_rate = {"per_second": 1.0, "burst": 1.0}
    throttled = await channel.account(settings={"rates": {"account": slow_rate}})
    people = await channel.people(throttled, 5)
    free = await channel.person(await channel.account())
    load = Load(channel, people, messages=0, commands=20)
    await load.command()
    await eventually(lambda: load.ended() >= 1, what="the first of the throttled account")
    began = time.monotonic()
    for _ in range(5):
        (status,) = await channel.sends(free, f"At once {number()}")
        assert status["state"] in SENT
    took = time.monotonic() - began
    assert load.ended() < 20, "the throttled account was not throttled"
    assert took < 10, f"five sends of another account took {took:.1f} s"
    for command_id in load.command_ids:
        cancelled = people[load.command_ids.index(command_id) % len(people)]
        await channel.command(cancelled, "message.cancel", cancel_command_id=command_id)
