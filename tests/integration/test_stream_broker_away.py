"""What the log says when its broker is away, and that everything goes on when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sandbox.broker import Broker, Kafka, Tansu, free_port, kafka_missing
from shared.stream.errors import LogUnavailable
from shared.stream.kafka import KafkaLog
from tests.integration.brokers import KAFKA, connect
from tests.shared.stream.support import Seen, dispatcher, eventually, fill, topic

Unique = Callable[[str], str]
PATIENCE = 0.7

on_brokers = pytest.mark.parametrize("broker", ["tansu", KAFKA], indirect=True)
on_kafka = pytest.mark.parametrize("broker", [KAFKA], indirect=True)


@asynccontextmanager
async def connected(broker: Broker, **settings: Any) -> AsyncIterator[KafkaLog]:
    log = connect(broker, send_timeout=PATIENCE, **settings)
    await log.start()
    yield log
    await log.stop()


async def test_starting_without_a_broker_fails_in_time() -> None:
    log = KafkaLog(f"127.0.0.1:{free_port()}", client_id="test", send_timeout=PATIENCE)
    with pytest.raises(LogUnavailable):
        await log.start()
    assert not await log.reachable()
    with pytest.raises(LogUnavailable):
        await log.send("t", b"k", b"v")


@on_brokers
async def test_a_frozen_broker_fails_a_send_in_time_and_serves_the_next(broker: Broker, unique: Unique) -> None:
    async with connected(broker) as log:
        name = await topic(log, unique("frozen"))
        await log.send(name, b"k", b"before")
        with broker.frozen():
            began = time.monotonic()
            futures = [await log.enqueue(name, b"k", b"during") for _ in range(3)]
            answers = await asyncio.gather(*futures, return_exceptions=True)
            assert [type(answer) for answer in answers] == [LogUnavailable] * 3
            assert time.monotonic() - began < 2 * PATIENCE
            assert not await log.reachable()
        await back(log)
        assert (await log.send(name, b"k", b"after")).partition == 0
        values = [record.value async for record in log.read_partition(name, 0)]
    assert values[0] == b"before"
    assert values[-1] == b"after"


async def back(log: KafkaLog) -> None:
    async with asyncio.timeout(20):
        while not await log.reachable():
            await asyncio.sleep(0.05)


async def test_a_killed_broker_is_noticed() -> None:
    async with Tansu() as broker, connected(broker) as log:
        name = await topic(log, "killed")
        await log.send(name, b"k", b"v")
        await broker.nodes[0].kill()
        with pytest.raises(LogUnavailable):
            await log.send(name, b"k", b"v")
        with pytest.raises(LogUnavailable):
            await anext(aiter(log.read_partition(name, 0)))
        assert not await log.reachable()


@on_brokers
async def test_a_producer_that_has_died_is_replaced(broker: Broker, unique: Unique) -> None:
    async with connected(broker) as log:
        name = await topic(log, unique("replaced"))
        assert log._producer is not None
        task = log._producer._sender.sender_task
        task.cancel()
        await asyncio.wait((task,))
        await asyncio.gather(*(log.send(name, b"k", b"%d" % n) for n in range(5)))
        assert (await log.ends(name)) == {0: 5}


@on_kafka
async def test_a_dispatcher_outlives_a_broker_frozen_longer_than_its_session(broker: Broker, unique: Unique) -> None:
    async with connected(broker, session_timeout=1.0) as log:
        name, group = await topic(log, unique("outlived"), 2), unique("group")
        seen = Seen()
        async with dispatcher(log, group, name, seen) as consumer:
            await fill(log, name, [(b"k%d" % n, b"before") for n in range(50)])
            await eventually(lambda: len(seen) == 50)
            with broker.frozen():
                heartbeat = consumer.heartbeat
                await asyncio.sleep(2)
                # The broker's absence is not ours to die of: liveness goes on.
                assert consumer.heartbeat > heartbeat
            await back(log)
            await fill(log, name, [(b"k%d" % n, b"after") for n in range(50)])
            await eventually(lambda: seen.values.count(b"after") >= 50)
        assert {key: set(values) for key, values in seen.by_key.items()} == {
            b"k%d" % n: {b"before", b"after"} for n in range(50)
        }


@on_kafka
async def test_a_static_member_that_restarts_disturbs_nobody(broker: Broker, unique: Unique) -> None:
    async with connected(broker, session_timeout=10.0) as log:
        name, group = await topic(log, unique("static"), 2), unique("group")
        revocations = 0

        async def revoked(partitions: frozenset[object]) -> None:
            nonlocal revocations
            revocations += 1

        staying = dispatcher(log, group, name, Seen(), instance_id="one", on_revoked=revoked)
        leaving = dispatcher(log, group, name, Seen(), instance_id="two")
        await staying.start()
        await eventually(lambda: len(staying.assigned) == 2)
        await leaving.start()
        await eventually(lambda: len(staying.assigned) == len(leaving.assigned) == 1)
        before = (revocations, leaving.assigned)
        await leaving.stop()

        seen = Seen()
        async with dispatcher(log, group, name, seen, instance_id="two") as returned:
            await eventually(lambda: len(returned.assigned) == 1)
            assert (revocations, returned.assigned) == before
            (partition,) = returned.assigned
            await log.send(name, b"k", b"v", partition=partition.number)
            await eventually(lambda: len(seen) == 1)
        await staying.stop()


@pytest.mark.chaos
@pytest.mark.kafka
@pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}")
async def test_three_brokers_lose_one_and_no_record() -> None:
    async with Kafka(3) as cluster:
        log = connect(cluster, send_timeout=10.0)
        await log.start()
        await topic(log, "replicated", 6)
        seen, stored = Seen(), 0

        async def produce() -> None:
            nonlocal stored
            for n in range(3000):
                await log.send("replicated", b"k%d" % (n % 50), b"%d" % n)
                stored += 1

        async with dispatcher(log, "group", "replicated", seen):
            producing = asyncio.create_task(produce())
            await eventually(lambda: len(seen) > 500)
            await cluster.nodes[0].kill()
            await producing
            await eventually(lambda: len({*seen.values}) == stored, seconds=60)
        await log.stop()
    assert stored == 3000
    for key in range(50):
        values = [int(value) for value in dict.fromkeys(seen.by_key[b"k%d" % key])]
        assert values == sorted(values)
