"""A running simulator, a client that speaks raw HTTP to it, and a webhook receiver that trusts nobody."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import Options, TikTokSimulator

BUSINESS = "-0aAcme"
ROOT = "/open_api/v1.3"


class Receiver:
    """Keeps every delivery whose signature verifies; `refuse` is how many of the next to answer 500."""

    def __init__(self, secret: str) -> None:
        self.url = ""
        self.refuse = 0
        self.forged = 0
        self.stamps: list[int] = []
        self.bodies: list[bytes] = []
        self._secret = secret
        self._arrived = asyncio.Condition()

    async def serve(self, http: web.BaseRequest) -> web.Response:
        raw = await http.read()
        parts = dict(part.split("=", 1) for part in http.headers["TikTok-Signature"].split(","))
        expected = hmac.new(self._secret.encode(), parts["t"].encode() + b"." + raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, parts["s"]):
            self.forged += 1
            return web.Response(status=401)
        async with self._arrived:
            self.stamps.append(int(parts["t"]))
            if self.refuse > 0:
                self.refuse -= 1
                self._arrived.notify_all()
                return web.Response(status=500)
            self.bodies.append(raw)
            self._arrived.notify_all()
        return web.Response()

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The envelopes received so far, `content` parsed, once there are at least `count`."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.bodies) >= count)
        return [(e := orjson.loads(body)) | {"content": orjson.loads(e["content"])} for body in self.bodies]

    async def attempts(self, count: int) -> list[int]:
        """The timestamps of all attempts, refused ones included, once there are at least `count`."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.stamps) >= count)
        return self.stamps


class Client:
    """Raw calls; `token` is the access token of the one account."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str) -> None:
        self.session = session
        self.base_url = base_url
        self.token = token

    async def post(self, path: str, body: Any, *, auth: bool = True) -> dict[str, Any]:
        headers = {"Access-Token": self.token} if auth else {}
        async with self.session.post(self.base_url + ROOT + path, json=body, headers=headers) as answer:
            assert answer.status == 200
            return await answer.json()

    async def get(self, path: str, *, auth: bool = True, **params: Any) -> dict[str, Any]:
        headers = {"Access-Token": self.token} if auth else {}
        async with self.session.get(self.base_url + ROOT + path, params=params, headers=headers) as answer:
            assert answer.status == 200
            return await answer.json()

    async def send(self, conversation_id: str, words: str = "Hi", **fields: Any) -> dict[str, Any]:
        return await self.post("/business/message/send/", message(conversation_id, words, **fields))

    async def control(self, path: str, body: Any = None, *, method: str = "POST", status: int = 200) -> Any:
        given = {} if body is None else {"json": body}
        async with self.session.request(method, f"{self.base_url}/_sim/{path}", **given) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


def message(conversation_id: str, words: str = "Hi", **fields: Any) -> dict[str, Any]:
    """A send's body: a text, unless `fields` bring another message_type and its content."""
    body = {
        "business_id": BUSINESS,
        "recipient_type": "CONVERSATION",
        "recipient": conversation_id,
        "message_type": "TEXT",
        **fields,
    }
    return body | {"text": {"body": words}} if body["message_type"] == "TEXT" else body


@pytest.fixture
def options() -> Options:
    return Options(queries_per_second=0, echo="off")


@pytest.fixture
async def clock() -> Clock:
    """Stands still, so that windows and lifetimes end exactly when a test says so."""
    return Clock(scale=0, start=1_795_000_000.0)


@pytest.fixture
async def sim(options: Options, clock: Clock) -> AsyncIterator[TikTokSimulator]:
    simulator = TikTokSimulator(options, clock=clock, wall=clock.now)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(sim: TikTokSimulator) -> AsyncIterator[Client]:
    tokens = sim.add_account(BUSINESS, "acme", display_name="Acme Ltd")
    async with aiohttp.ClientSession() as session:
        yield Client(session, sim.url, tokens.access_token)


@pytest.fixture
async def receiver(sim: TikTokSimulator) -> AsyncIterator[Receiver]:
    receiver = Receiver(sim.options.app_secret)
    runner = web.ServerRunner(web.Server(receiver.serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
    sim.platform.webhooks.callback_url = receiver.url
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def thread(sim: TikTokSimulator, client: Client) -> str:
    """A conversation whose window has just opened; its webhook went nowhere."""
    await sim.people.writes(BUSINESS, "lena", silent=True)
    return sim.platform.world.thread(BUSINESS, "lena").conversation_id
