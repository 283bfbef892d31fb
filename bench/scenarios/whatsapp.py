"""WhatsApp for a minute: a thousand sends a second from one process, with their statuses coming back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import orjson
from aiokafka import AIOKafkaConsumer

from bench.channels import profile
from bench.channels.whatsapp import SECRET, TOKEN, VERIFY_TOKEN
from bench.figures import Aim, Figure, Result, percentile, series
from bench.scenarios import Options
from bench.scenarios.deliver import put_commands
from bench.stage import BenchFailed, Side, Stage

RATE = 1_000
SECONDS = 60
CONVERSATIONS = 5_000
DELIVERED_AFTER = 0.1  # seconds the simulator waits before it reports a delivery
PATIENCE = 30.0
_MIB = 2**20


@dataclass(slots=True)
class _Seen:
    """What the statuses topic has said so far: when, by command, in Unix milliseconds."""

    accepted: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)


async def run(options: Options) -> list[Result]:
    of = profile("whatsapp")
    rate, seconds = (RATE // 10, 3) if options.quick else (RATE, SECONDS)
    simulator = ("--token", TOKEN, "--app-secret", SECRET, "--open-world", "--no-pair-limit", "--throughput", "1000000")
    async with (
        options.stage() as stage,
        stage.simulator(of, *simulator) as provider,
        stage.service(of, "ingress,normalise,deliver", provider=provider) as ours,
        stage.reader(ours.topics.statuses(of.name)) as statuses,
    ):
        await _connect(stage, provider, ours)
        # The group is joined when the first message is out.
        await put_commands(stage, ours, of, 0, 1, conversations=CONVERSATIONS, accounts=1)
        await _follow(statuses, _Seen(), 1, time.monotonic() + PATIENCE)
        seen, memory, cpu = _Seen(), [ours.process.memory()], ours.process.cpu_seconds()
        total = rate * seconds
        following = asyncio.ensure_future(_follow(statuses, seen, total, time.monotonic() + seconds + PATIENCE))
        began = time.monotonic()
        for second in range(seconds):
            for tenth in range(10):
                number = 1 + second * rate + tenth * rate // 10
                await put_commands(stage, ours, of, number, rate // 10, conversations=CONVERSATIONS, accounts=1)
                await asyncio.sleep(max(0.0, began + second + (tenth + 1) / 10 - time.monotonic()))
            memory.append(ours.process.memory())
        await following
        cpu = ours.process.cpu_seconds() - cpu
    first, last = min(seen.accepted.values()), max(seen.accepted.values())
    lags = [at - seen.accepted[command] - DELIVERED_AFTER * 1000 for command, at in seen.delivered.items()]
    settled = memory[max(1, len(memory) // 3)]
    figures = (
        Figure("sent", "messages/s", series([len(seen.accepted) / ((last - first) / 1000)]), aims=(Aim(0.97 * rate),)),
        Figure("delivered", "of all sent", series([len(seen.delivered) / len(seen.accepted)]), aims=(Aim(1.0),)),
        Figure("status lag, p50", "ms", series([percentile(lags, 0.5)])),
        Figure("status lag, p99", "ms", series([percentile(lags, 0.99)])),
        Figure("processor time, with both statuses", "µs/message", series([cpu / total * 1e6])),
        Figure("memory after a third", "MiB", series([settled / _MIB])),
        Figure("memory at the end", "MiB", series([memory[-1] / _MIB]), aims=(Aim(1.15 * settled / _MIB, "at most"),)),
    )
    setting = (
        f"One process with ingress, normalise and deliver; {rate:,} texts a second for {seconds} s to the simulated "
        f"Cloud API over {CONVERSATIONS:,} conversations; every message comes back as `sent` and `delivered`. "
        "The lag is from our `accepted` to our `delivered` on the statuses topic, without the "
        f"{DELIVERED_AFTER * 1000:.0f} ms that the simulator waits. The simulator, the broker and the state server "
        "share the machine."
    )
    return [Result("A minute of sending, whatsapp", setting, figures)]


async def _connect(stage: Stage, provider: str, ours: Side) -> None:
    """What is done in Meta's dashboard: where webhooks go."""
    hook = {"url": f"{ours.url}/webhooks/whatsapp", "verify_token": VERIFY_TOKEN}
    async with stage.http.post(f"{provider}/_sim/webhook", json=hook) as answer:
        if answer.status != 200:
            raise BenchFailed(f"the webhook was not accepted: {await answer.text()}")


async def _follow(reader: AIOKafkaConsumer, seen: _Seen, total: int, until: float) -> None:
    """Read statuses until so many messages have been delivered. Raises BenchFailed after `until`."""
    while len(seen.delivered) < total:
        batches = await reader.getmany(timeout_ms=100)
        for records in batches.values():
            for record in records:
                status = orjson.loads(record.value)
                match status["state"]:
                    case "accepted":
                        seen.accepted.setdefault(status["command_id"], record.timestamp)
                    case "delivered":
                        seen.delivered.setdefault(status["command_id"], record.timestamp)
                    case "sent":
                        pass
                    case other:
                        raise BenchFailed(f"a command ended as {other}: {status.get('error')}")
        if time.monotonic() > until:
            raise BenchFailed(f"{len(seen.accepted)} of {total} were sent, {len(seen.delivered)} delivered")
