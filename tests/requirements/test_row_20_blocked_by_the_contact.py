"""Row 20: that a contact has blocked us is known within seconds, by its notice or by a refusal, and told beforehand."""

from __future__ import annotations

import pytest

from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECONDS = 5.0


async def test_telegrams_notice(telegram: Channel) -> None:
    person = await telegram.person(await telegram.account())
    telegram.provider.sim.setup.block(person.account.handle, person.handle)
    blocked = await telegram.inbound.event(person.conversation_id, "contact.blocked", SECONDS)
    assert blocked.data["by"] == "contact"
    await telegram.state.one(person.conversation_id, lambda seen: not seen.data["reachable"], SECONDS)
    error = await telegram.refused(person, text="Are you there?")
    assert error["code"] == "recipient_blocked"
    telegram.provider.sim.setup.block(person.account.handle, person.handle, blocked=False)
    await telegram.inbound.event(person.conversation_id, "contact.unblocked", SECONDS)
    (status,) = await telegram.sends(person, "Welcome back")
    assert status["state"] == "sent"


async def test_a_refusal_says_it_too(telegram: Channel) -> None:
    """403, without any notice before."""
    person = await telegram.person(await telegram.account())
    where = {"method": "sendMessage", "chat": person.handle}
    telegram.provider.fail_sends(
        "error", status=403, description="Forbidden: bot was blocked by the user", count=1, where=where
    )
    (status,) = await telegram.sends(person, "hello")
    assert (status["state"], status["error"]["code"]) == ("failed", "recipient_blocked")
    blocked = await telegram.inbound.event(person.conversation_id, "contact.blocked", SECONDS)
    assert blocked.data["by"] == "contact"
    state = await telegram.state.one(person.conversation_id, lambda seen: not seen.data["reachable"], SECONDS)
    assert state.data["reasons"] == ["recipient_blocked"]
    assert not state.data["allowed"]["text"]
    await telegram.write(person, "I am back")
    await telegram.state.one(
        person.conversation_id,
        lambda seen: seen.data["reachable"] and seen.record.offset > state.record.offset,
        SECONDS,
    )
