"""Replay: after a mapper was mended, what it makes of the raw records now, published where it is other than it was.

Events keep their ids. What only state adds to an event (the conversation it came to, its thread, whether a reply was
resolved) is that of the event on the topic: it was true then. Events that are not on the topic go the usual way, by
`normalise`, which knows what is out, who is blocked and what a conversation has become.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.channel import Channel, Event, Parses, ReceivedItem
from shared.contract.topics import Topics
from shared.media.blobs import BlobMissing
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.inbound.parsing import Parser
from shared.runtime.inbound.raw import read_raw
from shared.runtime.reporting.publish import event_envelope
from shared.runtime.roles import Common, NormaliseRole
from shared.stream.errors import NotNow
from shared.stream.log import Log, Stored, acknowledged
from shared.stream.records import Record, header

AT_ONCE = 50_000
"""Events that are compared in one pass over the inbound topic: what bounds the memory."""
_BATCH = 500
_OF_STATE = ("conversation_id", "thread", "contact_blocked", "resolved", "shortened")
_PEOPLE = ("sender", "recipient", "contact")


@dataclass
class Replayed:
    """Records read; events that are as they were, published anew, or not on the topic; records nobody can read."""

    records: int = 0
    same: int = 0
    changed: int = 0
    new: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class _Made:
    """An event as it is made now."""

    data: dict[str, Any]
    headers: tuple[tuple[str, bytes], ...]
    raw: Record


class Replay:
    """One run. `dry`: count only."""

    def __init__(
        self, channel: Channel, accounts: AccountRegistry, stream: Log, common: Common, topics: Topics, *, dry: bool
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._stream = stream
        self._common = common
        self._raw = topics.raw(self._name)
        self._inbound = topics.inbound(self._name)
        self._dry = dry
        self._parser = Parser(self._name, channel, common.workers) if isinstance(channel, Parses) else None
        self.done = Replayed()

    async def run(self, since: datetime, until: datetime) -> Replayed:
        """Replay what was put on the raw topic in this time. Raises LogUnavailable, BlobsUnavailable, NotNow."""
        made: dict[str, _Made] = {}
        role = NormaliseRole(self._common)
        try:
            async for record in self._records(since, until):
                self.done.records += 1
                made.update(await self._made(record))
                if len(made) >= AT_ONCE:
                    await self._compare(made, role)
                    made.clear()
                if not self.done.records % _BATCH:
                    await asyncio.sleep(0)
            await self._compare(made, role)
        finally:
            await role.close()
        return self.done

    async def _records(self, since: datetime, until: datetime) -> AsyncIterator[Record]:
        first, last = since.timestamp() * 1000, until.timestamp() * 1000
        for number in range(await self._stream.partitions(self._raw)):
            async for record in self._stream.read_partition(self._raw, number):
                if first <= record.timestamp_ms <= last:
                    yield record

    async def _made(self, record: Record) -> list[tuple[str, _Made]]:
        raw = read_raw(record)
        try:
            body = await self._body(record, raw.blob)
            outcomes = [
                outcome
                for account in self._accounts.records_of(raw.account_id, raw.external_id)
                for outcome in self._channel.normalise(
                    ReceivedItem(account, body, raw.received_at, record.offset, raw.blob)
                )
            ]
        except (ValueError, BlobMissing):
            self.done.unreadable += 1
            return []
        made: list[tuple[str, _Made]] = []
        for outcome in outcomes:
            if isinstance(outcome, Event):
                envelope = event_envelope(self._name, outcome, raw.traceparent)
                made.append((envelope.id, _Made(orjson.loads(outcome.data.to_json()), envelope.headers(), record)))
        return made

    async def _body(self, record: Record, blob: str | None) -> bytes:
        if self._parser is not None:
            return await self._parser.parsed(record.value or b"", blob, self._common.blobs)
        return record.value or b"" if blob is None else await self._common.blobs.read(blob)

    async def _compare(self, made: dict[str, _Made], role: NormaliseRole) -> None:
        """Publish anew what is other than on the topic; the last one there counts."""
        if not made:
            return
        published: dict[str, Record] = {}
        for number in range(await self._stream.partitions(self._inbound)):
            async for record in self._stream.read_partition(self._inbound, number):
                if (event_id := (header(record, "ce_id") or b"").decode("utf-8", "replace")) in made:
                    published[event_id] = record
        acks: list[asyncio.Future[Stored]] = []
        missing: dict[tuple[int, int], Record] = {}
        for event_id, event in made.items():
            before = published.get(event_id)
            if before is None:
                self.done.new += 1
                missing[event.raw.partition, event.raw.offset] = event.raw
                continue
            told = orjson.loads(before.value or b"{}")
            now = as_it_was(event.data, told)
            if now == told or told.get("shortened"):
                self.done.same += 1
                continue
            self.done.changed += 1
            if not self._dry:
                time = dict(event.headers)["ce_time"]
                headers = tuple((name, time if name == "ce_time" else value) for name, value in before.headers)
                acks.append(await self._stream.enqueue(self._inbound, before.key, orjson.dumps(now), headers))
            if len(acks) >= _BATCH:
                await acknowledged(acks)
                acks.clear()
        await acknowledged(acks)
        for record in () if self._dry else missing.values():
            await self._as_usual(record, role)

    async def _as_usual(self, record: Record, role: NormaliseRole) -> None:
        while True:
            try:
                await role.normaliser.handle(record)
                return
            except NotNow as wait:
                await asyncio.sleep(wait.retry_after)


def _same_message(reply: dict[str, Any], before: dict[str, Any]) -> bool:
    return bool(reply.get("provider_message_id") == before.get("provider_message_id"))


def as_it_was(made: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """An event as it is made now, with what state had added to the one that was told."""
    now = {**made, **{name: told[name] for name in _OF_STATE if name in told}}
    for name in _PEOPLE:
        person, before = now.get(name), told.get(name)
        if isinstance(person, dict) and isinstance(before, dict) and before.get("display_name"):
            now[name] = {"display_name": before["display_name"], **person}
    reply, before = now.get("reply_to"), told.get("reply_to")
    if isinstance(reply, dict) and isinstance(before, dict) and _same_message(reply, before):
        now["reply_to"] = {**reply, **{name: before[name] for name in ("message_id", "resolved") if name in before}}
    if "referral" in told and "referral" not in now:
        now["referral"] = told["referral"]
    return now
