"""Row 5: a received file is ours from then on, whatever becomes of the provider's address for it."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pytest

from tests.e2e.providers import NAMES
from tests.e2e.world import image
from tests.requirements.inside import Inside, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
DAYS = 30 * 86_400
FILES = 5


@pytest.mark.parametrize("name", NAMES)
async def test_after_thirty_days_every_file_is_still_there(name: str) -> None:
    async with opened() as world:
        channel = await world.channel(name)
        person = await channel.person(await channel.account())
        contents = [image() for _ in range(FILES)]
        for content in contents:
            await channel.provider.send_file(person.account, person.handle, "image", content, "café.jpg")
        events = await channel.events(person.account, 2 + 2 * FILES)
        stored = [seen.data["attachment"] for seen in events if seen.type == "attachment.stored"]
        announced = [
            seen.data["content"]["attachments"][0]["blob"]
            for seen in events
            if seen.data.get("content", {}).get("attachments")
        ]
        channel.provider.sim.clock.advance(DAYS)
        assert sorted(a["blob"] for a in stored) == sorted(announced)
        kept = {hashlib.sha256(await world.blobs.read(a["blob"])).hexdigest(): a for a in stored}
        assert kept.keys() == {hashlib.sha256(content).hexdigest() for content in contents}
        for digest, attachment in kept.items():
            assert attachment["sha256"] == digest
            assert attachment["mime_type"] == "image/jpeg"
            assert attachment["size"] in {len(content) for content in contents}


async def test_the_type_is_what_the_bytes_say(inbox: Inside) -> None:
    """A PNG that is sent as image/jpeg is a PNG."""
    from PIL import Image

    channel = await inbox.channel("whatsapp")
    person = await channel.person(await channel.account())
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    await channel.provider.send_file(person.account, person.handle, "image", buffer.getvalue(), "photo.jpg")
    stored = (await channel.events(person.account, 4))[-1].data["attachment"]
    assert (stored["claimed_mime_type"], stored["mime_type"]) == ("image/jpeg", "image/png")
