"""The raw topic: what a provider sent, item by item, before anybody has interpreted it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

import structlog

from shared.channel import RawItem
from shared.contract.topics import Topics
from shared.media.blobs import Blobs, BlobsUnavailable
from shared.runtime import metrics
from shared.runtime.tracing import new_traceparent, onward, traceparent_of
from shared.stream.deadletter import DeadLetters, StoreBody
from shared.stream.errors import LogUnavailable, RecordTooLarge
from shared.stream.log import Log, Stored, acknowledged
from shared.stream.records import INJECTED, Headers, Record

log = structlog.get_logger()

BLOB = "blob"  # header: where the body is, of a record without one
BLOB_PREFIX = "raw-blob"


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of the raw topic, decoded."""

    account_id: str | None
    external_id: str | None
    received_at: datetime
    traceparent: str | None
    blob: str | None
    app: str | None


def _unheard(_: Sequence[RawItem]) -> None:
    pass


class RawWriter:
    """Puts items on the raw topic and returns when they are durable."""

    def __init__(
        self,
        channel: str,
        log_: Log,
        topics: Topics,
        blobs: Blobs,
        dead: DeadLetters,
        *,
        keeps_raw: bool = False,
        heard: Callable[[Sequence[RawItem]], None] = _unheard,
    ) -> None:
        """`keeps_raw`: bodies are in the blob store, whatever their size (`KeepsRaw`). `heard` is called with what has
        come, before it is written: its accounts are not silent, although Kafka may be away."""
        self._channel = channel
        self._keeps_raw = keeps_raw
        self._log = log_
        self._topic = topics.raw(channel)
        self._store_body = body_store(blobs)
        self._dead = dead
        self._items = metrics.RAW_ITEMS.labels(channel)
        self._heard = heard

    async def write(
        self, items: Sequence[RawItem], traceparent: str | None = None, *, received_at: datetime | None = None
    ) -> None:
        """Returns after the ack of every item; they are received now unless it is said when.

        Raises LogUnavailable: the provider keeps the message then.
        """
        self._heard(items)
        trace = (onward(traceparent_of(traceparent)) or new_traceparent()).encode()
        received = b"%d" % (time() * 1000 if received_at is None else round(received_at.timestamp() * 1000))
        headers = [_headers(item, received, trace) for item in items]
        acks = [await self._enqueue(item, said) for item, said in zip(items, headers, strict=True)]
        try:
            await acknowledged(acks)
        except RecordTooLarge:  # for the broker, whose limit is lower than ours
            answers = await asyncio.gather(*acks, return_exceptions=True)
            for item, said, answer in zip(items, headers, answers, strict=True):
                if isinstance(answer, LogUnavailable):
                    raise answer from None
                if isinstance(answer, RecordTooLarge):
                    await (await self._enqueue_stored(item, said))
        self._items.inc(len(items))

    async def _enqueue(self, item: RawItem, headers: Headers) -> asyncio.Future[Stored]:
        if item.blob is not None:
            return await self._log.enqueue(self._topic, item.key.encode(), b"", (*headers, (BLOB, item.blob.encode())))
        if self._keeps_raw:
            return await self._enqueue_stored(item, headers)
        try:
            return await self._log.enqueue(self._topic, item.key.encode(), item.body, headers)
        except RecordTooLarge:
            return await self._enqueue_stored(item, headers)

    async def _enqueue_stored(self, item: RawItem, headers: Headers) -> asyncio.Future[Stored]:
        """The body in the blob store, a reference to it on the topic."""
        reference = (BLOB, (await self._store_body(item.body)).encode())
        return await self._log.enqueue(self._topic, item.key.encode(), b"", (*headers, reference))

    async def write_unreadable(self, route: str, body: bytes, detail: str) -> None:
        """Keep an authentic body that could not be split, with what splitting it again needs. Raises LogUnavailable."""
        now = int(time() * 1000)
        headers = (("route", route.encode()), ("received_at", b"%d" % now))
        await self._dead.put(Record(self._topic, 0, INJECTED, None, body, headers, now), "unreadable", detail)
        metrics.DEAD_LETTERS.labels(self._channel, "unreadable").inc()


def body_store(blobs: Blobs) -> StoreBody:
    """Puts what is too large for a record into the blob store; returns the reference. Raises LogUnavailable."""

    async def put(content: bytes) -> str:
        try:
            return await blobs.put_content(BLOB_PREFIX, content)
        except BlobsUnavailable as away:
            raise LogUnavailable("the blob store is away") from away

    return put


def _headers(item: RawItem, received: bytes, trace: bytes) -> Headers:
    headers = [("received_at", received), ("traceparent", trace)]
    if item.account_id is not None:
        headers.append(("account_id", item.account_id.encode()))
    if item.external_id is not None:
        headers.append(("external_id", item.external_id.encode()))
    if item.app is not None:
        headers.append(("app", item.app.encode()))
    return tuple(headers)


def reason_of(unreadable: Exception) -> str:
    """Why an item cannot be read: the channel's own words, but no library's, which repeat what they were given."""
    return str(unreadable) if type(unreadable) is ValueError else type(unreadable).__name__


def read_raw(record: Record) -> RawRecord:
    """The headers of a raw record; the record's own time stands in for a missing time of receipt."""
    given = dict(record.headers)
    received = given.get("received_at")
    millis = int(received) if received and received.isdigit() else record.timestamp_ms
    return RawRecord(
        account_id=_text(given.get("account_id")),
        external_id=_text(given.get("external_id")),
        received_at=datetime.fromtimestamp(millis / 1000, UTC),
        traceparent=traceparent_of(_text(given.get("traceparent"))),
        blob=_text(given.get(BLOB)),
        app=_text(given.get("app")),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
