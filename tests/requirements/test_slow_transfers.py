"""Accounts whose files and uploads do not move: another account's files and messages hardly notice.

The short form of `tests/chaos/test_slow_transfers.py`.
"""

from __future__ import annotations

import pytest

from tests.e2e.providers import NAMES
from tests.e2e.slow import (
    file_latencies,
    files_trickle,
    message_latencies,
    percentile,
    slow_accounts,
    uploads_unread,
)
from tests.requirements.inside import opened

ACCOUNTS, PEOPLE, EACH, PROBES = 8, 3, 6, 15
SMALL = 100_000  # bytes: what copying costs is not what this is about


# A mail carries its files itself: hundreds of them on their way in cost a message of another mailbox more than the
# bound, by what a busy machine shows (p80 894 ms beside 321 ms idle).
NOT_MET = pytest.mark.xfail(reason="the bound is not met for email on a busy machine", strict=False)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[NOT_MET, pytest.mark.chaos]) if name == "email" else name for name in NAMES]
)
async def test_transfers_of_eight_accounts_that_do_not_move_delay_no_other(name: str) -> None:
    async with opened() as world:
        channel = await world.channel(name, TIKTOK_WINDOW_PROFILE="documented")
        if name == "tiktok":
            channel.provider.sim.options.window_messages = 1_000_000
        free = await channel.person(await channel.account())
        slow = await slow_accounts(channel, ACCOUNTS, PEOPLE)
        idle, idle_files = await message_latencies(channel, free, PROBES), await file_latencies(channel, free, PROBES)
        await files_trickle(channel, slow, EACH)
        await uploads_unread(channel, slow, EACH, SMALL)
        beside = await message_latencies(channel, free, PROBES)
        beside_files = await file_latencies(channel, free, PROBES)
        channel.provider.behave()
    # Noise of a machine that has other things to do is allowed for; a wait for a place is seconds long.
    assert percentile(beside, 80) <= 2 * percentile(idle, 80) + 100
    assert percentile(beside_files, 80) <= 2 * percentile(idle_files, 80) + 100
