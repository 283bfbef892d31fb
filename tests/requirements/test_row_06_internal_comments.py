"""Row 6: what is not for the contact, or not a command at all, never reaches the provider."""

from __future__ import annotations

import pytest

from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_internal_command_is_not_sendable(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    error = await channel.refused(person, text="Careful, he is angry.", visibility="internal")
    assert error["code"] == "not_sendable"
    assert "angry" not in str(error)


@pytest.mark.parametrize("kind", ["comment.add", "message.whisper", "note.create"])
async def test_an_unknown_type_is_refused(channel: Channel, kind: str) -> None:
    person = await channel.person(await channel.account())
    error = await channel.refused(person, kind, text="hello")
    assert error["code"] == "invalid_command"
    assert error["field"] == "type"


async def test_an_internal_file_is_not_opened_either(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    content = {"kind": "media", "attachments": [{"blob": "nowhere/at/all", "kind": "image"}]}
    error = await channel.refused(person, content=content, visibility="internal")
    assert error["code"] == "not_sendable"
