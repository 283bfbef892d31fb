"""Eight accounts whose files and uploads do not move: a ninth account's files and messages hardly notice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.chaos.conftest import Measured, count, seconds
from tests.chaos.test_dependencies import on_tansu
from tests.chaos.test_replicas import LOADED
from tests.e2e.providers import NAMES, Person
from tests.e2e.slow import (
    Harm,
    file_latencies,
    files_trickle,
    message_latencies,
    percentile,
    slow_accounts,
    stored,
    uploads_unread,
)
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import ChannelUnderTest, World

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

SLOW_ACCOUNTS = 8
PEOPLE = 20  # of each
TRANSFERS = 40  # of each: ten times the files that an account may have under way


@on_tansu
@pytest.mark.parametrize("harm", [files_trickle, uploads_unread])
@pytest.mark.parametrize("name", NAMES)
async def test_transfers_of_eight_accounts_that_do_not_move_delay_no_other(
    world: World, name: str, harm: Harm, measured: Measured
) -> None:
    """One replica has them all. Afterwards everything arrives."""
    channel = await world.channel(name, 1, **LOADED)
    if name == "tiktok":
        channel.provider.sim.options.window_messages = 1_000_000
    free = await channel.person(await channel.account())
    slow = await slow_accounts(channel, SLOW_ACCOUNTS, PEOPLE)
    await message_latencies(channel, free, 20)  # warm
    await file_latencies(channel, free, 20)
    idle, idle_files = await _both(channel, free)
    commands = await harm(channel, slow, TRANSFERS)
    await asyncio.sleep(seconds(10))  # what they cost in coming is not what this is about
    beside, beside_files = await _both(channel, free)
    figures = {
        "p99_of_messages_idle_ms": percentile(idle, 99),
        "p99_of_messages_beside_ms": percentile(beside, 99),
        "p99_of_files_idle_ms": percentile(idle_files, 99),
        "p99_of_files_beside_ms": percentile(beside_files, 99),
    }
    channel.provider.behave()
    people = [person for _, persons in slow for person in persons]
    if commands:
        await eventually(lambda: all(channel.statuses.ended(one) for one in commands), 400, what="the uploads")
        ends = Counter(part["state"] for one in commands for part in channel.statuses.ended(one) or ())
        sent = sum(ends[state] for state in SENT)
        measured(**figures, uploads=len(commands), sent_after_all=sent, uncertain=ends["uncertain"])
        assert sent + ends["uncertain"] == len(commands), ends
    else:
        files = SLOW_ACCOUNTS * TRANSFERS
        await eventually(lambda: sum(stored(channel, person) for person in people) == files, 400, what="the files")
        measured(**figures, files=files, stored_after_all=files)
    # Two cores run everything here, the simulator and this test too: noise of a scheduler's turn is allowed for.
    assert percentile(beside, 99) <= 2 * percentile(idle, 99) + 25
    assert percentile(beside_files, 99) <= 2 * percentile(idle_files, 99) + 25


async def _both(channel: ChannelUnderTest, person: Person) -> tuple[list[float], list[float]]:
    return await message_latencies(channel, person, count(200)), await file_latencies(channel, person, count(200))
