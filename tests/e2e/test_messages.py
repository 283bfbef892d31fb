"""A message from the provider to the topics, and a command from the topics to the provider, on every channel."""

from __future__ import annotations

from tests.e2e.world import ChannelUnderTest, World, image, number


async def test_a_text_becomes_one_event(world: World, channel: ChannelUnderTest) -> None:
    account = await channel.account()
    person = await channel.person(account)
    provider_id = await channel.write(person, f"Is it open? {number()}")
    event = await channel.inbound.one(person.conversation_id, lambda s: s.data["provider"]["message_id"] == provider_id)
    assert event.type == "message.received"
    assert event.data["account_id"] == account.id
    assert event.data["direction"] == "inbound"
    assert event.attributes["subject"] == event.key == person.conversation_id


async def test_a_text_goes_out_and_its_status_comes_back(world: World, channel: ChannelUnderTest) -> None:
    person = await channel.person(await channel.account())
    text = f"It is open {number()}"
    (status,) = await channel.sends(person, text)
    assert status["state"] == "sent"
    (got,) = channel.provider.got(person)
    assert got.text == text
    assert got.id == status["provider_message_id"]
