"""Fixtures of the WhatsApp simulator's tests: a running simulator, a webhook receiver, pywa and a raw client."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx
import orjson
import pytest
from aiohttp import web
from pywa_async import WhatsApp

from sandbox.simulators.whatsapp import (
    APP_SECRET,
    PHONE_NUMBER_ID,
    TOKEN,
    Behaviour,
    Customer,
    WhatsAppSimulator,
)

PHONE = "5511987654321"
BSUID = "BR.7f3Kq91"


class Receiver:
    """A webhook endpoint that refuses wrong signatures and keeps what it got."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.secret = APP_SECRET
        self.verify_token = "let-me-in"
        self.answers: list[int] = []  # statuses of the next POSTs; then 200
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            if request.query["hub.verify_token"] != self.verify_token:
                return web.Response(status=403)
            return web.Response(text=request.query["hub.challenge"])
        raw = await request.read()
        expected = "sha256=" + hmac.new(self.secret.encode(), raw, hashlib.sha256).hexdigest()
        assert request.headers["X-Hub-Signature-256"] == expected
        self.bodies.append(orjson.loads(raw))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    def changes(self, field: str = "messages") -> list[dict[str, Any]]:
        """The values of all changes of `field`, in order of arrival."""
        found = [c for body in self.bodies for entry in body["entry"] for c in entry["changes"]]
        return [c["value"] for c in found if c["field"] == field]

    def items(self, kind: str, field: str = "messages") -> list[dict[str, Any]]:
        return [item for value in self.changes(field) for item in value.get(kind, [])]

    def statuses(self, message_id: str | None = None) -> list[str]:
        found = self.items("statuses")
        return [item["status"] for item in found if message_id in (None, item["id"])]

    async def until(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Wait until the condition holds, or fail."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the webhook did not come"
            await asyncio.sleep(0.005)


class Graph:
    """A raw client of the Graph API and of the control API."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session, self.base_url = session, base_url
        self.token = TOKEN

    async def call(self, method: str, path: str, body: Any = None, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        """`path` below the version, or an absolute `/_sim/…` one; answers (status, JSON)."""
        url = f"{self.base_url}{path}" if path.startswith("/_sim") else f"{self.base_url}/v24.0{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.request(method, url, json=body, headers=headers, **kwargs) as answer:
            return answer.status, await answer.json(content_type=None)

    async def send(self, **message: Any) -> tuple[int, dict[str, Any]]:
        body = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": PHONE, **message}
        return await self.call("POST", f"/{PHONE_NUMBER_ID}/messages", body)

    async def text(self, body: str = "hello", **extra: Any) -> str:
        """Send a text that must be accepted; its wamid."""
        status, answer = await self.send(type="text", text={"body": body}, **extra)
        assert status == 200, answer
        message_id: str = answer["messages"][0]["id"]
        return message_id

    async def code(self, **message: Any) -> tuple[int, int, str]:
        """Send a message that must be refused; (HTTP status, code, details)."""
        status, answer = await self.send(**message)
        assert "error" in answer, answer
        assert answer["error"]["fbtrace_id"]
        return status, answer["error"]["code"], answer["error"].get("error_data", {}).get("details", "")


@pytest.fixture
async def sim() -> AsyncIterator[WhatsAppSimulator]:
    behaviour = Behaviour(sent_after=0.005, delivered_after=0.01, batch_linger=0.001)
    simulator = WhatsAppSimulator(behaviour=behaviour)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
def ida(sim: WhatsAppSimulator) -> Customer:
    """A customer whose window is open."""
    customer = sim.add_customer(PHONE, user_id=BSUID, name="Ida", username="@ida")
    sim.customers.say(customer, "text", body="hi")
    return customer


@pytest.fixture
async def receiver(sim: WhatsAppSimulator) -> AsyncIterator[Receiver]:
    """Registered with the simulator's first app."""
    endpoint = Receiver()
    server = web.Server(endpoint.handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await sim.set_webhook(endpoint.url, endpoint.verify_token)
    yield endpoint
    await runner.cleanup()


@pytest.fixture
async def graph(sim: WhatsAppSimulator) -> AsyncIterator[Graph]:
    async with aiohttp.ClientSession() as session:
        yield Graph(session, sim.url)


@pytest.fixture
async def wa(sim: WhatsAppSimulator) -> AsyncIterator[WhatsApp]:
    """The real pywa client, pointed at the simulator."""
    async with httpx.AsyncClient() as session:
        client = WhatsApp(phone_id=PHONE_NUMBER_ID, token=TOKEN, session=session)
        session.base_url = httpx.URL(f"{sim.url}/v26.0")
        yield client
