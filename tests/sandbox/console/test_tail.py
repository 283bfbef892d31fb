"""The ring of records: what a page is shown, and that it stays bounded."""

from __future__ import annotations

import orjson
from aiokafka.structs import ConsumerRecord

from sandbox.console import tail
from sandbox.console.tail import Tail, shown


def a_record(value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> ConsumerRecord:
    return ConsumerRecord("channels.telegram.inbound", 2, 7, 1_700_000_000_000, 0, b"k", value, None, 0, 0, headers)


async def a_tail() -> Tail:
    return Tail("127.0.0.1:1", ["channels.telegram.inbound"])


def test_json_is_shown_as_json() -> None:
    record = shown(a_record(b'{"a": 1}', (("ce_type", b"channels.message.received.v1"),)))
    assert record["value"] == {"a": 1}
    assert record["type"] == "channels.message.received.v1"
    assert (record["partition"], record["offset"], record["key"], record["tombstone"]) == (2, 7, "k", False)


def test_what_is_no_json_is_shown_as_text() -> None:
    assert shown(a_record(b"not \xff json"))["value"] == "not \ufffd json"


async def test_what_is_nested_too_deeply_is_shown_as_text() -> None:
    ring = await a_tail()
    deep = b"[" * 300 + b"]" * 300
    ring._keep(a_record(deep))
    ((_, entry),) = ring.since(0, 1)
    assert orjson.loads(entry)["value"] == deep.decode()


def test_no_value_is_a_tombstone() -> None:
    record = shown(a_record(None))
    assert record["tombstone"] and record["value"] is None


def test_a_value_too_long_is_cut_and_says_so() -> None:
    record = shown(a_record(b'"' + b"x" * 2 * tail.SHOWN_VALUE + b'"'))
    assert record["cut"] and len(record["value"]) == tail.SHOWN_VALUE and record["size"] > 2 * tail.SHOWN_VALUE


async def test_records_are_numbered_and_given_from_where_a_page_stands() -> None:
    ring = await a_tail()
    for number in range(5):
        ring._keep(a_record(b"%d" % number))
    assert [number for number, _ in ring.since(0, 10)] == [1, 2, 3, 4, 5]
    assert [orjson.loads(entry)["value"] for _, entry in ring.since(3, 1)] == [3]
    assert ring.since(5, 10) == []


async def test_the_ring_is_bounded_by_number() -> None:
    ring = await a_tail()
    for _ in range(tail.KEPT_RECORDS + 10):
        ring._keep(a_record(b"1"))
    kept = ring.since(0, 10 * tail.KEPT_RECORDS)
    assert len(kept) == tail.KEPT_RECORDS and kept[-1][0] == ring.last == tail.KEPT_RECORDS + 10


async def test_the_ring_is_bounded_by_bytes() -> None:
    ring = await a_tail()
    big = b'"' + b"x" * (tail.SHOWN_VALUE - 2) + b'"'
    for _ in range(tail.KEPT_BYTES // tail.SHOWN_VALUE + 50):
        ring._keep(a_record(big))
    assert sum(len(entry) for _, entry in ring.since(0, 10_000)) <= tail.KEPT_BYTES
