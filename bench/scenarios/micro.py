"""The pure parts alone: microseconds of one normalise, one plan, one turn of the dispatcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import orjson

from bench.channels import Profile, build, profile
from bench.figures import Figure, Result, series
from bench.scenarios import Options
from bench.scenarios.deliver import command
from shared.channel import PlanContext, ReceivedItem, WebhookRequest
from shared.contract.accounts import AccountRecord
from shared.contract.commands import CommandType
from shared.stream.dispatcher import Dispatcher
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.records import Record

CALLS = 2_000
RECORDS = 20_000
KEYS = 1_000
TOPIC = "records"


async def run(options: Options) -> list[Result]:
    figures: list[Figure] = []
    for name in options.channels:
        figures += _of_channel(profile(name), options)
    setting = (
        "Processor time of one call, in this process, best of 20 repetitions per round. Bare: `orjson.loads` of the "
        "same bytes, which is what reading them costs at least."
    )
    return [Result("normalise and plan", setting, tuple(figures)), await _dispatcher(options)]


def _of_channel(of: Profile, options: Options) -> list[Figure]:
    channel = build(of)
    entry = of.account(0)
    del entry["credentials"]
    account = AccountRecord(**entry)
    figures = []
    for kind in ("text", "media"):
        hook = of.webhook(1, 1, media=kind == "media")
        headers = {name.lower(): value for name, value in hook.headers.items()}
        route = hook.path.removeprefix(f"/webhooks/{of.name}").lstrip("/")
        (raw,) = channel.unbatch(WebhookRequest("POST", route, {}, headers, hook.body))
        item = ReceivedItem(account, raw.body, datetime.now(UTC), 1)
        figures.append(_compared(f"{of.name}: normalise a {kind}", partial(channel.normalise, item), raw.body, options))
    send, recipient = command(of, 1, 1, 1)
    context = PlanContext(account, recipient.address)
    figures.append(
        _compared(
            f"{of.name}: plan a text",
            lambda: channel.plan(CommandType.MESSAGE_SEND, send, context),
            send.to_json(),
            options,
        )
    )
    return figures


def _compared(name: str, call: Callable[[], object], document: bytes, options: Options) -> Figure:
    ours, bare = [], []
    for _ in range(options.rounds):
        ours.append(_best(call, options))
        bare.append(_best(lambda: orjson.loads(document), options))
    return Figure(name, "µs", series(ours), series(bare))


def _best(call: Callable[[], object], options: Options) -> float:
    """Microseconds of one call, in the fastest of 20 repetitions: what disturbs can only slow down."""
    calls = options.size(CALLS) // 20
    best = float("inf")
    for _ in range(20):
        began = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - began)
    return best / calls * 1e6


async def _dispatcher(options: Options) -> Result:
    count = options.size(RECORDS)
    ours, bare = [], []
    for _ in range(options.rounds):
        ours.append(await _dispatched(count))
        bare.append(await _looped(count))
    figures = (
        Figure(
            "records",
            "records/s",
            series([count / seconds for seconds in ours]),
            series([count / seconds for seconds in bare]),
        ),
        Figure(
            "processor time",
            "µs/record",
            series([seconds / count * 1e6 for seconds in ours]),
            series([seconds / count * 1e6 for seconds in bare]),
        ),
    )
    setting = (
        f"{count:,} records over {KEYS:,} keys of 12 partitions from the log in memory to a handler that does nothing: "
        "fetch, lanes, offsets, commits. Bare: a loop over the same records that awaits the same handler."
    )
    return Result("Dispatcher", setting, figures)


async def _nothing(record: Record) -> None:
    """The handler."""


async def _poisoned(record: Record, error: Exception) -> None:
    raise error


async def _filled(count: int) -> MemoryLog:
    log = MemoryLog()
    await log.ensure_topics([TopicSpec(TOPIC, 12)])
    for number in range(count):
        await log.send(TOPIC, str(number % KEYS).encode(), b"{}")
    return log


async def _dispatched(count: int) -> float:
    """Seconds of processor time."""
    log = await _filled(count)
    done = asyncio.Event()
    left = count

    def observe(outcome: str, record: Record, seconds: float) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    began = time.process_time()
    async with Dispatcher(
        log, "group", [TOPIC], _nothing, key_of=lambda r: r.key or b"", on_poison=_poisoned, observe=observe
    ):
        await done.wait()
        return time.process_time() - began


async def _looped(count: int) -> float:
    log = await _filled(count)
    began = time.process_time()
    for partition in range(12):
        async for record in log.read_partition(TOPIC, partition):
            await _nothing(record)
    return time.process_time() - began
