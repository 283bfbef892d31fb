"""What strangers cost: a real listener under attack keeps its budget of memory, and serves who can prove himself."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from sandbox.channels import ROOT
from sandbox.simulators.whatsapp import APP_SECRET
from sandbox.simulators.whatsapp.webhooks import sign
from tests.e2e import strangers
from tests.e2e.replicas import Replica
from tests.e2e.world import make_broker, number, running

PATH = "/webhooks/whatsapp"
BUDGET = 256 * 1024 * 1024  # bytes, as docs/operations.md has it


@dataclass
class Siege:
    """What an attack has cost."""

    idle_p99: float
    p99: float
    refused: int
    grown: int
    answers: dict[str, int]


async def besieged(replica: Replica, seconds: float, scale: float, *kinds: str) -> Siege:
    """Strangers attack the replica, while genuine webhooks are posted twenty times a second."""
    pid = replica._child.pid  # type: ignore[union-attr]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        idle, _ = await genuine(session, replica.url, 3.0)
        before = strangers.memory(pid)
        strangers.forget_peak(pid)
        command = [
            sys.executable,
            "-m",
            "tests.e2e.strangers",
            str(replica.port),
            str(seconds),
            str(scale),
            PATH,
            *kinds,
        ]
        attack = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        told = asyncio.ensure_future(attack.communicate())
        took: list[float] = []
        refused = 0
        try:
            while not told.done():
                more, not_now = await genuine(session, replica.url, 1.0)
                took += more
                refused += not_now
            stdout, _ = await told
        finally:
            if attack.returncode is None:
                attack.kill()
    return Siege(p99(idle), p99(took), refused, strangers.peak_memory(pid) - before, json.loads(stdout))


async def genuine(session: aiohttp.ClientSession, url: str, seconds: float) -> tuple[list[float], int]:
    """Seconds that every webhook took, posted at a steady pace, and how many were answered 503."""

    async def post() -> tuple[float, int]:
        body = webhook()
        started = time.perf_counter()
        for _ in range(3):
            try:
                async with session.post(
                    url + PATH, data=body, headers={"X-Hub-Signature-256": sign(APP_SECRET, body)}
                ) as got:
                    status = got.status
                    break
            except aiohttp.ClientConnectionError:  # an idle connection that has just made room: providers try again
                status = 0
        return time.perf_counter() - started, status

    calls = []
    for _ in range(int(seconds * 20)):
        calls.append(asyncio.ensure_future(post()))
        await asyncio.sleep(0.05)
    done = await asyncio.gather(*calls)
    assert {status for _, status in done} <= {200, 503}, done
    return [took for took, _ in done], sum(status == 503 for _, status in done)


def webhook() -> bytes:
    message: dict[str, Any] = {"from": "4670", "id": f"wamid.{number()}", "timestamp": "1764000000", "type": "text"}
    value = {"metadata": {"phone_number_id": "1"}, "messages": [{**message, "text": {"body": "hello"}}]}
    return orjson.dumps({"entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]})


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


async def test_strangers_cost_little_and_delay_nobody() -> None:
    async with running(make_broker("tansu")) as world:
        channel = await world.channel("whatsapp", 1, ROLES="ingress")
        siege = await besieged(channel.service.replicas[0], seconds=4.0, scale=0.1)
    assert siege.grown < BUDGET, siege
    assert siege.p99 < 2.0, siege
    assert siege.refused == 0, siege
    assert {"large 401", "bomb 415", "tiny_chunks 400"} <= siege.answers.keys(), siege
