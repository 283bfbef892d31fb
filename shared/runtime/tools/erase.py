"""Erase a contact: what does not end by itself goes now, and the report says what is left and until when.

A tombstone on the compacted topic, the keys of the state store, the files that the conversation's events name. Topics
with a retention cannot be erased from by anybody: their records are counted, with the day on which the last one goes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.contract import ids
from shared.contract.base import rfc3339
from shared.contract.topics import Topic, Topics
from shared.media.blobs import BlobMissing, Blobs
from shared.runtime.inbound.raw import BLOB, BLOB_PREFIX
from shared.runtime.reporting.identity import merged_peers
from shared.runtime.tools.trace import data_of, trace_id
from shared.state import keys
from shared.state.keys import ConversationKeys
from shared.state.store import Store
from shared.stream.log import Log
from shared.stream.records import Record, header

_PARKED = "park_key"


@dataclass
class Erased:
    """What was found of a contact. `dry`: nothing is changed, what would be is counted."""

    conversations: list[str]
    tombstones: int = 0
    state_keys: int = 0
    blobs: int = 0
    blobs_missing: int = 0
    left: dict[str, dict[str, Any]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        return {
            "conversations": self.conversations,
            "tombstones": self.tombstones,
            "state_keys": self.state_keys,
            "blobs": self.blobs,
            "blobs_missing": self.blobs_missing,
            "left": self.left,
        }


class Erasure:
    """Of one contact of one account, in all conversations that are this contact's."""

    def __init__(
        self, channel: str, stream: Log, topics: Topics, store: Store, blobs: Blobs, *, dry: bool = False
    ) -> None:
        self._channel = channel
        self._stream = stream
        self._topics = {topic.name: topic for topic in topics.of_channel(channel)}
        self._names = topics
        self._store = store
        self._blobs = blobs
        self._dry = dry

    async def erase(self, conversation_id: str) -> Erased:
        """Raises LogUnavailable, StateUnavailable, BlobsUnavailable (call it again then); ValueError for an id that is
        none of this channel's."""
        channel, account_id, _ = ids.split_conversation_id(conversation_id)
        if channel != self._channel:
            raise ValueError("a conversation of another channel")
        ours = await self._conversations(account_id, conversation_id)
        done = Erased(sorted(ours))
        found = _Found(account_id)
        last = self._names.raw(self._channel)
        for topic in sorted(self._topics.values(), key=lambda topic: topic.name == last):
            async for record in self._records(topic, ours, found.items):
                found.take(record, topic)
                if not topic.compacted:
                    _leave(done, topic, record)
        # What the state store calls by the contact's other names is known to the state store alone.
        for each in ours:
            found.of_record(self._channel, each, await self._store.record(each))
        for key in sorted(found.blobs):
            await self._remove(key, done)
        names = sorted(found.keys)
        done.state_keys = len(names) if self._dry else await self._store.erase(names)
        for stated in found.on_state:
            done.tombstones += 1
            if not self._dry:
                await self._stream.send(self._names.state(self._channel), stated, None)
        for parked, waiting in found.parked.items():
            done.left[parked] = {"records": waiting, "until": "their own time, or `message.cancel`"}
        return done

    async def _conversations(self, account_id: str, conversation_id: str) -> set[str]:
        """The one asked for, the one it has become part of, and those that have become part of it."""
        ours = {conversation_id}
        if peer := await self._store.joined(conversation_id):
            ours.add(ids.conversation_id(self._channel, account_id, peer))
        for each in list(ours):
            peers = merged_peers(await self._store.record(each))
            ours |= {ids.conversation_id(self._channel, account_id, peer) for peer in peers}
        return ours

    async def _records(self, topic: Topic, ours: set[str], items: set[tuple[str, int]]) -> AsyncIterator[Record]:
        """The records about these conversations. A raw one does not name it: its trace and its offset, which the event
        has for its sequence, say whose it is, so that these are read last."""
        raw = topic.name == self._names.raw(self._channel)
        named = {each.encode() for each in ours}
        for number in range(await self._stream.partitions(topic.name)):
            async for record in self._stream.read_partition(topic.name, number):
                about = record.key in named or header(record, _PARKED) in named
                if about or (raw and (trace_id(record), record.offset) in items):
                    yield record

    async def _remove(self, key: str, done: Erased) -> None:
        try:
            if self._dry:
                done.blobs += await self._blobs.exists(key)
                return
            await self._blobs.delete(key)
            done.blobs += 1
        except BlobMissing:
            done.blobs_missing += 1


class _Found:
    """What records say about where else something of the contact is."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self.items: set[tuple[str, int]] = set()  # traces and offsets of raw records
        self.blobs: set[str] = set()
        self.keys: set[str] = set()
        self.on_state: set[bytes] = set()
        self.parked: dict[str, int] = {}

    def take(self, record: Record, topic: Topic) -> None:
        if topic.compacted and topic.name.endswith(".state"):
            (self.on_state.discard if record.value is None else self.on_state.add)(record.key or b"")
            return
        if topic.compacted:
            if record.value is not None:
                self.parked[topic.name] = self.parked.get(topic.name, 0) + 1
            return
        if (aside := header(record, BLOB) or header(record, "dl_blob")) is not None:
            self.blobs.add(aside.decode())
        data, event_id = data_of(record), header(record, "ce_id")
        if topic.name.endswith(".inbound") and (trace := trace_id(record)) and isinstance(data.get("sequence"), int):
            self.items.add((trace, data["sequence"]))
        conversation_id = (record.key or b"").decode("utf-8", "replace")
        at = ConversationKeys(conversation_id)
        if event_id:
            self.keys.add(at.seen(event_id.decode()))
        for name in ("message_id", "target_message_id"):
            if isinstance(value := data.get(name), str):
                self.keys.add(at.message(value))
        if isinstance(command_id := data.get("command_id"), str):
            self.keys.add(at.ledger(command_id))
        thread = data.get("thread")
        if isinstance(thread, dict) and isinstance(thread.get("id"), str):
            self.keys.add(at.note(thread["id"]))
        for ref in _provider_refs(data):
            self.keys |= {at.thread(ref), keys.sent(_channel(conversation_id), self._account_id, ref)}
        # What commands name is the inbox core's own; ours are the files of what came in.
        if topic.name.endswith(".inbound"):
            self.blobs |= {key for key in _files(data) if self._is_ours(key, data)}

    def _is_ours(self, key: str, data: dict[str, Any]) -> bool:
        return key.startswith((f"{data.get('workspace_id')}/{self._account_id}/", f"{BLOB_PREFIX}/"))

    def of_record(self, channel: str, conversation_id: str, fields: dict[str, str]) -> None:
        at = ConversationKeys(conversation_id)
        self.keys.add(keys.alias(channel, self._account_id, ids.split_conversation_id(conversation_id)[2]))
        self.keys |= {at.record, at.quota, at.outbox, at.cancelled, at.joined}
        for alias in orjson.loads(fields.get("aliases") or "{}").values():
            self.keys.add(keys.alias(channel, self._account_id, alias))


def _leave(done: Erased, topic: Topic, record: Record) -> None:
    assert topic.retention is not None
    gone = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC) + topic.retention + timedelta(days=1)
    about = done.left.setdefault(topic.name, {"records": 0, "until": rfc3339(gone)})
    about["records"] += 1
    about["until"] = max(about["until"], rfc3339(gone))


def _channel(conversation_id: str) -> str:
    return conversation_id.partition(":")[0]


def _provider_refs(data: dict[str, Any]) -> Iterator[str]:
    provider = data.get("provider")
    for value in (data.get("provider_message_id"), provider.get("message_id") if isinstance(provider, dict) else None):
        if isinstance(value, str):
            yield value


def _files(value: Any) -> Iterator[str]:
    """Keys of blobs, wherever an event names some."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("blob", "thumbnail") and isinstance(inner, str):
                yield inner
            yield from _files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _files(inner)
