"""WhatsApp for a minute: sends from one process with their statuses coming back to another."""

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

RATES = (400, 1_000)  # what two cores hold, and the aim
SECONDS = 60
CONVERSATIONS = 5_000
DELIVERED_AFTER = 0.1  # seconds the simulator waits before it reports a delivery
PATIENCE = 30.0
_MIB = 2**20
_TENTH = 0.1


@dataclass(slots=True)
class _Seen:
    """What the statuses topic has said so far: when, by command, in Unix milliseconds."""

    accepted: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)


async def run(options: Options) -> list[Result]:
    return [await _measure(options, rate) for rate in ((100,) if options.quick else RATES)]


async def _measure(options: Options, rate: int) -> Result:
    of = profile("whatsapp")
    seconds = 3 if options.quick else SECONDS
    simulator = ("--token", TOKEN, "--app-secret", SECRET, "--open-world", "--no-pair-limit", "--throughput", "1000000")
    async with (
        options.stage() as stage,
        stage.simulator(of, *simulator) as provider,
        stage.service(of, "deliver", provider=provider) as sending,
        stage.service(of, "ingress,normalise", provider=provider) as hearing,
        stage.reader(sending.topics.statuses(of.name)) as statuses,
    ):
        await _connect(stage, provider, hearing)
        # The group is joined when the first message is out.
        await put_commands(stage, sending, of, 0, 1, conversations=CONVERSATIONS, accounts=1)
        await _follow(statuses, _Seen(), 1, time.monotonic() + PATIENCE)
        both = (sending.process, hearing.process)
        seen, memory, cpu = _Seen(), [], [process.cpu_seconds() for process in both]
        began = time.monotonic()
        following = asyncio.ensure_future(_follow(statuses, seen, rate * seconds, began + seconds + PATIENCE))
        for tenth in range(10 * seconds):
            await put_commands(
                stage, sending, of, 1 + tenth * rate // 10, rate // 10, conversations=CONVERSATIONS, accounts=1
            )
            memory.append(sum(process.memory() for process in both))
            await asyncio.sleep(max(0.0, began + (tenth + 1) * _TENTH - time.monotonic()))
        await following
        cpu = [process.cpu_seconds() - before for process, before in zip(both, cpu, strict=True)]
    first, last = min(seen.accepted.values()), max(seen.accepted.values())
    sent, delivered = len(seen.accepted), len(seen.delivered)
    lags = [at - seen.accepted[command] - DELIVERED_AFTER * 1000 for command, at in seen.delivered.items()]
    settled = memory[len(memory) // 3]
    figures = (
        Figure("sent", "messages/s", series([sent / ((last - first) / 1000)]), aims=(Aim(0.97 * rate),)),
        Figure("reported as delivered in time", "of all", series([delivered / (rate * seconds)]), aims=(Aim(1.0),)),
        Figure("status lag, p50", "ms", series([percentile(lags, 0.5)])),
        Figure("status lag, p99", "ms", series([percentile(lags, 0.99)])),
        Figure("processor time, the sending process", "µs/message", series([cpu[0] / sent * 1e6])),
        Figure("processor time, the hearing process", "µs/message", series([cpu[1] / delivered * 1e6])),
        Figure("memory of both after a third", "MiB", series([settled / _MIB])),
        Figure(
            "memory of both at the end",
            "MiB",
            series([memory[-1] / _MIB]),
            aims=(Aim(1.15 * settled / _MIB, "at most"),),
        ),
    )
    setting = (
        f"{rate:,} texts a second for {seconds} s from one process (`ROLES=deliver`) to the simulated Cloud API over "
        f"{CONVERSATIONS:,} conversations; every message comes back as `sent` and `delivered` to another "
        "(`ROLES=ingress,normalise`). In time is before "
        f"{PATIENCE:.0f} s after the last command. The lag is from our `accepted` to our `delivered` on the statuses "
        f"topic, without the {DELIVERED_AFTER * 1000:.0f} ms that the simulator waits. The simulator, the broker, the "
        "state server and the load share the machine."
    )
    return Result(f"A minute of sending at {rate:,}/s, whatsapp", setting, figures)


async def _connect(stage: Stage, provider: str, ours: Side) -> None:
    """What is done in Meta's dashboard: where webhooks go."""
    hook = {"url": f"{ours.url}/webhooks/whatsapp", "verify_token": VERIFY_TOKEN}
    async with stage.http.post(f"{provider}/_sim/webhooks", json=hook) as answer:
        if answer.status != 200:
            raise BenchFailed(f"the webhook was not accepted: {await answer.text()}")


async def _follow(reader: AIOKafkaConsumer, seen: _Seen, total: int, until: float) -> None:
    """Read statuses until so many messages have been delivered, or until `until`."""
    while len(seen.delivered) < total and time.monotonic() < until:
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
    if not seen.delivered:
        raise BenchFailed("nothing was delivered")
