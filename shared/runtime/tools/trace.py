"""What became of a message, from the topics: webhook, raw, event, command, statuses, and how long each step took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.contract.base import rfc3339
from shared.contract.topics import Topics
from shared.stream.log import Log
from shared.stream.records import Record, header

_NAMES = ("message_id", "command_id", "status_id", "provider_message_id")
_MOST = 1000  # records of one message: more is not one message


@dataclass
class _Found:
    """What is known of the message by now: its names, its traces, its records by where they stand."""

    names: set[str]
    traces: set[str] = field(default_factory=set)
    offsets: dict[str, set[int]] = field(default_factory=dict)  # on the raw topic, of the events of a trace
    records: dict[tuple[str, int, int], tuple[Record, dict[str, Any]]] = field(default_factory=dict)

    def take(self, record: Record, data: dict[str, Any]) -> None:
        if len(self.records) >= _MOST:
            return
        self.records[record.topic, record.partition, record.offset] = record, data
        self.names |= _names_of(record, data)
        if trace := trace_id(record):
            self.traces.add(trace)
            if isinstance(sequence := data.get("sequence"), int):
                self.offsets.setdefault(trace, set()).add(sequence)


async def trace(stream: Log, topics: Topics, channel: str, name: str) -> list[dict[str, Any]]:
    """The steps of a message, first to last; none when the topics know nothing (any more) of this name.

    `name` is an id of ours (message, command, event, status) or the provider's of the message. Steps hold nothing of
    what was said. Reads the topics from their beginning: seconds per million records. Raises LogUnavailable.
    """
    told = (topics.inbound(channel), topics.outbound(channel), topics.statuses(channel))
    found = _Found({name})
    known = 0
    while known < len(found.names) and len(found.names) < _MOST:  # a command's status names its message, and so on
        known = len(found.names)
        needles = [each.encode() for each in found.names]
        for topic in told:
            async for record in _all(stream, topic):
                if _may_name(record, needles) and _names_of(record, data := data_of(record)) & found.names:
                    found.take(record, data)
    if not found.records:
        return []
    async for record in _all(stream, topics.raw(channel)):
        said = trace_id(record)
        # Of a webhook of many items, all in one trace, only the one that the event was made of.
        if said in found.traces and record.offset in found.offsets.get(said, (record.offset,)):
            found.take(record, {})
    return _steps(topics, channel, found)


async def _all(stream: Log, topic: str) -> AsyncIterator[Record]:
    for number in range(await stream.partitions(topic)):
        async for record in stream.read_partition(topic, number):
            yield record


def _may_name(record: Record, needles: Collection[bytes]) -> bool:
    value, event_id = record.value or b"", header(record, "ce_id")
    return event_id in needles or any(needle in value for needle in needles)


def data_of(record: Record) -> dict[str, Any]:
    """The object that a record's value is; an empty one for anything else."""
    try:
        document = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _names_of(record: Record, data: dict[str, Any]) -> set[str]:
    names = {value for key in _NAMES if isinstance(value := data.get(key), str)}
    provider = data.get("provider")
    if isinstance(provider, dict) and isinstance(said := provider.get("message_id"), str):
        names.add(said)
    if event_id := header(record, "ce_id"):
        names.add(event_id.decode("utf-8", "replace"))
    return names


def trace_id(record: Record) -> str | None:
    """The trace that a record is part of."""
    said = header(record, "traceparent")
    return said[3:35].decode("ascii", "replace") if said else None


def _steps(topics: Topics, channel: str, found: _Found) -> list[dict[str, Any]]:
    whats = {
        topics.raw(channel): "raw",
        topics.inbound(channel): "event",
        topics.outbound(channel): "command",
        topics.statuses(channel): "status",
    }
    steps: list[tuple[int, dict[str, Any]]] = []
    for record, data in found.records.values():
        what = whats[record.topic]
        if what == "raw" and (received := header(record, "received_at")) and received.isdigit():
            steps.append((int(received), {"what": "webhook", "trace_id": trace_id(record)}))
        steps.append((record.timestamp_ms, {"what": what, **_about(record, data)}))
    steps.sort(key=lambda step: step[0])
    first = steps[0][0]
    before = [first, *(at for at, _ in steps)]
    return [
        {
            "at": rfc3339(datetime.fromtimestamp(at / 1000, UTC)),
            "ms": at - first,
            "ms_since_last": at - last,
            **{key: value for key, value in step.items() if value is not None},
        }
        for (at, step), last in zip(steps, before, strict=False)
    ]


def _about(record: Record, data: dict[str, Any]) -> dict[str, Any]:
    kind = header(record, "ce_type")
    error = data.get("error")
    return {
        "type": kind.decode("utf-8", "replace") if kind else None,
        "id": event_id.decode("utf-8", "replace") if (event_id := header(record, "ce_id")) else None,
        "command_id": data.get("command_id"),
        "message_id": data.get("message_id"),
        "part": data.get("part"),
        "state": data.get("state"),
        "code": error.get("code") if isinstance(error, dict) else None,
        "account_id": data.get("account_id"),
        "trace_id": trace_id(record),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }
