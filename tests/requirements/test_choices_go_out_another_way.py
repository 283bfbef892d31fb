"""What a channel has no buttons for goes out another way with a warning, or `strict` refuses it; and it answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.requirements.inside import Channel, Inside

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY = {"whatsapp": 5, "telegram": 101, "tiktok": 5}


def choice(count: int) -> dict[str, Any]:
    buttons = [[{"title": f"Size {n}", "id": f"size-{n}"}] for n in range(count)]
    return {"kind": "text", "text": "Which one?", "buttons": buttons}


@pytest.mark.parametrize("name", MANY)
async def test_too_many_buttons_arrive_and_strict_refuses_them(inbox: Inside, name: str) -> None:
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())
    command = await channel.command(person, content=choice(MANY[name]))
    (status,) = await channel.statuses.end(command.id)
    assert status["state"] == "sent", status
    warning = next(w for told in channel.statuses.by_command[command.id] for w in told["warnings"])
    assert warning["code"] == ("buttons_as_list" if name == "whatsapp" else "buttons_dropped")
    assert f"this message has {MANY[name]}." in warning["detail"]
    error = await channel.refused(person, content=choice(MANY[name]), degrade_policy="strict")
    assert (error["code"], error["actual"]) == ("content_rejected", MANY[name])
    assert error["detail"].endswith(f"this message has {MANY[name]}.")


async def test_a_row_that_was_a_button_answers_with_its_id(whatsapp: Channel) -> None:
    person = await whatsapp.person(await whatsapp.account())
    command = await whatsapp.command(person, content=choice(4))
    await whatsapp.statuses.end(command.id)
    shown = whatsapp.asked(person.account)[-1].params["interactive"]["action"]["sections"][0]["rows"]
    row = shown[2]
    number = whatsapp.provider.sim.world.number(person.account.handle)  # type: ignore[attr-defined]
    customers = whatsapp.provider.sim.customers  # type: ignore[attr-defined]
    customers.say(person.handle, "list_reply", number=number, **row)
    tapped = await whatsapp.inbound.event(person.conversation_id, "postback.received")
    assert tapped.data["content"]["payload"] == "size-2"


async def test_telegram_asks_for_a_number_and_hears_it(telegram: Channel) -> None:
    person = await telegram.person(await telegram.account())
    content = {"kind": "interactive", "interactive": "contact_request", "text": "May we call?", "button": "Yes"}
    command = await telegram.command(person, content=content)
    (status,) = await telegram.statuses.end(command.id)
    assert (status["state"], status["warnings"]) == ("sent", []), status
    markup = telegram.asked(person.account)[-1].params["reply_markup"]
    assert markup["keyboard"] == [[{"text": "Yes", "request_contact": True}]]
    contact = {"contact": {"phone_number": "4915112340077", "first_name": "Ida", "user_id": person.handle}}
    customer = telegram.provider.sim.customer  # type: ignore[attr-defined]
    customer.send(person.account.handle, person.handle, fields=contact)
    told = await telegram.inbound.event(person.conversation_id, "contact.updated", reason="phone_shared")
    assert {"kind": "phone", "value": "+4915112340077"} in told.data["added"]


async def test_what_nobody_reads_is_counted_by_kind(whatsapp: Channel) -> None:
    account = await whatsapp.account()

    async def counted() -> float:
        return await whatsapp.service.metric("connector_left_out_items_total", channel="whatsapp", kind="calls")

    before = await counted()
    call = {"id": "wacid.1", "from": "4915112340078", "event": "connect", "timestamp": "1795341600"}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": account.record.external_id},
        "calls": [call],
    }
    entry = {"id": "1", "changes": [{"field": "calls", "value": value}]}
    await whatsapp.webhook(account, {"object": "whatsapp_business_account", "entry": [entry]})
    async with asyncio.timeout(10):
        while await counted() != before + 1:
            await asyncio.sleep(0.01)
