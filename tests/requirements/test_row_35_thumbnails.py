"""Row 35: a picture of a received file is there with the file, in time for the notification."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image

from tests.e2e.providers import NAMES
from tests.requirements.inside import Inside, opened
from tests.shared.media import samples

pytestmark = pytest.mark.asyncio(loop_scope="session")
PHOTO = (1600, 1200)


@pytest.mark.parametrize("name", NAMES)
async def test_a_photo_has_a_thumbnail_in_time(name: str) -> None:
    """The first of a process has to start a worker: five are sent, and the one in the middle is what counts."""
    async with opened() as world:
        channel = await world.channel(name)
        person = await channel.person(await channel.account())
        took = []
        for number in range(5):
            began = time.monotonic()
            photo = samples.jpeg_with_exif((PHOTO[0] + number, PHOTO[1]))
            await channel.provider.send_file(person.account, person.handle, "image", photo, "photo.jpg")
            events = await channel.events(person.account, 2 + 2 * (number + 1))
            took.append(time.monotonic() - began)
            stored = [seen.data["attachment"] for seen in events if seen.type == "attachment.stored"][-1]
            assert (stored["width"], stored["height"]) == (PHOTO[1], PHOTO[0] + number)
            small = await world.blobs.read(stored["thumbnail"])
            assert len(small) <= 100_000
            image = Image.open(io.BytesIO(small))
            assert image.format == "JPEG" and 384 <= max(image.size) <= 512 and not image.getexif()
        assert sorted(took)[2] <= 3.0


async def test_a_voice_message_has_its_waveform_and_a_video_its_picture(inbox: Inside) -> None:
    channel = await inbox.channel("whatsapp")
    person = await channel.person(await channel.account())
    voice, video = samples.CLIPS["ogg opus mono"](), samples.mp4()
    await channel.provider.send_file(person.account, person.handle, "voice_note", voice, "voice.ogg")
    await channel.provider.send_file(person.account, person.handle, "video", video, "clip.mp4")
    events = await channel.events(person.account, 6)
    stored = {s.data["attachment"]["kind"]: s.data["attachment"] for s in events if s.type == "attachment.stored"}
    assert len(stored["voice"]["waveform"]) == 64 and stored["voice"]["duration"] == pytest.approx(2.0, abs=0.1)
    assert stored["video"]["thumbnail"] and stored["video"]["width"] == samples.SIZE[0]
