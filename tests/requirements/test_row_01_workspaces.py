"""Row 1: whatever comes in at the same time, every record carries the workspace its account belongs to."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.e2e.providers import NAMES, Connected, Said
from tests.e2e.providers.whatsapp import whatsapp_change
from tests.e2e.topics import eventually
from tests.requirements.inside import Channel, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")
WEBHOOKS = 1_500
IN_THE_LONG_RUN = pytest.param(10_000, marks=pytest.mark.chaos)
ACCOUNTS = 20
WORKSPACES = 5
AT_ONCE = 50


@pytest.mark.timeout(300)
@pytest.mark.parametrize("webhooks", [WEBHOOKS, IN_THE_LONG_RUN])
async def test_webhooks_of_twenty_accounts_never_get_the_wrong_workspace(webhooks: int) -> None:
    rng = random.Random(1)
    async with opened() as world:
        channels = [await world.channel(name) for name in NAMES]
        accounts: list[tuple[Channel, Connected]] = []
        for number in range(ACCOUNTS):
            channel = channels[number % len(channels)]
            account = await channel.account(workspace_id=f"ws_{number % WORKSPACES}", connect=False)
            accounts.append((channel, account))
        said = [Said(rng.randrange(200), 1000 + number, f"text {number}") for number in range(webhooks)]
        to = [rng.choice(accounts) for _ in said]
        waiting = iter(zip(to, said, strict=True))

        async def post() -> None:
            for (channel, account), one in waiting:
                await channel.webhook(account, channel.provider.wrote(account, one))

        await asyncio.gather(*(post() for _ in range(AT_ONCE)))
        await eventually(lambda: sum(len(c.inbound.all) for c in channels) >= webhooks, 200)
        _all_right(channels, accounts, {(account.id, one.text) for (_, account), one in zip(to, said, strict=True)})


async def test_three_numbers_in_one_post_keep_their_workspaces(whatsapp: Channel) -> None:
    accounts = [await whatsapp.account(workspace_id=f"ws_{letter}") for letter in "abc"]
    changes = [whatsapp_change(a.handle, Said(7, n, f"for {a.id}")) for n, a in enumerate(accounts, start=500)]
    body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}
    await whatsapp.webhook(accounts[0], body)
    for account in accounts:
        (event,) = await whatsapp.events(account, 1)
        assert event.text == f"for {account.id}"
        assert event.data["workspace_id"] == account.record.workspace_id


def _all_right(
    channels: list[Channel], accounts: list[tuple[Channel, Connected]], expected: set[tuple[str, str]]
) -> None:
    workspace_of = {account.id: account.record.workspace_id for _, account in accounts}
    found: set[tuple[str, str]] = set()
    for channel in channels:
        for seen in channel.inbound.all:
            account_id = seen.data["account_id"]
            assert seen.data["workspace_id"] == workspace_of[account_id]
            assert seen.key.startswith(f"{channel.name}:{account_id}:")
            assert seen.attributes["source"] == f"/channels/{channel.name}/{account_id}"
            found.add((account_id, seen.text))
        for seen in channel.state.all:
            assert seen.data["workspace_id"] == workspace_of[seen.data["account_id"]]
    assert found == expected
