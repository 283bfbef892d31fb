"""The embedded broker shows records out of order to whoever reads at its end; our readers miss none all the same."""

from __future__ import annotations

import asyncio

from shared.stream.kafka import KafkaLog
from shared.stream.log import TopicSpec
from tests.e2e.topics import Reader, eventually
from tests.e2e.world import World, number

PRODUCERS = 8
RECORDS = 200


async def test_readers_miss_nothing_while_producers_race(world: World) -> None:
    topic = f"race.{number()}"
    await world.log.ensure_topics([TopicSpec(topic, 1)])
    readers = [Reader(world.log, topic) for _ in range(3)]
    producers = [
        KafkaLog(world.broker.bootstrap, client_id=f"racer-{n}", idempotent=False, send_timeout=20.0)
        for n in range(PRODUCERS)
    ]
    await asyncio.gather(*(producer.start() for producer in producers))

    async def produce(producer: KafkaLog, name: int) -> None:
        for index in range(RECORDS):
            await producer.send(topic, b"key", f"{name}-{index}".encode())

    try:
        await asyncio.gather(*(produce(producer, name) for name, producer in enumerate(producers)))
        for reader in readers:
            await eventually(
                lambda r=reader: len(r.all) == PRODUCERS * RECORDS, 20, what=lambda r=reader: f"{len(r.all)} records"
            )
            offsets = [seen.record.offset for seen in reader.all]
            assert offsets == list(range(PRODUCERS * RECORDS))
    finally:
        for each in (*readers, *producers):
            await each.stop()
