"""Row 14: what an account can do, and how it is, is on its topics before an agent has to choose."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from shared.contract.capabilities import CapabilityRecord
from shared.contract.state import ConversationState
from tests.e2e.providers import Said, conversation_of
from tests.e2e.topics import Seen
from tests.requirements.inside import Channel, opened

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


def sends_a_second(rate: float) -> Callable[[Seen], bool]:
    return lambda seen: bool(seen.data["capabilities"]["rates"]["account"]["per_second"] == rate)


async def test_the_rate_that_meta_gives_a_number_is_told_when_it_is_asked_for() -> None:
    async with opened() as world:
        whatsapp = await world.channel("whatsapp", DELIVER_PROBE_EVERY="0.1")
        account = await whatsapp.account(paced=True)
        await world.capabilities.one(account.id, sends_a_second(80), SECONDS)
        number = whatsapp.provider.sim.world.numbers[account.handle]
        number.throughput = 1000.0
        await world.capabilities.one(account.id, sends_a_second(1000), SECONDS)
        number.coexistence = True
        await world.capabilities.one(account.id, sends_a_second(20), SECONDS)


async def test_the_rate_that_meta_gives_a_number_is_told_when_meta_says_so() -> None:
    """The webhook names the business account of two numbers, and one of them as it is shown."""
    async with opened() as world:
        whatsapp = await world.channel("whatsapp", DELIVER_PROBE_EVERY="3600")
        raised, same = [
            await whatsapp.account(paced=True, parent_id="waba-7", settings={"phone_number": shown})
            for shown in ("+1 555 010 0001", "+1 555 010 0002")
        ]
        for account in (raised, same):
            await world.capabilities.one(account.id, sends_a_second(80), SECONDS)
        value = {"display_phone_number": "15550100001", "event": "THROUGHPUT_UPGRADE"}
        change = {"field": "phone_number_quality_update", "value": value}
        entry = {"id": "waba-7", "time": 1795341600, "changes": [change]}
        await whatsapp.webhook(raised, {"object": "whatsapp_business_account", "entry": [entry]})
        await world.capabilities.one(raised.id, sends_a_second(1000), SECONDS)
        assert len(world.capabilities.of(same.id)) == 1
        assert [seen.type for seen in whatsapp.of(raised)] == ["account.notice"]
        assert whatsapp.of(same) == []


async def test_a_removed_account_has_no_capabilities(channel: Channel) -> None:
    account = await channel.account()
    await channel.world.capabilities.event(account.id, "account.capabilities", SECONDS)
    await channel.world.remove(account)
    await channel.world.capabilities.one(account.id, lambda seen: seen.record.value is None, SECONDS)


async def test_a_conversation_says_what_it_would_take(channel: Channel) -> None:
    account = await channel.account()
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 100)))
    told = await channel.state.one(conversation_of(channel.provider, account, 1), lambda seen: True, SECONDS)
    state = ConversationState.model_validate(told.data)
    assert state.allowed.text
    assert state.allowed.media
    assert state.allowed.template == (channel.name == "whatsapp")
    assert state.allowed.reply_to == (channel.name != "tiktok")
    assert (state.reachable, state.blocked, state.opted_out) == (True, False, False)
