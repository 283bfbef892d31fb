"""Row 2: messages of contacts we block arrive flagged, or not at all and counted, as the account's policy says."""

from __future__ import annotations

import pytest

from tests.e2e.providers import Connected, Person, Said, conversation_of
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
MESSAGES = 40


async def _account_that_blocks(channel: Channel, policy: str) -> Connected:
    """An account with a person 1 who has written once and is then blocked."""
    account = await channel.account(blocked_policy=policy)
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 100)))
    await channel.events(account, 1)
    person = Person(account, None, conversation_of(channel.provider, account, 1))
    await channel.command(person, "contact.block")
    await channel.state.one(person.conversation_id, lambda seen: seen.data["blocked"])
    return account


async def test_with_flag_all_of_them_arrive_flagged(channel: Channel) -> None:
    account = await _account_that_blocks(channel, "flag")
    for number in range(MESSAGES):
        await channel.webhook(account, channel.provider.wrote(account, Said(1, 200 + number, f"again {number}")))
    before, *events = await channel.events(account, 1 + MESSAGES)
    assert not before.data["contact_blocked"]
    assert [seen.text for seen in events] == [f"again {number}" for number in range(MESSAGES)]
    assert all(seen.data["contact_blocked"] for seen in events)


async def test_with_drop_none_arrives_and_all_are_counted(channel: Channel) -> None:
    account = await _account_that_blocks(channel, "drop")
    dropped = await channel.service.metric("connector_blocked_dropped_total", channel=channel.name)
    for number in range(MESSAGES):
        await channel.webhook(account, channel.provider.wrote(account, Said(1, 200 + number, f"again {number}")))
    await channel.webhook(account, channel.provider.wrote(account, Said(2, 300, "somebody else")))
    await channel.inbound.one(conversation_of(channel.provider, account, 2), lambda seen: True)
    await channel.metric_reaches("connector_blocked_dropped_total", dropped + MESSAGES)
    assert [seen.text for seen in channel.of(account)] == ["hello", "somebody else"]
