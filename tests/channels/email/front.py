"""A mail listener with everything behind it: a real blob directory and a log in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.email.channel import EmailChannel
from services.email.settings import Settings
from shared.contract.accounts import AccountRecord
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.inbound.door import IngressDoor, RawBlobs
from shared.runtime.inbound.raw import BLOB, RawWriter
from shared.stream.deadletter import DeadLetters
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from shared.stream.records import Record, header


def account(account_id: str, address: str, workspace: str = "ws_1", **settings: Any) -> AccountRecord:
    return AccountRecord(
        account_id=account_id, workspace_id=workspace, channel="email", external_id=address, settings=settings
    )


class Front:
    """The listener, its accounts, and what it has let in."""

    def __init__(self, directory: Path, *accounts: AccountRecord, **settings: Any) -> None:
        self.topics = Topics()
        self.log = MemoryLog()
        self.blobs = Blobs(f"file://{directory}")
        listen = {"smtp_listen": "127.0.0.1:0", "lmtp_listen": "127.0.0.1:0"}
        self.channel = EmailChannel(Settings(**{**listen, **settings}))
        self.accounts = AccountRegistry.of(self.channel, None)
        for record in accounts:
            self.account(record)
        dead = DeadLetters(self.log, lambda _: self.topics.deadletter("email"), store_body=_nowhere)
        self.writer = RawWriter("email", self.log, self.topics, self.blobs, dead, keeps_raw=True)
        self.door = IngressDoor(self.accounts, self.writer)
        self.channel.use_raw(RawBlobs(self.blobs))

    def account(self, record: AccountRecord) -> None:
        self.accounts.apply(record.account_id.encode(), record.to_json())

    async def start(self) -> None:
        await self.log.ensure_topics(TopicSpec(topic.name, 1) for topic in self.topics.of_channel("email"))
        await self.channel.listen(self.door)

    @property
    def smtp(self) -> int:
        assert self.channel.listener is not None
        return self.channel.listener.ports[0]

    @property
    def lmtp(self) -> int:
        assert self.channel.listener is not None
        return self.channel.listener.ports[1]

    async def records(self) -> list[Record]:
        return [record async for record in self.log.read_partition(self.topics.raw("email"), 0)]

    async def taken(self) -> list[tuple[str, bytes]]:
        """The accounts and the mails as they are kept, with the lines that were put on top."""
        found = []
        for record in await self.records():
            account_id, blob = (header(record, name) or b"" for name in ("account_id", BLOB))
            found.append((account_id.decode(), await self.blobs.read(blob.decode())))
        return found


async def _nowhere(content: bytes) -> str:
    raise AssertionError("a dead letter")


@asynccontextmanager
async def front(directory: Path, *accounts: AccountRecord, **settings: Any) -> AsyncIterator[Front]:
    opened = Front(directory, *accounts, **settings)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.channel.stop_listening()
