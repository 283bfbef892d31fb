"""Before everything is there: a service says what it waits for, and takes no webhook that it could not keep."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from typing import Any

import aiohttp
import pytest
import structlog
from tenacity import stop_after_attempt, wait_none

from sandbox.broker import free_port
from shared.runtime.logs import configure_logs
from shared.runtime.process.connections import ServiceConfig, connect, kafka_log
from shared.runtime.process.service import Service
from shared.runtime.settings import HttpSettings, KafkaSettings, StateSettings
from shared.stream.errors import LogUnavailable
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


async def test_every_attempt_to_reach_kafka_says_what_failed_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr(connect.retry, "wait", wait_none())  # type: ignore[attr-defined]
    monkeypatch.setattr(connect.retry, "stop", stop_after_attempt(3))  # type: ignore[attr-defined]
    configure_logs("INFO")
    try:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            settings = KafkaSettings(
                bootstrap=f"127.0.0.1:{nobody.getsockname()[1]}",
                security_protocol="SASL_PLAINTEXT",
                sasl_username="connector",
                sasl_password="hunter2",  # type: ignore[arg-type]
            )
            with pytest.raises(LogUnavailable):
                await connect(kafka_log(settings, "test"))
        logging.getLogger("aiokafka").error("said once it has started")
    finally:
        structlog.reset_defaults()
        logging.basicConfig(level="WARNING", handlers=[logging.NullHandler()], force=True)
    lines: list[dict[str, Any]] = [json.loads(line) for line in written.getvalue().splitlines()]
    said = [(line["attempt"], line["error"]) for line in lines if line["event"] == "kafka_unavailable"]
    assert said == [(number, "KafkaConnectionError") for number in (1, 2, 3)]
    causes = [line["event"] for line in lines if line.get("logger") == "aiokafka"]
    assert len(causes) == 3
    assert all("Connect call failed" in cause for cause in causes)
    assert "hunter2" not in written.getvalue()
