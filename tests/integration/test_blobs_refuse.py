"""A blob store that refuses is one that is away; a key that no blob can have is a file that is not there."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from shared.media.blobs import Blobs
from shared.runtime.http import dependencies, server
from tests.e2e.providers import NAMES, Person
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import WORKSPACE, Command, image, number
from tests.requirements.inside import Channel, Inside, missing
from tests.shared.media.s3 import S3

pytestmark = pytest.mark.asyncio(loop_scope="module")
Everybody = dict[str, tuple[Channel, Person]]
Opened = tuple[Inside, S3, Everybody]
NO_KEYS = (
    "x" * 256,
    "/".join(["x" * 200] * 6),
    "nul\x00byte",
    "../../etc/passwd",
    "ws_test//a",
    "/etc/passwd",
    "ws_test/./a",
    "ws_test/",
    "line\nbreak",
    "back\\slash",
    "part#1",
    ".",
)


@asynccontextmanager
async def _opened(**settings: str) -> AsyncIterator[tuple[Inside, Everybody]]:
    """All channels in this process, and somebody on each who has written."""
    with tempfile.TemporaryDirectory(prefix="blobs-", ignore_cleanup_errors=True) as home:
        world = Inside(Path(home))
        try:
            await world.start()
            with _small_disk(world.home / "blobs"):
                everybody = {}
                for name in NAMES:
                    channel = await world.channel(name, **settings)
                    everybody[name] = channel, await channel.person(await channel.account())
                yield world, everybody
                await world.stop()
        finally:
            await world.stop()


@contextmanager
def _small_disk(where: Path) -> Iterator[None]:
    """A disk of two megabytes, where one can be mounted."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", where], capture_output=True)
    yield
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", where], check=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    """On a disk or on S3, one after the other: services of one process share metrics and log."""
    s3 = S3()
    await s3.start()
    with pytest.MonkeyPatch.context() as patch:
        settings = s3.environment() if request.param == "s3" else {}
        for name, value in settings.items():
            patch.setenv(name, value)
        async with _opened(**settings) as (world, everybody):
            yield world, s3, everybody
    await s3.stop()


on_disk = pytest.mark.parametrize("opened", ["disk"], indirect=True)
on_s3 = pytest.mark.parametrize("opened", ["s3"], indirect=True)
on_both = pytest.mark.parametrize("opened", ["disk", "s3"], indirect=True)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is away or back is looked for more often than usual."""
    monkeypatch.setattr(server, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(dependencies, "QUIET_SECONDS", 0.5)


# What S3 says where it says something: the answer to a HEAD has no body.
_REPLIES = {
    "denies": {"AccessDenied", "PermissionDeniedError"},
    "fails": {"ServiceUnavailable", "GenericError"},
    "away": {"GenericError", "OSError"},
    "hangs": {"no answer", "GenericError"},
}


@on_s3
@pytest.mark.parametrize("mode", _REPLIES)
async def test_nothing_ends_while_s3_refuses(opened: Opened, mode: str) -> None:
    _, s3, everybody = opened
    blob = await Blobs("s3://bucket/files").put_content(f"{WORKSPACE}/files", image())
    with capture_logs() as lines:
        async with s3.misbehaving(mode):
            commands = await _exchange_files(everybody, blob)
            for name, (channel, person) in everybody.items():
                await missing(channel, ["blobs"], 20)
                await eventually(lambda n=name: _last(lines, n) == "dependency_away", 10, what=name)
                assert await channel.service.metric("connector_dependency_up", channel=name, dependency="blobs") == 0
                assert channel.statuses.ended(commands[name][0].id) is None
                assert commands[name][1].text not in channel.texts(person)
        await _everything_came_once(everybody, commands)
        await _back(lines, everybody)
    assert {line["reply"] for line in lines if line["event"] == "dependency_away"} <= _REPLIES[mode] | {"no answer"}


@on_disk
async def test_nothing_ends_while_the_disk_is_full(opened: Opened) -> None:
    world, _, everybody = opened
    disk = world.home / "blobs"
    if not disk.is_mount():
        pytest.skip("only root can mount a small disk")
    blob = await world.blobs.put_content(f"{WORKSPACE}/files", image())
    with capture_logs() as lines:
        with suppress(OSError), (disk / "filler").open("wb", 0) as filler:
            while filler.write(b"x" * 4096):
                pass
        commands = await _exchange_files(everybody, blob)  # what is there can be read, and goes out
        for channel, _ in everybody.values():
            await missing(channel, ["blobs"], 20)
        (disk / "filler").unlink()
        await _everything_came_once(everybody, commands)
        await _back(lines, everybody)
    assert {line["reply"] for line in lines if line["event"] == "dependency_away"} == {"ENOSPC"}


@on_both
async def test_a_key_that_cannot_be_ends_its_command_and_nothing_else(opened: Opened) -> None:
    _, _, everybody = opened
    with capture_logs() as lines:
        for channel, person in everybody.values():
            others = await channel.people(person.account, 8)  # more than there are partitions
            refused = [await channel.command(person, **_with_file(key)) for key in NO_KEYS]
            behind = await channel.command(person, text=f"behind {number()}")
            beside = [await channel.command(other, text=f"beside {number()}") for other in others]
            for command in refused:
                (status,) = await channel.statuses.end(command.id)
                assert (status["state"], status["error"]["code"]) == ("rejected", "file_unavailable"), status
            for command in (behind, *beside):
                (status,) = await channel.statuses.end(command.id)
                assert status["state"] in SENT
                assert channel.texts(command.person).count(command.text) == 1
            assert channel.dead.all == []
            await missing(channel, [], 20)
    # A busy machine may miss a probe; no call has said anything against the store.
    assert {line["reply"] for line in lines if line["event"] == "dependency_away"} <= {"no answer"}


def _with_file(blob: str) -> dict[str, object]:
    return {"content": {"kind": "media", "attachments": [{"blob": blob, "kind": "image"}]}}


async def _exchange_files(everybody: Everybody, blob: str) -> dict[str, tuple[Command, Command]]:
    """On each channel a person sends a file, and an agent a file and a text behind it."""
    commands = {}
    for name, (channel, person) in everybody.items():
        await channel.provider.send_file(person.account, person.handle, "image", image(), "photo.jpg")
        first = await channel.command(person, **_with_file(blob))
        commands[name] = first, await channel.command(person, text=f"behind {number()}")
    return commands


async def _everything_came_once(everybody: Everybody, commands: dict[str, tuple[Command, Command]]) -> None:
    for name, (channel, person) in everybody.items():
        for command in commands[name]:
            (status,) = await channel.statuses.end(command.id, 30)
            assert status["state"] in SENT, status
        assert channel.texts(person).count(commands[name][1].text) == 1
        conversation = channel.inbound.by_key[person.conversation_id]
        announced = {a["attachment_id"] for s in conversation for a in s.data.get("content", {}).get("attachments", ())}

        def stored(seen=conversation, wanted=announced) -> bool:  # type: ignore[no-untyped-def]
            return {s.data["attachment"]["attachment_id"] for s in seen if s.type == "attachment.stored"} == wanted

        await eventually(stored, 60, what=f"files of {name}")
        assert not [seen for seen in conversation if seen.type == "attachment.failed"]
        assert channel.dead.all == []


async def _back(lines: list[dict[str, object]], everybody: Everybody) -> None:
    """Each service has said that its store is back, and of every outage both ends."""
    for name in everybody:
        said = [line for line in lines if line.get("dependency") == "blobs" and line["channel"] == name]
        await eventually(lambda n=name: _last(lines, n) == "dependency_back", 20, what=lambda said=said: said)
        said = [line for line in lines if line.get("dependency") == "blobs" and line["channel"] == name]
        assert len(said) == 2, said


def _last(lines: list[dict[str, object]], name: str) -> object:
    said = [line["event"] for line in lines if line.get("dependency") == "blobs" and line["channel"] == name]
    return said[-1] if said else None
