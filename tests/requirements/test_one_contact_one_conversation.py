"""Rows 4 and 37: one contact is one conversation, whatever names bring a webhook and whichever replica gets it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.contract import ids
from tests.e2e.providers import Connected, Person
from tests.e2e.providers.whatsapp import phone, user_id
from tests.requirements.inside import Channel, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
MARKETING = {"kind": "template", "name": "sale", "language": "en", "category": "MARKETING"}


def hook(account: Connected, field: str, **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550100099", "phone_number_id": account.handle}
    value |= {"messaging_product": "whatsapp", "metadata": metadata}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": field, "value": value}]}],
    }


def said(account: Connected, number: int, **author: str) -> dict[str, Any]:
    text = {
        "id": f"wamid.one{number}",
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": str(number)},
    }
    return hook(account, "messages", messages=[text | author])


async def test_names_at_three_replicas_and_a_stop_by_the_number() -> None:
    by_phone, by_id = {"from": phone(7)}, {"from_user_id": user_id(7)}
    async with opened() as world:
        channel: Channel = await world.channel("whatsapp", 3)
        account = await channel.account()
        await channel.webhook(account, said(account, 1, **by_phone), 0)
        await channel.events(account, 1)
        await channel.webhook(account, said(account, 2, **by_id), 1)
        await channel.events(account, 2)
        await channel.webhook(account, said(account, 3, **by_phone, **by_id), 2)
        before = await channel.events(account, 4)
        wish = {"wa_id": phone(7), "category": "marketing_messages", "value": "stop", "timestamp": int(time.time())}
        await channel.webhook(account, hook(account, "user_preferences", user_preferences=[wish]), 1)
        await channel.events(account, 5)
        await channel.webhook(account, said(account, 4, **by_id), 0)
        events = await channel.events(account, 6)

        first = ids.conversation_id("whatsapp", account.id, ids.personal_peer(phone(7)))
        second = ids.conversation_id("whatsapp", account.id, user_id(7))
        after = [seen for seen in events if seen.id not in {told.id for told in before[:2]}]
        assert {seen.data["conversation_id"] for seen in after} == {first}
        [merged] = [seen for seen in events if seen.type == "contact.updated" and "merged_from" in seen.data]
        assert merged.data["merged_from"] == second
        for conversation in (first, second):
            refused = await channel.refused(Person(account, phone(7), conversation), content=MARKETING)
            assert refused["code"] == "opted_out"
