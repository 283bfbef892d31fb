"""The yardstick of deliver: read a batch, make a plain call per command, write a status, commit."""

from __future__ import annotations

import asyncio
from itertools import chain

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from bench.channels import Profile

SLOTS = 128


async def deliver(
    consumer: AIOKafkaConsumer,
    producer: AIOKafkaProducer,
    topic: str,
    of: Profile,
    provider: str,
    ready: asyncio.Event,
) -> None:
    """Endless; the commands of one key are sent in order, at most SLOTS at once."""
    url = provider + of.send_path
    slots = asyncio.Semaphore(SLOTS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=SLOTS)) as session:

        async def send(records: list[ConsumerRecord]) -> None:
            for record in records:
                command = orjson.loads(record.value)
                body = of.call(command["content"]["text"], command["conversation_id"] or "")
                async with slots, session.post(url, json=body) as answer:
                    result = orjson.loads(await answer.read())
                status = {"command_id": command["command_id"], "state": "sent", "answer": result}
                await producer.send_and_wait(topic, orjson.dumps(status), key=record.key)

        await consumer.start()
        ready.set()
        while True:
            batches = await consumer.getmany(timeout_ms=500, max_records=500)
            lanes: dict[bytes, list[ConsumerRecord]] = {}
            for record in chain.from_iterable(batches.values()):
                lanes.setdefault(record.key, []).append(record)
            if lanes:
                await asyncio.gather(*(send(records) for records in lanes.values()))
                await consumer.commit()
