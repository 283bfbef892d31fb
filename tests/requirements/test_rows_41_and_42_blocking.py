"""Rows 41 and 42: blocking holds on ingest within seconds, at the provider where it can, and is undone as quickly."""

from __future__ import annotations

import time

import pytest

from shared.channel import Account, Call, Failure, Files, ProviderError, Receipt
from shared.contract.errors import ErrorCode
from tests.e2e.providers import Person
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECONDS = 5.0


async def _flags(channel: Channel, person: Person, text: str) -> bool:
    """Whether what the person writes now arrives flagged."""
    await channel.write(person, text)
    event = await channel.inbound.one(person.conversation_id, lambda seen: seen.text == text, SECONDS)
    return bool(event.data["contact_blocked"])


async def test_block_and_unblock_hold_at_once(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    for kind, blocked in (("contact.block", True), ("contact.unblock", False), ("contact.block", True)):
        began = time.monotonic()
        command = await channel.command(person, kind)
        (status,) = await channel.statuses.end(command.id)
        assert status["state"] == "done"
        if channel.name == "whatsapp" and blocked:
            break  # Meta itself lets nothing through any more: see below
        assert await _flags(channel, person, f"after {kind} {command.id}") is blocked
        assert time.monotonic() - began < SECONDS
    state = await channel.state.one(person.conversation_id, lambda seen: True)
    assert channel.state.of(person.conversation_id)[-1].data["blocked"]
    assert state.data["conversation_id"] == person.conversation_id


async def test_whatsapp_blocks_at_meta_too(whatsapp: Channel) -> None:
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    for kind, method in (("contact.block", "block_users"), ("contact.unblock", "unblock_users")):
        command = await whatsapp.command(person, kind)
        (status,) = await whatsapp.statuses.end(command.id)
        assert status["state"] == "done"
        assert whatsapp.asked(account)[-1].method == method
    assert await _flags(whatsapp, person, "I am back") is False


async def test_a_block_that_the_provider_refuses_holds_here(whatsapp: Channel) -> None:
    """Meta blocks only who has written within a day: it says so, and our own list is what counts."""
    person = await whatsapp.person(await whatsapp.account())

    async def refuses(call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        raise ProviderError(Failure(ErrorCode.CONTENT_REJECTED, provider_code="131047"))

    whatsapp.service.instead = refuses
    command = await whatsapp.command(person, "contact.block")
    (status,) = await whatsapp.statuses.end(command.id)
    assert (status["state"], status["error"]["provider_code"]) == ("failed", "131047")
    whatsapp.service.instead = None
    assert await _flags(whatsapp, person, "Still here") is True
