"""Row 28, of what is no reference: a path, an address or a page of text in an id's place is refused before any call."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contract.commands import CommandType
from tests.channels import goldens
from tests.e2e.providers import NAMES
from tests.requirements.inside import Channel, Inside

pytestmark = pytest.mark.asyncio(loop_scope="session")

ODD = {
    "path": "../../me/accounts",
    "absolute": "/etc/passwd",
    "address": "https://169.254.169.254/latest/meta-data",
    "scheme": "attach://file0",
    "file": "file:///etc/passwd",
    "backslash": "..\\x",
    "query": "123?fields=access_token",
    "fragment": "123#x",
    "encoded": "123%2Fmessages",
    "blank": "12 34",
    "line": "1234\r\nX-Evil: 1",
    "end": "1234\n",
    "null": "1234\x00",
    "quote": '1"234',
    "other script": "１２３４",
    "long": "A" * 600,
}


def _everywhere(odd: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every place of a command that takes a reference: the field, the kind of command, its data."""
    media = {"kind": "media", "attachments": [{"provider_ref": odd, "kind": "image", "mime_type": "image/jpeg"}]}
    header = {"kind": "interactive", "text": "x", "header_file": {"provider_ref": odd, "kind": "image"},
              "buttons": [{"title": "Yes", "id": "y"}]}  # fmt: skip
    message = {"message_id": "6e7e6d6c-0000-5000-8000-000000000000", "provider_message_id": odd}
    return {
        "content.attachments.0.provider_ref": ("message.send", {"content": media}),
        "content.header_file.provider_ref": ("message.send", {"content": header}),
        "reply_to.provider_message_id": (
            "message.send", {"content": {"kind": "text", "text": "x"}, "reply_to": {"provider_message_id": odd}}
        ),
        "edit": ("message.edit", {**message, "content": {"kind": "text", "text": "x"}}),
        "delete": ("message.delete", message),
        "react": ("reaction.set", {**message, "emoji": "👍"}),
        "read": ("conversation.mark_read", message),
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_every_odd_id_is_refused_by_its_field(name: str) -> None:
    channel = goldens.channel(name)
    context = {"address": {"chat_id": "7001", "phone": "4915112345678", "conversation_id": "u5Jh=="}}
    for odd in ODD.values():
        for place, (kind, data) in _everywhere(odd).items():
            if kind in channel.capabilities.commands:
                document = {"conversation_id": f"{name}:a:7001", **data}
                [line] = goldens.offline.plan(channel, {"type": kind, "data": document, "context": context})
                field = place if "." in place else "provider_message_id"
                assert (line["refused"]["code"], line["refused"]["field"]) == ("invalid_command", field), (place, odd)
                assert odd not in line["refused"]["detail"]


@pytest.mark.parametrize("odd", ["path", "address"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_service_refuses_them_without_a_call(name: str, odd: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())
    commands = goldens.channel(name).capabilities.commands
    for place, (kind, data) in _everywhere(ODD[odd]).items():
        if kind not in commands:
            continue
        asked = (await channel.ask(person, kind, **data))["refused"]
        field = place if "." in place else "provider_message_id"
        assert (asked["code"], asked["field"]) == ("invalid_command", field), place
        said = await channel.refused(person, kind, **data)
        assert said == asked, place


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", NAMES)
async def test_the_command_line_says_it_of_conversations_too(name: str, odd: str) -> None:
    channel = goldens.channel(name)
    [line] = goldens.offline.plan(
        channel,
        {"account_id": "a", "conversation_id": f"{name}:a:{odd}", "content": {"kind": "text", "text": "x"}},
    )
    assert line["refused"]["code"] == "invalid_command", line
    assert line["refused"]["field"] == "conversation_id"


async def test_a_group_and_the_files_of_a_template_have_shapes_on_whatsapp(whatsapp: Channel) -> None:
    channel = goldens.channel("whatsapp")
    text = {"kind": "text", "text": "x"}
    for odd in ODD.values():
        [line] = goldens.offline.plan(channel, {"to": [{"kind": "group", "value": odd}], "content": text})
        assert (line["refused"]["code"], line["refused"]["field"]) == ("invalid_command", "to.0.value")
        parameter = {"type": "image", "image": {"id": odd}}
        template = {"kind": "template", "name": "n", "language": "en",
                    "components": [{"type": "header", "parameters": [parameter]}]}  # fmt: skip
        [line] = goldens.offline.plan(channel, {"conversation_id": "whatsapp:a:SE.1", "content": template})
        field = "content.components.0.parameters.0.image.id"
        assert (line["refused"]["code"], line["refused"]["field"]) == ("invalid_command", field)


async def test_every_shape_says_where_it_was_read() -> None:
    for name in NAMES:
        shapes = __import__(f"services.{name}.shapes", fromlist=["SHAPES"]).SHAPES
        assert all(shape.source and shape.checked >= "2026-11-27" for shape in shapes)
    assert CommandType.MESSAGE_EDIT in goldens.channel("telegram").capabilities.commands
