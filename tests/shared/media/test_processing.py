"""Stored files, looked at and converted by worker processes: once each, within bounds, and remembered."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image

from shared.media import processing
from shared.media.blobs import BlobMissing, Blobs
from shared.media.facts import Unfit
from shared.media.processing import Looked, Processor
from shared.media.sniff import HEAD, sniff
from shared.workers import Workers
from tests.shared.media import bombs, samples

JPEG = {"to": "image/jpeg", "limits": {"max_bytes": 5_000_000}}
MP4 = {"to": "video/mp4", "limits": {"max_bytes": 16_000_000, "plain": True}}


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(quick=2)
    yield made
    await made.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs")


@pytest.fixture
def processor(blobs: Blobs, workers: Workers) -> Processor:
    return Processor(blobs, workers)


async def stored(blobs: Blobs, content: bytes) -> tuple[str, str]:
    """The key and the type."""
    return await blobs.put_content("ws", content), sniff(content[:HEAD]) or ""


async def looked(processor: Processor, blobs: Blobs, content: bytes) -> tuple[str, Looked]:
    key, mime_type = await stored(blobs, content)
    return key, await processor.look(key, (await blobs.stat(key)).version, mime_type)


async def test_a_file_is_looked_at_once_for_each_content(processor: Processor, blobs: Blobs) -> None:
    key, found = await looked(processor, blobs, samples.jpeg_with_exif())
    assert (found.facts.width, found.facts.height) == (480, 640)
    with mock.patch.object(Workers, "run", side_effect=AssertionError):
        version = (await blobs.stat(key)).version
        assert await processor.look(key, version, "image/jpeg") == found
        with pytest.raises(AssertionError):
            await processor.look(key, "another version", "image/jpeg")


async def test_a_file_is_converted_once_also_by_many_and_by_another_process(
    processor: Processor, blobs: Blobs, workers: Workers
) -> None:
    key, found = await looked(processor, blobs, samples.picture("BMP"))
    with mock.patch.object(Workers, "run", autospec=True, side_effect=Workers.run) as run:
        made = await asyncio.gather(*(processor.convert(key, found, JPEG, "ws/converted") for _ in range(20)))
        assert len(set(made)) == 1 and run.call_count == 1
    assert made[0].blob.startswith("ws/converted/")
    content = await blobs.read(made[0].blob)
    assert len(content) == made[0].size and Image.open(io.BytesIO(content)).format == "JPEG"
    with mock.patch.object(Workers, "run", side_effect=AssertionError):
        again = await Processor(blobs, workers).convert(key, found, JPEG, "ws/converted")
        assert again == made[0]
    other = await processor.convert(key, found, {**JPEG, "limits": {"max_bytes": 4_000_000}}, "ws/converted")
    assert other.blob != again.blob


async def test_what_cannot_be_converted_is_remembered(processor: Processor, blobs: Blobs, workers: Workers) -> None:
    key, found = await looked(processor, blobs, samples.picture("JPEG", samples.noise((1500, 1500)), quality=95))
    tiny = {"to": "image/jpeg", "limits": {"max_bytes": 10_000}}
    with pytest.raises(Unfit, match="too_large"):
        await processor.convert(key, found, tiny, "ws/converted")
    with mock.patch.object(Workers, "run", side_effect=AssertionError), pytest.raises(Unfit, match="too_large"):
        await Processor(blobs, workers).convert(key, found, tiny, "ws/converted")


async def test_a_preview_has_all_that_an_inbox_shows(processor: Processor, blobs: Blobs) -> None:
    for name, shown, sounds in (("mov h264 aac", True, False), ("ogg opus mono", False, True)):
        key, mime_type = await stored(blobs, samples.CLIPS[name]())
        preview = await processor.preview(key, mime_type, waveform=sounds, patience=5, deadline=5)
        assert preview.facts.duration == pytest.approx(2.0, abs=0.1)
        assert (preview.thumbnail is not None) is shown
        assert len(preview.waveform) == (64 if sounds else 0)


async def test_a_blob_that_is_gone_is_missing(processor: Processor) -> None:
    with pytest.raises(BlobMissing):
        await processor.look("ws/nothing", "1", "image/jpeg")


@pytest.mark.parametrize("name", bombs.BOMBS)
async def test_hostile_files_are_refused_in_bounded_time_and_cost_nobody_else_anything(
    name: str, processor: Processor, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deadline in ("LOOKING", "CONVERTING", "ENCODING"):
        monkeypatch.setattr(processing, deadline, 3.0)
    content, mime_type = bombs.BOMBS[name]()
    key = await blobs.put_content("ws", content)
    good, _ = await stored(blobs, samples.picture("JPEG"))
    began = time.monotonic()
    beside = asyncio.ensure_future(processor.look(good, "1", "image/jpeg"))
    with pytest.raises(Unfit):
        if mime_type == "application/pdf":
            await processor.preview(key, mime_type, waveform=False, patience=5, deadline=3)
        else:
            found = await processor.look(key, "1", mime_type)
            recipe = MP4 if mime_type.startswith(("video/", "image/gif")) else JPEG
            await processor.convert(key, found, recipe, "ws/converted")
    assert time.monotonic() - began < 10
    assert (await beside).facts.width == samples.SIZE[0]
    assert (await processor.look(good, "2", "image/jpeg")).facts.width == samples.SIZE[0]
