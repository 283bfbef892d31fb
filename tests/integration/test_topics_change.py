"""Topics with limits of their own, and topics that go, come back and grow under those who use them, on Apache Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.structs import TopicPartition

from sandbox.broker import Broker
from shared.stream.errors import RecordTooLarge
from shared.stream.table import Table
from tests.integration.admin import operator
from tests.integration.brokers import KAFKA
from tests.integration.test_stream_broker_away import connected
from tests.shared.stream.support import Seen, dispatcher, eventually, fill, topic

Unique = Callable[[str], str]

pytestmark = pytest.mark.parametrize("broker", [KAFKA], indirect=True)


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has changed about a topic is noticed within a second, not within ten."""
    monkeypatch.setattr("shared.stream.kafka.METADATA_AGE_MS", 1000)


async def test_a_record_too_large_costs_nobody_else_anything(broker: Broker, unique: Unique) -> None:
    """The limit is not known here, so the broker refuses whole batches: of one, and of several that are small."""
    told: list[tuple[str, str]] = []
    async with operator(broker) as by_hand, connected(broker, observe=lambda *what: told.append(what)) as log:
        name = unique("small")
        await by_hand.create(name, max_message_bytes=4096)
        await log.send(name, b"k", b"first")
        values = [b"%d" % n * (6000 if n == 4 else 1000) for n in range(9)]
        acks = [await log.enqueue(name, b"k", value) for value in values]
        answers = await asyncio.gather(*acks, return_exceptions=True)
        await log.send(name, b"k", b"last")
        assert [type(answer) is RecordTooLarge for answer in answers] == [n == 4 for n in range(9)]
        stored = [record.value async for record in log.read_partition(name, 0)]
        assert stored == [b"first", *values[:4], *values[5:], b"last"]
        assert told == [("too_large", name)]
        with pytest.raises(RecordTooLarge):  # now it is known, and not sent
            await log.enqueue(name, b"k", values[4])


async def test_a_limit_is_known_before_anything_is_sent_and_again_when_it_changes(
    broker: Broker, unique: Unique
) -> None:
    async with operator(broker) as by_hand, connected(broker) as log:
        name = unique("limited")
        await by_hand.create(name, max_message_bytes=4096)
        assert (await log.describe([name]))[name].largest == 4096
        assert log.takes(name, b"k", b"x" * 4000, ())
        assert not log.takes(name, b"k", b"x" * 4000, (("h", b"y" * 40),))
        with pytest.raises(RecordTooLarge):
            await log.enqueue(name, b"k", b"x" * 4096)
        await fill(log, name, [(b"k", b"x" * 1000)] * 20)  # batches are no larger than the smallest topic takes
        await by_hand.limit(name, 20_000)
        await eventually_described(log, name, 20_000)
        await log.send(name, b"k", b"x" * 8000)
        assert (await log.ends(name)) == {0: 21}


async def eventually_described(log: object, name: str, largest: int) -> None:
    async with asyncio.timeout(10):
        while (await log.describe([name]))[name].largest != largest:  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)


async def test_a_gap_in_the_sequence_is_closed(broker: Broker, unique: Unique) -> None:
    """As a batch leaves it that expired without ever being sent."""
    told: list[tuple[str, str]] = []
    async with connected(broker, observe=lambda *what: told.append(what)) as log:
        name = await topic(log, unique("gap"), 2)
        await fill(log, name, [(b"k%d" % n, b"before") for n in range(10)])
        producer = log._producer
        assert producer is not None
        producer._txn_manager.increment_sequence_number(TopicPartition(name, 0), 5)
        await fill(log, name, [(b"k%d" % n, b"after") for n in range(10)])
        assert sum((await log.ends(name)).values()) == 20
        assert told == [("renewed", "OutOfOrderSequenceNumber")]


@pytest.mark.parametrize("pause", [0.0, 1.5])
async def test_a_topic_that_is_deleted_and_made_again_is_read_from_its_start(
    broker: Broker, unique: Unique, pause: float
) -> None:
    async with operator(broker) as by_hand, connected(broker) as log:
        name, group = await topic(log, unique("anew"), 2), unique("group")
        seen = Seen()
        async with dispatcher(log, group, name, seen, commit_interval=0.1):
            await fill(log, name, [(b"k%d" % n, b"old") for n in range(50)])
            await eventually(lambda: len(seen) == 50)
            await by_hand.delete(name)
            await eventually_gone(log, name)
            await asyncio.sleep(pause)
            await by_hand.create(name, 2)
            await eventually_there(log, name)
            await fill(log, name, [(b"k%d" % n, b"new") for n in range(10)])
            await eventually(lambda: seen.values.count(b"new") >= 10, 40)
            await asyncio.sleep(0.5)
        # What was committed is of the new topic: whoever comes next begins where this one stopped.
        await fill(log, name, [(b"k%d" % n, b"later") for n in range(10)])
        then = Seen()
        async with dispatcher(log, group, name, then):
            await eventually(lambda: then.values.count(b"later") == 10, 40)
        assert then.values.count(b"new") == 0


async def eventually_gone(log: object, name: str) -> None:
    async with asyncio.timeout(10):
        while await log.describe([name]):  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)


async def eventually_there(log: object, name: str) -> None:
    async with asyncio.timeout(10):
        while (found := await log.describe([name])).get(name) is None or found[name].trouble:  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)


async def test_a_table_keeps_what_it_knows_when_its_topic_begins_anew(broker: Broker, unique: Unique) -> None:
    async with operator(broker) as by_hand, connected(broker) as log:
        name = await topic(log, unique("table"), 2, compact=True)
        await fill(log, name, [(b"k%d" % n, b"old") for n in range(10)])
        known: dict[bytes, bytes | None] = {}
        async with Table(log, name, known.__setitem__) as table:
            await table.ready.wait()
            await by_hand.delete(name)
            await eventually(lambda: table.health == "stale", 20)
            await by_hand.create(name, 2, cleanup_policy="compact")
            await eventually_there(log, name)
            await log.send(name, b"k1", b"new")
            await eventually(lambda: known[b"k1"] == b"new" and table.health == "live", 30)
            await log.send(name, b"k2", None)
            await eventually(lambda: known[b"k2"] is None)
        assert known == {b"k%d" % n: b"old" for n in range(10)} | {b"k1": b"new", b"k2": None}


async def test_a_topic_that_grows_is_written_and_read_in_all_its_partitions(broker: Broker, unique: Unique) -> None:
    async with operator(broker) as by_hand, connected(broker) as log:
        name, group = await topic(log, unique("grown"), 1), unique("group")
        seen, known = Seen(), dict[bytes, bytes | None]()
        async with dispatcher(log, group, name, seen) as reading, Table(log, name, known.__setitem__):
            await fill(log, name, [(b"k%d" % n, b"old") for n in range(20)])
            await eventually(lambda: len(known) == len(seen) == 20)
            await by_hand.grow(name, 3)
            async with asyncio.timeout(30):
                while await log.partitions(name) != 3:
                    await asyncio.sleep(0.1)
            await fill(log, name, [(b"k%d" % n, b"new") for n in range(20)])
            await eventually(lambda: len(reading.assigned) == 3, 40)
            await eventually(lambda: seen.values.count(b"new") >= 20, 40)
            await eventually(lambda: set(known.values()) == {b"new"}, 40)
        assert all(end > 0 for end in (await log.ends(name)).values())
