"""The yardstick of normalise: read a batch, parse each record, write it again, commit."""

from __future__ import annotations

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def normalise(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, topic: str, ready: asyncio.Event) -> None:
    """Endless."""
    await consumer.start()
    ready.set()
    while True:
        batches = await consumer.getmany(timeout_ms=500, max_records=500)
        acks = [
            await producer.send(topic, orjson.dumps(orjson.loads(record.value)), key=record.key)
            for records in batches.values()
            for record in records
        ]
        if acks:
            await asyncio.gather(*acks)
            await consumer.commit()
