"""Ten minutes of damaged files through the sniffer, the looks and the conversions: nothing crashes, nothing hangs."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.media.blobs import Blobs
from shared.media.facts import Unfit
from shared.media.processing import CONVERTING, ENCODING, LOOKED_AT, LOOKING, Processor
from shared.media.sniff import HEAD, sniff
from shared.workers import Workers
from shared.workers.pool import STARTING
from tests.chaos.conftest import Measured, seconds
from tests.shared.media import samples

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
SECONDS = seconds(600)
PICTURES: dict[str, Callable[[], bytes]] = {
    "jpeg": samples.jpeg_with_exif,
    **{kind: lambda kind=kind: samples.picture(kind) for kind in ("PNG", "BMP", "WEBP", "TIFF", "HEIF", "AVIF")},  # type: ignore[misc]
    "gif": lambda: samples.moving("GIF"),
    "webp": lambda: samples.moving("WEBP"),
    "pdf": lambda: samples.pdf(2),
}
RECIPES = (
    {"to": "image/jpeg", "limits": {"max_bytes": 5_000_000, "alpha": True}},
    {"to": "image/webp", "limits": {"max_bytes": 500_000, "still_max_bytes": 100_000}},
    {"to": "audio/ogg", "limits": {}},
    {"to": "audio/mp4", "limits": {}},
    {"to": "video/mp4", "limits": {"max_bytes": 16_000_000, "plain": True}},
)


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Bytes exchanged, cut out, doubled or cut off: most of the file stays what it was."""
    made = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        at = dice.randrange(len(made)) if dice.random() < 0.6 else dice.randrange(min(len(made), 512))
        match dice.randrange(5):
            case 0:
                made[at] = dice.randrange(256)
            case 1:
                made[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
            case 2:
                del made[at : at + dice.randrange(1, 64)]
            case 3:
                made[at:at] = made[at : at + dice.randrange(1, 256)]
            case 4:
                del made[max(1, len(made) - dice.randrange(1, len(made))) :]
        if len(made) < 2:
            return content
    return bytes(made)


def test_the_sniffer_says_something_of_anything(measured: Measured) -> None:
    dice, originals = random.Random(7), [made()[: 2 * HEAD] for made in (*PICTURES.values(), *samples.CLIPS.values())]
    until, slowest, count = time.monotonic() + SECONDS, 0.0, 0
    while time.monotonic() < until:
        head = damaged(dice.choice(originals), dice)[:HEAD]
        began = time.process_time()
        found = sniff(head, dice.choice((None, "a.docx", "b.xls", "c")))
        slowest, count = max(slowest, time.process_time() - began), count + 1
        assert found is None or "/" in found
    assert slowest < 0.05
    measured(heads=count, slowest_ms=round(slowest * 1000, 1))


async def test_no_damaged_file_crashes_or_hangs_the_service(tmp_path: Path, measured: Measured) -> None:
    workers = Workers(quick=2, slow=1)
    blobs = Blobs(f"file://{tmp_path}/blobs")
    processor = Processor(blobs, workers)
    originals = [made() for made in (*PICTURES.values(), *samples.CLIPS.values())]
    until = time.monotonic() + SECONDS
    outcomes: Counter[str] = Counter()
    took: list[float] = []
    longest = STARTING + LOOKING + CONVERTING + ENCODING

    async def one(seed: int) -> None:
        dice = random.Random(seed)
        while time.monotonic() < until:
            content = damaged(dice.choice(originals), dice)
            mime_type = sniff(content[:HEAD])
            if mime_type not in LOOKED_AT:
                outcomes["not looked at"] += 1
                continue
            key = f"ws/{seed}"
            await blobs.put_small(key, content, content_type="x/x")
            began = time.monotonic()
            try:
                looked = await processor.look(key, str(dice.random()), mime_type)
                await processor.convert(key, looked, dice.choice(RECIPES), "ws/converted")
                outcomes["converted"] += 1
            except Unfit as unfit:
                outcomes[unfit.reason] += 1
            took.append(time.monotonic() - began)
            assert took[-1] < longest

    await asyncio.gather(*(one(seed) for seed in range(3)))
    good = await blobs.put_content("ws", samples.picture("JPEG"))
    assert (await processor.look(good, "1", "image/jpeg")).facts.width == samples.SIZE[0]
    await workers.close()
    assert sum(outcomes.values()) > SECONDS / 10
    slowest_s = round(max(took), 1)
    measured(files=sum(outcomes.values()), slowest_s=slowest_s, **{k.replace(" ", "_"): n for k, n in outcomes.items()})
