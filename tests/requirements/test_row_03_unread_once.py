"""Row 3: one provider message is one event, whoever posts it however often to whichever replica."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.providers import NAMES, Said, conversation_of
from tests.requirements.inside import Channel, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
REPLICAS = 3
POSTS = 100


@pytest.mark.parametrize("name", NAMES)
async def test_a_webhook_posted_a_hundred_times_to_three_replicas_is_one_message(name: str) -> None:
    async with opened() as world:
        channel = await world.channel(name, REPLICAS)
        account = await channel.account()
        body = channel.provider.wrote(account, Said(1, 100, "Is it open?"))
        await asyncio.gather(*(channel.webhook(account, body, post % REPLICAS) for post in range(POSTS)))
        await channel.webhook(account, channel.provider.wrote(account, Said(1, 101, "Hello?")))
        await channel.inbound.one(conversation_of(channel.provider, account, 1), lambda seen: seen.text == "Hello?")
        # Every post was accepted and kept; the store let one of them through, so nobody has to dedupe here.
        assert len(channel.raw.all) == POSTS + 1
        assert len([seen for seen in channel.inbound.all if seen.text == "Is it open?"]) == 1


@pytest.mark.parametrize("name", NAMES)
async def test_without_a_memory_a_repeat_has_the_same_ids(name: str) -> None:
    """What a consumer that dedupes by `ce_id` relies on."""
    async with opened() as world:
        channel = await world.channel(name)
        account = await channel.account()
        body = channel.provider.wrote(account, Said(1, 100, "Twice"))
        await channel.webhook(account, body)
        await channel.webhook(account, channel.provider.wrote(account, Said(1, 101, "Behind it")))
        await channel.events(account, 2)  # the first has been remembered by now
        await world.forget()
        await channel.webhook(account, body)
        first, second = [seen for seen in await channel.events(account, 3) if seen.text == "Twice"]
        assert first.id == second.id
        assert first.data["message_id"] == second.data["message_id"]


async def test_what_the_business_writes_elsewhere_does_not_count_as_unread(channel: Channel) -> None:
    account = await channel.account()
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 100, "From my phone", echo=True)))
    (echo,) = await channel.events(account, 1)
    assert (echo.type, echo.data["direction"], echo.data["origin"]) == ("message.echoed", "outbound", "native_app")
