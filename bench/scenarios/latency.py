"""Webhook → inbound: how long a message takes from the provider's call to the topic the inbox reads."""

from __future__ import annotations

import asyncio
import re
import time

from aiokafka import AIOKafkaConsumer

from bench.channels import Profile, profile
from bench.figures import Aim, Figure, Result, percentile, series
from bench.scenarios import Options
from bench.stage import BenchFailed, Side, Stage

RATE = 1_000
CONNECTIONS = 64
PATIENCE = 20.0
_NUMBER = re.compile(rb"#(\d+)")


async def run(options: Options) -> list[Result]:
    of = profile("telegram")
    rate, seconds = (100, 1.0) if options.quick else (RATE, 8.0)
    rounds = []
    async with (
        options.stage() as stage,
        stage.service(of, "ingress,normalise,deliver,media,pull") as ours,
        stage.bare(of, "ingress,normalise") as bare,
        stage.reader(ours.topics.inbound(of.name)) as mine,
        stage.reader(bare.topics.inbound(of.name)) as theirs,
    ):
        for number in range(options.rounds + 1):
            first = int(number * rate * seconds)
            rounds.append(
                (
                    await _measure(stage, of, ours, mine, first, rate, seconds),
                    await _measure(stage, of, bare, theirs, first, rate, seconds),
                )
            )
    rounds = rounds[1:]  # the first one warms up
    figures = tuple(
        Figure(
            f"{name} at {rate:,}/s",
            "ms",
            series([percentile(a, share) for a, _ in rounds]),
            series([percentile(b, share) for _, b in rounds]),
            aims,
        )
        for name, share, aims in (("p50", 0.5, ()), ("p99", 0.99, (Aim(100, "at most"),)))
    )
    setting = (
        "One process with all roles; from the moment a webhook was due until a consumer has its event from the inbound "
        "topic. Bare: the yardsticks of ingress and normalise in one process."
    )
    return [Result("Webhook → inbound, telegram", setting, figures)]


async def _measure(
    stage: Stage, of: Profile, side: Side, reader: AIOKafkaConsumer, first: int, rate: int, seconds: float
) -> list[float]:
    """Milliseconds of every message."""
    load = asyncio.ensure_future(stage.load(of, side.url, seconds, connections=CONNECTIONS, rate=rate, first=first))
    arrived = await _arrivals(reader, load)
    began = (await load)["began"]
    return [(at - began - (number - first) / rate) * 1000 for number, at in arrived.items()]


async def _arrivals(reader: AIOKafkaConsumer, load: asyncio.Future[dict[str, float]]) -> dict[int, float]:
    """When each message was read, by its number (monotonic clock); all that were answered, or BenchFailed."""
    arrived: dict[int, float] = {}
    ended: float | None = None
    while ended is None or len(arrived) < load.result()["answered"]:
        batches = await reader.getmany(timeout_ms=20)
        now = time.monotonic()
        for records in batches.values():
            for record in records:
                if found := _NUMBER.search(record.value):
                    arrived.setdefault(int(found[1]), now)
        if load.done():
            ended = ended or now
            if now - ended > PATIENCE:
                raise BenchFailed(f"{int(load.result()['answered']) - len(arrived)} messages did not arrive")
    return arrived
