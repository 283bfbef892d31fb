"""Typing: shown at once, renewed no more often than the channel needs it, never in the way of anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from shared.channel import HealthChange, Receipt
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.runtime import metrics
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import PlainChannel, failure, item
from tests.shared.runtime.world import World

START, STOP = "typing.start", "typing.stop"
EVERY = 0.02  # seconds: these tests wait for real renewals


def channel(**rules: Any) -> PlainChannel:
    return PlainChannel(typing={"grade": "native", "refresh_every": EVERY, "lasts": EVERY, **rules})


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(channel())


async def type_(world: World, kind: str = START, **data: Any) -> None:
    await world.process.typing.handle(await world.command(kind, **data))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


def shown(world: World) -> int:
    return len(world.provider.asked)


def _shown_at_least(world: World, times: int) -> bool:
    return shown(world) >= times


def dropped(reason: str) -> float:
    return (
        metrics.REGISTRY.get_sample_value("connector_typing_dropped_total", {"channel": "plain", "reason": reason})
        or 0.0
    )


async def test_it_is_shown_at_once_and_renewed_until_it_stops(world: World) -> None:
    await type_(world)
    await until(lambda: shown(world) == 1)
    await renew(world, 3)
    await type_(world, STOP)
    await asyncio.sleep(2 * EVERY)
    assert shown(world) == 3
    assert set(world.provider.methods()) == {START}
    assert world.process.typing._sessions == {}
    assert await world.statuses() == []


async def renew(world: World, times: int) -> None:
    """Let the clock and the renewals run on until it has been shown so often."""
    while shown(world) < times:
        world.clock.advance(EVERY)
        await asyncio.sleep(EVERY / 4)


async def test_keystrokes_do_not_multiply_calls(world: World) -> None:
    for _ in range(100):
        await type_(world)
    await until(lambda: shown(world) == 1)
    assert shown(world) == 1


async def test_stopping_and_starting_at_every_key_does_not_multiply_calls(world: World) -> None:
    began = time.monotonic()
    for _ in range(50):
        await type_(world)
        await asyncio.sleep(0)
        await world.client.call("PING")
        await type_(world, STOP)
    assert 1 <= shown(world) <= 1 + (time.monotonic() - began) / EVERY
    await type_(world)
    await renew(world, 2)


async def test_a_message_that_was_sent_ends_it_and_the_next_may_be_shown_at_once(world: World) -> None:
    await type_(world)
    await until(lambda: shown(world) == 1)
    await world.send(text="done")
    assert world.process.typing._sessions == {}
    await type_(world)
    await until(lambda: world.provider.methods() == [START, "text", START])


async def test_it_ends_a_minute_after_the_last_keystroke(world: World) -> None:
    await type_(world)
    await until(lambda: shown(world) == 1)
    world.clock.advance(59)
    await until(lambda: shown(world) >= 2)
    world.clock.advance(2)
    await until(lambda: not world.process.typing._sessions)


async def test_what_is_old_is_dropped(world: World) -> None:
    before = dropped("stale")
    record = await world.command(START)
    world.clock.advance(5.1)
    await world.process.typing.handle(record)
    assert (shown(world), dropped("stale")) == (0, before + 1)


async def test_agents_typing_to_each_other_never_leaves(world: World) -> None:
    await type_(world, audience="agents")
    await settle(world)
    assert shown(world) == 0
    assert world.process.typing._sessions == {}


async def settle(world: World) -> None:
    """Let what has been started run, up to its next wait."""
    for _ in range(5):
        await world.client.call("PING")
        await asyncio.sleep(0)


async def test_three_failures_end_it(world: World) -> None:
    world.provider.will(START, *[failure(ErrorCode.PROVIDER_UNAVAILABLE)] * 10)
    await type_(world)
    while world.process.typing._sessions:
        world.clock.advance(EVERY)
        await asyncio.sleep(EVERY / 4)
    assert shown(world) == 3
    assert await world.statuses() == []


@pytest.mark.parametrize(
    "refused",
    [
        failure(ErrorCode.RATE_LIMITED, retry_after=30.0),
        failure(ErrorCode.ACCOUNT_REAUTH_REQUIRED, health=Health.REAUTH_REQUIRED),
    ],
)
async def test_a_provider_that_wants_silence_is_not_asked_again(world: World, refused: object) -> None:
    world.provider.will(START, refused)
    await type_(world)
    await until(lambda: shown(world) == 1)
    world.clock.advance(EVERY)
    await until(lambda: not world.process.typing._sessions)
    assert shown(world) == 1


async def test_a_bug_hurts_nobody(world: World) -> None:
    world.provider.will(START, RuntimeError("a bug"))
    await type_(world)
    await until(lambda: shown(world) == 1)
    await until(lambda: not world.process.typing._sessions)
    await world.send()
    assert world.provider.texts() == ["hello"]


@pytest.mark.parametrize(
    "data",
    [
        {"account_id": "acc_9"},
        {"workspace_id": "ws_2"},
        {"conversation_id": "plain:acc_2:p1"},
        {"conversation_id": None, "to": [{"kind": "phone", "value": "+49"}]},
        {"audience": "nobody"},
    ],
)
async def test_what_is_not_for_us_is_dropped(world: World, data: dict[str, Any]) -> None:
    before = dropped("invalid")
    await type_(world, **data)
    await settle(world)
    assert (shown(world), dropped("invalid")) == (0, before + 1)


async def test_garbage_is_dropped(world: World) -> None:
    await world.process.typing.handle(await world.record(b"nonsense", "channels.typing.start.v1"))
    assert shown(world) == 0


async def test_a_paused_account_shows_nothing(world: World) -> None:
    account = world.accounts.get("acc_1")
    assert account is not None
    await world.process.health.learn(account, HealthChange(Health.REAUTH_REQUIRED))
    await type_(world)
    await settle(world)
    assert shown(world) == 0


async def test_a_closed_window_shows_nothing(world: World) -> None:
    await world.receive(item())
    world.clock.advance(25 * 3600)
    await type_(world)
    await until(lambda: not world.process.typing._sessions)
    assert shown(world) == 0


async def test_a_channel_without_typing_says_so(make_world: MakeWorld) -> None:
    world = await make_world(channel(grade="rejected"))
    await type_(world, command_id="c1")
    (status,) = await world.statuses("c1")
    assert (status["state"], status["error"]["code"]) == ("rejected", "unsupported_by_channel")
    assert shown(world) == 0


async def test_where_it_needs_a_message_it_is_shown_once_for_each(make_world: MakeWorld) -> None:
    world = await make_world(channel(refresh_every=None, needs_inbound=True))
    await type_(world)
    await settle(world)
    assert shown(world) == 0

    for turn in (1, 2):
        await world.receive(item(id=f"m{turn}"))
        for _ in range(3):
            world.clock.advance(EVERY)
            await type_(world)
            await until(partial(_shown_at_least, world, turn))
            await type_(world, STOP)
        assert shown(world) == turn
        assert world.provider.made[-1].params["target"] == f"p1:m{turn}"
        world.clock.advance(60)


async def test_what_is_remembered_is_bounded(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.outbound.typing_indicator.MOST_SESSIONS", 5)
    world = await make_world(channel())
    for peer in range(20):
        await type_(world, conversation_id=f"plain:acc_1:{peer}")
        await settle(world)
    assert len(world.process.typing._sessions) == 5
    for peer in range(20):
        await type_(world, STOP, conversation_id=f"plain:acc_1:{peer}")
        await type_(world, conversation_id=f"plain:acc_1:{peer}")
        await settle(world)
    assert len(world.process.typing._shown) <= 5


async def test_closing_ends_everything(world: World) -> None:
    for peer in range(3):
        await type_(world, conversation_id=f"plain:acc_1:{peer}")
    await world.process.typing.close()
    assert world.process.typing._sessions == {}


async def test_closing_waits_a_moment_for_the_provider_and_then_cuts_the_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.outbound.typing_indicator.CLOSE_SECONDS", 0.01)
    asked, cut = [], []

    async def silent(*_: Any) -> Receipt:
        asked.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            cut.append(True)
        raise AssertionError("nobody answers")

    monkeypatch.setattr(world.channel, "perform", silent)
    await type_(world, conversation_id="plain:acc_1:p1")
    await type_(world, conversation_id="plain:acc_1:p2")
    await until(lambda: len(asked) == 2)
    await type_(world, STOP, conversation_id="plain:acc_1:p2")  # its call goes on
    async with asyncio.timeout(5):
        await world.process.typing.close()
    assert len(cut) == 2
