"""Worker processes are killed while files are converted: every file still goes out, once and in its order."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from shared.workers import pool
from tests.e2e.topics import SENT
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel, Inside
from tests.shared.media import samples

pytestmark = pytest.mark.asyncio(loop_scope="session")
FILES = 50
KILLS = 5


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """The files whose worker was killed when it had begun with them: five, and each once, for it is tried twice."""
    hand_over, files = pool._Worker._hand_over, set[bytes]()

    async def killing(worker: pool._Worker, job: bytes, payload: bytes) -> asyncio.StreamReader:
        answers = await hand_over(worker, job, payload)
        if len(files) < KILLS and payload not in files:
            files.add(payload)
            assert worker._process is not None
            os.kill(worker._process.pid, signal.SIGKILL)
        return answers

    monkeypatch.setattr(pool._Worker, "_hand_over", killing)
    return files


async def _content(channel: Channel) -> dict[str, object]:
    """Of a type that every channel wants converted."""
    files = []
    for number in range(FILES):
        heic = samples.picture("HEIF", samples.drawing((200 + number, 150)))
        blob = await channel.world.blobs.put_content(f"{WORKSPACE}/killed", heic)
        files.append({"blob": blob, "filename": f"{number:02}.heic", "kind": "image"})
    return {"kind": "media", "attachments": files}


@pytest.mark.parametrize("name", ["whatsapp", "telegram"])
async def test_all_fifty_go_out_in_order_and_once(name: str, inbox: Inside, killed: set[bytes]) -> None:
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())
    command = await channel.command(person, content=await _content(channel))
    statuses = await channel.statuses.end(command.id, 60)
    assert [status["part"]["index"] for status in statuses] == list(range(FILES)), statuses[0]
    assert {status["state"] for status in statuses} <= SENT
    names = [file.filename for call in channel.asked(person.account) for file in call.files.values()]
    assert names == [f"{number:02}.jpg" for number in range(FILES)]
    assert [got.id for got in channel.provider.got(person)] == [status["provider_message_id"] for status in statuses]
    assert len(killed) == KILLS
