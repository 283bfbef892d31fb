"""The yardstick of ingress: parse the body, put it on the topic, answer when it is acknowledged."""

from __future__ import annotations

import orjson
from aiohttp import web
from aiokafka import AIOKafkaProducer


def routes(producer: AIOKafkaProducer, topic: str) -> list[web.RouteDef]:
    """Webhooks of any path. The key is the first value of the body: enough to spread over the partitions."""

    async def post(request: web.Request) -> web.Response:
        body = await request.read()
        first = next(iter(orjson.loads(body).values()))
        await producer.send_and_wait(topic, body, key=str(first).encode())
        return web.Response()

    return [web.post("/webhooks/{path:.*}", post)]
