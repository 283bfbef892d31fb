"""The clock, the markers and the process."""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp
import pytest

from sandbox.simulators.common import Clock, mark, marker_of


def test_a_marker_is_invisible_and_comes_back():
    marked = mark("Hello 😀", "run-7:000123")
    assert marked.startswith("Hello 😀")
    assert len(marked) == len("Hello 😀") + 12
    assert marker_of(marked) == "run-7:000123"
    assert marker_of("plain") == marker_of("Grüße") == ""


async def test_a_fast_clock_shortens_waits_and_can_still_jump():
    clock = Clock(scale=1000, start=0)
    began = time.monotonic()
    await clock.sleep(20)
    assert 20 <= clock.now() < 2000
    assert 0.015 < time.monotonic() - began < 2
    waiting = asyncio.create_task(clock.sleep(1e9))
    await asyncio.sleep(0)
    clock.advance(1e9)
    await asyncio.wait_for(waiting, 1)


async def test_a_standing_clock_fires_what_falls_due_in_order():
    clock = Clock(scale=0, start=100)
    fired: list[str] = []
    clock.call_later(10, lambda: fired.append("late"))
    clock.call_later(5, lambda: fired.append("early"))
    clock.call_later(1, lambda: fired.append("cancelled")).cancel()
    clock.advance(9.9)
    assert (fired, clock.now()) == (["early"], 109.9)
    clock.advance(0.1)
    assert fired == ["early", "late"]


async def test_timeout_follows_the_clock():
    clock = Clock(scale=0)
    async with clock.timeout(5):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with clock.timeout(5):
            clock.advance(5)
            await asyncio.sleep(10)
    assert clock.live == set()


async def test_it_runs_as_a_process():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox.simulators.telegram", "--port", "0", "--bot", "12:abc", "--time-scale", "60",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        origin = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        async with aiohttp.ClientSession() as session, session.get(f"{origin}/bot12:abc/getMe") as answer:
            assert (await answer.json())["result"]["id"] == 12
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
