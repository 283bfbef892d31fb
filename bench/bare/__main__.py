"""Runs yardsticks as one process: `python -m bench.bare CHANNEL --roles ingress,normalise …`."""

from __future__ import annotations

import argparse
import asyncio
import signal
from dataclasses import dataclass
from typing import Any

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.bare.deliver import deliver
from bench.bare.ingress import routes
from bench.bare.normalise import normalise
from bench.channels import NAMES, profile
from shared.contract.topics import Topics
from shared.stream.embedded import consumer_class


@dataclass(frozen=True, slots=True)
class Bare:
    """What the yardsticks share."""

    channel: str
    bootstrap: str
    topics: Topics
    producer: AIOKafkaProducer
    idempotent: bool

    def consumer(self, topic: str, role: str) -> AIOKafkaConsumer:
        """A member of the group that the service's role would be in."""
        return consumer_class(idempotent=self.idempotent)(
            topic,
            bootstrap_servers=self.bootstrap,
            group_id=f"{self.topics.prefix}.{self.channel}.{role}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )


async def _run(given: argparse.Namespace) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=given.bootstrap, acks="all", enable_idempotence=given.idempotent)
    await producer.start()
    bare = Bare(given.channel, given.bootstrap, Topics(given.prefix), producer, given.idempotent)
    ready = asyncio.Event()
    app = web.Application()
    app.add_routes([web.get("/readyz", lambda _: _ready(ready))])
    roles, work = given.roles.split(","), []
    if "ingress" in roles:
        app.add_routes(routes(producer, bare.topics.raw(given.channel)))
    if "normalise" in roles:
        topics = bare.topics.raw(given.channel), bare.topics.inbound(given.channel)
        work.append(normalise(bare.consumer(topics[0], "normalise"), producer, topics[1], ready))
    if "deliver" in roles:
        topics = bare.topics.outbound(given.channel), bare.topics.statuses(given.channel)
        consumer = bare.consumer(topics[0], "deliver")
        work.append(deliver(consumer, producer, topics[1], profile(given.channel), given.provider, ready))
    if not work:
        ready.set()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", given.port, backlog=1024).start()
    await _until_stopped([asyncio.ensure_future(one) for one in work])


async def _ready(ready: asyncio.Event) -> web.Response:
    return web.Response(status=200 if ready.is_set() else 503)


async def _until_stopped(work: list[asyncio.Future[Any]]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([stopping, *work], return_when=asyncio.FIRST_COMPLETED)
    for one in work:
        if one.done():
            one.result()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("channel", choices=NAMES)
    parser.add_argument("--roles", required=True, help="ingress, normalise, deliver, separated by commas")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--prefix", required=True, help="of the topics")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--idempotent", action="store_true")
    parser.add_argument("--provider", default="", help="where calls go")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(_run(_arguments()))
