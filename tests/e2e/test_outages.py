"""A provider that answers nothing useful: a queue waits in order, and all but what was in flight goes out later."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.conftest import REPLICAS
from tests.e2e.load import Load
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, World

PEOPLE, QUEUED = 5, 40
# Each replica finds it out by itself, by three answers. When the third comes, each of its conversations has had a call,
# and the two that were answered first may have gone on.
IN_DOUBT = PEOPLE + 2 * REPLICAS


@pytest.mark.timeout(120)
async def test_an_outage_ends_nothing_but_what_was_in_flight(channel: ChannelUnderTest, world: World) -> None:
    account = await channel.account()
    people = await channel.people(account, PEOPLE)
    neighbour = await channel.person(await channel.account())
    where = {"account": account.handle}
    channel.provider.fail_sends("error", status=503, html=True, where=where)
    load = Load(channel, people, messages=0, commands=QUEUED)
    await load.command()

    def is_held() -> bool:
        told = [channel.statuses.states(command_id) for command_id in load.command_ids]
        return sum("deferred" in states for states in told) >= QUEUED - IN_DOUBT

    await eventually(is_held, 60, what="that everything else waits")
    (unaffected,) = await channel.sends(neighbour, "Nobody waits for others")
    assert unaffected["state"] in SENT
    health = [seen.data for seen in world.health.of(account.id)]
    assert (health[-1]["health"], health[-1]["error"]["code"]) == ("degraded", "provider_unavailable")
    channel.provider.behave()
    await load.settled(60)
    result = load.result()
    assert (result.lost_out, result.duplicated_out, result.disordered_out, result.not_sent) == (0, 0, 0, Counter())
    assert result.uncertain <= (0 if channel.name == "tiktok" else IN_DOUBT), result
    await eventually(lambda: world.health.of(account.id)[-1].data["health"] == "connected", what="its health")
    assert channel.provider.bad_requests() == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("channel", ["telegram", "whatsapp"], indirect=True)
async def test_what_is_in_doubt_is_sent_again_on_request(channel: ChannelUnderTest) -> None:
    """Where nobody can be asked; TikTok can, so that nothing of it stays in doubt."""
    person = await channel.person(await channel.account())
    channel.provider.fail_sends("refuse", count=1, where={"account": person.account.handle})
    (status,) = await channel.sends(person, "Did it go out?")
    assert status["state"] == "uncertain"
    again = await channel.command(person, "message.resend", resend_command_id=status["command_id"])
    await eventually(lambda: channel.statuses.ended(again.id), what="the end of the resend")
    await eventually(lambda: channel.statuses.states(status["command_id"]) & SENT, what="the message")
    assert channel.texts(person) == ["Did it go out?"]
