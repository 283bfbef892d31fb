"""The email channel: joins the pure pieces and the servers, and is what the runtime holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from services.email.api import errors, sent
from services.email.api.client import Client, server_of
from services.email.api.oauth import AccessTokens
from services.email.api.session import LoginRefused
from services.email.capabilities import capabilities
from services.email.mailbox import CREDENTIALS, SETTINGS, ImapServer, Mailbox
from services.email.peers import normal_address, peer_of_address
from services.email.receive import files, https, inbound
from services.email.receive.imap import Cursor, Puller, Shared
from services.email.receive.parse import parse, placeholder
from services.email.receive.smtp import MailListener
from services.email.send import outbound
from services.email.settings import Settings
from services.email.tokens import Tokens
from shared.channel import (
    Account,
    AccountNames,
    Accounts,
    Batch,
    Call,
    Door,
    Failure,
    Files,
    HealthChange,
    OpenFile,
    Outcome,
    PlanContext,
    ProviderError,
    RawItem,
    RawStore,
    Receipt,
    ReceivedItem,
    Refused,
    TokenStore,
    WebhookRequest,
)
from shared.contract.accounts import AccountRecord
from shared.contract.base import Alias
from shared.contract.commands import Command, CommandType
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode
from shared.contract.events import Health, Message, MessageEdited
from shared.kit.failures import health_told

FILING_SECONDS = 60.0  # until a provider has filed what it was handed; before, that it is not there says nothing


class EmailChannel:
    """Mailboxes. `use_tokens` before `start` gives replicas one token store."""

    parser = "services.email.receive.parse:parse"
    whole_files = (".eml",)
    account_names = AccountNames(CREDENTIALS, SETTINGS)

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.capabilities = capabilities(settings)
        self._settings = settings
        self._clock = clock
        self._tokens = Tokens.of(settings.token_key.get_secret_value())
        self._access = AccessTokens(settings, clock)
        self._client = Client(settings, self._access, self._now)
        self._raw: RawStore | None = None
        self.listener: MailListener | None = None
        self._pulling = Shared()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def use_tokens(self, store: TokenStore) -> None:
        """Keep rotating tokens there instead of in this process."""
        self._access.use(store)

    async def start(self) -> None:
        await self._access.start()
        await self._client.start()

    async def stop(self) -> None:
        await self._client.stop()
        await self._access.stop()

    # -------------------------------------------------------------------------------------------------- inbound

    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        https.admit(request, accounts)

    def admit(self, request: WebhookRequest, accounts: Accounts) -> int:
        https.admit(request, accounts)
        return self._settings.max_size

    def received(self, request: WebhookRequest, blob: str) -> Sequence[RawItem]:
        return https.received(request, blob)

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        return inbound.unbatch(request)

    def use_raw(self, store: RawStore) -> None:
        """Keep mail there as it came."""
        self._raw = store

    async def listen(self, door: Door) -> None:
        """Listen for mail servers, where the settings say so. Raises OSError."""
        assert self._raw is not None
        self.listener = MailListener(self._settings, self._tokens, self._raw, door)
        await self.listener.start()

    async def stop_listening(self) -> None:
        if self.listener is not None:
            await self.listener.stop()

    async def updates(self, account: Account, cursor: str | None) -> AsyncIterator[Batch]:
        """What is new in the account's mailbox. Raises ProviderError."""
        server = Mailbox.of(account.record).imap
        if server is None:
            raise ProviderError(errors.misconfigured("The account has no mailbox: settings.imap."))
        assert self._raw is not None
        known, refused = Cursor.read(cursor), None
        while True:
            login = await self._client.login(account, server, "imap_password", refused=refused)
            if login is None:
                raise ProviderError(errors.misconfigured("The account has no password and no token for its mailbox."))
            largest = self._settings.max_size
            puller = Puller(
                account, server, login, self._client.tls, self._raw, self._pulling, largest=largest, clock=self._now
            )
            try:
                async with aclosing(puller.batches(known)) as batches:
                    async for batch in batches:
                        yield batch
                        known = Cursor.read(batch.cursor)
            except LoginRefused as failed:
                if not login.token or refused == login.token:
                    raise ProviderError(failed.failure) from None
                refused = login.token

    async def open_media(self, attachment: Attachment, message: Message | MessageEdited, account: Account) -> OpenFile:
        """A file of a mail, out of its raw form."""
        assert self._raw is not None
        return await files.open_file(self._raw, attachment)

    def parse(self, raw: bytes) -> bytes:
        return parse(raw)

    def placeholder(self, reason: str, raw: bytes) -> bytes:
        return placeholder(reason, raw)

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        return inbound.normalise(item, self._tokens)

    # ------------------------------------------------------------------------------------------------- outbound

    def peer_of(self, to: Sequence[Alias]) -> tuple[str, Mapping[str, str]]:
        address = outbound.recipient_of(to)
        if address is None:
            raise Refused(ErrorCode.RECIPIENT_UNKNOWN, "The contact has no email address.", field="to")
        return peer_of_address(address), {"email": address}

    def names_of(self, account: AccountRecord, command_id: str) -> Sequence[str]:
        return outbound.names_of(account, command_id, self._tokens)

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        return outbound.plan(kind, command, context, self._settings, self._tokens)

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
        """One mail. Its Message-ID is the call's, made of the command: that is what comes back."""
        return await self._client.send(call, account, files)

    async def find_sent(self, call: Call, account: Account, since: datetime) -> Receipt | None:
        """Look for the mail in the folder of sent mail, where the account says that its provider files it there.

        Raises ProviderError where nothing can be told: everywhere else, and while it may still be filed.
        """
        server = Mailbox.of(account.record).imap
        if server is None or not server.files_sent:
            detail = "The mailbox does not show what was sent."
            raise ProviderError(Failure(ErrorCode.UNSUPPORTED_BY_CHANNEL, detail=detail))
        message_id: str = call.params["message_id"]
        if await self._in_mailbox(account, server, message_id):
            return Receipt((message_id,))
        waited = (self._now() - since).total_seconds()
        if waited < FILING_SECONDS:
            wait = FILING_SECONDS - waited
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code="filing", retry_after=wait))
        return None

    async def _in_mailbox(self, account: Account, server: ImapServer, message_id: str | None) -> bool:
        """Whether a mail is among those sent; without one, only that the mailbox opens. Raises ProviderError."""
        refused = None
        for _ in range(2):
            login = await self._client.login(account, server, "imap_password", refused=refused)
            if login is None:
                raise ProviderError(errors.misconfigured("The account has no password and no token for its mailbox."))
            timeout = self._settings.connect_timeout
            try:
                return await asyncio.to_thread(sent.is_sent, server, login, self._client.tls, timeout, message_id)
            except LoginRefused as failed:
                if not login.token or refused is not None:
                    raise ProviderError(failed.failure) from None
                refused = login.token
        raise AssertionError("unreachable")

    # -------------------------------------------------------------------------------------------------- account

    def spelled(self, name: str) -> str:
        return normal_address(name) or name

    def further_names(self, account: AccountRecord) -> Sequence[str]:
        return Mailbox.of(account).addresses

    def wrong_settings(self, account: AccountRecord) -> Sequence[str]:
        return Mailbox.of(account).wrong

    async def check_sending(self, account: Account) -> None:
        """A mail up to its sender's address."""
        await self._client.check(account)

    async def probe(self, account: Account) -> HealthChange:
        """Whether the account's servers let it in: both, or the mailbox of one that only receives."""
        box = Mailbox.of(account.record)
        try:
            if box.smtp is not None or box.imap is None or box.wrong:
                server_of(account)
                session = await self._client.connect(account)
                await session.close()
            if box.imap is not None:
                await self._in_mailbox(account, box.imap, None)
        except ProviderError as failed:
            return health_told(failed)
        return HealthChange(Health.CONNECTED)


def build(settings: Settings | None = None) -> EmailChannel:
    """The channel as a service runs it; without settings, as the environment has them."""
    return EmailChannel(settings or Settings())
