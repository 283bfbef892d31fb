"""Before everything is there: a service says what it waits for, and takes no webhook that it could not keep."""

from __future__ import annotations

import asyncio
import socket

import aiohttp

from sandbox.broker import free_port
from shared.runtime.service import Service, ServiceConfig
from shared.runtime.settings import HttpSettings, KafkaSettings, StateSettings
from tests.shared.runtime.plain_channel import PlainChannel


async def test_a_service_without_kafka_answers_who_asks_and_refuses_who_brings() -> None:
    # Bound and not listening: nobody else can take it, and whoever connects is refused.
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        await _asked_and_brought(nobody.getsockname()[1])


async def _asked_and_brought(nowhere: int) -> None:
    port = free_port()
    config = ServiceConfig(
        kafka=KafkaSettings(bootstrap=f"127.0.0.1:{nowhere}"),
        state=StateSettings(url=f"valkey://127.0.0.1:{nowhere}/0"),  # type: ignore[arg-type]
        http=HttpSettings(port=port),
    )
    running = asyncio.create_task(Service(PlainChannel(), config).run())
    await asyncio.sleep(0.5)
    if running.done():  # somebody has taken the port meanwhile
        await _asked_and_brought(nowhere)
        return
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            answer = None
            async with asyncio.timeout(20):
                while answer is None:
                    try:
                        answer = await client.get("/readyz")
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0.05)
            assert answer.status == 503
            assert {"accepting", "kafka", "state"} <= set((await answer.json())["missing"])
            assert (await client.get("/livez")).status == 200
            brought = await client.post("/webhooks/plain/acc_1", data=b"{}")
            assert brought.status == 503
            assert brought.headers["Retry-After"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
