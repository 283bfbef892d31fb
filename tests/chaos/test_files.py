"""Service and workers are killed while a message of fifty files is converted and sent."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.channels import goldens
from tests.chaos.conftest import Measured
from tests.e2e.providers import NAMES
from tests.e2e.replicas import Replica
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import WORKSPACE, World
from tests.shared.media import samples

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

FILES = 50
AFTER = (3, 21, 38)  # parts that have been told when the service dies
ALBUM = 10  # parts of the largest call


def _workers(replica: Replica) -> list[int]:
    """Worker processes of a replica."""
    assert replica._child is not None
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == replica._child.pid and b"shared.workers.worker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


async def _killing_workers(replica: Replica, killed: list[int], chance: random.Random) -> None:
    """One at a time, eight times in all: on a busy machine no worker would ever come to anything if it went on."""
    while len(killed) < 8:
        await asyncio.sleep(chance.uniform(0.3, 1.0))
        if replica.running and (workers := _workers(replica)):
            with suppress(ProcessLookupError):
                os.kill(victim := chance.choice(workers), signal.SIGKILL)
                killed.append(victim)


@pytest.mark.parametrize("world", ["tansu"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
async def test_a_message_of_fifty_files_is_killed_on_its_way(world: World, name: str, measured: Measured) -> None:
    """kill -9 of the service after some parts, and of workers at any time: nothing lost, nothing twice, in order."""
    channel = await world.channel(name, 1, TIKTOK_WINDOW_PROFILE="documented")
    if name == "tiktok":
        channel.provider.sim.options.window_messages = 1_000_000  # type: ignore[attr-defined]
    person = await channel.person(await channel.account())
    most = min(FILES, goldens.channel(name).capabilities.files_per_message)
    files: list[dict[str, Any]] = []
    for number in range(most):
        content = samples.picture("WEBP", samples.drawing((200 + number, 150)))
        blob = await world.blobs.put_content(f"{WORKSPACE}/killed", content)
        files.append({"blob": blob, "filename": f"{number:02}.webp", "kind": "image"})
    replica, killed, chance = channel.service.replicas[0], [], random.Random(name)
    killer = asyncio.create_task(_killing_workers(replica, killed, chance))
    command = await channel.command(person, content={"kind": "media", "attachments": files})
    deaths = 0
    try:
        for told in AFTER:
            await _told(channel, command.id, min(told, most - 1))
            await channel.service.kill(replica)
            deaths += 1
            await channel.service.bring_back(replica)
        statuses = await eventually(lambda: channel.statuses.ended(command.id), 300, every=0.1, what="the end")
    finally:
        killer.cancel()
    doubtful = [status for status in statuses if status["state"] == "uncertain"]
    got = [one.id for one in channel.provider.got(person)]
    ids = [status.get("provider_message_id") for status in statuses]
    measured(kills=deaths, workers_killed=len(killed), parts=len(statuses), uncertain=len(doubtful), arrived=len(got))
    assert {status["state"] for status in statuses} <= SENT | {"uncertain"}, statuses
    assert [status["part"]["index"] for status in statuses] == list(range(len(statuses)))
    assert len(doubtful) <= deaths * ALBUM
    assert len(statuses) - len(doubtful) <= len(got) <= len(statuses)
    known = [message for message in ids if message is not None]
    assert [message for message in got if message in set(known)] == known
    assert len(set(got)) == len(got)
    assert channel.provider.bad_requests() == []


async def _told(channel: Any, command_id: str, count: int) -> None:
    """So many parts have been told of, or all there are: a mail is one."""

    def enough() -> bool:
        parts = {status["part"]["index"] for status in channel.statuses.by_command[command_id]}
        return len(parts) >= count or channel.statuses.ended(command_id) is not None

    await eventually(enough, 120, every=0.01, what=lambda: channel.statuses.by_command[command_id])
