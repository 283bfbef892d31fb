"""Inbound files are told of with their measures and a picture, and without them rather than late."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import pytest
from PIL import Image

from shared.workers import Workers
from tests.shared.media import bombs, samples
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import MediaChannel
from tests.shared.runtime.test_media import changes, media, published
from tests.shared.runtime.world import World


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(MediaChannel())


async def stored(world: World, content: bytes) -> dict[str, Any]:
    record = await published(world, "f1")
    media(world)["f1"] = [content]
    await world.process.media.handle(record)
    ((name, attachment),) = await changes(world)
    assert name == "attachment.stored"
    return attachment


async def test_a_photo_has_its_measures_and_a_thumbnail_as_it_is_shown(world: World) -> None:
    attachment = await stored(world, samples.jpeg_with_exif())
    assert (attachment["width"], attachment["height"], attachment["mime_type"]) == (480, 640, "image/jpeg")
    assert attachment["thumbnail"].startswith(attachment["blob"])
    small = await world.blobs.read(attachment["thumbnail"])
    image = Image.open(io.BytesIO(small))
    assert image.format == "JPEG" and image.size == (384, 512) and not image.getexif()


async def test_a_video_has_its_duration_too(world: World) -> None:
    attachment = await stored(world, samples.mp4(rotation=90))
    assert (attachment["width"], attachment["height"]) == samples.SIZE[::-1]
    assert attachment["duration"] == pytest.approx(2.0, abs=0.1)
    assert attachment["thumbnail"]


async def test_sound_in_a_container_of_video_is_sound(world: World) -> None:
    assert (await stored(world, samples.CLIPS["webm opus"]()))["mime_type"] == "audio/webm"


async def test_a_claim_that_the_bytes_deny_is_said_and_not_believed(world: World) -> None:
    attachment = await stored(world, samples.picture("PNG"))
    assert attachment["mime_type"] == "image/png"
    assert attachment["claimed_mime_type"] not in (None, "image/png")


@pytest.mark.parametrize("name", ["half a jpeg", "png of 2,500 megapixels", "nothing but zeros"])
async def test_what_cannot_be_looked_at_is_stored_all_the_same(world: World, name: str) -> None:
    attachment = await stored(world, bombs.BOMBS[name]()[0][: 1024 * 1024])
    assert "thumbnail" not in attachment
    assert "error" not in attachment


async def test_nobody_waits_longer_than_two_and_a_half_seconds_for_a_preview(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object, **__: object) -> bytes:
        await asyncio.sleep(60)
        return b""

    monkeypatch.setattr(Workers, "run", busy)
    began = time.monotonic()
    attachment = await stored(world, samples.picture("JPEG"))
    assert time.monotonic() - began < 3.5
    assert "thumbnail" not in attachment
