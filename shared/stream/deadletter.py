"""Dead letters: records that cannot be read or handled, kept whole, and sent back by one command."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence

from shared.stream.errors import BrakePulled, LogUnavailable, RecordTooLarge
from shared.stream.log import Log
from shared.stream.records import Headers, Partition, Record, header

PREFIX = "dl_"
BLOB = PREFIX + "blob"
HEADERS = PREFIX + "headers"
LONGEST_DETAIL = 500
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
        headers = (*_original(record), *((PREFIX + name, str(value).encode()) for name, value in about.items()))
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

    async def redrive(
        self,
        topic: str,
        *,
        to: str | None = None,
        limit: int | None = None,
        only_code: str | None = None,
        instead: Instead | None = None,
    ) -> int:
        """Send the dead letters of the dead-letter topic `topic` back to where they came from (or to `to`).

        With their original headers, in order, once: progress is the consumer group `redrive.<topic>`, committed
        after the acks of at most 100 records. Works up to the end of the topic at the time of the call. What
        `only_code` leaves out, or has its value elsewhere, is appended to `topic` again, for another call. So is what
        `instead` cannot send: it is asked first, and says whether it has brought a letter back in its own way, or None
        for one that goes as it is. Returns how many were sent. Raises LogUnavailable; call it again then.
        """
        ends = await self._log.ends(topic)
        ours: set[Partition] = set()
        joined = asyncio.Event()

        async def assigned(partitions: frozenset[Partition]) -> None:
            ours.update(partitions)
            joined.set()

        async def revoked(partitions: frozenset[Partition]) -> None:
            ours.difference_update(partitions)

        consumer = self._log.consumer(f"redrive.{topic}", [topic], on_assigned=assigned, on_revoked=revoked)
        await consumer.start()
        try:
            # The group's last member may have died: it is waited for as long as a rebalance may take.
            async with asyncio.timeout(2 * self._log.rebalance_timeout):
                await joined.wait()
            sent = 0
            while limit is None or sent < limit:
                behind = [p for p in sorted(ours) if await consumer.position(p) < ends[p.number]]
                if not behind:
                    break
                room = BATCH if limit is None else min(BATCH, limit - sent)
                records = await consumer.poll(behind, room, 0.5)
                if old := [record for record in records if record.offset < ends[record.partition]]:
                    sent += await self._send_back(old, to, only_code, instead)
                    await consumer.commit({record.source: record.offset + 1 for record in old})
            return sent
        except TimeoutError as error:
            raise LogUnavailable("no partitions were assigned") from error
        finally:
            await consumer.stop()

    async def _send_back(
        self, records: Sequence[Record], to: str | None, only_code: str | None, instead: Instead | None
    ) -> int:
        acks, sent = [], 0
        for record in records:
            source = header(record, "dl_topic")
            left_out = source is None or (only_code and header(record, "dl_code") != only_code.encode())
            brought = None if left_out or instead is None else await instead(record)
            if brought is None and header(record, BLOB) is not None:
                brought = False
            if brought:
                sent += 1
                continue
            if left_out or source is None or brought is False:
                again = (record.topic, record.key, record.value, record.headers)
            else:
                again = (to or source.decode(), record.key, record.value, _original(record))
                sent += 1
            try:
                acks.append(await self._log.enqueue(*again))
            except RecordTooLarge:  # for where it came from: it stays here
                sent -= 1
                acks.append(await self._log.enqueue(record.topic, record.key, record.value, record.headers))
        await asyncio.gather(*acks)
        return sent


def _packed(record: Record) -> bytes:
    def text(value: bytes | None) -> str | None:
        return None if value is None else b64encode(value).decode()

    headers = [[name, text(value)] for name, value in record.headers]
    return json.dumps({"key": text(record.key), "headers": headers}).encode()


def _original(record: Record) -> Headers:
    return tuple((name, value) for name, value in record.headers if not name.startswith(PREFIX))
