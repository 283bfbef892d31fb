"""The channel beside a simulated Telegram; a call the Bot API's description does not allow fails the test."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from sandbox.simulators.common import Clock
from sandbox.simulators.telegram import TelegramSimulator
from services.telegram.channel import Telegram
from services.telegram.settings import Settings
from shared.channel import Account, Call, Failure, FileUnavailable, OpenFile, ProviderError, Receipt
from shared.contract.accounts import AccountRecord
from shared.contract.commands import File


def jpeg(width: int = 64, height: int = 48) -> bytes:
    """A real picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "JPEG")
    return buffer.getvalue()


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@dataclass
class MemoryFiles:
    """Files by blob; a picture for every name that is not given."""

    contents: dict[str, bytes] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    async def open(self, file: File) -> OpenFile:
        name = file.blob or file.url or ""
        if name == "gone":
            raise FileUnavailable
        self.opened.append(name)
        data = self.contents.get(name) or jpeg()
        mime_type = (file.mime_type or "application/octet-stream").partition(";")[0]
        return OpenFile(file.filename or "file", mime_type, len(data), chunks(data[:100], data[100:]))


@dataclass
class Stage:
    """A bot that a person has started, and the channel that speaks for it."""

    sim: TelegramSimulator
    channel: Telegram
    account: Account
    person: int
    files: MemoryFiles

    @property
    def bot_id(self) -> int:
        return int(self.account.credentials["token"].partition(":")[0])

    async def perform(
        self, method: str, files: dict[str, File] | None = None, parts: int = 1, **params: Any
    ) -> Receipt:
        """One call to the person, unless `chat_id` says otherwise."""
        call = Call(method, {"chat_id": self.person, **params}, files or {}, parts)
        return await self.channel.perform(call, self.account, self.files)

    async def failure(self, method: str, files: dict[str, File] | None = None, **params: Any) -> Failure:
        """How a call fails."""
        with pytest.raises(ProviderError) as failed:
            await self.perform(method, files, **params)
        return failed.value.failure

    def seen(self) -> list[Any]:
        """What the person has got."""
        return self.sim.sent(self.person)


def account_of(token: str, **credentials: str) -> Account:
    record = AccountRecord(account_id="account", workspace_id="ws_1", channel="telegram")
    return Account(record, {"token": token, "webhook_secret": "s3cret", **credentials})


@pytest.fixture
async def sim() -> AsyncIterator[TelegramSimulator]:
    """A simulator whose clock moves only by hand."""
    simulator = TelegramSimulator(clock=Clock(scale=0, start=1_800_000_000))
    await simulator.start()
    yield simulator
    await simulator.stop()
    assert simulator.violations == []


@pytest.fixture
async def stage(sim: TelegramSimulator) -> AsyncIterator[Stage]:
    made = sim.setup.bot()
    person = sim.setup.person(id=7001, first_name="Ida", username="idaberg")["id"]
    sim.customer.start(made["id"], person)
    sim.world.bots[made["id"]].updates.pending.clear()
    settings = Settings(api_url=sim.url, connect_timeout=2, send_timeout=1, upload_timeout=2, poll_timeout=1)
    channel = Telegram(settings, sim.clock.now)
    await channel.start()
    yield Stage(sim, channel, account_of(made["token"]), person, MemoryFiles())
    await channel.stop()
