"""Row 39: who has never written can be written to only where the channel allows it, and only as it allows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.providers import Person
from tests.e2e.providers.whatsapp import phone
from tests.requirements.inside import Channel, Inside

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _cold(channel: Channel, **fields: object) -> tuple[list[dict[str, Any]], int]:
    """A command to somebody who is known by a phone number only: its end, and how many calls it made."""
    account = await channel.account()
    if channel.name == "whatsapp":
        channel.provider.sim.add_customer(f"+{phone(int(account.id.partition('_')[2]))}", name="Cold")
    to = [{"kind": "phone", "value": f"+{phone(int(account.id.partition('_')[2]))}"}]
    command = await channel.command(Person(account, None, "none"), conversation_id=None, to=to, **fields)
    return await channel.statuses.end(command.id), len(channel.asked(account))


@pytest.mark.parametrize("name", ["telegram", "tiktok"])
async def test_a_bot_or_a_shop_cannot_begin(name: str, inbox: Inside) -> None:
    (status,), calls = await _cold(await inbox.channel(name), text="Hello, we are new here")
    assert (status["state"], status["error"]["code"], calls) == ("rejected", "cannot_initiate", 0)


async def test_on_whatsapp_free_text_cannot_begin(whatsapp: Channel) -> None:
    (status,), calls = await _cold(whatsapp, text="Hello, we are new here")
    assert (status["state"], status["error"]["code"], calls) == ("rejected", "cannot_initiate", 0)


async def test_on_whatsapp_a_template_begins(whatsapp: Channel) -> None:
    template = {"kind": "template", "name": "hello_world", "language": "en_US"}
    (status,), calls = await _cold(whatsapp, content=template)
    assert (status["state"], calls) == ("sent", 1)
    assert status["conversation_id"].startswith("whatsapp:")
    assert phone(1)[:5] not in status["conversation_id"]


async def test_a_contact_that_is_named_by_nothing_the_channel_knows(whatsapp: Channel) -> None:
    account = await whatsapp.account()
    command = await whatsapp.command(
        Person(account, None, "none"),
        conversation_id=None,
        to=[{"kind": "email", "value": "ida@example.com"}],
        content={"kind": "template", "name": "hello_world", "language": "en_US"},
    )
    (status,) = await whatsapp.statuses.end(command.id)
    assert (status["state"], status["error"]["code"]) == ("rejected", "recipient_unknown")
    assert whatsapp.asked(account) == []
