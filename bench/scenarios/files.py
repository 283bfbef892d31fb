"""Files through WhatsApp: how long conversions take, what large files cost one process, when thumbnails are there."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer

from bench import recordings
from bench.channels import WORKSPACE, Profile, profile
from bench.channels.whatsapp import SECRET, TOKEN, webhook
from bench.figures import Aim, Figure, Result, percentile, series
from bench.scenarios import Options
from bench.stage import BenchFailed, Side, Stage
from shared.contract import ids
from shared.contract.commands import CommandType, File, MessageSend, OutMedia
from shared.contract.content import AttachmentKind
from shared.contract.envelope import Envelope, rfc3339, source, type_name
from shared.media.blobs import Blobs
from shared.media.processing import Processor
from shared.workers import Workers

ROLES = "ingress,normalise,deliver,media"
LARGE_IN, LARGE_OUT = 5, 50  # files of 20 MiB
LARGE = 20 * 1024 * 1024
PICTURES, SECONDS = 50, 20  # a second, for so long
# Pixels: as WhatsApp's apps send pictures, unless the customer asks for HD.
USUAL, HD = (1600, 1200), (4000, 3000)
_EVERY_HD = 50
PATIENCE = 120.0
_MIB = 2**20
_SIMULATOR = ("--token", TOKEN, "--app-secret", SECRET, "--open-world", "--no-pair-limit", "--throughput", "1000000")


async def run(options: Options) -> list[Result]:
    return [await _conversions(options), await _large(options), await _thumbnails(options)]


# --------------------------------------------------------------------------------------------------- conversions


async def _conversions(options: Options) -> Result:
    """As a message waits for one: look at the file, convert it, store what was made."""
    voice, clip = await asyncio.to_thread(lambda: (recordings.voice(60.0), recordings.video(LARGE)))
    note: dict[str, Any] = {"to": "audio/ogg", "limits": {}}
    moved: dict[str, Any] = {"to": "video/mp4", "limits": {"max_bytes": 2 * LARGE}}
    with tempfile.TemporaryDirectory() as folder:
        blobs = Blobs(Path(folder).as_uri())
        workers = Workers(quick=1, slow=1)
        processor = Processor(blobs, workers)
        try:
            await _converted(processor, blobs, recordings.voice(1.0), "audio/mp4", note)  # the worker has started
            said = [await _converted(processor, blobs, voice, "audio/mp4", note) for _ in range(options.rounds)]
            seen = [await _converted(processor, blobs, clip, "video/quicktime", moved) for _ in range(options.rounds)]
        finally:
            await workers.close()
    figures = (
        Figure("a voice note of 60 s, M4A to Ogg with Opus", "s", series(said), aims=(Aim(2.0, "at most"),)),
        Figure("a MOV of 20 MiB to MP4, copied", "s", series(seen), aims=(Aim(3.0, "at most"),)),
    )
    return Result("Conversions", "One worker, files in a directory; from the blob to the blob.", figures)


_versions = iter(range(1_000_000))


async def _converted(
    processor: Processor, blobs: Blobs, content: bytes, mime_type: str, recipe: dict[str, Any]
) -> float:
    key = f"{WORKSPACE}/source"
    await blobs.put_small(key, content, content_type=mime_type)
    began = time.perf_counter()
    looked = await processor.look(key, str(next(_versions)), mime_type)
    made = await processor.convert(key, looked, recipe, f"{WORKSPACE}/converted/{next(_versions)}")
    if not made.size:
        raise BenchFailed("nothing was made")
    return time.perf_counter() - began


# --------------------------------------------------------------------------------------------------- large files


async def _large(options: Options) -> Result:
    of = profile("whatsapp")
    files_in, files_out = max(1, options.size(LARGE_IN)), options.size(LARGE_OUT)
    async with (
        options.stage() as stage,
        stage.simulator(of, *_SIMULATOR) as provider,
        stage.service(of, ROLES, provider=provider) as ours,
        stage.reader(ours.topics.inbound(of.name)) as events,
        stage.reader(ours.topics.statuses(of.name)) as statuses,
    ):
        await asyncio.sleep(1.0)
        before = ours.process.peak_memory()
        media = [
            await _uploaded(stage, provider, b"%%PDF-1.7 %d\n" % number, "application/pdf", LARGE)
            for number in range(files_in)
        ]
        began = time.monotonic()
        for number, media_id in enumerate(media):
            content = {"type": "document", "document": {"id": media_id, "mime_type": "application/pdf"}}
            await _webhook(stage, ours, number, content)
        await _stored(events, files_in)
        received = time.monotonic() - began
        after_in = ours.process.peak_memory()
        began = time.monotonic()
        await _send(stage, ours, of, files_out)
        await _accepted(statuses, files_out)
        sent = time.monotonic() - began
        peak = ours.process.peak_memory()
    figures = (
        Figure("peak memory, idle", "MiB", series([before / _MIB])),
        Figure(f"peak memory after {files_in} in", "MiB", series([after_in / _MIB])),
        Figure(f"peak memory after {files_out} out", "MiB", series([peak / _MIB]), aims=(Aim(250, "at most"),)),
        Figure("in", "MiB/s", series([files_in * LARGE / _MIB / received])),
        Figure("out", "MiB/s", series([files_out * LARGE / _MIB / sent])),
    )
    setting = (
        f"One process with `ROLES={ROLES}`: {files_in} documents of 20 MiB from customers, then a message of "
        f"{files_out} of them. Peak resident memory is the process's own, beside that of its workers."
    )
    return Result("Large files, whatsapp", setting, figures)


async def _send(stage: Stage, ours: Side, of: Profile, count: int) -> None:
    """One message with so many documents, no two of them alike; sparse, so that nobody has to write them first."""
    root = Path(stage.blobs.removeprefix("file://")) / WORKSPACE / "large"
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with (root / f"{number}").open("wb") as file:
            file.write(b"%%PDF-1.7 out %d\n" % number)
            file.truncate(LARGE)
    account, recipient = of.account(0)["account_id"], of.recipient(0)
    conversation = ids.conversation_id(of.name, account, recipient.peer)
    await stage.open(conversation, recipient.address)
    named = [
        File(blob=f"{WORKSPACE}/large/{number}", filename=f"{number}.pdf", kind=AttachmentKind.DOCUMENT)
        for number in range(count)
    ]
    send = MessageSend(
        command_id="large",
        workspace_id=WORKSPACE,
        account_id=account,
        conversation_id=conversation,
        content=OutMedia(attachments=tuple(named)),
    )
    envelope = Envelope(
        id=send.command_id,
        type=type_name(CommandType.MESSAGE_SEND),
        source=source("core", account),
        subject=conversation,
        time=rfc3339(datetime.now(UTC)),
        data=send,
    )
    await (await stage.log.enqueue(ours.topics.outbound(of.name), envelope.key, send.to_json(), envelope.headers()))


async def _accepted(statuses: AIOKafkaConsumer, count: int) -> None:
    parts: set[int] = set()
    async with asyncio.timeout(3 * PATIENCE):
        while len(parts) < count:
            for records in (await statuses.getmany(timeout_ms=100)).values():
                for record in records:
                    status = orjson.loads(record.value)
                    if status["state"] not in ("accepted", "sent", "delivered"):
                        raise BenchFailed(f"the message ended as {status['state']}: {status.get('error')}")
                    parts.add(status["part"]["index"])


# --------------------------------------------------------------------------------------------------- thumbnails


async def _thumbnails(options: Options) -> Result:
    of = profile("whatsapp")
    count = PICTURES * (2 if options.quick else SECONDS)
    async with (
        options.stage() as stage,
        stage.simulator(of, *_SIMULATOR) as provider,
        stage.service(of, ROLES, provider=provider) as ours,
        stage.reader(ours.topics.inbound(of.name)) as events,
    ):
        pictures = await asyncio.to_thread(_pictures)
        media = [await _uploaded(stage, provider, picture, "image/jpeg", len(picture)) for picture in pictures]
        await _webhook(stage, ours, 0, _image(media[0]))
        await _stored(events, 1)
        due: dict[str, float] = {}
        following = asyncio.ensure_future(_stored(events, count))
        began = time.time()
        for number in range(1, count + 1):
            await asyncio.sleep(max(0.0, began + number / PICTURES - time.time()))
            due[f"wamid.{number:032}"] = time.time()
            await _webhook(stage, ours, number, _image(media[number % len(media)]))
        stored = await following
    lags = [at / 1000 - due[message] for message, at, _ in stored if message in due]
    shown = sum(has for message, _, has in stored if message in due)
    figures = (
        Figure("with a thumbnail", "of all", series([shown / count]), aims=(Aim(0.99),)),
        Figure("webhook until attachment.stored, p50", "s", series([percentile(lags, 0.5)])),
        Figure(
            "webhook until attachment.stored, p95", "s", series([percentile(lags, 0.95)]), aims=(Aim(3.0, "at most"),)
        ),
        Figure("the slowest", "s", series([max(lags)])),
    )
    setting = (
        f"One process with `ROLES={ROLES}` and two workers for quick jobs, {PICTURES} pictures a second for "
        f"{count // PICTURES} s: 49 of 50 as WhatsApp makes them ({USUAL[0]} by {USUAL[1]} pixels), "
        f"one of fifty in HD ({HD[0]} by {HD[1]}). The simulator, the broker and the "
        "load share the machine."
    )
    return Result("Thumbnails, whatsapp", setting, figures)


def _pictures() -> list[bytes]:
    return [recordings.photo(USUAL if number else HD, number) for number in range(_EVERY_HD)]


def _image(media_id: str) -> dict[str, Any]:
    return {"type": "image", "image": {"id": media_id, "mime_type": "image/jpeg"}}


# --------------------------------------------------------------------------------------------------- both


async def _uploaded(stage: Stage, provider: str, head: bytes, mime_type: str, size: int) -> str:
    """A customer's file at the provider; its media id."""
    form = aiohttp.FormData()
    form.add_field("file", head.ljust(size, b"\0"), filename="file", content_type=mime_type)
    async with stage.http.post(f"{provider}/_sim/files", data=form) as answer:
        if answer.status >= 300:
            raise BenchFailed(f"the file was not taken: {await answer.text()}")
        return str((await answer.json())["id"])


async def _webhook(stage: Stage, ours: Side, number: int, content: dict[str, Any]) -> None:
    hook = webhook(number, str(15550200000 + number % 1_000), content)
    async with stage.http.post(f"{ours.url}{hook.path}", data=hook.body, headers=hook.headers) as answer:
        if answer.status != 200:
            raise BenchFailed(f"a webhook was answered {answer.status}")


async def _stored(events: AIOKafkaConsumer, count: int) -> list[tuple[str, int, bool]]:
    """Of so many files: the message as the provider calls it, when it was told (ms), whether with a thumbnail."""
    message_of: dict[str, str] = {}
    found: list[tuple[str, int, bool]] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            for records in (await events.getmany(timeout_ms=50)).values():
                for record in records:
                    data = orjson.loads(record.value)
                    kind = dict(record.headers)["ce_type"]
                    if kind == b"channels.message.received.v1":
                        message_of[data["message_id"]] = data["provider"]["message_id"]
                    elif kind == b"channels.attachment.stored.v1":
                        message = message_of.get(data["message_id"], "")
                        found.append((message, record.timestamp, "thumbnail" in data["attachment"]))
                    elif kind == b"channels.attachment.failed.v1":
                        raise BenchFailed(f"a file was not stored: {data['attachment'].get('error')}")
    return found
