"""Row 2: messages of contacts we block arrive flagged, or not at all and counted, as the account's policy says."""

from __future__ import annotations

import pytest

from tests.requirements.inside import Channel
from tests.requirements.webhooks import BODY, Said, conversation_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
MESSAGES = 40


async def _block(channel: Channel, policy: str) -> tuple[object, Said]:
    """Somebody who has written once and is then blocked, with what they said."""
    account = await channel.account(blocked_policy=policy)
    said = Said(1, 100)
    await channel.webhook(account, BODY[channel.name](account, said))
    await channel.events(account, 1)
    conversation = conversation_of(channel.name, account, 1)
    await channel.world.produce(
        channel.world.topics.outbound(channel.name),
        conversation,
        "contact.block",
        {
            "command_id": f"block-{account.id}",
            "workspace_id": account.record.workspace_id,
            "account_id": account.id,
            "conversation_id": conversation,
        },
    )
    await channel.state.one(conversation, lambda seen: seen.data["blocked"])
    return account, said


async def test_with_flag_all_of_them_arrive_flagged(channel: Channel) -> None:
    account, said = await _block(channel, "flag")
    for number in range(MESSAGES):
        await channel.webhook(account, BODY[channel.name](account, Said(1, 200 + number, f"again {number}")))
    before, *events = await channel.events(account, 1 + MESSAGES)
    assert not before.data["contact_blocked"]
    assert [seen.text for seen in events] == [f"again {number}" for number in range(MESSAGES)]
    assert all(seen.data["contact_blocked"] for seen in events)


async def test_with_drop_none_arrives_and_all_are_counted(channel: Channel) -> None:
    account, said = await _block(channel, "drop")
    dropped = await channel.service.metric("blocked_dropped_total", channel=channel.name)
    for number in range(MESSAGES):
        await channel.webhook(account, BODY[channel.name](account, Said(1, 200 + number, f"again {number}")))
    await channel.webhook(account, BODY[channel.name](account, Said(2, 300, "somebody else")))
    await channel.inbound.one(conversation_of(channel.name, account, 2), lambda seen: True)
    await channel.metric_reaches("blocked_dropped_total", dropped + MESSAGES)
    assert [seen.text for seen in channel.of(account)] == ["hello", "somebody else"]
