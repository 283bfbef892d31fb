"""Blobs on a real S3 server: parts, ranges, signed addresses, refusals; and files of an inbox by their addresses."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from unittest import mock

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from sandbox.broker import HOST, free_port
from shared.media.blobs import CHUNK, BlobMissing, Blobs, BlobsUnavailable
from shared.media.processing import Processor
from shared.runtime.http.blobs import BlobAddresses
from shared.workers import Workers
from tests.integration.seaweed import program, seaweed
from tests.shared.media import samples

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(program() is None, reason="no S3 server is installed"),
]
MINUTE = timedelta(seconds=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    async with seaweed(tmp_path_factory.mktemp("s3")) as environment:
        yield dict(environment)


@pytest.fixture
def blobs(settings: dict[str, str]) -> Blobs:
    with mock.patch.dict(os.environ, settings):
        return Blobs(settings["BLOB_URL"])


@pytest_asyncio.fixture(loop_scope="module")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def repeated(chunk: bytes, times: int, error: Exception | None = None) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield chunk
    if error is not None:
        raise error


async def test_a_large_file_goes_up_in_parts_and_comes_back_as_it_was(blobs: Blobs) -> None:
    chunk = os.urandom(CHUNK)
    await blobs.put("ws/large", repeated(chunk, 160))
    assert await blobs.size("ws/large") == 160 * CHUNK
    digest = hashlib.sha256()
    async for part in blobs.stream("ws/large"):
        digest.update(part)
    assert digest.hexdigest() == hashlib.sha256(chunk * 160).hexdigest()
    middle = b"".join([part async for part in blobs.stream("ws/large", range(CHUNK - 10, CHUNK + 10))])
    assert middle == chunk[-10:] + chunk[:10]


async def test_an_upload_that_breaks_off_leaves_nothing(blobs: Blobs) -> None:
    with pytest.raises(OSError, match="gone"):
        await blobs.put("ws/half", repeated(os.urandom(CHUNK), 60, OSError("gone")))
    with pytest.raises(BlobMissing):
        await blobs.stat("ws/half")


async def test_a_signed_address_is_good_for_one_file_and_for_a_moment(
    blobs: Blobs, session: aiohttp.ClientSession
) -> None:
    await blobs.put("ws/Übersicht März.pdf", repeated(b"%PDF-1.7\n", 100), content_type="application/pdf")
    address = await blobs.signed("ws/Übersicht März.pdf", MINUTE)
    assert address is not None
    url = aiohttp.client.URL(address, encoded=True)
    async with session.get(url) as answer:
        assert answer.status == 200 and await answer.read() == b"%PDF-1.7\n" * 100
        assert answer.content_type == "application/pdf"
    async with session.get(url, headers={"Range": "bytes=5-8"}) as answer:
        assert answer.status == 206 and await answer.read() == b"1.7\n"
    for wrong in (address.partition("?")[0], address[:-1] + ("0" if address[-1] != "0" else "1")):
        async with session.get(aiohttp.client.URL(wrong, encoded=True)) as answer:
            assert answer.status == 403
    short = await blobs.signed("ws/Übersicht März.pdf", timedelta(seconds=1))
    await asyncio.sleep(2.1)
    async with session.get(aiohttp.client.URL(short, encoded=True)) as answer:
        assert answer.status == 403


async def test_what_is_missing_and_who_is_wrong(blobs: Blobs, settings: dict[str, str]) -> None:
    for asked in (blobs.stat("ws/none"), blobs.read("ws/none"), blobs.head("ws/none", 1)):
        with pytest.raises(BlobMissing):
            await asked
    with mock.patch.dict(os.environ, {**settings, "AWS_SECRET_ACCESS_KEY": "wrong"}):
        stranger = Blobs(settings["BLOB_URL"])
    with pytest.raises(BlobsUnavailable):
        await stranger.put_small("ws/x", b"x", content_type="text/plain")
    assert await blobs.reachable()


async def test_files_are_looked_at_and_converted_there(blobs: Blobs) -> None:
    workers = Workers()
    processor = Processor(blobs, workers)
    await blobs.put_small("ws/a", samples.picture("BMP"), content_type="image/bmp")
    looked = await processor.look("ws/a", (await blobs.stat("ws/a")).version, "image/bmp")
    recipe = {"to": "image/jpeg", "limits": {"max_bytes": 5_000_000}}
    made = await processor.convert("ws/a", looked, recipe, "ws/converted")
    assert (await blobs.head(made.blob, 3)) == b"\xff\xd8\xff"
    assert await Processor(blobs, workers).convert("ws/a", looked, recipe, "ws/converted") == made
    await workers.close()


async def test_an_inbox_is_sent_to_the_store(blobs: Blobs, session: aiohttp.ClientSession) -> None:
    await blobs.put_small("ws/acc/photo", samples.picture("JPEG"), content_type="image/jpeg")
    app, port = web.Application(), free_port()
    app.add_routes(BlobAddresses(blobs).routes())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        address = f"http://{HOST}:{port}/v1/blobs/"
        async with session.get(address + "ws/acc/photo?workspace_id=ws") as answer:
            assert answer.status == 200
            assert answer.history[0].status == 302
            assert await answer.read() == samples.picture("JPEG")
        for key in ("ws/acc/none?workspace_id=ws", "ws/acc/photo?workspace_id=other", "ws/acc/photo"):
            async with session.get(address + key) as answer:
                assert answer.status == 404
    finally:
        await runner.cleanup()
