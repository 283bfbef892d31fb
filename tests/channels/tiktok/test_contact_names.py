"""A contact's name and picture, which no webhook brings, follow its first message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.valkey import ValkeyServer
from shared.channel import Account, KnowsContacts
from tests.channels.tiktok.conftest import BUSINESS, OpenChannel
from tests.channels.tiktok.inside import Inside


@pytest.fixture
async def inside(
    sim: TikTokSimulator, open_channel: OpenChannel, account: Account, tmp_path: Path
) -> AsyncIterator[Inside]:
    async with ValkeyServer() as server:
        made = Inside(sim, await open_channel(), server.url, tmp_path)
        await made.start(account)
        yield made
        await made.close()


async def test_a_name_and_a_picture_follow_the_first_message(sim: TikTokSimulator, inside: Inside) -> None:
    assert isinstance(inside.channel, KnowsContacts)
    for number in range(3):
        message = await sim.people.writes(BUSINESS, "lena", silent=True, display_name="Lena K 🌻")
        await inside.hears("lena", message)
        await inside.normalise()
        await asyncio.gather(*inside.contacts._tasks)
        events = inside.events()
        assert [kind for kind, _ in events] == (
            ["message.received", "contact.updated"] if number == 0 else ["message.received"]
        )
        if number == 0:
            (_, heard), (_, update) = events
    assert heard["sender"].get("display_name") is None
    assert update["conversation_id"] == heard["conversation_id"]
    assert update["contact"]["display_name"] == "Lena K 🌻"
    assert update["contact"]["avatar_url"].startswith(sim.url)
    assert update["contact"]["aliases"] == heard["sender"]["aliases"]
    assert sim.platform.ledger.totals["messages"] == 1
    assert sim.violations == []


async def test_whose_message_is_withheld_is_not_asked_for(sim: TikTokSimulator, inside: Inside) -> None:
    await inside.hears("ines", await sim.people.writes(BUSINESS, "ines", silent=True, european=True))
    await inside.normalise()
    assert inside.contacts._tasks == set()
    assert [kind for kind, _ in inside.events()] == ["message.received"]
