"""Memory: one Telegram process with ten thousand bots, before and after a thousand of them have sent."""

from __future__ import annotations

import asyncio

from bench.backlog import backlog
from bench.channels import profile
from bench.figures import Aim, Figure, Result, series
from bench.scenarios import Options
from bench.scenarios.deliver import put_commands, sent
from bench.stage import Side
from shared.runtime.settings import Role

BOTS = 10_000
SENDING = 1_000
ROLES = "ingress,normalise,deliver,media,pull"
SETTLE_SECONDS = 3.0
_MIB = 2**20


async def run(options: Options) -> list[Result]:
    of = profile("telegram")
    bots, sending = options.size(BOTS), options.size(SENDING)
    async with options.stage() as stage, stage.peer(of) as provider:

        async def fill(side: Side, first: int, count: int) -> None:
            await put_commands(stage, side, of, first, count, conversations=sending, accounts=sending)

        async with stage.service(of, ROLES, provider=provider, DELIVER_PROBE_EVERY="86400") as alone:
            await asyncio.sleep(SETTLE_SECONDS)
            empty = alone.process.memory()
        async with stage.service(of, ROLES, accounts=bots, provider=provider, DELIVER_PROBE_EVERY="86400") as ours:
            await asyncio.sleep(SETTLE_SECONDS)
            registered = ours.process.memory()
            topics = ours.topics.outbound(of.name), ours.topics.statuses(of.name)
            async with backlog(stage, ours, of, Role.DELIVER, *topics, fill) as line:
                await line.work_off(sending, sent)
            used = ours.process.memory()
    figures = (
        Figure("with one bot", "MiB", series([empty / _MIB])),
        Figure(
            f"with {bots:,} bots", "MiB", series([registered / _MIB]), series([empty / _MIB]), (Aim(300, "at most"),)
        ),
        Figure(f"after a message from each of {sending:,}", "MiB", series([used / _MIB]), series([empty / _MIB])),
        Figure("a registered bot", "KiB", series([(registered - empty) / bots / 1024])),
        Figure("a bot that has sent", "KiB more", series([(used - registered) / sending / 1024])),
    )
    setting = "Resident memory of one process with all roles. Bare: the same process with one bot."
    return [Result("Memory of many bots, telegram", setting, figures)]
