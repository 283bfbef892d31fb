"""Rows 15 to 17: typing is shown by whoever types, as each channel can, at no cost to a message, and never leaks."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest
import pytest_asyncio

from shared.channel import Account, Call, Failure, Files, ProviderError, Receipt
from shared.contract.capabilities import Grade
from shared.contract.errors import ErrorCode
from tests.channels import goldens
from tests.e2e.providers import NAMES, Person
from tests.e2e.topics import eventually
from tests.requirements.inside import Channel, Inside

# What one `typing.start` makes of each channel: the call, and what it marks as read beside.
CALLS = {
    "telegram": ("sendChatAction", {"action": "typing"}),
    "tiktok": ("business/message/send", {"message_type": "SENDER_ACTION", "sender_action": "TYPING"}),
    "whatsapp": ("messages", {"status": "read", "typing_indicator": {"type": "text"}}),
}
P95_SECONDS = 0.3
pytestmark = pytest.mark.asyncio(loop_scope="session")
# Mail shows nobody typing; that it says so is in its goldens.
SHOW_TYPING = [name for name in NAMES if goldens.channel(name).capabilities.typing.grade is Grade.NATIVE]


@pytest_asyncio.fixture(loop_scope="session", params=SHOW_TYPING)
async def channel(request: pytest.FixtureRequest, inbox: Inside) -> Channel:
    """Each channel that shows typing, in turn."""
    return await inbox.channel(request.param)


async def _person(channel: Channel) -> Person:
    return await channel.person(await channel.account())


@pytest.mark.parametrize("actor", ["human", "ai_agent"])
async def test_the_contact_sees_a_person_or_a_program_type(channel: Channel, actor: str) -> None:
    person = await _person(channel)
    await channel.command(person, "typing.start", actor={"kind": actor, "id": "x"})
    await eventually(lambda: channel.asked(person.account))
    (call,) = channel.asked(person.account)
    assert call.parts == 0
    if channel.name in CALLS:
        method, params = CALLS[channel.name]
        assert call.method == method
        assert params.items() <= dict(call.params).items()
    await eventually(lambda: channel.provider.shows_typing(person))


async def test_many_keystrokes_are_one_call_per_interval(channel: Channel) -> None:
    person = await _person(channel)
    began = time.monotonic()
    for _ in range(100):
        await channel.command(person, "typing.start")
    (status,) = await channel.sends(person, "done")
    assert time.monotonic() - began < 4.0, "too slow to tell: another interval has begun"
    assert status["state"] == "sent"
    typed = [call for call in channel.asked(person.account) if not call.parts]
    assert len(typed) == 1


async def test_a_command_becomes_a_call_within_three_tenths_of_a_second(channel: Channel) -> None:
    account = await channel.account()
    people = await channel.people(account, 40)
    waits = []
    for person in people:
        before, began = len(channel.service.asked), time.monotonic()
        await channel.command(person, "typing.start")
        await eventually(lambda before=before: len(channel.service.asked) > before, 5, every=0.001)
        waits.append(channel.service.asked[before].at - began)
    assert statistics.quantiles(waits, n=20)[-1] <= P95_SECONDS, waits


async def test_an_old_command_is_dropped_and_counted(channel: Channel) -> None:
    person = await _person(channel)
    before = await channel.service.metric("connector_typing_dropped_total", channel=channel.name, reason="stale")
    await channel.queued(5.5, person, "typing.start")
    await eventually_metric(channel, before + 1)
    (status,) = await channel.sends(person, "hello")
    assert status["state"] == "sent"
    assert all(call.parts for call in channel.asked(person.account))


async def eventually_metric(channel: Channel, value: float) -> None:
    async with asyncio.timeout(20):
        while (
            await channel.service.metric("connector_typing_dropped_total", channel=channel.name, reason="stale") < value
        ):
            await asyncio.sleep(0.01)


async def test_typing_that_fails_or_hangs_holds_no_message_up(channel: Channel) -> None:
    person = await _person(channel)
    started = asyncio.Event()

    async def bad_at_typing(call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        if call.parts:
            return Receipt((f"sent-{person.conversation_id[-8:]}",))
        if not started.is_set():
            started.set()
            await asyncio.sleep(60)  # longer than this test waits for anything
        raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE))

    channel.service.instead = bad_at_typing
    await channel.command(person, "typing.start")
    await started.wait()
    began = time.monotonic()
    (status,) = await channel.sends(person, "hello")
    assert status["state"] == "sent"
    assert time.monotonic() - began < 1.0


async def test_stop_and_typing_among_agents_ask_nothing(channel: Channel) -> None:
    person = await _person(channel)
    await channel.command(person, "typing.start", audience="agents")
    await channel.command(person, "typing.stop", audience="agents")
    await channel.command(person, "typing.stop")
    (status,) = await channel.sends(person, "hello")
    assert status["state"] == "sent"
    assert [call.parts for call in channel.asked(person.account)] == [1]


async def test_whatsapp_needs_something_to_hang_typing_on(whatsapp: Channel) -> None:
    """Its indicator belongs to a received message: without one there is no call, and no error."""
    account = await whatsapp.account()
    stranger = Person(account, None, f"whatsapp:{account.id}:DE.000000000099")
    before = await whatsapp.service.metric("connector_typing_dropped_total", channel="whatsapp", reason="no_inbound")
    await whatsapp.command(stranger, "typing.start")
    async with asyncio.timeout(20):
        while (
            await whatsapp.service.metric("connector_typing_dropped_total", channel="whatsapp", reason="no_inbound")
            == before
        ):
            await asyncio.sleep(0.01)
    assert whatsapp.asked(account) == []


async def test_the_capabilities_say_how_typing_goes(channel: Channel) -> None:
    account = await channel.account()
    told = await channel.world.capabilities.event(account.id, "account.capabilities", 5)
    typing = told.data["capabilities"]["typing"]
    assert typing["grade"] == "native"
    assert typing["marks_read"] == (channel.name == "whatsapp")
    if typing.get("refresh_every") is not None:  # shown without a gap, and not asked for twice while it shows
        assert typing["lasts"] / 2 < typing["refresh_every"] < typing["lasts"]
    else:
        assert channel.name == "whatsapp"
