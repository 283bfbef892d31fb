"""Row 8, of text: it becomes ten messages at most, or as many as its account allows; nothing goes out beyond that."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contract.capabilities import CapabilityRecord
from tests.channels import goldens
from tests.e2e.providers import NAMES
from tests.e2e.world import WORKSPACE, image
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")
PARTS = 10
DIVIDING = [name for name in NAMES if goldens.channel(name).capabilities.text.splits]  # a mail is one


def _limit(channel: Channel) -> int:
    return goldens.channel(channel.name).capabilities.text.max_length


def _sentence(channel: Channel, parts: int, length: int) -> str:
    per, label = _limit(channel), goldens.channel(channel.name).capabilities.label
    return (
        f"{label} takes at most {parts * per:,} characters in one message ({parts} parts of {per:,});"
        f" this text has {length:,}."
    )


def _words(length: int) -> str:
    return ("word " * (length // 5 + 1))[: length - 1] + "."


@pytest.mark.parametrize("channel", DIVIDING, indirect=True)
async def test_ten_parts_go_out_and_one_character_more_does_not(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    longest = PARTS * _limit(channel)
    beyond = {"kind": "text", "text": "x" * (longest + 1)}
    said, asked = await channel.refused(person, content=beyond), await channel.ask(person, content=beyond)
    assert said == asked["refused"]
    assert (said["code"], said["field"], said["limit"], said["actual"]) == (
        "text_too_long", "content.text", longest, longest + 1)  # fmt: skip
    assert said["detail"] == _sentence(channel, PARTS, longest + 1)
    [planned] = goldens.offline.plan(
        goldens.channel(channel.name), {"conversation_id": person.conversation_id, "content": beyond}
    )
    assert planned["refused"] == said
    command = await channel.command(person, text="y" * longest)
    statuses = await channel.statuses.end(command.id)
    assert [status["state"] for status in statuses] == ["sent"] * PARTS
    assert "".join(channel.texts(person)) == "y" * longest


@pytest.mark.parametrize("channel", DIVIDING, indirect=True)
async def test_a_text_that_fits_goes_out_however_its_paragraphs_lie(channel: Channel) -> None:
    """Ended at each paragraph, it would take eighteen messages."""
    person = await channel.person(await channel.account())
    text = "\n\n".join([_words(_limit(channel) * 53 // 100)] * 18)
    command = await channel.command(person, text=text)
    assert [status["state"] for status in await channel.statuses.end(command.id)] == ["sent"] * PARTS


@pytest.mark.parametrize("channel", DIVIDING, indirect=True)
async def test_a_caption_has_the_same_end(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    file = {"blob": await channel.world.blobs.put_content(f"{WORKSPACE}/files", image()), "kind": "image"}
    length = PARTS * _limit(channel) + 500
    refusal = await channel.refused(
        person, content={"kind": "media", "text": _words(length), "attachments": [{**file, "filename": "a.jpg"}]}
    )
    assert (refusal["code"], refusal["detail"]) == ("text_too_long", _sentence(channel, PARTS, length))


@pytest.mark.parametrize("channel", DIVIDING, indirect=True)
async def test_an_account_may_have_another_end(channel: Channel) -> None:
    account = await channel.account(settings={"max_text_parts": 3})
    person = await channel.person(account)
    told = (await channel.world.capabilities.event(account.id, "account.capabilities")).data
    assert CapabilityRecord.model_validate(told).capabilities.text.max_parts == 3
    content: dict[str, Any] = {"kind": "text", "text": "z" * (3 * _limit(channel) + 7)}
    refusal = await channel.refused(person, content=content)
    assert refusal["detail"] == _sentence(channel, 3, 3 * _limit(channel) + 7)
    command = await channel.command(person, text="z" * (3 * _limit(channel)))
    assert len(await channel.statuses.end(command.id)) == 3


@pytest.mark.parametrize("odd", [0, -1, 51, True, "12", 3.5, None])
async def test_a_setting_that_is_none_leaves_ten(whatsapp: Channel, odd: Any) -> None:
    account = await whatsapp.account(settings={"max_text_parts": odd})
    told = (await whatsapp.world.capabilities.event(account.id, "account.capabilities")).data
    assert CapabilityRecord.model_validate(told).capabilities.text.max_parts == PARTS
