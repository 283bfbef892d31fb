"""The rate of a whole app: what is less urgent waits for the rest, in order, for a while, and never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from shared.channel import Account, Priority, ProviderError
from shared.contract.errors import ErrorCode
from shared.runtime.outbound import call_pace
from shared.runtime.outbound.call_pace import SHARES, CallPace
from shared.state.client import StateUnavailable
from shared.state.store import Store
from tests.shared.runtime.plain_channel import PlainChannel
from tests.shared.runtime.world import ACCOUNT

RATE = {"app": {"per_second": 8, "burst": 2}}
LOWER = sorted(SHARES, key=list(Priority).index)


class Bucket(Store):
    """The store's bucket as arithmetic, on a clock that jumps to the next sleeper when nothing else is left to do.

    `away` says how many calls fail.
    """

    def __init__(self) -> None:
        self.now = 1_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.free = 0.0
        self.away = 0
        self.asked = 0

    async def take(
        self, buckets: Sequence[tuple[str, float, float]], *, longest_wait: float, reserve: float = 0.0
    ) -> tuple[bool, float, int]:
        self.asked += 1
        if self.away:
            self.away -= 1
            raise StateUnavailable("away")
        [(_, per_second, burst)] = buckets
        free = max(self.free, self.now - (burst - 1) / per_second)
        wait = max(0.0, free - self.now, self.free + reserve / per_second - self.now)
        if wait > longest_wait:
            return False, wait, 0
        self.free = free + 1 / per_second
        return True, wait, 0

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def tick(self) -> None:
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            if self._sleepers:
                self._sleepers.sort(key=lambda sleeper: sleeper[0])
                self.now, woken = self._sleepers.pop(0)
                if not woken.done():
                    woken.set_result(None)

    async def send(self) -> float:
        """A message takes its moment; how far away it is."""
        return (await self.take([("app", 8, 2)], longest_wait=900))[1]


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    made = Bucket()
    ticking = asyncio.create_task(made.tick())
    yield made
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)


@pytest.fixture
def pace(bucket: Bucket) -> CallPace:
    return CallPace(PlainChannel(rates=RATE), bucket, lambda: bucket.now, bucket.sleep)


async def test_the_table_orders_priorities() -> None:
    assert Priority.SEND not in SHARES
    reserves = [SHARES[priority].reserve for priority in LOWER]
    assert reserves == sorted(reserves)
    assert all(share.patience > 0 for share in SHARES.values())


@pytest.mark.parametrize("priority", LOWER)
async def test_whatever_is_less_urgent_leaves_a_token_for_a_message(
    bucket: Bucket, pace: CallPace, priority: Priority
) -> None:
    for _ in range(20):
        await pace(priority)
        free = bucket.free
        assert await bucket.send() == 0
        bucket.free = free  # without the message, so that calls stay as dense as they get


async def test_messages_go_at_their_rate_whatever_waits_behind_them(bucket: Bucket, pace: CallPace) -> None:
    waiting = [asyncio.create_task(pace(Priority.BACKFILL)) for _ in range(50)]
    began, waits = bucket.now, []
    for _ in range(16):
        waits.append(await bucket.send())
        await bucket.sleep(waits[-1])
    assert bucket.now - began == pytest.approx(14 / 8)  # a burst of two, then eight a second
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_what_belongs_to_a_message_is_drawn_at_once_and_paid_by_the_next(bucket: Bucket, pace: CallPace) -> None:
    began = bucket.now
    for _ in range(4):
        await pace(Priority.SEND)
    assert bucket.now == began
    assert await bucket.send() == pytest.approx(3 / 8)


async def test_more_urgent_calls_come_first_when_both_wait(bucket: Bucket, pace: CallPace) -> None:
    order: list[Priority] = []

    async def call(priority: Priority) -> None:
        await pace(priority)
        order.append(priority)

    async with asyncio.TaskGroup() as calls:
        for priority in reversed(LOWER):
            for _ in range(5):
                calls.create_task(call(priority))
    downloads = [index for index, priority in enumerate(order) if priority is Priority.DOWNLOAD]
    backfills = [index for index, priority in enumerate(order) if priority is Priority.BACKFILL]
    assert sum(downloads) / 5 < sum(backfills) / 5
    assert order[-1] is Priority.BACKFILL


async def test_of_one_priority_who_came_first_goes_first_and_only_the_first_asks(
    bucket: Bucket, pace: CallPace
) -> None:
    order: list[int] = []

    async def call(number: int) -> None:
        await pace(Priority.DOWNLOAD)
        order.append(number)

    async with asyncio.TaskGroup() as calls:
        for number in range(20):
            calls.create_task(call(number))
    assert order == list(range(20))
    assert bucket.asked <= 2 * 20


async def test_waiting_ends(bucket: Bucket, pace: CallPace) -> None:
    bucket.free = bucket.now + 60  # the provider has asked for a pause
    began = bucket.now
    with pytest.raises(ProviderError) as refused:
        await pace(Priority.LOOKUP)
    assert refused.value.failure.code is ErrorCode.RATE_LIMITED
    assert refused.value.failure.retry_after == pytest.approx(60, abs=1)
    assert bucket.now == began, "what cannot come in time is not waited for"
    await pace(Priority.BACKFILL)
    assert bucket.now - began == pytest.approx(60, abs=1)


async def test_not_more_wait_than_there_is_room_for(
    bucket: Bucket, pace: CallPace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_pace, "_MOST_WAITING", 3)
    bucket.free = bucket.now + 5
    calls = [asyncio.create_task(pace(Priority.DOWNLOAD)) for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, ProviderError) for outcome in outcomes] == [False] * 3 + [True] * 2
    await pace(Priority.DOWNLOAD)


async def test_while_the_store_is_away_only_what_belongs_to_a_message_goes_on(bucket: Bucket, pace: CallPace) -> None:
    bucket.away = 1
    await pace(Priority.SEND)
    began, bucket.away = bucket.now, 3
    await pace(Priority.DOWNLOAD)
    assert bucket.now - began >= 1.0
    bucket.away = 10_000
    with pytest.raises(ProviderError):
        await pace(Priority.DOWNLOAD)


async def test_an_account_may_have_a_rate_of_its_own_and_a_channel_none(bucket: Bucket, pace: CallPace) -> None:
    fast = ACCOUNT.model_copy(update={"settings": {"rates": {"app": {"per_second": 1e6, "burst": 1e6}}}})
    began = bucket.now
    for _ in range(100):
        await pace(Priority.BACKFILL, Account(fast))
    assert bucket.now - began < 0.01
    asked = bucket.asked
    await CallPace(PlainChannel(), bucket)(Priority.BACKFILL)
    assert bucket.asked == asked
