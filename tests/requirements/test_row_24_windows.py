"""Row 24: a window's edge is refused without a call, with what is allowed instead; its state is told at once."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from shared.channel import Account, Call, Failure, Files, ProviderError, Receipt
from shared.contract.errors import ErrorCode
from tests.e2e.providers import Connected, Person, Said, conversation_of
from tests.requirements.inside import Channel, Inside, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
HOURS = 3600
DAY = 24 * HOURS
WINDOWS = {"whatsapp": DAY, "tiktok": 48 * HOURS}
GUARD = 60  # more than any channel takes off the end, so that what is accepted still arrives in time


async def _wrote(channel: Channel, account: Connected, ago: float, person: int = 1) -> Person:
    """Somebody who wrote so many seconds ago; the simulator knows of it."""
    said = Said(person, 1000 + person, at=time.time() - ago)
    await channel.webhook(account, channel.provider.wrote(account, said))
    conversation = conversation_of(channel.provider, account, person)
    await channel.state.one(conversation, lambda seen: seen.data["last_inbound_at"])
    return Person(account, None, conversation)


@pytest.mark.parametrize("name", WINDOWS)
async def test_one_second_after_the_end_free_text_is_refused_without_a_call(name: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    account = await channel.account()
    person = await _wrote(channel, account, WINDOWS[name] + 1)
    error = await channel.refused(person, text="Too late?")
    assert (error["code"], error["class"]) == ("window_closed", "window")
    expires = datetime.fromisoformat(error["expires_at"])
    assert timedelta(0) < datetime.now(expires.tzinfo) - expires < timedelta(seconds=GUARD + 10)
    assert error["allowed"] == (["template"] if name == "whatsapp" else [])
    assert error["remedy"]
    state = channel.state.of(person.conversation_id)[-1].data
    assert (state["window"]["open"], state["allowed"]["text"]) == (False, False)
    assert state["reasons"] == ["window_closed"]


@pytest.mark.parametrize("name", WINDOWS)
async def test_shortly_before_the_end_it_is_taken(name: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    account = await channel.account()
    person = await _wrote(channel, account, WINDOWS[name] - GUARD - 30)
    answer = await channel.ask(person, text="Just in time")
    assert answer["accepted"], answer
    state = channel.state.of(person.conversation_id)[-1].data
    assert (state["window"]["open"], state["allowed"]["text"]) == (True, True)


async def test_a_template_goes_out_when_the_window_is_closed(whatsapp: Channel) -> None:
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    late = Said(7, 7007, at=time.time() - 2 * DAY)
    await whatsapp.webhook(account, whatsapp.provider.wrote(account, late))
    stranger = Person(account, person.handle, conversation_of(whatsapp.provider, account, 7))
    await whatsapp.state.one(stranger.conversation_id, lambda seen: True)
    assert (await whatsapp.refused(stranger, text="hello"))["code"] == "window_closed"
    answer = await whatsapp.ask(stranger, content={"kind": "template", "name": "hello_world", "language": "en_US"})
    assert answer["accepted"], answer


async def test_telegram_has_no_window_but_in_business_chats(telegram: Channel) -> None:
    account = await telegram.account()
    old = Said(1, 1001, at=time.time() - 400 * DAY)
    await telegram.webhook(account, telegram.provider.wrote(account, old))
    person = Person(account, None, conversation_of(telegram.provider, account, 1))
    state = await telegram.state.one(person.conversation_id, lambda seen: True)
    assert "window" not in state.data
    assert (await telegram.ask(person, text="long time no see"))["accepted"]

    update = telegram.provider.wrote(account, Said(2, 1002, at=time.time() - DAY - 1))
    message = update.pop("message")
    await telegram.webhook(account, {**update, "business_message": {**message, "business_connection_id": "biz_1"}})
    business = Person(account, None, f"{conversation_of(telegram.provider, account, 2)}:business:biz_1")
    await telegram.state.one(business.conversation_id, lambda seen: True)
    assert (await telegram.refused(business, text="hello"))["code"] == "window_closed"


async def test_an_older_message_that_comes_late_closes_nothing(channel: Channel) -> None:
    account = await channel.account()
    now = time.time()
    for number, at in enumerate((now, now - 3 * DAY)):
        await channel.webhook(account, channel.provider.wrote(account, Said(1, 2000 + number, at=at)))
    await channel.events(account, 2)
    person = Person(account, None, conversation_of(channel.provider, account, 1))
    assert (await channel.ask(person, text="hello"))["accepted"]


async def test_the_window_is_told_within_a_second_of_what_opens_it(channel: Channel) -> None:
    account = await channel.account()
    for number in range(20):
        began = time.monotonic()
        await channel.webhook(account, channel.provider.wrote(account, Said(number, 3000 + number)))
        state = await channel.state.one(
            conversation_of(channel.provider, account, number), lambda seen: seen.data["last_inbound_at"], 1.0
        )
        assert time.monotonic() - began < 1.0
        if channel.name in WINDOWS:
            window = state.data["window"]
            opened_for = datetime.fromisoformat(window["expires_at"]) - datetime.fromisoformat(window["opened_at"])
            assert window["open"]
            assert 0 <= WINDOWS[channel.name] - opened_for.total_seconds() <= GUARD


@pytest.mark.parametrize("name", WINDOWS)
async def test_the_providers_refusal_closes_a_window_we_thought_open(name: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    account = await channel.account()
    person = await _wrote(channel, account, HOURS)

    async def closed(call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        raise ProviderError(Failure(ErrorCode.WINDOW_CLOSED))

    channel.service.instead = closed
    (status,) = await channel.sends(person, "hello")
    assert (status["state"], status["error"]["code"]) == ("failed", "window_closed")
    shut = await channel.state.one(person.conversation_id, lambda seen: seen.data["window"]["closed_by_provider"])
    assert (await channel.refused(person, text="again"))["code"] == "window_closed"
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 5000)))
    await channel.state.one(
        person.conversation_id, lambda seen: seen.data["window"]["open"] and seen.record.offset > shut.record.offset
    )
    assert (await channel.ask(person, text="once more"))["accepted"]


async def test_ten_messages_then_none_until_the_contact_writes() -> None:
    """TikTok's quota, with echoes counted."""
    async with opened() as world:
        tiktok = await world.channel("tiktok", TIKTOK_WINDOW_PROFILE="strict")
        account = await tiktok.account()
        person = await tiktok.person(account)
        for number in range(10):
            (status,) = await tiktok.sends(person, f"text {number}")
            assert status["state"] == "sent"
        error = await tiktok.refused(person, text="the eleventh")
        assert (error["code"], error["limit"], error["actual"]) == ("quota_exhausted", 10, 10)
        used_up = await tiktok.state.one(person.conversation_id, lambda seen: seen.data["window"]["quota_used"] == 10)
        assert not used_up.data["allowed"]["text"]
        assert used_up.data["reasons"] == ["quota_exhausted"]
        await tiktok.write(person, "More, please")
        await tiktok.state.one(
            person.conversation_id,
            lambda seen: seen.data["window"]["quota_used"] == 0 and seen.record.offset > used_up.record.offset,
        )
        (status,) = await tiktok.sends(person, "There you are")
        assert status["state"] == "sent"
