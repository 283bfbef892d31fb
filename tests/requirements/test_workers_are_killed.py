"""Worker processes are killed while files are converted: every file still goes out, once and in its order."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.topics import SENT
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel, Inside
from tests.shared.media import samples

pytestmark = pytest.mark.asyncio(loop_scope="session")
FILES = 50


def _workers() -> list[int]:
    """Worker processes of this one."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"shared.workers.worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


async def _killing(kills: list[int]) -> None:
    """Eight times: on a busy machine no worker would ever come to anything if it went on."""
    for _ in range(8):
        await asyncio.sleep(0.8)
        for pid in _workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)


async def _content(channel: Channel) -> dict[str, object]:
    files = []
    for number in range(FILES):
        bmp = samples.picture("BMP", samples.drawing((200 + number, 150)))
        blob = await channel.world.blobs.put_content(f"{WORKSPACE}/killed", bmp)
        files.append({"blob": blob, "filename": f"{number:02}.bmp", "kind": "image"})
    return {"kind": "media", "attachments": files}


@pytest.mark.parametrize("name", ["whatsapp", "telegram"])
async def test_all_fifty_go_out_in_order_and_once(name: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())
    kills: list[int] = []
    killer = asyncio.create_task(_killing(kills))
    try:
        command = await channel.command(person, content=await _content(channel))
        statuses = await channel.statuses.end(command.id)
    finally:
        killer.cancel()
    assert [status["part"]["index"] for status in statuses] == list(range(FILES)), statuses[0]
    assert {status["state"] for status in statuses} <= SENT
    names = [file.filename for call in channel.asked(person.account) for file in call.files.values()]
    expected = "jpg" if name == "whatsapp" else "bmp"
    assert names == [f"{number:02}.{expected}" for number in range(FILES)]
    assert [got.id for got in channel.provider.got(person)] == [status["provider_message_id"] for status in statuses]
    assert kills
