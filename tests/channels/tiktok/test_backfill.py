"""History by command: what was missed comes out as events marked `backfill`, and nothing comes out twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.valkey import ValkeyServer
from services.tiktok.channel import TikTokChannel
from shared.channel import Account
from shared.runtime.process import accounts_command, main
from shared.state.store import Binding
from tests.channels.tiktok.conftest import BUSINESS, OpenChannel, fail, settings_for
from tests.channels.tiktok.inside import KEY, Inside
from tests.channels.tiktok.test_client import NOTHING, planned

SINCE_EVER = ("--days", "36500")  # the platform's clock is not this machine's


@pytest.fixture
async def inside(
    sim: TikTokSimulator,
    open_channel: OpenChannel,
    account: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Inside]:
    async with ValkeyServer() as server:
        made = Inside(sim, await open_channel(), server.url, tmp_path)
        await made.start(account)
        for module in (main, accounts_command):
            monkeypatch.setattr(module, "kafka_log", lambda *_: made.log)
        monkeypatch.setattr(main, "configure_logs", lambda *_: None)
        monkeypatch.setenv("STATE_URL", server.url)
        monkeypatch.setenv("BLOB_URL", f"file://{tmp_path}")
        monkeypatch.setenv("SEALING_KEY", KEY)
        yield made
        await made.close()


async def backfill(sim: TikTokSimulator, clock: Clock, *arguments: str) -> int:
    """The command, as a process of its own would run it."""

    def build(settings: object) -> TikTokChannel:
        return TikTokChannel(settings_for(sim), None, clock.now)

    given = ["backfill", *arguments, *SINCE_EVER]
    return await asyncio.to_thread(main.run, build, lambda **_: settings_for(sim), given)


async def test_what_was_missed_comes_as_backfill_and_nothing_twice(
    sim: TikTokSimulator,
    inside: Inside,
    account: Account,
    thread: str,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    live = await sim.people.writes(BUSINESS, "lena", silent=True, content={"body": "live"})
    await inside.hears("lena", live)
    await inside.normalise()
    await asyncio.gather(*inside.contacts._tasks)
    assert [(kind, data["backfill"]) for kind, data in inside.events()] == [
        ("message.received", False),
        ("contact.updated", False),
    ]

    await sim.people.writes(BUSINESS, "lena", silent=True, content={"body": "missed"})
    await sim.people.owner_writes(thread, content={"body": "typed in the app"})
    [call] = planned(inside.channel, account, thread, {"kind": "text", "text": "by a command"})
    [sent] = (await inside.channel.perform(call, account, NOTHING)).provider_message_ids
    await inside.store.bind([Binding("tiktok", account.account_id, sent, {"command_id": "cmd_1"})])
    await sim.people.writes(BUSINESS, "noor", silent=True, content={"body": "never heard of"})

    assert await backfill(sim, clock, account.account_id) == 0
    assert capsys.readouterr().out == "conversations: 2 items: 5\n"
    assert await inside.normalise() == 5
    events = inside.events()
    assert all(data["backfill"] for _, data in events)
    assert sorted((kind, data["content"]["text"]) for kind, data in events) == [
        ("message.echoed", "typed in the app"),
        ("message.received", "Hello!"),
        ("message.received", "missed"),
        ("message.received", "never heard of"),
    ]
    assert {data["sender"]["display_name"] for kind, data in events if kind == "message.received"} >= {"Lena K 🌻"}

    assert await backfill(sim, clock, account.account_id) == 0
    assert await inside.normalise() == 5
    assert inside.events() == [], "asked again, it says nothing new"
    assert sim.violations == []


async def test_one_conversation_alone(
    sim: TikTokSimulator, inside: Inside, account: Account, thread: str, clock: Clock
) -> None:
    await sim.people.writes(BUSINESS, "noor", silent=True)
    wanted = f"tiktok:{account.account_id}:{thread}"
    assert await backfill(sim, clock, account.account_id, "--conversation", wanted) == 0
    await inside.normalise()
    assert {data["conversation_id"] for _, data in inside.events()} == {wanted}
    assert sim.platform.ledger.totals["conversations"] == 0


async def test_a_conversation_that_cannot_be_read_does_not_cost_the_others(
    sim: TikTokSimulator, inside: Inside, account: Account, thread: str, clock: Clock
) -> None:
    await sim.people.writes(BUSINESS, "noor", silent=True)
    fail(sim, "messages", count=1, code=40007)
    assert await backfill(sim, clock, account.account_id) == 0
    assert await inside.normalise() == 1


async def test_what_cannot_be_done_is_said(
    sim: TikTokSimulator,
    inside: Inside,
    account: Account,
    thread: str,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await backfill(sim, clock, "nobody") == 2
    assert await backfill(sim, clock, account.account_id, "--conversation", f"tiktok:other:{thread}") == 2
    fail(sim, "conversations", code=40001)
    assert await backfill(sim, clock, account.account_id) == 1
    said = capsys.readouterr().err
    assert "no such account" in said
    assert "the provider refused: " in said
    assert await inside.normalise() == 0
