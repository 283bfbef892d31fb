"""Row 1, of files: a command reads its own workspace's only; all others are as if they were not there."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contract import ids
from tests.channels import goldens
from tests.e2e.providers import NAMES, Person
from tests.e2e.world import WORKSPACE, image
from tests.requirements.inside import Channel, Inside

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHERS = "ws_other"
# The key of a file that is there, and ways to write it that a store, a file system or a URL may read as the same.
WAYS = (
    "{key}",
    "/{key}",
    "./{key}",
    f"{WORKSPACE}/../{{key}}",
    f"{WORKSPACE}/x/../../{{key}}",
    f"{WORKSPACE}//{{key}}",
    f"{WORKSPACE}/%2e%2e/{{key}}",
    f"{WORKSPACE}/%2E%2E%2F{{key}}",
    f"{WORKSPACE}/%252e%252e/{{key}}",
    f"{WORKSPACE}\\..\\{{key}}",
    f"{WORKSPACE}/..\\{{key}}",
    f"{WORKSPACE}/\x00/../{{key}}",
    "{directory}/{key}",
    "file://{directory}/{key}",
)


def _content(blob: str) -> dict[str, Any]:
    return {"kind": "media", "attachments": [{"blob": blob, "kind": "image", "filename": "a.jpg"}]}


async def _refusals(channel: Channel, person: Person, content: dict[str, Any]) -> list[dict[str, Any]]:
    """What delivery says of a command, and what preflight does."""
    asked = await channel.ask(person, content=content)
    assert asked["accepted"] is False, asked
    return [await channel.refused(person, content=content), asked["refused"]]


async def _missing(channel: Channel, person: Person) -> dict[str, Any]:
    """The refusal of a file of our own that is not there."""
    said, asked = await _refusals(channel, person, _content(f"{WORKSPACE}/not/there"))
    assert said == asked
    assert said["code"] == "file_unavailable"
    return said


@pytest.mark.parametrize("prefix", [OTHERS, "raw-blob", f"fetched/{OTHERS}/wa_1", f"{WORKSPACE}x", "files"])
@pytest.mark.parametrize("name", NAMES)
async def test_what_belongs_to_others_is_not_there(name: str, prefix: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())
    missing = await _missing(channel, person)
    key = await inbox.blobs.put_content(prefix, image())
    for way in WAYS if prefix == OTHERS else ("{key}",):
        blob = way.format(key=key, directory=inbox.home / "blobs")
        assert await _refusals(channel, person, _content(blob)) == [missing, missing], way
    own = await inbox.blobs.put_content(f"{WORKSPACE}/files", image())
    command = await channel.command(person, content=_content(own))
    assert {status["state"] for status in await channel.statuses.end(command.id)} == {"sent"}
    assert len(channel.provider.got(person)) == 1


async def test_an_attachment_of_another_account_is_not_there(channel: Channel) -> None:
    account, neighbour = await channel.account(), await channel.account()
    person = await channel.person(account)
    attachment = ids.attachment_id("message", 0)
    theirs = ids.blob_key(WORKSPACE, neighbour.id, attachment)
    ours = ids.blob_key(WORKSPACE, account.id, attachment)
    await _put(channel, theirs)
    for asked in (attachment, f"../../{neighbour.id}/{attachment[:2]}/{attachment}", f"/../../{OTHERS}/x", ".."):
        content = {"kind": "media", "attachments": [{"attachment_id": asked, "kind": "image"}]}
        for refusal in await _refusals(channel, person, content):
            assert refusal["code"] == "file_unavailable"
    await _put(channel, ours)
    content = {"kind": "media", "attachments": [{"attachment_id": attachment, "kind": "image"}]}
    command = await channel.command(person, content=content)
    assert {status["state"] for status in await channel.statuses.end(command.id)} == {"sent"}


async def test_an_edit_reads_no_other_files_either(telegram: Channel) -> None:
    person = await telegram.person(await telegram.account())
    own = await telegram.world.blobs.put_content(f"{WORKSPACE}/files", image())
    theirs = await telegram.world.blobs.put_content(OTHERS, image())
    command = await telegram.command(person, content=_content(own))
    (status,) = await telegram.statuses.end(command.id)
    edit = {"message_id": status["message_id"], "content": _content(theirs)}
    refusal = await telegram.refused(person, "message.edit", **edit)
    assert refusal["code"] == "file_unavailable"
    another = await telegram.world.blobs.put_content(f"{WORKSPACE}/files", image())
    edit = {"message_id": status["message_id"], "content": _content(another)}
    edited = await telegram.command(person, "message.edit", **edit)
    (status,) = await telegram.statuses.end(edited.id)
    assert status["state"] == "done", status


async def _put(channel: Channel, key: str) -> None:
    content = image()

    async def chunks() -> Any:
        yield content

    await channel.world.blobs.put(key, chunks())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", [f"{OTHERS}/a", "raw-blob/a", f"fetched/{WORKSPACE}/x/a", f"{WORKSPACE}/../a", ".."])
async def test_the_command_line_says_the_same(name: str, key: str) -> None:
    data = {"workspace_id": WORKSPACE, "account_id": "a", "conversation_id": "x:a:1", "content": _content(key)}
    [line] = goldens.offline.plan(goldens.channel(name), {"type": "message.send", "data": data})
    assert (line["refused"]["code"], line["refused"]["field"]) == ("file_unavailable", "content.attachments.0")
