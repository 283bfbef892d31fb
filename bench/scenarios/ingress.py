"""Webhook → 200: ours against bare aiohttp + aiokafka."""

from __future__ import annotations

from bench.channels import Profile, profile
from bench.figures import Aim, Figure, Result, series
from bench.scenarios import Options
from bench.stage import Side, Stage

RATE = 3_300
CONNECTIONS = 64
Rounds = list[tuple[float, float]]  # webhooks a second, µs of processor time a webhook


async def run(options: Options) -> list[Result]:
    results = []
    for name in options.channels:
        async with options.stage() as stage:
            results.append(await _measure(stage, profile(name), options))
    return results


async def _measure(stage: Stage, of: Profile, options: Options) -> Result:
    seconds = 1.0 if options.quick else 5.0
    async with stage.service(of, "ingress") as ours, stage.bare(of, "ingress") as bare:
        for side in (ours, bare):
            await _flood(stage, of, side, seconds / 5)  # connections, caches, first allocations
        mine: Rounds = []
        theirs: Rounds = []
        for _ in range(options.rounds):
            mine.append(await _flood(stage, of, ours, seconds))
            theirs.append(await _flood(stage, of, bare, seconds))
        paced = [
            await stage.load(of, side.url, seconds, connections=CONNECTIONS, rate=RATE if not options.quick else 200)
            for side in (ours, bare)
        ]
    figures = (
        Figure(
            "as fast as it goes",
            "webhooks/s",
            series([rate for rate, _ in mine]),
            series([rate for rate, _ in theirs]),
            (Aim(0.8, of="ratio"), Aim(RATE)),
        ),
        Figure("processor time", "µs/webhook", series([cpu for _, cpu in mine]), series([cpu for _, cpu in theirs])),
        Figure(f"at {RATE:,}/s, p50", "ms", series([paced[0]["p50"]]), series([paced[1]["p50"]])),
        Figure(
            f"at {RATE:,}/s, p99", "ms", series([paced[0]["p99"]]), series([paced[1]["p99"]]), (Aim(50, "at most"),)
        ),
    )
    setting = (
        f"One process with `ROLES=ingress`; a text message per POST over {CONNECTIONS} connections from another "
        "process, answered when the broker has acknowledged it (`acks=all`). Bare: aiohttp + aiokafka, parse and "
        "`send_and_wait`, without authentication."
    )
    return Result(f"Webhook → 200, {of.name}", setting, figures)


async def _flood(stage: Stage, of: Profile, side: Side, seconds: float) -> tuple[float, float]:
    before = side.process.cpu_seconds()
    outcome = await stage.load(of, side.url, seconds, connections=CONNECTIONS)
    answered = outcome["answered"]
    return answered / outcome["seconds"], (side.process.cpu_seconds() - before) / answered * 1e6
