"""Row 8: 20 MiB passes where the channel takes as much, one byte more is refused before a byte is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from shared.contract.capabilities import Grade
from shared.contract.content import AttachmentKind
from shared.media.blobs import Blobs
from tests.channels import goldens
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel
from tests.shared.media.samples import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")
PRODUCT = 20 * 1024 * 1024
HEADS = {"image/jpeg": picture("JPEG"), "application/pdf": b"%PDF-1.7\n"}
DAMAGED = HEADS | {"image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF"}


def _file(channel: Channel, size: int, mime_type: str, heads: Mapping[str, bytes] = HEADS) -> str:
    """A file of this size in the blob store; its key. Sparse: nothing of it is written."""
    key = f"{WORKSPACE}/sizes/{mime_type.replace('/', '-')}-{size}"
    path = Path(channel.world.home) / "blobs" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(heads[mime_type])
    os.truncate(path, size)
    return key


def _largest(channel: Channel) -> tuple[AttachmentKind, str, int]:
    """The kind of file of which the channel takes the most, a type of it, and how much that is."""
    files = goldens.channel(channel.name).capabilities.files
    document = files[AttachmentKind.DOCUMENT]
    kind = AttachmentKind.IMAGE if document.grade is Grade.REJECTED else AttachmentKind.DOCUMENT
    mime_type = "image/jpeg" if kind is AttachmentKind.IMAGE else "application/pdf"
    return kind, mime_type, min(PRODUCT, files[kind].max_bytes)


async def _send(
    channel: Channel, size: int, heads: Mapping[str, bytes] = HEADS
) -> tuple[list[dict[str, Any]], int, int]:
    """What became of a file of this size: its statuses, the provider calls, how often its bytes were opened."""
    kind, mime_type, _ = _largest(channel)
    person = await channel.person(await channel.account())
    file = {"blob": _file(channel, size, mime_type, heads), "kind": kind, "filename": "file"}
    with mock.patch.object(Blobs, "stream", autospec=True, side_effect=Blobs.stream) as opened:
        command = await channel.command(person, content={"kind": "media", "attachments": [file]})
        statuses = await channel.statuses.end(command.id)
    return statuses, len(channel.asked(person.account)), opened.call_count


async def test_the_limit_itself_passes(channel: Channel) -> None:
    (status,), calls, opened = await _send(channel, _largest(channel)[2])
    assert status["state"] == "sent", status
    assert calls == 1
    assert opened >= 1


async def test_one_byte_more_is_refused_and_never_sent(channel: Channel) -> None:
    """A document is not even read; a picture is, because it might be recompressed: this one is damaged."""
    limit = _largest(channel)[2]
    (status,), calls, opened = await _send(channel, limit + 1, DAMAGED)
    assert (status["state"], calls) == ("rejected", 0)
    assert opened == (1 if channel.name == "tiktok" else 0)
    error = status["error"]
    assert (error["code"], error["limit"], error["actual"]) == ("file_too_large", limit, limit + 1)
    assert error["field"] == "content.attachments.0"


async def test_the_products_limit_holds_on_every_channel(channel: Channel) -> None:
    (status,), calls, opened = await _send(channel, PRODUCT + 1)
    assert (status["state"], status["error"]["code"], calls, opened) == ("rejected", "file_too_large", 0, 0)
    assert status["error"]["actual"] == PRODUCT + 1


async def test_a_size_that_the_command_tells_is_enough(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    file = {"url": "https://files.example/huge.bin", "size": PRODUCT + 1}
    error = await channel.refused(person, content={"kind": "media", "attachments": [file]})
    assert (error["code"], error["limit"], error["actual"]) == ("file_too_large", PRODUCT, PRODUCT + 1)
