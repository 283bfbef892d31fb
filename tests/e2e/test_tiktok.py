"""What only TikTok does: rotating tokens, a quota, echoes from the app, reading up to a point."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.e2e.conftest import REPLICAS
from tests.e2e.load import Load
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, World, number


@pytest_asyncio.fixture(loop_scope="session")
async def tiktok(world: World) -> ChannelUnderTest:
    return await world.channel("tiktok", REPLICAS)


@pytest.mark.timeout(120)
async def test_fifty_sends_on_three_replicas_refresh_an_expired_token_once(
    tiktok: ChannelUnderTest, world: World
) -> None:
    account = await tiktok.account()
    people = await tiktok.people(account, 50)
    tokens = tiktok.provider.sim.platform.tokens
    refreshed = tokens.refreshes[account.handle]
    tokens.expire(account.handle)
    load = Load(tiktok, people, messages=0, commands=50)
    await load.command()
    await load.settled(60)
    load.result().assert_exact()
    assert tokens.refreshes[account.handle] == refreshed + 1


async def test_a_message_that_would_exceed_the_quota_is_refused_before_its_first_part(
    tiktok: ChannelUnderTest, world: World
) -> None:
    person = await tiktok.person(await tiktok.account())
    for index in range(9):
        (status,) = await tiktok.sends(person, f"{index}")
        assert status["state"] in SENT
    (refused,) = await tiktok.sends(person, "x" * 6_001)  # two parts, one is left
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "quota_exhausted")
    (tenth,) = await tiktok.sends(person, "the tenth")
    assert tenth["state"] in SENT
    (refused,) = await tiktok.sends(person, "the eleventh")
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "quota_exhausted")
    assert len(tiktok.texts(person)) == 10
    text = f"go on {number()}"
    await tiktok.write(person, text)
    await tiktok.inbound.one(person.conversation_id, lambda s: s.text == text)
    (status,) = await tiktok.sends(person, "again")
    assert status["state"] in SENT


async def test_what_the_owner_writes_in_the_app_uses_the_quota_up(tiktok: ChannelUnderTest, world: World) -> None:
    person = await tiktok.person(await tiktok.account())
    sim = tiktok.provider.sim
    thread = sim.platform.world.thread(person.account.handle, person.handle).conversation_id
    (ours,) = await tiktok.sends(person, "from the inbox")
    for index in range(9):
        await sim.people.owner_writes(thread, content={"body": f"by hand {index}"})
    await eventually(
        lambda: len(tiktok.inbound.of(person.conversation_id, "message.echoed")) == 9, what="nine echoes, not ten"
    )
    (refused,) = await tiktok.sends(person, "one too many")
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "quota_exhausted")
    state = tiktok.state.of(person.conversation_id)[-1]
    assert state.data["window"]["quota_used"] == 10
    echoes = tiktok.inbound.of(person.conversation_id, "message.echoed")
    assert ours["message_id"] not in {echo.data["message_id"] for echo in echoes}


async def test_reading_up_to_a_point_reads_every_message_before_it(tiktok: ChannelUnderTest, world: World) -> None:
    person = await tiktok.person(await tiktok.account())
    sim = tiktok.provider.sim
    commands = [await tiktok.command(person, text=f"{index}") for index in range(3)]
    for command in commands:
        await tiktok.statuses.end(command.id)
    await sim.people.reads(sim.platform.world.thread(person.account.handle, person.handle).conversation_id)
    for command in commands:
        await tiktok.statuses.state(command.id, "read")


async def test_a_reaction_of_a_person(tiktok: ChannelUnderTest, world: World) -> None:
    person = await tiktok.person(await tiktok.account())
    sim = tiktok.provider.sim
    thread = sim.platform.world.thread(person.account.handle, person.handle).conversation_id
    (status,) = await tiktok.sends(person, "Good?")
    await sim.people.reacts(thread, status["provider_message_id"], emoji="👍")
    reaction = await tiktok.inbound.event(person.conversation_id, "reaction.changed")
    assert (reaction.data["action"], reaction.data["emoji"]) == ("added", "👍")
    assert reaction.data["message_id"] == status["message_id"]
