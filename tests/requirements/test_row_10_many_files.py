"""Row 10: fifty files go out in their order, each a part with its own status, or none at all."""

from __future__ import annotations

from typing import Any

import pytest

from shared.channel import Call
from tests.e2e.topics import SENT
from tests.e2e.world import WORKSPACE, image
from tests.requirements.inside import Channel, Inside, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
FILES = 50


async def _album(channel: Channel, count: int) -> dict[str, Any]:
    files = []
    for number in range(count):
        blob = await channel.world.blobs.put_content(f"{WORKSPACE}/album", image())
        files.append({"blob": blob, "kind": "image", "filename": f"{number:02}.jpg"})
    return {"kind": "media", "attachments": files}


def _sent_files(channel: Channel, calls: list[Call]) -> list[str]:
    return [file.filename for call in calls for file in call.files.values()]


@pytest.mark.parametrize("name", ["whatsapp", "telegram"])
async def test_fifty_files_arrive_in_order(name: str, inbox: Inside) -> None:
    channel = await inbox.channel(name)
    person = await channel.person(await channel.account())
    command = await channel.command(person, content=await _album(channel, FILES))
    statuses = await channel.statuses.end(command.id)
    assert [s["part"] for s in statuses] == [{"index": index, "of": FILES} for index in range(FILES)]
    assert {s["state"] for s in statuses} <= SENT  # the first may have been delivered by then
    assert _sent_files(channel, channel.asked(person.account)) == [f"{n:02}.jpg" for n in range(FILES)]
    got = channel.provider.got(person)
    assert [g.id for g in got] == [s["provider_message_id"] for s in statuses]
    assert statuses[-1]["rollup"]["sent"] == FILES


async def test_what_a_channel_cannot_carry_whole_is_refused_before_its_first_part(whatsapp: Channel) -> None:
    """TikTok's strict window takes ten messages: of fifty files, or eleven, not one goes out."""
    async with opened() as world:
        tiktok = await world.channel("tiktok", TIKTOK_WINDOW_PROFILE="strict")
        person = await tiktok.person(await tiktok.account())
        for count in (FILES, 11):
            error = await tiktok.refused(person, content=await _album(tiktok, count))
            assert (error["code"], error["limit"], error["actual"]) == ("too_many_files", 10, count)
        command = await tiktok.command(person, content=await _album(tiktok, 9))
        assert {s["state"] for s in await tiktok.statuses.end(command.id)} == {"sent"}
        # Nine of ten are used: two more do not fit, and none of the two goes out.
        error = await tiktok.refused(person, content=await _album(tiktok, 2))
        assert (error["code"], error["limit"]) == ("quota_exhausted", 10)
        command = await tiktok.command(person, content=await _album(tiktok, 1))
        assert {s["state"] for s in await tiktok.statuses.end(command.id)} == {"sent"}


async def test_more_than_fifty_are_too_many(channel: Channel) -> None:
    person = await channel.person(await channel.account())
    files = [{"blob": f"some/file-{n}", "kind": "image"} for n in range(FILES + 1)]
    error = await channel.refused(person, content={"kind": "media", "attachments": files})
    assert (error["code"], error["limit"], error["actual"]) == ("too_many_files", FILES, FILES + 1)
