"""Providers that take or give a byte now and then, or nothing, or no end: every channel's call ends, and says how."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from services.telegram import channel as telegram
from services.telegram.settings import Settings as TelegramSettings
from services.tiktok import channel as tiktok
from services.tiktok.settings import Settings as TikTokSettings
from services.whatsapp import channel as whatsapp
from services.whatsapp.settings import Settings as WhatsAppSettings
from shared.channel import Account, Call, Failure, OpenFile, ProviderError
from shared.contract.accounts import AccountRecord
from shared.contract.commands import File
from shared.contract.content import Attachment, AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.events import Message
from shared.media import transfers
from shared.media.transfers import TooSlow, steady
from tests.channels.goldens import RECEIVED_AT

NAMES = ("telegram", "tiktok", "whatsapp")
PATIENCE = 0.4  # seconds, of every kind
ENDS_WITHIN = 4.0  # seconds, on a machine that has other things to do
BIG = {"telegram": 25_000_000}  # bytes: more than the sockets between us hold, where the file goes with the message
PICTURE_SIZE = 2_900_000


@dataclass
class Misbehaving:
    """A server by hand. `how` it treats a request whose path has `where` in it; the rest it answers well."""

    how: str = ""
    where: str = "/"
    url: str = ""
    requests: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.requests += 1
                path = head.split()[1]
                if self.where in path:
                    await getattr(self, f"_{self.how}")(writer)
                    return
                await self._well(reader, writer, head, path)
        writer.close()

    async def _well(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, path: str) -> None:
        lines = dict(line.split(": ", 1) for line in head.lower().split("\r\n")[1:] if ": " in line)
        await reader.readexactly(int(lines.get("content-length", "0")))
        answers = {
            "getFile": b'{"ok": true, "result": {"file_path": "documents/file_1.pdf"}}',
            "capabilities": b'{"code": 0, "data": {"capability_infos": [{"capability_result": true}]}}',
            "media/download": f'{{"code": 0, "data": {{"download_url": "{self.url}/bytes"}}}}'.encode(),
            "/m1": f'{{"url": "{self.url}/bytes", "mime_type": "image/png"}}'.encode(),
        }
        body = next(answer for part, answer in answers.items() if part in path)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()

    async def _silent(self, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    _unread = _silent

    async def _trickle(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def _trickling_head(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        await self._trickle(writer)

    async def _trickling_body(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        await self._trickle(writer)

    async def _endless_body(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            await writer.drain()


@asynccontextmanager
async def misbehaving(how: str, where: str = "/") -> AsyncIterator[Misbehaving]:
    peer = Misbehaving(how, where)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tasks = asyncio.all_tasks()
    yield peer
    server.close()
    for task in asyncio.all_tasks() - tasks - {asyncio.current_task()}:
        task.cancel()


@asynccontextmanager
async def started(name: str, url: str) -> AsyncIterator[Any]:
    """The channel, with little patience."""
    channel: Any
    match name:
        case "telegram":
            channel = telegram.build(
                TelegramSettings(api_url=url, connect_timeout=PATIENCE, send_timeout=PATIENCE, upload_timeout=PATIENCE)
            )
        case "tiktok":
            channel = tiktok.build(TikTokSettings(api_url=url, connect_timeout=PATIENCE, timeout=PATIENCE))
        case _:
            channel = whatsapp.build(
                WhatsAppSettings(
                    graph_url=url, connect_timeout=PATIENCE, send_timeout=PATIENCE, transfer_timeout=PATIENCE
                )
            )
    await channel.start()
    yield channel
    await channel.stop()


def account(name: str) -> Account:
    record = AccountRecord(account_id="acc", workspace_id="ws", channel=name, external_id="123456")
    return Account(record, {"token": "123456:secret", "access_token": "secret", "refresh_token": "r"})


TEXTS = {
    "telegram": Call("sendMessage", {"chat_id": 1, "text": "hello"}),
    "tiktok": Call("message/send", {"recipient": "c1", "message_type": "TEXT", "text": {"body": "hello"}}),
    "whatsapp": Call("messages", {"messaging_product": "whatsapp", "to": "1", "type": "text", "text": {"body": "x"}}),
}
PICTURE = File(blob="b", filename="a.png", mime_type="image/png")
PICTURES = {
    "telegram": Call("sendPhoto", {"chat_id": 1}, {"photo": PICTURE}),
    "tiktok": Call("message/send", {"recipient": "c1", "message_type": "IMAGE"}, {"image": PICTURE}),
    "whatsapp": Call(
        "messages", {"messaging_product": "whatsapp", "to": "1", "type": "image", "image": {}}, {"image.id": PICTURE}
    ),
}


class Shelf:
    """Implements Files: one large picture."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def open(self, file: File) -> OpenFile:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(self.size // 100_000):
                yield b"x" * 100_000

        return OpenFile("a.png", "image/png", self.size, chunks())


async def fails(name: str, url: str, call: Call) -> tuple[Failure, float]:
    """How a call fails, and after how many seconds."""
    async with started(name, url) as channel:
        began = time.monotonic()
        with pytest.raises(ProviderError) as refused:
            async with asyncio.timeout(20):
                await channel.perform(call, account(name), Shelf(BIG.get(name, PICTURE_SIZE)), "c|0")
        return refused.value.failure, time.monotonic() - began


@pytest.mark.parametrize("how", ["silent", "trickling_head", "trickling_body", "endless_body"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_message_whose_answer_does_not_end_is_uncertain_in_time(name: str, how: str) -> None:
    async with misbehaving(how) as peer:
        failure, seconds = await fails(name, peer.url, TEXTS[name])
    assert (failure.code, failure.certain) == (ErrorCode.UNCERTAIN, False)
    assert seconds < ENDS_WITHIN
    assert peer.requests == 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers.Upload.__init__, "__defaults__", (PATIENCE, transfers.SLOWEST))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", NAMES)
async def test_an_upload_that_is_not_read_was_certainly_not_sent(name: str) -> None:
    where = {"telegram": "sendPhoto", "tiktok": "media/upload", "whatsapp": "/media"}[name]
    async with misbehaving("unread", where) as peer:
        failure, seconds = await fails(name, peer.url, PICTURES[name])
    assert (failure.code, failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    assert seconds < ENDS_WITHIN


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["trickling_head", "trickling_body"])
@pytest.mark.parametrize("name", ["tiktok", "whatsapp"])
async def test_an_upload_whose_answer_trickles_was_certainly_not_sent(name: str, how: str) -> None:
    """The message itself is another call."""
    where = {"tiktok": "media/upload", "whatsapp": "/media"}[name]
    async with misbehaving(how, where) as peer:
        failure, seconds = await fails(name, peer.url, PICTURES[name])
    assert (failure.code, failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    assert seconds < ENDS_WITHIN


def attached() -> tuple[Attachment, Message]:
    attachment = Attachment(attachment_id="a1", kind=AttachmentKind.IMAGE, provider_ref="m1", status="pending")
    message = Message.model_construct(
        conversation_id="tiktok:acc:c1", received_at=RECEIVED_AT, provider=type("P", (), {"message_id": "x"})()
    )
    return attachment, message


@pytest.mark.parametrize("how", ["silent", "trickling_head"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_download_that_does_not_begin_is_not_now(name: str, how: str) -> None:
    where = "/file/" if name == "telegram" else "/bytes"
    async with misbehaving(how, where) as peer, started(name, peer.url) as channel:
        began = time.monotonic()
        with pytest.raises(ProviderError) as refused:
            await channel.open_media(*attached(), account(name))
    assert refused.value.failure.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert time.monotonic() - began < ENDS_WITHIN


@pytest.mark.parametrize("name", NAMES)
async def test_a_download_that_trickles_is_cut_by_who_reads_it(name: str) -> None:
    where = "/file/" if name == "telegram" else "/bytes"
    async with misbehaving("trickling_body", where) as peer, started(name, peer.url) as channel:
        opened = await channel.open_media(*attached(), account(name))
        began = time.monotonic()
        with pytest.raises(TooSlow):
            async for _ in steady(opened.chunks, PATIENCE):
                pass
        await opened.close()
    assert time.monotonic() - began < ENDS_WITHIN
