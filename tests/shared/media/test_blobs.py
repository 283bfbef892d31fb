"""The blob store over a directory: streamed, whole or not at all, and an outage is one clear error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.channel import FileUnavailable
from shared.contract.commands import File
from shared.media.blobs import CHUNK, BlobMissing, Blobs, BlobsUnavailable
from shared.runtime.files import BlobFiles, NoFiles


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


@pytest.mark.parametrize("key", ["none", "a/none", "../outside", "/etc/passwd", "a//b", "a/../../b", "nul\x00byte"])
async def test_a_key_that_no_blob_has_or_can_have(blobs: Blobs, key: str) -> None:
    for asked in (blobs.size(key), blobs.read(key), blobs.head(key, 1), content(blobs, key)):
        with pytest.raises(BlobMissing):
            await asked


async def test_a_store_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    blobs = Blobs(f"file://{tmp_path}/store")
    assert await blobs.reachable()
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("a file stands where the directory was")
    with pytest.raises(BlobsUnavailable):
        await blobs.put("k", chunks(b"x"))
    with pytest.raises(BlobsUnavailable):
        await blobs.put_content("k", b"x")


# ------------------------------------------------------------------------------------------------- files of commands


async def test_a_file_is_opened_with_a_name_a_type_and_a_size(blobs: Blobs) -> None:
    await blobs.put("ws/a/1234", chunks(b"%PDF-1.7 ..."))
    opened = await BlobFiles(blobs).open(File(blob="ws/a/1234"))
    assert (opened.filename, opened.mime_type, opened.size) == ("1234.pdf", "application/pdf", 12)
    assert b"".join([chunk async for chunk in opened.chunks]) == b"%PDF-1.7 ..."
    named = await BlobFiles(blobs).open(File(blob="ws/a/1234", filename="Übersicht März.pdf", mime_type="text/plain"))
    assert (named.filename, named.mime_type) == ("Übersicht März.pdf", "text/plain")


async def test_a_file_that_cannot_be_had(blobs: Blobs) -> None:
    for file in (File(blob="gone"), File(url="https://example.org/x")):
        with pytest.raises(FileUnavailable):
            await BlobFiles(blobs).open(file)
    with pytest.raises(FileUnavailable):
        await NoFiles().open(File(blob="any"))
