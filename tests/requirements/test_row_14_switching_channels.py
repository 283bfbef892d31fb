"""Row 14: what an account can do, and how it is, is on its topics before an agent has to choose."""

from __future__ import annotations

import time

import pytest

from shared.contract.capabilities import CapabilityRecord
from shared.contract.state import ConversationState
from tests.requirements.inside import Channel, opened
from tests.requirements.webhooks import BODY, Said, conversation_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECONDS = 5.0


async def test_a_new_accounts_capabilities_are_told(channel: Channel) -> None:
    account = await channel.account()
    told = await channel.world.capabilities.event(account.id, "account.capabilities", SECONDS, account_id=account.id)
    record = CapabilityRecord.model_validate(told.data)
    assert record.workspace_id == account.record.workspace_id
    assert record.capabilities.channel == channel.name
    assert record.content_hash == record.capabilities.content_hash


async def test_changed_capabilities_are_told_again() -> None:
    """The same log, served by a connector that has learned to quote."""
    async with opened() as world:
        tiktok = await world.channel("tiktok")
        account = await tiktok.account()
        before = await world.capabilities.event(account.id, "account.capabilities", SECONDS)
        assert before.data["capabilities"]["reply_to"] == "rejected"
        began = time.monotonic()
        await tiktok.service.add(TIKTOK_REPLY_REFERENCE="true")
        after = await world.capabilities.one(
            account.id, lambda seen: seen.data["content_hash"] != before.data["content_hash"], SECONDS
        )
        assert time.monotonic() - began < SECONDS
        assert after.data["capabilities"]["reply_to"] == "native"


async def test_a_removed_account_has_no_capabilities(channel: Channel) -> None:
    account = await channel.account()
    await channel.world.capabilities.event(account.id, "account.capabilities", SECONDS)
    await channel.world.remove(account)
    await channel.world.capabilities.one(account.id, lambda seen: seen.record.value is None, SECONDS)


async def test_a_conversation_says_what_it_would_take(channel: Channel) -> None:
    account = await channel.account()
    await channel.webhook(account, BODY[channel.name](account, Said(1, 100)))
    told = await channel.state.one(conversation_of(channel.name, account, 1), lambda seen: True, SECONDS)
    state = ConversationState.model_validate(told.data)
    assert state.allowed.text
    assert state.allowed.media
    assert state.allowed.template == (channel.name == "whatsapp")
    assert state.allowed.reply_to == (channel.name != "tiktok")
    assert (state.reachable, state.blocked, state.opted_out) == (True, False, False)
