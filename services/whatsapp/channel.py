"""WhatsApp: the pieces of this folder joined to the channel the runtime runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from services.whatsapp.api.client import Client, number_of
from services.whatsapp.api.downloads import open_media
from services.whatsapp.api.errors import is_authentication
from services.whatsapp.api.subscription import check_subscription
from services.whatsapp.api.templates import templates
from services.whatsapp.capabilities import CAPABILITIES, capabilities_of
from services.whatsapp.receive import batch, inbound
from services.whatsapp.send import outbound
from services.whatsapp.send.draft import links_allowed, takes_link
from services.whatsapp.send.recipient import peer_of
from services.whatsapp.send.sending import Sender
from services.whatsapp.settings import DEFAULT_APP, Settings
from services.whatsapp.shapes import SECRETS
from services.whatsapp.throughput import FIELDS, rate_of_number
from shared.channel import (
    Account,
    AccountNames,
    Accounts,
    Call,
    Failure,
    Files,
    HealthChange,
    Identity,
    OpenFile,
    Outcome,
    PlanContext,
    ProviderError,
    RawItem,
    Receipt,
    ReceivedItem,
    Subscription,
    UploadStore,
    WebhookRequest,
)
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias
from shared.contract.capabilities import Capabilities
from shared.contract.commands import Command, CommandType, File
from shared.contract.content import Attachment
from shared.contract.events import Health, Message, MessageEdited
from shared.contract.templates import Template
from shared.kit import loose
from shared.kit.failures import health_told
from shared.kit.loose import Json

_TO_NOBODY: Json = {
    "messaging_product": "whatsapp",
    "recipient_type": "group",
    "to": "0",
    "type": "text",
    "text": {"body": "."},
}


class WhatsApp:
    """Meta's Cloud API for any number of Meta apps, accounts and phone numbers in one process."""

    capabilities = CAPABILITIES
    secrets = SECRETS
    account_names = AccountNames(
        frozenset({"access_token"}),
        frozenset({"app", "phone_number", "coexistence", "direct_send", "media_by_link"}),
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = Client(settings)
        self._sender = Sender(self._client)

    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        inbound.authenticate(self._settings, request)

    def challenge(self, request: WebhookRequest, accounts: Accounts) -> str:
        return inbound.challenge(self._settings, request)

    def missing_secrets(self) -> Sequence[str]:
        return self._settings.missing_secrets()

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        app = self._settings.app_key(request.route)
        items = batch.unbatch(request.body)
        return items if app is None else [replace(item, app=app) for item in items]

    def app_of(self, account: AccountRecord) -> str:
        """The key of its Meta app; the one without a key where the account names none."""
        return str(account.settings.get("app") or DEFAULT_APP)

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        return inbound.normalise(item)

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        return outbound.plan(kind, command, context)

    def capabilities_of(self, account: AccountRecord) -> Capabilities:
        return capabilities_of(account.settings)

    def peer_of(self, to: Sequence[Alias]) -> tuple[str, dict[str, str]]:
        return peer_of(to)

    def takes_address(self, file: File, account: AccountRecord) -> bool:
        return links_allowed(account) and takes_link(file)

    def adjust(self, call: Call, failure: Failure) -> Call | None:
        return outbound.adjust(call, failure)

    def use_uploads(self, store: UploadStore) -> None:
        self._sender.uploads.store = store

    async def start(self) -> None:
        await self._client.start()

    async def stop(self) -> None:
        await self._client.stop()

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
        return await self._sender.perform(call, account, files, correlation)

    async def open_media(self, attachment: Attachment, message: Message | MessageEdited, account: Account) -> OpenFile:
        return await open_media(self._client, attachment, account)

    async def probe(self, account: Account) -> HealthChange:
        """Only what Graph itself says counts, and a refusal of the credentials only when it is said twice."""
        try:
            number = await self._number(account)
        except ProviderError as refused:
            return health_told(refused)
        return HealthChange(Health.CONNECTED, rate=rate_of_number(number))

    async def check_sending(self, account: Account) -> None:
        """A message to a group that cannot exist: Meta answers that it does not know it."""
        await self._client.call(account, "POST", f"/{number_of(account)}/messages", _TO_NOBODY)

    async def check_subscription(self, account: Account, base_url: str | None) -> Subscription:
        return await check_subscription(self._client, account, base_url)

    async def identify(self, account: Account) -> Identity:
        """The number that the record names: a token may reach many."""
        answer = await self._client.call(
            account, "GET", f"/{number_of(account)}", params={"fields": "id,verified_name,display_phone_number"}
        )
        name = loose.text(answer, "verified_name", "display_phone_number")
        return Identity(loose.text(answer, "id") or number_of(account), name)

    def templates(self, account: Account, name: str | None = None) -> AsyncIterator[Template]:
        """Those of its WhatsApp Business Account, `parent_id` of its record."""
        return templates(self._client, account, name)

    async def _number(self, account: Account) -> Json:
        """The number with its throughput. One field that may not be read fails the whole request: then without."""
        path = f"/{number_of(account)}"
        try:
            return await self._client.call(account, "GET", path, params={"fields": ",".join(("id", *FIELDS))})
        except ProviderError as refused:
            if refused.failure.provider_code is None or is_authentication(refused.failure):
                raise
        return await self._client.call(account, "GET", path, params={"fields": "id"})


def build(settings: Settings | None = None) -> WhatsApp:
    """The channel with the given settings, else those of the environment."""
    return WhatsApp(settings or Settings())
