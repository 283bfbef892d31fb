"""Places: an account has so many and no more, what is slow moves aside, and who has nothing under way gets in."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress

import pytest

from shared.runtime.waiting import slots as module
from shared.runtime.waiting.slots import REMEMBERED_SECONDS, SLOW_SECONDS, AccountSlots
from shared.stream.errors import NotNow
from tests.shared.runtime.clock import Clock

EACH, QUICK, SLOW = 32, 128, 128


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock.read)
    return clock


def fill(slots: AccountSlots, held: ExitStack, account_id: str, most: int = 1000) -> int:
    """Take as many slots for the account as it gets; how many."""
    for count in range(most):
        try:
            held.enter_context(slots.taken(account_id))
        except NotNow:
            return count
    return most


async def test_a_place_is_called_when_one_is_free() -> None:
    slots = AccountSlots(EACH, QUICK, SLOW)
    with slots.taken("other"):
        await slots.free("acc_1")
    held = [slots.taken("acc_1") for _ in range(32)]
    for place in held:
        place.__enter__()
    waiting = [asyncio.create_task(slots.free("acc_1")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait((waiting[0],))
    held[0].__exit__(None, None, None)
    await asyncio.wait_for(waiting[1], 0.5)
    assert not waiting[2].done()
    await asyncio.wait_for(waiting[2], 5)  # without a call, after a while
    assert not slots._queues


async def test_who_waits_for_the_last_places_is_called_by_whoever_gives_one_back() -> None:
    slots = AccountSlots(4, 4, 4)
    held = [slots.taken(f"acc_{n}") for n in range(4)]
    for place in held:
        place.__enter__()
    waiting = asyncio.create_task(slots.free("fifth"))
    await asyncio.sleep(0)
    held[2].__exit__(None, None, None)
    await asyncio.wait_for(waiting, 0.5)
    with slots.taken("fifth"):
        pass


@pytest.mark.parametrize(("each", "quick", "slow"), [(EACH, QUICK, SLOW), (4, 24, 32)])
@pytest.mark.parametrize("hanging", [1, 4, 8, 14])
def test_accounts_that_hang_never_take_the_last_places(
    clock: Clock, each: int, quick: int, slow: int, hanging: int
) -> None:
    """Whatever they ask for, and however long: another account gets in at every moment."""
    slots = AccountSlots(each, quick, slow)
    with ExitStack() as held:
        for _ in range(40):
            for number in range(hanging):
                assert fill(slots, held, f"hangs_{number}") <= each
            with slots.taken("other"), suppress(NotNow), slots.taken("other"):
                pass
            clock.advance(0.5)
        under_way = sum(account.quick + account.slow for account in slots._accounts.values())
        assert under_way <= quick + slow


def test_more_accounts_than_places_hold_the_quick_ones_for_seconds_only(clock: Clock) -> None:
    slots = AccountSlots(EACH, QUICK, 2 * QUICK)
    with ExitStack() as held:
        for number in range(QUICK):
            assert fill(slots, held, f"hangs_{number}", 1) == 1
        with pytest.raises(NotNow), slots.taken("other"):
            pass
        clock.advance(SLOW_SECONDS)
        with slots.taken("other"):
            assert slots._free[0] == QUICK - 1


def test_one_account_alone_has_all_that_is_allowed_to_one(clock: Clock) -> None:
    slots = AccountSlots(EACH, QUICK, SLOW)
    with ExitStack() as held:
        assert fill(slots, held, "busy") == EACH
        clock.advance(SLOW_SECONDS)
        assert fill(slots, held, "busy") == 0


def test_an_account_hangs_when_its_calls_take_long_and_none_ends_well(clock: Clock) -> None:
    slots = AccountSlots(2, 8, 8)
    with ExitStack() as held:
        fill(slots, held, "acc_1")
        assert not slots.hangs("acc_1"), "most are done in a moment"
        clock.advance(SLOW_SECONDS)
        assert slots.hangs("acc_1")
        assert not slots.hangs("acc_2")
    with slots.taken("acc_1") as slot:  # a place is there again
        assert slot.slow
        assert not slots.hangs("acc_1")


def test_slow_calls_that_end_well_are_no_hanging(clock: Clock) -> None:
    """A large file after the other: who waits behind them stays in its lane."""
    slots = AccountSlots(1, 8, 8)
    for _ in range(3):
        with slots.taken("acc_1"):
            clock.advance(SLOW_SECONDS + 1)
            assert slots.hangs("acc_1")
        with slots.taken("acc_1"):
            clock.advance(1)
            assert not slots.hangs("acc_1")


def test_a_call_that_fails_late_ends_not_well(clock: Clock) -> None:
    slots = AccountSlots(1, 8, 8)
    with suppress(RuntimeError), slots.taken("acc_1"):
        clock.advance(SLOW_SECONDS)
        raise RuntimeError
    with slots.taken("acc_1"):
        assert slots.hangs("acc_1"), "its next one need not take long first"


def test_what_was_slow_is_forgotten(clock: Clock) -> None:
    slots = AccountSlots(EACH, QUICK, SLOW)
    with slots.taken("acc_1"):
        clock.advance(SLOW_SECONDS)
    clock.advance(REMEMBERED_SECONDS + 1)
    with slots.taken("acc_1") as slot:
        assert not slot.slow
    assert not slots._accounts
    assert not slots._remembered
    assert slots._free == [QUICK, SLOW]


def test_slow_calls_stay_where_they_are_while_the_slow_places_are_taken(clock: Clock) -> None:
    slots = AccountSlots(2, 8, 2)
    with ExitStack() as outer:
        fill(slots, outer, "acc_1")
        clock.advance(SLOW_SECONDS)
        with ExitStack() as held:
            assert fill(slots, held, "acc_2", 1) == 1
            assert slots._free == [7, 0]
            clock.advance(SLOW_SECONDS)
            assert slots.hangs("acc_1")
            assert slots._free == [7, 0]
            outer.close()
            assert slots._free == [8, 1]
    assert slots._free == [8, 2]
