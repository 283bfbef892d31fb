"""The TikTok channel inside the runtime's inbound half: a real state store, a log in memory, the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.simulators.tiktok.world import Message
from services.tiktok.channel import TikTokChannel
from shared.channel import Account, WebhookRequest
from shared.contract.topics import Topics
from shared.media.blobs import Blobs
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.accounts.sealing import new_key, public_key, seal_credentials
from shared.runtime.process.connections import topic_specs
from shared.runtime.roles import Common, NormaliseRole
from shared.state.client import Client
from shared.state.store import Store
from shared.stream.memory import MemoryLog
from shared.stream.records import Record
from tests.channels.tiktok.conftest import BUSINESS

KEY = new_key()
TOPICS = Topics()


class Inside:
    """Webhooks come in by `hears`; what was published since the last look is `events`."""

    def __init__(self, sim: TikTokSimulator, channel: TikTokChannel, url: str, directory: Path) -> None:
        self.sim = sim
        self.channel = channel
        self.url = url
        self.log = MemoryLog()
        self.client = Client(url)
        self.store = Store(self.client)
        self.blobs = Blobs(f"file://{directory}")
        self.accounts = AccountRegistry("tiktok", KEY)
        common = Common(channel, TOPICS, self.log, self.store, self.blobs, self.accounts)
        self.writer = common.writer
        role = NormaliseRole(common)
        self.contacts, self.normaliser = role.contacts, role.normaliser
        self._normalised = 0
        self._seen = 0

    async def start(self, account: Account) -> None:
        await self.log.ensure_topics(topic_specs(TOPICS, "tiktok", 1))
        record = seal_credentials(account.credentials, account.record, public_key(KEY))
        await self.log.send(TOPICS.accounts, record.account_id.encode(), record.to_json())
        self.accounts.apply(record.account_id.encode(), record.to_json())

    async def close(self) -> None:
        await self.contacts.close()
        await self.client.close()

    def records(self, topic: str) -> list[Record]:
        return self.log._topics[topic][0]

    async def hears(self, username: str, message: Message) -> None:
        """The webhook of a message comes in."""
        conversation = self.sim.platform.world.thread(BUSINESS, username)
        body = self.sim.platform.announcement(conversation, message).body
        await self.writer.write(self.channel.unbatch(WebhookRequest("POST", "", {}, {}, body)))

    async def normalise(self) -> int:
        """Handle what is new on the raw topic; how many items that was."""
        new = self.records(TOPICS.raw("tiktok"))[self._normalised :]
        self._normalised += len(new)
        for record in new:
            await self.normaliser.handle(record)
        return len(new)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of what was published since the last look."""
        new = self.records(TOPICS.inbound("tiktok"))[self._seen :]
        self._seen += len(new)
        return [(_type(record), orjson.loads(record.value or b"")) for record in new]


def _type(record: Record) -> str:
    return dict(record.headers)["ce_type"].decode().removeprefix("channels.").removesuffix(".v1")
