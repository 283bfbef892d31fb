"""Row 12: one command with text and files; the contact sees the names as they are, and the text where it belongs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
NAME = "Übersicht März.pdf"


async def test_a_name_arrives_byte_for_byte_on_whatsapp(whatsapp: Channel) -> None:
    sent = await _send(whatsapp)
    assert [message.body["document"]["filename"] for message in sent] == [NAME, NAME]
    assert [message.body["document"].get("caption") for message in sent] == ["Both at once", None]


async def test_a_name_arrives_byte_for_byte_on_telegram(telegram: Channel) -> None:
    sent = await _send(telegram)
    assert [message["document"]["file_name"] for message in sent] == [NAME, NAME]
    assert [message.get("caption") for message in sent] == ["Both at once", None]


async def _send(channel: Channel) -> list[Any]:
    person = await channel.person(await channel.account())
    files = [
        {
            "blob": await channel.world.blobs.put_content(f"{WORKSPACE}/names", b"%PDF-1.7 " + bytes([number])),
            "filename": NAME,
        }
        for number in b"12"
    ]
    command = await channel.command(person, content={"kind": "media", "text": "Both at once", "attachments": files})
    statuses = await channel.statuses.end(command.id)
    assert {status["state"] for status in statuses} == {"sent"}
    sim = channel.provider.sim
    if channel.name == "whatsapp":
        return [sent for sent in sim.sent(person.handle) if sent.via == "api"]
    conversation = sim.world.conversations[person.account.handle, person.handle, None]
    return [conversation.find(sent.message_id).wire for sent in conversation.sent]
