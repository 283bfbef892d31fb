"""Rows 28 and 29: quotes point at our messages both ways, and cost a message nothing where they cannot."""

from __future__ import annotations

import asyncio

import pytest

from shared.channel import Account, Call, Failure, Files, ProviderError, Receipt
from shared.contract import ids
from shared.contract.errors import ErrorCode
from tests.e2e.providers import Person, Said, conversation_of
from tests.requirements.inside import Channel, Inside, Perform

pytestmark = pytest.mark.asyncio(loop_scope="session")
QUOTES = 100
NOBODYS = "3fa85f64-5717-5562-b3fc-2c963f66afa6"


async def test_a_quote_of_what_passed_through_us_resolves_to_our_message(channel: Channel) -> None:
    account = await channel.account()
    first = [Said(number % 10, 1000 + number, f"question {number}") for number in range(QUOTES)]
    for said in first:
        await channel.webhook(account, channel.provider.wrote(account, said))
    asked = {seen.text: seen.data["message_id"] for seen in await channel.events(account, QUOTES)}
    for said in first:
        answer = Said(said.person, said.id + QUOTES, f"re {said.text}", reply_to=said.id)
        await channel.webhook(account, channel.provider.wrote(account, answer))
    answers = [seen for seen in await channel.events(account, 2 * QUOTES) if seen.text.startswith("re ")]
    assert len(answers) == QUOTES
    resolved = [seen for seen in answers if seen.data["reply_to"]["resolved"]]
    assert len(resolved) >= 0.99 * QUOTES
    assert all(seen.data["reply_to"]["message_id"] == asked[seen.text.removeprefix("re ")] for seen in resolved)


async def test_a_quote_of_our_own_message_resolves_to_it(channel: Channel) -> None:
    account = await channel.account()
    said = Said(1, 1000)
    await channel.webhook(account, channel.provider.wrote(account, said))
    await channel.events(account, 1)
    channel.service.instead = _taken(channel, 5000)
    person = Person(account, None, conversation_of(channel.provider, account, 1))
    (status,) = await channel.sends(person, "Yes, it is open")
    assert status["state"] == "sent"
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 1001, "Thanks", reply_to=5000)))
    reply = (await channel.events(account, 2))[-1].data["reply_to"]
    assert reply["resolved"]
    assert reply["message_id"] == status["message_id"]


def _taken(channel: Channel, number: int) -> Perform:
    """A provider that takes everything, under ids of ours."""

    async def perform(call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        name = channel.provider.message_id(number)
        chat = call.params.get("chat_id")
        return Receipt((name,), (f"{chat}:{number}",) if channel.name == "telegram" else ())

    return perform


async def test_a_quote_of_something_else_keeps_the_providers_id(channel: Channel) -> None:
    account = await channel.account()
    await channel.webhook(account, channel.provider.wrote(account, Said(1, 1001, "About that", reply_to=1)))
    reply = (await channel.events(account, 1))[0].data["reply_to"]
    assert not reply["resolved"]
    assert reply["provider_message_id"] == channel.provider.message_id(1)


async def test_a_reply_quotes_where_the_channel_can_and_warns_where_not(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    question = await channel.write(person, "Is it open?")
    event = await channel.inbound.one(person.conversation_id, lambda seen: seen.text == "Is it open?")
    (status,) = await channel.sends(person, "It is", reply_to={"message_id": event.data["message_id"]})
    assert status["state"] == "sent"
    assert channel.texts(person) == ["It is"]
    warnings = [warning["code"] for warning in status["warnings"]]
    if channel.name == "tiktok":
        assert warnings == ["reply_to_unsupported"]
    else:
        assert warnings == []
        assert channel.provider.got(person)[-1].reply_to == question


async def test_under_strict_a_channel_without_replies_refuses(tiktok: Channel) -> None:
    person = await tiktok.person(await tiktok.account())
    await tiktok.write(person, "Is it open?")
    event = await tiktok.inbound.one(person.conversation_id, lambda seen: seen.text == "Is it open?")
    target = {"message_id": event.data["message_id"]}
    error = await tiktok.refused(person, text="It is", reply_to=target, reply_policy="strict")
    assert error["code"] == "unsupported_by_channel"


async def test_an_unknown_target_costs_the_quote_and_under_strict_the_message(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    target = {"message_id": NOBODYS}
    command = await channel.command(person, text="hello", reply_to=target)
    (status,) = await channel.statuses.end(command.id)
    assert status["state"] == "sent"
    told = [warning["code"] for status in channel.statuses.by_command[command.id] for warning in status["warnings"]]
    assert set(told) & {"reply_to_dropped", "reply_to_unsupported"}
    error = await channel.refused(person, text="hello", reply_to=target, reply_policy="strict")
    assert error["code"] in ("reply_target_unknown", "unsupported_by_channel")


@pytest.mark.parametrize("name", ["telegram", "whatsapp"])  # TikTok is asked what became of the target
async def test_a_reply_to_what_may_never_have_been_sent_is_refused(name: str, inbox: Inside) -> None:
    """Row 29: the provider has given the target no id."""
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())

    async def silent(call: Call, account: Account, files: Files, correlation: str | None) -> Receipt:
        raise ProviderError(Failure(ErrorCode.UNCERTAIN, certain=False))

    channel.service.instead = silent
    command = await channel.command(person, text="Did you get this?")
    (status,) = await channel.statuses.end(command.id)
    assert status["state"] == "uncertain"
    channel.service.instead = None
    target = {"message_id": ids.part_message_id(command.id, 0)}
    assert status["message_id"] == target["message_id"]
    error = await channel.refused(person, text="Forget it", reply_to=target)
    assert (error["code"], error["field"]) == ("reply_target_pending", "reply_to.message_id")


async def test_a_reply_waits_behind_the_message_it_answers(channel: Channel) -> None:
    """Row 29: queued in one conversation, the target is sent first; then it can be quoted."""
    slow = {"pair": {"per_second": 4.0, "burst": 1}, "account": None, "group": None, "app": None}
    account = await channel.account(paced=True, settings={"rates": slow})
    person = await channel.person(account)
    await channel.sends(person, "one")
    first = await channel.command(person, text="two")
    target = {"message_id": ids.part_message_id(first.id, 0)}
    second = await channel.command(person, text="three", reply_to=target)
    for end in await asyncio.gather(channel.statuses.end(first.id), channel.statuses.end(second.id)):
        assert [status["state"] for status in end] == ["sent"]
    got = channel.provider.got(person)
    assert [g.text for g in got] == ["one", "two", "three"]
    if channel.name != "tiktok":
        assert got[-1].reply_to == got[1].id
