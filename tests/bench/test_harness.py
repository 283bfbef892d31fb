"""The harness measures what it says: the load generator counts, and a scenario runs from end to end."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from bench.channels import NAMES, build, profile
from bench.load import requests
from bench.processes import Measured
from bench.scenarios.normalise import raw_items

ROOT = Path(__file__).resolve().parent.parent.parent


@asynccontextmanager
async def server(answer: Callable[[int], bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An HTTP server that answers request number n; its address and the paths it was asked for."""
    paths: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            paths.append(head.split(b" ", 2)[1])
            writer.write(answer(len(paths)))

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(serve(reader, writer)))

    tasks: list[asyncio.Future[None]] = []
    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", paths
    finally:
        listener.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def load(url: str, *options: str) -> dict[str, float]:
    command = (sys.executable, "-m", "bench.load", "telegram", "--url", url, "--connections", "4", *options)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    outcome: dict[str, float] = orjson.loads(output)
    return outcome


def ok(number: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def odd_ones_refused(number: int) -> bytes:
    return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" if number % 2 else ok(number)


async def test_the_load_generator_keeps_its_rate_and_counts_every_answer() -> None:
    async with server(ok) as (url, paths):
        outcome = await load(url, "--seconds", "0.5", "--rate", "200")
    assert 95 <= outcome["answered"] <= len(paths) <= 100
    assert outcome["refused"] == 0
    assert 0 < outcome["p50"] <= outcome["p99"] <= outcome["worst"]


async def test_the_load_generator_tells_refusals_from_answers() -> None:
    async with server(odd_ones_refused) as (url, paths):
        outcome = await load(url, "--seconds", "0.2")
    # One of each connection may be on its way when time is up.
    assert len(paths) - 4 <= outcome["answered"] + outcome["refused"] <= len(paths)
    assert abs(outcome["answered"] - outcome["refused"]) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_webhook_of_the_load_becomes_one_message(name: str) -> None:
    (request,) = requests(profile(name), "localhost", 7, 1)
    assert request.startswith(f"POST /webhooks/{name}".encode())
    (item,) = raw_items(profile(name), 7, 1).values()
    assert b"#7" in item.body
    assert build(profile(name)).capabilities.channel == name


async def test_costs_are_those_of_the_child(tmp_path: Path) -> None:
    busy_then_idle = "import time\nwhile time.process_time() < 0.3: pass\nprint('idle', flush=True)\ntime.sleep(60)"
    child = Measured("busy", [sys.executable, "-c", busy_then_idle], tmp_path / "log", {})
    await child.start()
    try:
        async with asyncio.timeout(20):
            while "idle" not in (tmp_path / "log").read_text():
                await asyncio.sleep(0.02)
        assert 0.2 <= child.cpu_seconds() <= 0.5
        assert child.memory() > 2**20
    finally:
        await child.stop()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="costs are read from /proc")
async def test_a_scenario_runs_from_end_to_end(tmp_path: Path) -> None:
    report = tmp_path / "results.md"
    command = (sys.executable, "-m", "bench", "normalise", "--quick", "--channels", "telegram", "--output", str(report))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    text = report.read_text()
    assert "- Processor: " in text
    rate, cost = (
        re.search(rf"\| {name} \| \S+ \| ([\d,.]+) \| ([\d,.]+) \|", text) for name in ("one process", "processor time")
    )
    assert rate
    assert cost
    assert all(float(value.replace(",", "")) > 0 for value in (*rate.groups(), *cost.groups()))
