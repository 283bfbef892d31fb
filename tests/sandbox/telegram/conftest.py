"""A running simulator and the real SDK talking to it; a test that breaks the Bot API description fails."""

from __future__ import annotations

import io
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest
import telegram
from PIL import Image
from telegram.request import HTTPXRequest

from sandbox.simulators.common import Clock
from sandbox.simulators.telegram import TelegramSimulator


@dataclass
class Stage:
    """One bot, one person who started it, and the SDK's `Bot`."""

    sim: TelegramSimulator
    bot: telegram.Bot
    bot_id: int
    token: str
    person: int

    async def call(self, method: str, **parameters: Any) -> Any:
        """A method with exactly these parameters, whatever the SDK thinks of them."""
        with warnings.catch_warnings(action="ignore"):  # the SDK would rather have its own method called
            return await self.bot.do_api_request(method, api_kwargs=parameters)

    def last(self) -> dict[str, Any]:
        """The newest message as the customer sees it."""
        return self.sim.conversation(self.bot_id, self.person)["messages"][-1]


@pytest.fixture
async def sim() -> AsyncIterator[TelegramSimulator]:
    """A simulator whose clock moves only by hand."""
    simulator = TelegramSimulator(clock=Clock(scale=0, start=1_800_000_000))
    await simulator.start()
    yield simulator
    await simulator.stop()
    assert simulator.violations == []


def sdk(sim: TelegramSimulator, token: str) -> telegram.Bot:
    """The SDK as its users make it, pointed at the simulator."""
    request = HTTPXRequest(connection_pool_size=8, read_timeout=10)
    return telegram.Bot(
        token,
        base_url=sim.base_url,
        base_file_url=sim.file_url,
        request=request,
        get_updates_request=request,
    )


@pytest.fixture
async def stage(sim: TelegramSimulator) -> AsyncIterator[Stage]:
    """A bot that a person has started; its queue is empty again."""
    made = sim.setup.bot()
    person = sim.setup.person(first_name="Ada", username="ada")["id"]
    sim.customer.start(made["id"], person)
    sim.world.bots[made["id"]].updates.pending.clear()
    bot = sdk(sim, made["token"])
    yield Stage(sim, bot, made["id"], made["token"], person)
    await bot.shutdown()
    await bot.request.shutdown()


@pytest.fixture
def image() -> Callable[..., bytes]:
    """Makes a real JPEG of the given width and height."""

    def make(width: int = 64, height: int = 48) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (width, height), "teal").save(buffer, "JPEG")
        return buffer.getvalue()

    return make


class HttpAnswer(NamedTuple):
    """An answer read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@pytest.fixture
async def http(sim: TelegramSimulator) -> AsyncIterator[Callable[..., Awaitable[HttpAnswer]]]:
    """Plain HTTP to the simulator, in any of the encodings the Bot API takes."""
    async with aiohttp.ClientSession() as session:

        async def send(
            method: str, path: str, body: Any = None, encoding: str = "json", seconds: float = 10
        ) -> HttpAnswer:
            sent: dict[str, Any] = {"data": body}
            if encoding == "query":
                sent = {"params": body}
            elif isinstance(body, dict) and encoding == "multipart":
                writer = aiohttp.MultipartWriter("form-data")
                for name, value in body.items():
                    writer.append(value).set_content_disposition("form-data", name=name)
                sent = {"data": writer}
            elif isinstance(body, bytes) and encoding == "multipart":
                sent["headers"] = {"Content-Type": "multipart/form-data; boundary=missing"}
            elif body is not None and encoding == "json":
                data = body if isinstance(body, bytes) else orjson.dumps(body)
                sent = {"data": data, "headers": {"Content-Type": "application/json"}}
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with session.request(method, sim.url + path, timeout=timeout, **sent) as answer:
                return HttpAnswer(answer.status, answer.headers, await answer.read())

        yield send
