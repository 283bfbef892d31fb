"""Raw → inbound: a full raw topic, worked off by one process."""

from __future__ import annotations

from bench.backlog import backlog, unchecked
from bench.channels import Profile, build, profile
from bench.figures import Aim, Figure, Result, series
from bench.scenarios import Options
from bench.stage import Side, Stage
from shared.channel import RawItem, WebhookRequest
from shared.media.blobs import Blobs
from shared.runtime.inbound.raw import RawWriter, body_store
from shared.runtime.settings import Role
from shared.stream.deadletter import DeadLetters

RECORDS = 20_000
CONVERSATIONS = 1_000


async def run(options: Options) -> list[Result]:
    results = []
    for name in options.channels:
        async with options.stage() as stage:
            results.append(await _measure(stage, profile(name), options))
    return results


async def _measure(stage: Stage, of: Profile, options: Options) -> Result:
    items: dict[int, RawItem] = {}

    async def fill(side: Side, first: int, count: int) -> None:
        blobs = Blobs(stage.blobs)
        dead = DeadLetters(stage.log, lambda _: side.topics.deadletter(of.name), store_body=body_store(blobs))
        writer = RawWriter(of.name, stage.log, side.topics, blobs, dead)
        if first not in items:
            items.update(raw_items(of, first, count))
        await writer.write([items[number] for number in range(first, first + count)])

    count = options.size(RECORDS)
    async with stage.service(of, "normalise") as ours, stage.bare(of, "normalise") as bare:
        lines = [
            backlog(stage, side, of, Role.NORMALISE, side.topics.raw(of.name), side.topics.inbound(of.name), fill)
            for side in (ours, bare)
        ]
        async with lines[0] as mine, lines[1] as theirs:
            await mine.work_off(count // 10, unchecked)
            await theirs.work_off(count // 10, unchecked)
            paces = [
                (await mine.work_off(count, unchecked), await theirs.work_off(count, unchecked))
                for _ in range(options.rounds)
            ]
    figures = (
        Figure(
            "one process",
            "records/s",
            series([a.rate for a, _ in paces]),
            series([b.rate for _, b in paces]),
            (Aim(5_000),),
        ),
        Figure("processor time", "µs/record", series([a.cpu for a, _ in paces]), series([b.cpu for _, b in paces])),
    )
    setting = (
        f"One process with `ROLES=normalise`; a backlog of {count:,} text messages over {CONVERSATIONS:,} "
        "conversations. Bare: aiokafka, batches of 500, consume → parse → produce, no state."
    )
    return Result(f"Raw → inbound, {of.name}", setting, figures)


def raw_items(of: Profile, first: int, count: int) -> dict[int, RawItem]:
    """What ingress would have put on the raw topic for these messages."""
    channel = build(of)
    items = {}
    for number in range(first, first + count):
        hook = of.webhook(number, CONVERSATIONS)
        route = hook.path.removeprefix(f"/webhooks/{of.name}").lstrip("/")
        headers = {name.lower(): value for name, value in hook.headers.items()}
        (items[number],) = channel.unbatch(WebhookRequest("POST", route, {}, headers, hook.body))
    return items
