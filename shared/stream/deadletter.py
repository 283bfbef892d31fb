"""Dead letters: records that cannot be read or handled, kept whole, and sent back by one command."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.stream.errors import BrakePulled, LogUnavailable, RecordTooLarge
from shared.stream.log import Log, Stored
from shared.stream.records import INJECTED, Headers, Partition, Record, header

PREFIX = "dl_"
BLOB = PREFIX + "blob"
HEADERS = PREFIX + "headers"
LONGEST_DETAIL = 500
SENT_BACK = PREFIX + "sent_back"
"""Header of a mark, which is no letter: offsets of letters before it on its partition, decimal, with commas."""
BATCH = 100

Instead = Callable[[Record], Awaitable[bool | None]]
StoreBody = Callable[[bytes], Awaitable[str]]


class Brake:
    """Counts dead letters in a row. More than `limit` of them raise BrakePulled."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.row = 0

    def strike(self) -> None:
        """One more. Raises BrakePulled beyond the limit."""
        self.row += 1
        if self.row > self._limit:
            raise BrakePulled(f"{self.row} dead letters in a row")

    def release(self) -> None:
        """A record was handled well: the row is broken."""
        self.row = 0


class DeadLetters:
    """Writes dead letters to `topic_of(source topic)`; with a brake if one is given.

    `store_body` keeps a value that is too large for the log elsewhere and says where; it raises LogUnavailable.
    """

    def __init__(
        self,
        log: Log,
        topic_of: Callable[[str], str],
        *,
        store_body: StoreBody,
        brake: Brake | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._log = log
        self._topic_of = topic_of
        self._store_body = store_body
        self._brake = brake
        self._now_ms = now_ms

    async def put(self, record: Record, code: str, detail: str) -> None:
        """Keep the record: key, value and headers as they are, and why and whence in `dl_` headers.

        `dl_code, dl_detail, dl_topic, dl_partition, dl_offset, dl_time` (Unix milliseconds) are text; `dl_blob`
        says where a value is that was too large, and the letter's own is empty then; where that is not enough, too,
        `dl_headers` says where key and headers are (JSON, the bytes as base64). Returns after the ack. `detail`
        must hold no personal data: an exception's type, not its text. Raises LogUnavailable, and BrakePulled (after
        the ack) beyond the brake's limit.
        """
        about = {
            "code": code,
            "detail": detail[:LONGEST_DETAIL],
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "time": self._now_ms(),
        }
        headers = (*_original(record), *_about(about))
        # Kafka takes no record without key and value.
        value = b"" if record.key is None and record.value is None else record.value
        topic = self._topic_of(record.topic)
        try:
            await self._log.send(topic, record.key, value, headers)
        except RecordTooLarge:
            await self._put_stored(topic, record, headers)
        if self._brake is not None:
            self._brake.strike()

    async def _put_stored(self, topic: str, record: Record, headers: Headers) -> None:
        blob = (BLOB, (await self._store_body(record.value or b"")).encode())
        try:
            await self._log.send(topic, record.key, b"", (*headers, blob))
        except RecordTooLarge:
            around = (HEADERS, (await self._store_body(_packed(record))).encode())
            about = tuple(header for header in headers if header[0].startswith(PREFIX))
            await self._log.send(topic, None, b"", (*about, blob, around))

    async def present(self, topic: str) -> AsyncIterator[Record]:
        """The letters of a topic that nobody has sent back, each partition in order. Raises LogUnavailable."""
        for number in range(await self._log.partitions(topic)):
            gone = await self._sent_back(Partition(topic, number))
            async for record in self._log.read_partition(topic, number):
                if record.offset not in gone and header(record, SENT_BACK) is None:
                    yield record

    async def _sent_back(self, partition: Partition) -> set[int]:
        marks = [mark async for mark in self._log.read_partition(*partition) if header(mark, SENT_BACK) is not None]
        return {offset for mark in marks for offset in sent_back_by(mark)}

    async def redrive(
        self,
        topic: str,
        *,
        to: str | None = None,
        limit: int | None = None,
        wanted: Callable[[Record], bool] = lambda _: True,
        instead: Instead | None = None,
    ) -> Redriven:
        """Send the dead letters of the dead-letter topic `topic` back to where they came from (or to `to`).

        With their original headers, in order, once: after the acks of at most 100 of them, a mark behind them on their
        own partition says which have gone. Works up to the end of the topic at the time of the call. What `wanted`
        leaves out stays where it is, and keeps its age; so does what has its value elsewhere, is too large for where it
        came from, or what `instead` cannot send: it is asked first, and says whether it has brought a letter back in
        its own way, or None for one that goes as it is. Two calls at once share the partitions (the consumer group
        `redrive.<topic>`). Raises LogUnavailable; call it again then.
        """
        ends = await self._log.ends(topic)
        ours: set[Partition] = set()
        joined = asyncio.Event()
        reading: dict[Partition, _Reading] = {}

        async def assigned(partitions: frozenset[Partition]) -> None:
            ours.update(partitions)
            joined.set()

        async def revoked(partitions: frozenset[Partition]) -> None:
            ours.difference_update(partitions)
            for partition in partitions:
                reading.pop(partition, None)

        consumer = self._log.consumer(f"redrive.{topic}", [topic], on_assigned=assigned, on_revoked=revoked)
        await consumer.start()
        total = Redriven()
        try:
            # The group's last member may have died: it is waited for as long as a rebalance may take.
            async with asyncio.timeout(2 * self._log.rebalance_timeout):
                await joined.wait()
            while limit is None or total.sent < limit:
                behind = [p for p in sorted(ours) if await consumer.position(p) < ends[p.number]]
                if not behind:
                    break
                room = BATCH if limit is None else min(BATCH, limit - total.sent)
                records = await consumer.poll(behind, room, 0.5)
                for partition in {record.source for record in records}:
                    if partition not in reading:
                        reading[partition] = _Reading(await self._sent_back(partition))
                    state = reading[partition]
                    here = [r for r in records if r.source == partition and r.offset < ends[partition.number]]
                    open_ = [r for r in here if header(r, SENT_BACK) is None and r.offset not in state.gone]
                    gone = await self._send_back([r for r in open_ if wanted(r)], to, instead, total)
                    await self._mark(partition, gone)
                    state.done(here, open_, gone)
                    if state.commit is not None:
                        await consumer.commit({partition: state.commit})
            return total
        except TimeoutError as error:
            raise LogUnavailable("no partitions were assigned") from error
        finally:
            await consumer.stop()

    async def _send_back(
        self, records: Sequence[Record], to: str | None, instead: Instead | None, total: Redriven
    ) -> list[int]:
        """Offsets of those that are where they came from now."""
        acks: list[tuple[int, asyncio.Future[Stored]]] = []
        gone: list[int] = []
        for record in records:
            source = header(record, "dl_topic")
            brought = None if source is None or instead is None else await instead(record)
            if brought:
                gone.append(record.offset)
            elif source is None or brought is False or header(record, BLOB) is not None:
                total.stay += 1
            else:
                try:
                    back = (to or source.decode(), record.key, record.value, _original(record))
                    acks.append((record.offset, await self._log.enqueue(*back)))
                except RecordTooLarge:  # for where it came from
                    total.stay += 1
        for offset, ack in acks:
            try:
                await ack
                gone.append(offset)
            except RecordTooLarge:
                total.stay += 1
        total.sent += len(gone)
        return gone

    async def _mark(self, partition: Partition, offsets: Sequence[int]) -> None:
        if not offsets:
            return
        about = {
            "code": "sent_back",
            "detail": "",
            "topic": partition.topic,
            "partition": partition.number,
            "offset": INJECTED,
            "time": self._now_ms(),
        }
        sent = (SENT_BACK, b",".join(b"%d" % offset for offset in sorted(offsets)))
        await self._log.send(partition.topic, None, b"", (*_about(about), sent), partition.number)


@dataclass
class Redriven:
    """What became of a call: how many letters were `sent` back, and how many stay that should have gone."""

    sent: int = 0
    stay: int = 0


class _Reading:
    """How far a partition of dead letters has been sent back."""

    def __init__(self, gone: set[int]) -> None:
        self.gone = gone
        self.commit: int | None = None
        """Everything below is sent back: the next call begins here."""
        self._left = False

    def done(self, read: Sequence[Record], open_: Sequence[Record], gone: Sequence[int]) -> None:
        """Of the records `read`, the letters `open_` were still to go; `gone` are the offsets of those that went."""
        self.gone.update(gone)
        stays = {record.offset for record in open_} - set(gone)
        for record in read:
            self._left = self._left or record.offset in stays
            if not self._left:
                self.commit = record.offset + 1


def sent_back_by(mark: Record) -> set[int]:
    """Offsets in its own partition that a mark says have been sent back; none for a letter."""
    said = header(mark, SENT_BACK) or b""
    return {int(offset) for offset in said.split(b",") if offset.isdigit()}


def _about(facts: Mapping[str, object]) -> Headers:
    return tuple((PREFIX + name, str(value).encode()) for name, value in facts.items())


def _packed(record: Record) -> bytes:
    def text(value: bytes | None) -> str | None:
        return None if value is None else b64encode(value).decode()

    headers = [[name, text(value)] for name, value in record.headers]
    return json.dumps({"key": text(record.key), "headers": headers}).encode()


def _original(record: Record) -> Headers:
    return tuple((name, value) for name, value in record.headers if not name.startswith(PREFIX))
