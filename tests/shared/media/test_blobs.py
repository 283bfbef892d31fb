"""The blob store over a directory and over S3: streamed, whole or not at all, and an outage is one clear error."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from shared.channel import FileUnavailable
from shared.contract.commands import File
from shared.media.blobs import CHUNK, BlobMissing, Blobs, BlobsUnavailable, is_key
from shared.media.fetch import UrlFetcher
from shared.runtime.outbound.files import BlobFiles, NoFiles
from tests.shared.runtime.clock import Clock


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/b lobs")


async def chunks(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


async def content(blobs: Blobs, key: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.stream(key)])


async def test_what_is_put_can_be_read_in_every_way(blobs: Blobs) -> None:
    await blobs.put("a/b", chunks(b"one", b"", b"two" * CHUNK))
    whole = b"one" + b"two" * CHUNK
    assert await blobs.size("a/b") == len(whole)
    assert await blobs.read("a/b") == await content(blobs, "a/b") == whole
    assert await blobs.head("a/b", 5) == whole[:5]
    assert await blobs.head("a/b", 10**9) == whole


async def test_a_large_blob_comes_in_chunks(blobs: Blobs) -> None:
    await blobs.put("large", chunks(*[b"x" * CHUNK] * 8))
    sizes = [len(chunk) async for chunk in blobs.stream("large")]
    assert len(sizes) > 2
    assert sum(sizes) == 8 * CHUNK


async def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    await blobs.put("empty", chunks())
    assert await blobs.size("empty") == 0
    assert await blobs.head("empty", 10) == await blobs.read("empty") == await content(blobs, "empty") == b""


@pytest.mark.parametrize("error", [RuntimeError("broken"), OSError("reset"), BlobMissing()])
async def test_what_breaks_off_leaves_nothing_behind(blobs: Blobs, error: Exception) -> None:
    """The error of the source comes out as it is: it is not the store's."""
    with pytest.raises(type(error)) as raised:
        await blobs.put("part", chunks(b"x" * 3 * CHUNK, error))
    assert raised.value is error
    with pytest.raises(BlobMissing):
        await blobs.size("part")


async def test_a_blob_is_replaced_whole(blobs: Blobs) -> None:
    await blobs.put("k", chunks(b"first and long"))
    with pytest.raises(RuntimeError):
        await blobs.put("k", chunks(b"second", RuntimeError()))
    assert await blobs.read("k") == b"first and long"
    await blobs.put("k", chunks(b"second"))
    assert await blobs.read("k") == b"second"


async def test_content_is_kept_under_its_own_digest(blobs: Blobs) -> None:
    first, again = await blobs.put_content("raw", b"same"), await blobs.put_content("raw", b"same")
    assert first == again != await blobs.put_content("raw", b"other")
    assert await blobs.read(first) == b"same"


NO_KEYS = ("../outside", "/etc/passwd", "a//b", "a/../../b", "a/.", "a/", "", ".", "nul\x00byte", "line\nbreak", "a\\b")
NO_NAMES = ("x" * 241, "é" * 121, "/".join(["x" * 200] * 5), "part#1", "\ud800", "text\x7f")


@pytest.mark.parametrize("key", ["none", "a/none", *NO_KEYS, *NO_NAMES])
async def test_a_key_that_no_blob_has_or_can_have(blobs: Blobs, key: str) -> None:
    for asked in (blobs.size(key), blobs.read(key), blobs.head(key, 1), content(blobs, key)):
        with pytest.raises(BlobMissing):
            await asked


@pytest.mark.parametrize("key", ["a/directory", "a/file/below", "around", "around/x"])
async def test_a_key_that_only_the_file_system_knows_to_be_none(tmp_path: Path, key: str) -> None:
    told: list[str] = []
    blobs = Blobs(tmp_path.as_uri(), on_failure=told.append)
    (tmp_path / "a" / "directory").mkdir(parents=True)
    (tmp_path / "a" / "file").write_bytes(b"x")
    (tmp_path / "around").symlink_to("around")
    for asked in (blobs.size(key), blobs.read(key), blobs.head(key, 1), content(blobs, key)):
        with pytest.raises(BlobMissing):
            await asked
    assert not await blobs.exists(key)
    assert told == []


@pytest.mark.parametrize("key", ["ws_1/bot.1/att-ü😀 1", "x" * 240, "..a/b..", "%2e%2e/x", "a#b", "*?"])
async def test_odd_keys_that_a_blob_can_have(blobs: Blobs, key: str) -> None:
    assert is_key(key)
    await blobs.put(key, chunks(b"x"))
    assert await blobs.read(key) == b"x"


async def test_a_store_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    blobs = Blobs(f"file://{tmp_path}/store")
    assert await blobs.reachable()
    rmtree(tmp_path / "store")
    with pytest.raises(BlobsUnavailable):  # a directory that is gone has lost no file
        await blobs.size("k")
    with pytest.raises(BlobsUnavailable):
        await blobs.put("k", chunks(b"x"))
    assert not await blobs.reachable()
    assert not (tmp_path / "store").exists(), "what is written beside a volume that comes back is lost"
    (tmp_path / "store").write_text("a file stands where the directory was")
    with pytest.raises(BlobsUnavailable):
        await blobs.put("k", chunks(b"x"))
    with pytest.raises(BlobsUnavailable):
        await blobs.put_content("k", b"x")
    with pytest.raises(BlobsUnavailable):
        await blobs.read("k")
    assert not await blobs.reachable()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield where
    subprocess.run(["umount", where], check=True)


async def test_a_full_disk_is_an_outage_that_names_itself(disk: Path) -> None:
    told: list[str] = []
    blobs = Blobs(disk.as_uri(), on_failure=told.append)
    await blobs.put("kept", chunks(b"kept"))
    assert await blobs.reachable()
    with pytest.raises(BlobsUnavailable):
        await blobs.put("large", chunks(b"x" * 2_000_000))
    assert await blobs.reachable()  # what does not fit leaves nothing behind
    (disk / "filler").write_bytes(b"x" * (1_048_576 - 80 * 1024))
    with suppress(OSError), (disk / "rest").open("wb", 0) as rest:
        while rest.write(b"x" * 4096):
            pass
    blobs = Blobs(disk.as_uri(), on_failure=told.append)  # nothing proved yet
    assert not await blobs.reachable()
    with pytest.raises(BlobsUnavailable):
        await blobs.put_content("raw", b"x" * 5000)
    assert await blobs.read("kept") == b"kept"
    (disk / "filler").unlink()
    assert await blobs.reachable()
    assert await blobs.put_content("raw", b"x" * 5000)
    assert set(told) == {"ENOSPC"}


async def test_a_probe_writes_seldom_and_leaves_one_file(tmp_path: Path) -> None:
    clock = Clock()
    blobs = Blobs(tmp_path.as_uri(), clock=clock.read)
    written = set()
    for passed in (0.0, 5.0, 4.9, 0.2, 20.0):
        clock.advance(passed)
        assert await blobs.reachable()
        (probe,) = (tmp_path / ".probe").iterdir()
        written.add(probe.stat().st_mtime_ns)
    assert len(written) == 3


# ------------------------------------------------------------------------------------------------- S3


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Blobs]:
    """A bucket on a port of this machine, waited for a fifth of a second."""

    def at(port: int) -> Blobs:
        given = {
            "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "key",
            "AWS_REGION": "eu-central-1",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return Blobs("s3://bucket/prefix", patience=0.2)

    return at


async def test_a_store_that_never_answers_is_away(s3: Callable[[int], Blobs]) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # to the end of the connection
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server, asyncio.timeout(20):
        blobs = s3(server.sockets[0].getsockname()[1])
        calls: list[Coroutine[Any, Any, object]] = [
            blobs.put("k", chunks(b"small")),
            blobs.put("k", chunks(*[b"x" * CHUNK] * 60)),
            blobs.put_content("k", b"x"),
            blobs.size("k"),
            blobs.exists("k"),
            blobs.read("k"),
            blobs.head("k", 1),
            content(blobs, "k"),
        ]
        for call in calls:
            with pytest.raises(BlobsUnavailable):
                await call
        assert not await blobs.reachable()


@dataclass
class Bucket:
    """An S3 of one bucket, as far as uploads, reads and refusals go; `stalls` is how much of a blob it gives."""

    port: int = 0
    refuses: bool = False
    stalls: int | None = None
    parts: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(f"{request.method} {request.query_string.partition('=')[0]}".strip())
        if self.refuses:
            return web.Response(status=403)
        match request.method:
            case "PUT":
                self.parts.append(len(body))
                return web.Response(headers={"ETag": '"part"'})
            case "POST" if "uploads" in request.query:
                return web.Response(
                    text="<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
                )
            case "POST":
                return web.Response(
                    text="<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
                )
            case "GET" if self.stalls is not None:
                response = web.StreamResponse(headers={"Last-Modified": "Tue, 01 Jan 2030 00:00:00 GMT", "ETag": '"x"'})
                response.content_length = 2 * self.stalls
                await response.prepare(request)
                await response.write(b"x" * self.stalls)
                await self.over.wait()
        return web.Response(status=204 if request.method == "DELETE" else 404)


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    bucket, app = Bucket(), web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", bucket.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bucket.port = runner.addresses[0][1]
    yield bucket
    bucket.over.set()
    await runner.cleanup()


async def test_a_file_is_uploaded_in_parts_that_s3_takes(s3: Callable[[int], Blobs], bucket: Bucket) -> None:
    whole = 45 * CHUNK
    await s3(bucket.port).put("k", chunks(*[b"x" * CHUNK] * 45))
    assert sum(bucket.parts) == whole
    assert min(bucket.parts[:-1]) >= 5 * 1024 * 1024


async def test_an_upload_that_breaks_off_is_aborted(s3: Callable[[int], Blobs], bucket: Bucket) -> None:
    """Parts that nobody asks for are paid for all the same."""
    with pytest.raises(RuntimeError):
        await s3(bucket.port).put("k", chunks(*[b"x" * CHUNK] * 45, RuntimeError()))
    assert bucket.asked[-1] == "DELETE uploadId"


async def test_a_download_that_stalls_is_an_outage(s3: Callable[[int], Blobs], bucket: Bucket) -> None:
    bucket.stalls = CHUNK
    stream = s3(bucket.port).stream("k")
    assert len(await anext(stream)) == CHUNK
    with pytest.raises(BlobsUnavailable):
        await anext(stream)


async def test_a_store_that_forbids_is_away_and_shows_no_blob(s3: Callable[[int], Blobs], bucket: Bucket) -> None:
    """S3 says 403 of a key that is missing when the bucket may not be listed."""
    bucket.refuses = True
    blobs = s3(bucket.port)
    assert not await blobs.reachable()
    assert not await blobs.exists("k")
    with pytest.raises(BlobsUnavailable):
        await blobs.size("k")
    with pytest.raises(BlobsUnavailable):
        await blobs.put("k", chunks(b"x"))


# ------------------------------------------------------------------------------------------------- files of commands


async def test_a_file_is_opened_with_a_name_a_type_and_a_size(blobs: Blobs) -> None:
    await blobs.put("ws/a/1234", chunks(b"%PDF-1.7 ..."))
    opened = await BlobFiles(blobs, UrlFetcher()).open(File(blob="ws/a/1234"))
    assert (opened.filename, opened.mime_type, opened.size) == ("1234.pdf", "application/pdf", 12)
    assert b"".join([chunk async for chunk in opened.chunks]) == b"%PDF-1.7 ..."
    named_so = File(blob="ws/a/1234", filename="Übersicht März.pdf", mime_type="text/plain")
    named = await BlobFiles(blobs, UrlFetcher()).open(named_so)
    assert (named.filename, named.mime_type) == ("Übersicht März.pdf", "text/plain")


async def test_a_link_that_the_provider_could_not_follow_is_fetched_here(blobs: Blobs) -> None:
    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=b"\xff\xd8\xff\xe0 picture")

    app = web.Application()
    app.add_routes([web.get("/a", picture)])
    fetcher = UrlFetcher(allow_private=True)
    async with TestServer(app) as server:
        opened = await BlobFiles(blobs, fetcher).open(File(url=str(server.make_url("/a"))))
        assert (opened.mime_type, opened.size) == ("image/jpeg", 12)
        assert opened.filename.endswith(".jpg")
        assert b"".join([chunk async for chunk in opened.chunks]) == b"\xff\xd8\xff\xe0 picture"
        with pytest.raises(FileUnavailable):
            await BlobFiles(blobs, fetcher).open(File(url=str(server.make_url("/gone"))))
    await fetcher.close()


async def test_a_file_that_cannot_be_had(blobs: Blobs) -> None:
    for file in (File(blob="gone"), File(url="http://example.org/x")):
        with pytest.raises(FileUnavailable):
            await BlobFiles(blobs, UrlFetcher()).open(file)
    with pytest.raises(FileUnavailable):
        await NoFiles().open(File(blob="any"))
