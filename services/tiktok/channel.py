"""The TikTok channel: joins the pure pieces and the client, and is what the runtime holds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from typing import Any

from cachetools import TLRUCache, TTLCache

from services.tiktok.api.client import SCOPES, SENDING, Client
from services.tiktok.api.transport import business_id
from services.tiktok.capabilities import CHANNEL, capabilities
from services.tiktok.receive import inbound
from services.tiktok.receive.fingerprint import call_fingerprint, content_fingerprint
from services.tiktok.receive.history import history_items, referral_items
from services.tiktok.receive.wire import Content, Envelope, moment
from services.tiktok.send import outbound
from services.tiktok.settings import Settings
from services.tiktok.shapes import SECRETS
from shared.channel import (
    Account,
    AccountNames,
    Accounts,
    Avatar,
    Batch,
    Call,
    Consent,
    Failure,
    Files,
    HealthChange,
    Identity,
    OpenFile,
    Outcome,
    Pace,
    PlanContext,
    Priority,
    ProviderError,
    RawItem,
    Receipt,
    ReceivedItem,
    TokenStore,
    UploadStore,
    WebhookRequest,
)
from shared.contract.base import Alias, AliasKind, Contact
from shared.contract.commands import Command, CommandType
from shared.contract.content import Attachment, AttachmentKind
from shared.contract.errors import ErrorCode
from shared.contract.events import Health, Message, MessageEdited
from shared.kit.failures import health_told, reauthorise
from shared.kit.http import webhook_url
from shared.kit.multipart import open_file
from shared.kit.uploads import IdOf, Uploads, content_of

HISTORY_LENGTH = 20  # of one thread; there are no older pages
_CLOCK_SKEW = timedelta(seconds=2)


class TikTokChannel:
    """TikTok direct messages. `use_tokens` before `start` gives replicas one token store."""

    secrets = SECRETS
    account_names = AccountNames(
        frozenset({"access_token", "refresh_token", "expires_at", "refresh_expires_at", "scope", "open_id"})
    )

    def __init__(
        self, settings: Settings, tokens: TokenStore | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.capabilities = capabilities(settings)
        self._settings = settings
        self._clock = clock
        self._client = Client(settings, tokens, clock)
        self._uploads = Uploads()
        size = settings.cache_size
        self._images: TTLCache[str, bool] = TTLCache(size, settings.image_capability_ttl, timer=clock)
        self._contacts: TLRUCache[str, Contact] = TLRUCache(size, self._kept_until, timer=clock)

    def use_tokens(self, store: TokenStore) -> None:
        """Keep rotating tokens there instead of in this process."""
        self._client.tokens.store = store

    def use_pace(self, pace: Pace) -> None:
        """Ask there before every call but that of a message itself."""
        self._client.use_pace(pace)

    def use_uploads(self, store: UploadStore) -> None:
        """Keep the ids of uploaded images there instead of in this process."""
        self._uploads.store = store

    async def start(self) -> None:
        await self._client.start()

    async def stop(self) -> None:
        await self._client.stop()

    # -------------------------------------------------------------------------------------------------- inbound

    def authenticate(self, request: WebhookRequest, accounts: Accounts) -> None:
        inbound.authenticate(request, self._settings, self._clock())

    def challenge(self, request: WebhookRequest, accounts: Accounts) -> str:
        """Repeat a challenge; whether TikTok ever asks by GET is not documented, and answering does no harm."""
        asked = request.query.get("challenge", "")
        return asked if asked.isascii() and asked.isalnum() and len(asked) <= 256 else ""

    def missing_secrets(self) -> Sequence[str]:
        return self._settings.missing_secrets()

    def unbatch(self, request: WebhookRequest) -> Sequence[RawItem]:
        return inbound.unbatch(request.body)

    def normalise(self, item: ReceivedItem) -> Sequence[Outcome]:
        return inbound.normalise(item)

    # ------------------------------------------------------------------------------------------------- outbound

    def plan(self, kind: CommandType, command: Command, context: PlanContext) -> Sequence[Call]:
        return outbound.plan(kind, command, context, self.capabilities)

    def adjust(self, call: Call, failure: Failure) -> Call | None:
        """A quote TikTok does not take is left out; the text still goes."""
        if failure.code in (ErrorCode.REPLY_TARGET_UNKNOWN, ErrorCode.CONTENT_REJECTED):
            return outbound.adjusted(call)
        return None

    def echo_key(self, call: Call) -> str:
        """What the echo of this call will carry as its `correlation`: conversation, type and text."""
        return call_fingerprint(call.params)

    async def perform(self, call: Call, account: Account, files: Files, correlation: str | None = None) -> Receipt:
        """One `message/send`, with the upload of its image before it. TikTok takes no correlation.

        An id of an earlier upload that TikTok refuses is given up, and the image uploaded once more.
        """
        if outbound.IMAGE not in call.files:
            return _receipt(await self._client.send(account, call.params, message=call.parts > 0))
        return await self._uploads.sending(account, lambda id_of: self._send_image(call, account, files, id_of))

    async def _send_image(self, call: Call, account: Account, files: Files, id_of: IdOf) -> Receipt:
        file = call.files[outbound.IMAGE]
        if not await self._takes_images(account, call.params["recipient"]):
            detail = "TikTok does not offer images between this account and this contact."
            raise ProviderError(Failure(ErrorCode.FILE_TYPE_UNSUPPORTED, detail=detail))
        media_id = await id_of(
            content_of(file, outbound.IMAGE), lambda: self._client.upload(account, lambda: open_file(files, file))
        )
        params = {**call.params, outbound.IMAGE: {"media_id": media_id}}
        sent = await self._client.send(account, params, message=call.parts > 0)
        return replace(_receipt(sent), learned_files={outbound.IMAGE: media_id})

    async def _takes_images(self, account: Account, conversation_id: str) -> bool:
        key = f"{account.account_id}:{conversation_id}"
        known = self._images.get(key)
        if known is None:
            known = await self._client.takes_images(account, conversation_id)
            if known is None:
                return True  # TikTok does not say: the send will
            self._images[key] = known
        return known

    async def find_sent(self, call: Call, account: Account, since: datetime) -> Receipt | None:
        """Look for the message among the newest of its conversation; of equal ones it is the last.

        `since` is when the call was made. Raises ProviderError when the history does not reach back to `since`.
        """
        conversation_id = call.params["recipient"]
        rows = _rows(await self._client.messages(account, conversation_id, Priority.SEND))
        wanted = call_fingerprint(call.params)
        for at, row in reversed(rows):
            ours = row.from_user is not None and row.from_user.id == business_id(account)
            source = row.message_tag.source if row.message_tag else None
            if at < since - _CLOCK_SKEW or not ours or source not in (None, "api"):
                continue
            if content_fingerprint(row, conversation_id) == wanted:
                return Receipt((row.message_id,) if row.message_id else ())
        if len(rows) >= HISTORY_LENGTH and rows[0][0] > since:
            raise ProviderError(Failure(ErrorCode.UNCERTAIN, certain=False, detail="The history is too short."))
        return None

    # ------------------------------------------------------------------------------------- files, people, history

    async def open_media(self, attachment: Attachment, message: Message | MessageEdited, account: Account) -> OpenFile:
        ref = attachment.provider_ref or ""
        if "://" in ref:  # a sticker, an emoji or any other address: public, and no token for it
            return await self._client.fetch(ref)
        return await self._client.download(
            account,
            conversation_id=message.conversation_id.split(":", 2)[2],
            message_id=message.provider.message_id or "",
            media_id=ref,
            media_type="VIDEO" if attachment.kind is AttachmentKind.VIDEO else "IMAGE",
        )

    async def contact(self, account: Account, address: Mapping[str, str]) -> Contact | None:
        """Name and avatar of a conversation's contact: webhooks bring only the user name.

        The avatar's address expires, and the cached entry with it.
        """
        conversation_id = address.get("conversation_id")
        if conversation_id is None:
            return None
        key = f"{account.account_id}:{conversation_id}"
        if (known := self._contacts.get(key)) is not None:
            return known
        answer = Envelope.model_validate(await self._client.messages(account, conversation_id))
        person = next((p for p in answer.participants if p.id and p.role == "personal_account"), None)
        if person is None or person.id is None:
            return None
        found = Contact(
            aliases=(Alias(kind=AliasKind.PROVIDER_ID, value=person.id),),
            display_name=person.display_name,
            avatar_url=person.profile_image,
        )
        self._contacts[key] = found
        return found

    async def avatar(self, account: Account, address: Mapping[str, str]) -> Avatar | None:
        """The picture of `contact`: its address is another one when it is, but for what says how long that is good."""
        found = await self.contact(account, address)
        if found is None or not found.avatar_url:
            return None
        return Avatar(found.avatar_url.partition("?")[0], found.avatar_url)

    async def open_avatar(self, account: Account, avatar: Avatar) -> OpenFile:
        return await self._client.fetch(avatar.ref)

    def _kept_until(self, key: str, contact: Contact, now: float) -> float:
        return min(now + self._settings.profile_ttl, _expiry(contact.avatar_url))

    async def backfill(self, account: Account, since: datetime, peer: str | None = None) -> AsyncIterator[Batch]:
        """What was said since then, a batch per conversation: at most its newest 20 messages, and its referrals.

        The items are marked `backfill`; what came by webhook already has the same ids. With `peer` it is that
        conversation alone, whose referrals are not asked for: they stand in the list of all conversations.
        """
        if peer is not None:
            yield await self._history(account, {"conversation_id": peer})
            return
        async for conversation in self._client.conversations(account):
            updated = moment(conversation.get("update_time"))
            if updated is not None and updated < since:
                continue
            try:
                batch = await self._history(account, conversation)
            except ProviderError as failed:
                if failed.failure.code not in (ErrorCode.RECIPIENT_UNKNOWN, ErrorCode.CONTENT_REJECTED):
                    raise
                continue  # listed and yet not to be read: the others are
            yield batch

    async def _history(self, account: Account, conversation: Mapping[str, Any]) -> Batch:
        """The history of one entry of `conversation/list`."""
        ours, conversation_id = business_id(account), str(conversation["conversation_id"])
        answer = await self._client.messages(account, conversation_id, Priority.BACKFILL)
        items = referral_items(conversation, ours)
        if answer.get("messages"):
            items += history_items(answer, ours, conversation_id)
        return Batch(tuple(items), str(conversation.get("update_time") or ""))

    # --------------------------------------------------------------------------------------------------- account

    async def register_webhook(self, account: Account, base_url: str) -> None:
        """Once per app, for all its accounts."""
        if await self._client.webhook() != (wanted := webhook_url(base_url, CHANNEL)):
            await self._client.set_webhook(wanted)

    async def check_webhook(self, account: Account, base_url: str) -> str | None:
        registered = await self._client.webhook()
        if registered is None:
            return "No webhook is registered for the app."
        ours = registered == webhook_url(base_url, CHANNEL)
        return None if ours else "The app's webhook is registered at another address."

    async def check_sending(self, account: Account) -> None:
        """A message to a conversation that cannot exist."""
        await self._client.send(account, outbound.TO_NOBODY, message=False)

    async def identify(self, account: Account) -> Identity:
        """The owner of the tokens. TikTok tells no name beside it."""
        info = await self._client.inspect(account)
        return Identity(str(info.get("creator_id") or business_id(account)))

    def consent_url(self, redirect_uri: str, state: str) -> str:
        return self._client.authorize_url(redirect_uri, state)

    async def consented(self, code: str, redirect_uri: str) -> Consent:
        """The owner may grant less than was asked for: without the right to send, no account comes of it."""
        owner, grant = await self._client.exchange(code, redirect_uri)
        if not owner or not grant.access_token or not grant.refresh_token:
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail="The answer has no tokens."))
        if SENDING not in grant.scopes:
            raise ProviderError(reauthorise(f"The owner has not granted {SENDING}."))
        ends = {"expires_at": grant.expires_at, "refresh_expires_at": grant.refresh_expires_at}
        return Consent(
            owner,
            {
                "access_token": grant.access_token,
                "refresh_token": grant.refresh_token,
                "scope": ",".join(grant.scopes),
                **{name: str(int(moment)) for name, moment in ends.items() if moment is not None},
            },
        )

    async def probe(self, account: Account) -> HealthChange:
        try:
            info = await self._client.inspect(account)
            grant = await self._client.tokens.grant(account)
        except ProviderError as refused:
            return health_told(refused)
        if info.get("creator_id") not in (None, "", business_id(account)):
            detail = "The token belongs to another TikTok account."
            return HealthChange(Health.REAUTH_REQUIRED, ErrorCode.ACCOUNT_REAUTH_REQUIRED, detail)
        granted = set(str(info.get("scope") or "").replace(" ", ",").split(","))
        missing = [scope for scope in SCOPES if scope.startswith("message.") and scope not in granted]
        if missing:
            detail = f"The owner has not granted {', '.join(missing)}."
            # Without the right to send, every message would be refused (40001).
            health = Health.REAUTH_REQUIRED if SENDING in missing else Health.DEGRADED
            return HealthChange(health, ErrorCode.ACCOUNT_REAUTH_REQUIRED, detail)
        ends = grant.refresh_expires_at
        if ends is not None and ends - self._clock() < self._settings.reauthorise_warning:
            days = max(0, int((ends - self._clock()) // 86400))
            detail = f"The authorization ends in {days} days; refreshing does not renew it."
            return HealthChange(Health.DEGRADED, ErrorCode.ACCOUNT_REAUTH_REQUIRED, detail)
        return HealthChange(Health.CONNECTED)


def _receipt(message_id: str | None) -> Receipt:
    return Receipt((message_id,) if message_id else ())


def _rows(answer: Mapping[str, Any]) -> list[tuple[datetime, Content]]:
    """The messages of an answer of `content/list` with their times, oldest first."""
    listed = answer.get("messages")
    rows = [Content.model_validate(row) for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    dated = [(at, row) for row in rows if (at := moment(row.timestamp)) is not None]
    return sorted(dated, key=lambda entry: entry[0])


def _expiry(address: str | None) -> float:
    """When a signed address ends, Unix seconds; never for one that does not say."""
    value = (address or "").partition("x-expires=")[2].split("&")[0]
    return float(value) if value.isdecimal() else inf


def build(settings: Settings | None = None) -> TikTokChannel:
    """The channel as a service runs it; without settings, as the environment has them."""
    return TikTokChannel(settings or Settings())
