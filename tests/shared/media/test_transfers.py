"""Transfers: what moves has its time, what trickles or stands still is cut, and an answer has an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientPayloadError, ClientSession, web

from shared.media.transfers import TooSlow, Upload, steady, whole


class Ticking:
    """A clock that goes on by the seconds each piece takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def pieces(self, *given: tuple[float, int]) -> AsyncIterator[bytes]:
        for seconds, size in given:
            self.now += seconds
            yield b"x" * size


async def taken(clock: Ticking, *given: tuple[float, int]) -> int:
    """How many bytes came through, of a transfer with 20 s and 1,000 bytes a second."""
    size = 0
    async for piece in steady(clock.pieces(*given), 20.0, 1000.0, clock):
        size += len(piece)
    return size


async def test_what_is_fast_enough_comes_whole_however_long_it_takes() -> None:
    assert await taken(Ticking(), *[(1.0, 1001)] * 1000) == 1_001_000


async def test_a_byte_a_second_is_cut_after_the_first_patience() -> None:
    clock = Ticking()
    with pytest.raises(TooSlow):
        await taken(clock, *[(1.0, 1)] * 1000)
    assert 20 <= clock.now <= 21


async def test_a_fast_beginning_buys_no_longer_silence() -> None:
    clock = Ticking()
    with pytest.raises(TooSlow):
        await taken(clock, (0.0, 10_000_000), *[(1.0, 1)] * 1000)
    assert 20 <= clock.now <= 21


async def test_a_transfer_ends_within_base_and_size_by_speed() -> None:
    clock = Ticking()
    assert await taken(clock, *[(2.0, 1000)] * 19) == 19_000, "20 s, and 1 s for each 1,000 bytes"
    with pytest.raises(TooSlow):
        await taken(Ticking(), *[(2.0, 1000)] * 21)


async def test_who_reads_slowly_is_not_counted() -> None:
    clock = Ticking()
    pieces = steady(clock.pieces(*[(0.1, 10)] * 5), 20.0, 1000.0, clock)
    async for _ in pieces:
        clock.now += 100


async def test_silence_is_cut() -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(30)

    with pytest.raises(TooSlow):
        async for _ in steady(silent(), 0.05):
            pass


async def test_somebody_elses_timeout_is_passed_on_as_it_is() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError("theirs")

    with pytest.raises(TimeoutError, match="theirs"):
        async for _ in steady(broken()):
            pass


async def test_an_upload_that_moves_goes_on_and_one_that_stands_is_cut() -> None:
    async with Upload(answer=5.0, patience=0.2, slowest=100.0) as upload:
        for _ in range(10):
            await asyncio.sleep(0.05)
            upload.moved(10)
    with pytest.raises(TooSlow):
        async with Upload(answer=5.0, patience=0.1) as upload:
            upload.moved(1)
            await asyncio.sleep(5)
    upload.moved(1)  # a piece may leave while the call is being given up
    upload.written()


async def test_a_whole_body_waits_for_its_answer_and_not_for_ever() -> None:
    async with Upload(answer=5.0, patience=0.05) as upload:
        upload.moved(1)
        upload.written()
        await asyncio.sleep(0.1)
    with pytest.raises(TooSlow):
        async with Upload(answer=0.05, patience=5.0) as upload:
            upload.written()
            await asyncio.sleep(5)


async def test_an_answer_without_an_end_is_not_read_to_the_end() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)
            sent += 65_536

    app = web.Application()
    app.add_routes([web.get("/", endless)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as response:
        with pytest.raises(ClientPayloadError):
            await whole(response, 1_000_000)
    assert sent < 20_000_000
    await runner.cleanup()
