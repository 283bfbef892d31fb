"""Places: an account has so many and no more, and who waits for one is called."""

from __future__ import annotations

import asyncio

from shared.runtime.places import AccountPlaces


async def test_a_place_is_called_when_one_is_free() -> None:
    places = AccountPlaces(32, 128, 128)
    with places.taken("other"):
        await places.free("acc_1")
    held = [places.taken("acc_1") for _ in range(32)]
    for place in held:
        place.__enter__()
    waiting = [asyncio.create_task(places.free("acc_1")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait((waiting[0],))
    held[0].__exit__(None, None, None)
    await asyncio.wait_for(waiting[1], 0.5)
    assert not waiting[2].done()
    await asyncio.wait_for(waiting[2], 5)  # without a call, after a while
    assert not places._queues
