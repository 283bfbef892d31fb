"""Telegram: the pieces of this folder joined to the channel the runtime runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from time import time

from services.telegram.api import downloads, probes
from services.telegram.api.client import Client
from services.telegram.capabilities import CAPABILITIES
from services.telegram.receive import inbound, subscription
from services.telegram.send import fallbacks, outbound, sending
from services.telegram.settings import Settings
from services.telegram.shapes import SECRETS
from shared.channel import (
    Account,
    AccountNames,
    Accounts,
    Avatar,
    Batch,
    Call,
    Failure,
    Files,
    HealthChange,
    Identity,
    OpenFile,
    Outcome,
    PlanContext,
    RawItem,
    Receipt,
    ReceivedItem,
    UploadStore,
    WebhookRequest,
)
from shared.contract.commands import Command, CommandType
from shared.contract.content import Attachment
from shared.contract.events import Message, MessageEdited
from shared.kit.uploads import Uploads


class Telegram:
    """The Bot API for any number of bots in one process."""

    capabilities = CAPABILITIES
    secrets = SECRETS
    account_names = AccountNames(frozenset({"token", "webhook_secret", "webhook_secret_previous"}))

    def __init__(self, settings: Settings, clock: Callable[[], float] = time) -> None:
        self._settings = settings
        self._clock = clock
        self._client = Client(settings)
        self._uploads = Uploads()

    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        inbound.authenticate(request, accounts)

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        return inbound.unbatch(request)

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        return inbound.normalise(item)

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        return outbound.plan(kind, command, context)

    def adjust(self, call: Call, failure: Failure) -> Call | Sequence[Call] | None:
        return fallbacks.adjust(call, failure)

    def use_uploads(self, store: UploadStore) -> None:
        self._uploads.store = store

    async def start(self) -> None:
        await self._client.start()

    async def stop(self) -> None:
        await self._client.stop()

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
        # The Bot API has no field that would bring the correlation back.
        return await sending.perform(self._client, call, account, files, self._uploads)

    async def open_media(self, attachment: Attachment, message: Message | MessageEdited, account: Account) -> OpenFile:
        return await downloads.open_media(self._client, attachment, account)

    async def avatar(self, account: Account, address: Mapping[str, str]) -> Avatar | None:
        return await downloads.avatar(self._client, account, address)

    async def open_avatar(self, account: Account, avatar: Avatar) -> OpenFile:
        return await downloads.open_avatar(self._client, account, avatar)

    def updates(self, account: Account, cursor: str | None) -> AsyncIterator[Batch]:
        return subscription.updates(self._client, self._settings, account, cursor)

    async def register_webhook(self, account: Account, base_url: str) -> None:
        await subscription.register_webhook(self._client, self._settings, account, base_url)

    async def check_webhook(self, account: Account, base_url: str) -> str | None:
        return await subscription.check_webhook(self._client, account, base_url, self._clock())

    async def probe(self, account: Account) -> HealthChange:
        return await probes.probe(self._client, account)

    async def identify(self, account: Account) -> Identity:
        return await probes.identify(self._client, account)

    async def check_sending(self, account: Account) -> None:
        await probes.check_sending(self._client, account)


def build(settings: Settings | None = None) -> Telegram:
    """The channel with the given settings, else those of the environment."""
    return Telegram(settings or Settings())
