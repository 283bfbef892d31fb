"""Places: an account has so many and no more, what is slow moves aside, and who has nothing under way gets in."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress

import pytest

from shared.runtime.waiting import slots as module
from shared.runtime.waiting.slots import LONGEST_WAIT, REMEMBERED_SECONDS, SLOW_SECONDS, AccountSlots
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


async def test_a_slot_is_given_to_whoever_waits_longest_and_stays_his() -> None:
    slots = AccountSlots(EACH, QUICK, SLOW)
    held = [slots.taken("acc_1") for _ in range(EACH)]
    for one in held:
        one.__enter__()
    waiting = [asyncio.create_task(slots.kept("acc_1")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait((waiting[0],))
    held.pop().__exit__(None, None, None)
    kept = await asyncio.wait_for(waiting[1], 0.5)
    assert not waiting[2].done()
    with kept:
        with slots.taken("acc_1"), pytest.raises(NotNow), slots.taken("acc_1"):
            pass
        assert (await asyncio.wait_for(waiting[2], 0.5)) is not None, "the call is over, what follows needs no slot"
    assert not slots._queues


async def test_a_slot_that_was_not_needed_goes_to_the_next() -> None:
    slots = AccountSlots(1, 8, 8)
    with await slots.kept("acc_1"):
        waiting = asyncio.create_task(slots.kept("acc_1"))
        await asyncio.sleep(0)
        assert not waiting.done()
    with await asyncio.wait_for(waiting, 0.5):
        pass
    assert slots._free == [8, 8]
    assert not slots._kept
    assert not slots._accounts


async def test_who_is_cancelled_as_he_is_called_gives_the_slot_back() -> None:
    slots = AccountSlots(1, 8, 8)
    with slots.taken("acc_1"):
        waiting = asyncio.create_task(slots.kept("acc_1"))
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert slots._free == [8, 8]
    assert not slots._kept


async def test_a_hundred_who_come_at_once_prepare_no_more_calls_than_there_are_slots() -> None:
    slots = AccountSlots(4, QUICK, SLOW)
    prepared = most = 0

    async def send() -> None:
        nonlocal prepared, most
        with await slots.kept("acc_1"):
            prepared += 1
            most = max(most, prepared)
            await asyncio.sleep(0.001)
            with slots.taken("acc_1"):
                await asyncio.sleep(0)
            prepared -= 1

    await asyncio.gather(*(send() for _ in range(100)))
    assert most == 4


async def test_who_waits_too_long_goes_without(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOT_SECONDS", 0.01)
    slots = AccountSlots(1, 8, 8)
    with slots.taken("acc_1"):
        waiting = asyncio.create_task(slots.kept("acc_1"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        slots._accounts["acc_1"].well = clock.read() + LONGEST_WAIT  # it does not hang
        clock.advance(LONGEST_WAIT)
        with await asyncio.wait_for(waiting, 5), pytest.raises(NotNow), slots.taken("acc_1"):
            pass


async def test_who_waits_for_the_last_places_is_called_by_whoever_gives_one_back() -> None:
    slots = AccountSlots(4, 4, 4)
    held = [slots.taken(f"acc_{n}") for n in range(4)]
    for place in held:
        place.__enter__()
    waiting = asyncio.create_task(slots.kept("fifth"))
    await asyncio.sleep(0)
    held[2].__exit__(None, None, None)
    with await asyncio.wait_for(waiting, 0.5), slots.taken("fifth"):
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
