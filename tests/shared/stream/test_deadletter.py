"""Dead letters keep the whole record, brake on too many, and go back where they came from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from shared.stream.dead_present import PresentLetters
from shared.stream.deadletter import Brake, DeadLetters, Redriven, StoreBody
from shared.stream.errors import BrakePulled
from shared.stream.log import Log
from shared.stream.memory import MemoryLog
from shared.stream.records import Record, header
from tests.integration.brokers import memory_and_kafka
from tests.shared.stream.support import dispatcher, eventually, fill, topic

Unique = Callable[[str], str]


async def nowhere(content: bytes) -> str:
    raise AssertionError("nothing here is too large")


def letters(log: Log, brake: Brake | None = None, store_body: StoreBody = nowhere) -> DeadLetters:
    return DeadLetters(
        log, lambda name: f"{name}.dlt", store_body=store_body, brake=brake, now_ms=lambda: 1_700_000_000_123
    )


async def everything(log: Log, name: str) -> list[Record]:
    return [r for n in range(await log.partitions(name)) async for r in log.read_partition(name, n)]


async def test_a_dead_letter_is_the_record_and_why() -> None:
    log = MemoryLog()
    await topic(log, "raw.dlt")
    record = Record("raw", 3, 41, b"key", b"\xff body", (("trace", b"t"), ("dl_code", b"older")), 5)
    await letters(log).put(record, "unreadable", "UnicodeDecodeError" * 100)
    (letter,) = await everything(log, "raw.dlt")
    assert (letter.key, letter.value, header(letter, "trace")) == (b"key", b"\xff body", b"t")
    about = {name: value for name, value in letter.headers if name.startswith("dl_")}
    assert about.pop("dl_detail") == (b"UnicodeDecodeError" * 100)[:500]
    assert about == {
        "dl_code": b"unreadable",
        "dl_topic": b"raw",
        "dl_partition": b"3",
        "dl_offset": b"41",
        "dl_time": b"1700000000123",
    }
    assert len(letter.headers) == 7


async def test_a_value_too_large_for_the_log_is_kept_elsewhere_and_not_sent_back() -> None:
    log, elsewhere = MemoryLog(max_record_bytes=100), dict[str, bytes]()
    await topic(log, "raw")
    await topic(log, "raw.dlt")

    async def aside(content: bytes) -> str:
        name = f"blob-{len(elsewhere)}"
        elsewhere[name] = content
        return name

    dead = letters(log, store_body=aside)
    await dead.put(Record("raw", 0, 1, b"key", b"x" * 101, (), 5), "internal", "KeyError")
    (letter,) = await everything(log, "raw.dlt")
    assert (letter.key, letter.value, header(letter, "dl_code")) == (b"key", b"", b"internal")
    assert elsewhere == {(header(letter, "dl_blob") or b"").decode(): b"x" * 101}
    assert await dead.redrive("raw.dlt") == Redriven(sent=0, stay=1)
    assert await everything(log, "raw") == []
    assert [header(kept, "dl_blob") for kept in await everything(log, "raw.dlt")] == [b"blob-0"]


@memory_and_kafka
async def test_a_poisoned_record_becomes_a_dead_letter_and_comes_back(log: Log, unique: Unique) -> None:
    name = await topic(log, unique("poisoned"), 2)
    dead = await topic(log, f"{name}.dlt", 2)
    pairs = [(b"k%d" % n, b"%d" % n) for n in range(20)]
    await fill(log, name, pairs)
    mended = False
    done: list[bytes | None] = []
    buried: list[bytes | None] = []

    async def work(record: Record) -> None:
        if int(record.value or b"") % 5 == 0 and not mended:
            raise ZeroDivisionError
        done.append(record.value)

    async def poison(record: Record, error: Exception) -> None:
        await letters(log).put(record, "internal", type(error).__name__)
        buried.append(record.value)

    async with dispatcher(log, unique("group"), name, work, on_poison=poison, tries=1):
        await eventually(lambda: len(done) == 16 and len(buried) == 4)
        mended = True
        assert await letters(log).redrive(dead) == Redriven(sent=4)
        await eventually(lambda: len(done) == 20)
        assert await letters(log).redrive(dead) == Redriven()
    assert sorted(done, key=lambda value: int(value or b"")) == [value for _, value in pairs]


@memory_and_kafka
async def test_redriving_some(log: Log, unique: Unique) -> None:
    name, dead = await topic(log, unique("some")), await topic(log, unique("some.dlt"))
    other = await topic(log, unique("other"))
    box = DeadLetters(log, lambda _: dead, store_body=nowhere)
    for n in range(6):
        record = Record(name, 0, n, b"k", b"%d" % n, (("h", b"v"),), 0)
        await box.put(record, "unreadable" if n % 2 else "internal", "detail")
    before = [(r.offset, r.timestamp_ms) for r in await everything(log, dead)]

    def unreadable(letter: Record) -> bool:
        return header(letter, "dl_code") == b"unreadable"

    assert await box.redrive(dead, wanted=unreadable, limit=2) == Redriven(sent=2)
    assert [(r.value, r.headers) for r in await everything(log, name)] == [
        (b"1", (("h", b"v"),)),
        (b"3", (("h", b"v"),)),
    ]
    # What was left out is where it was, and as old as it was.
    left = [letter async for letter in box.present(dead)]
    assert [letter.value for letter in left] == [b"0", b"2", b"4", b"5"]
    assert {(letter.offset, letter.timestamp_ms) for letter in left} <= set(before)
    assert await box.redrive(dead, wanted=unreadable, to=other) == Redriven(sent=1)
    assert await box.redrive(dead, to=other) == Redriven(sent=3)
    assert [r.value or b"" for r in await everything(log, other)] == [b"5", b"0", b"2", b"4"]
    assert await box.redrive(dead) == Redriven()
    assert [letter async for letter in box.present(dead)] == []


@memory_and_kafka
async def test_those_who_send_back_at_once_share_the_letters(log: Log, unique: Unique) -> None:
    name, dead = await topic(log, unique("shared"), 4), await topic(log, unique("shared.dlt"), 4)
    box = DeadLetters(log, lambda _: dead, store_body=nowhere)
    for n in range(40):
        await box.put(Record(name, 0, n, b"k%d" % n, b"%d" % n, (), 0), "internal", "detail")
    first, second = await asyncio.gather(box.redrive(dead), box.redrive(dead))
    assert first.sent + second.sent == 40
    assert sorted(int(r.value or b"") for r in await everything(log, name)) == list(range(40))


async def test_those_present_are_counted_as_they_come_and_go() -> None:
    log = MemoryLog(now_ms=lambda: 5000)
    await topic(log, "raw")
    await topic(log, "raw.dlt")
    box = letters(log)
    for n in range(3):
        await box.put(Record("raw", 0, n, b"k", b"v", (), 0), "internal", "")
    present = PresentLetters(log, "raw.dlt", retention=10_000)
    following = asyncio.create_task(present.run())
    await eventually(lambda: present.look(5000) == (3, 5000))
    await box.redrive("raw.dlt", limit=2)
    await eventually(lambda: present.look(5000) == (1, 5000))
    assert present.look(15_001) == (0, None)
    following.cancel()


async def test_the_brake_is_pulled_by_too_many_in_a_row() -> None:
    log = MemoryLog()
    await topic(log, "raw.dlt")
    brake = Brake(2)
    box = letters(log, brake)
    record = Record("raw", 0, 0, b"k", b"v", (), 0)
    await box.put(record, "unreadable", "")
    await box.put(record, "unreadable", "")
    brake.release()
    await box.put(record, "unreadable", "")
    await box.put(record, "unreadable", "")
    with pytest.raises(BrakePulled, match="3 dead letters"):
        await box.put(record, "unreadable", "")
    # The letter that pulled it is kept as well.
    assert len(await everything(log, "raw.dlt")) == 5
