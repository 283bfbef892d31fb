"""A contact's picture is a file of ours: it stays where the provider's address of it dies."""

from __future__ import annotations

import pytest

from tests.e2e.topics import eventually
from tests.e2e.world import image
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _update(channel: Channel, conversation_id: str) -> dict[str, object]:
    def told() -> dict[str, object] | None:
        seen = [one.data for one in channel.inbound.all if one.type == "contact.updated"]
        return next((one["contact"] for one in seen if one["conversation_id"] == conversation_id), None)

    return await eventually(told)


async def test_a_person_on_telegram_has_a_face(telegram: Channel) -> None:
    account = await telegram.account()
    sim = telegram.provider.sim  # type: ignore[attr-defined]
    face = image()
    handle = sim.setup.person(first_name="Ida", photo=sim.upload(face, "me.jpg"))["id"]
    for text in ("it is me", "it is me again"):
        await telegram.provider.write(account, handle, text)
    conversation_id = (await telegram.greeted(["it is me"]))["it is me"]
    contact = await _update(telegram, conversation_id)
    assert contact["display_name"] == "Ida"
    assert await telegram.world.blobs.read(str(contact["avatar"])) == face


async def test_a_person_on_tiktok_has_one_for_longer_than_its_address_lives(tiktok: Channel) -> None:
    person = await tiktok.person(await tiktok.account())
    contact = await _update(tiktok, person.conversation_id)
    assert "x-expires" in str(contact["avatar_url"])
    assert (await tiktok.world.blobs.read(str(contact["avatar"]))).startswith(b"\x89PNG")
