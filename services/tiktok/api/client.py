"""The only file that calls TikTok: every endpoint used, and what its answer holds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from services.tiktok.api.transport import Endpoint, Transport
from services.tiktok.api.uploads import image_part
from services.tiktok.settings import Settings
from shared.channel import Account, Failure, OpenFile, Pace, Priority, ProviderError, TokenStore
from shared.contract.errors import ErrorCode
from shared.kit.failures import reauthorise
from shared.kit.grants import Grant, GrantKeeper, ProcessTokens
from shared.kit.http import opened
from shared.kit.multipart import FilePart
from shared.media.types import upload_name

SENDING = "message.list.send"
SCOPES = (
    "message.list.read",
    SENDING,
    "message.list.manage",
    "user.info.basic",
    "user.info.username",
    "user.info.profile",
    "user.account.type",
)


SEND = Endpoint("POST", "/business/message/send/", Priority.SEND, sends=True)
ACT = Endpoint("POST", "/business/message/send/", Priority.ACTION)  # a sender action makes no message
UPLOAD = Endpoint("POST", "/business/message/media/upload/", Priority.SEND)
DOWNLOAD = Endpoint("POST", "/business/message/media/download/", Priority.DOWNLOAD)
CAPABILITIES = Endpoint("GET", "/business/message/capabilities/get/", Priority.SEND)  # asked before an upload
CONVERSATIONS = Endpoint("GET", "/business/message/conversation/list/", Priority.BACKFILL)
MESSAGES = Endpoint("GET", "/business/message/content/list/", Priority.LOOKUP)
EXCHANGE = Endpoint("POST", "/tt_user/oauth2/token/", Priority.SEND)  # a code and a token are good for minutes
REFRESH = Endpoint("POST", "/tt_user/oauth2/refresh_token/", Priority.SEND)
REVOKE = Endpoint("POST", "/tt_user/oauth2/revoke/", Priority.SEND)
INSPECT = Endpoint("POST", "/tt_user/token_info/get/", Priority.LOOKUP)
WEBHOOK_UPDATE = Endpoint("POST", "/business/webhook/update/", Priority.LOOKUP)
WEBHOOK_LIST = Endpoint("GET", "/business/webhook/list/", Priority.LOOKUP)


class Client:
    """TikTok's API for one developer app. Every method raises ProviderError."""

    def __init__(
        self, settings: Settings, store: TokenStore | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._api = Transport(settings)
        self.tokens = self._api.tokens = GrantKeeper(
            store or ProcessTokens(), self.refresh, settings.refresh_before, clock, single_use=True
        )

    def use_pace(self, pace: Pace) -> None:
        self._api.pace = pace

    async def start(self) -> None:
        await self._api.start()

    async def stop(self) -> None:
        await self._api.stop()

    # ------------------------------------------------------------------------------------------------- messages

    async def send(self, account: Account, params: Mapping[str, Any], *, message: bool) -> str | None:
        """Send a message or, with `message` false, a sender action; the id of the message where it got one."""
        data = await self._api.as_account(account, SEND if message else ACT, json=params)
        sent = data.get("message")
        return str(sent["message_id"]) if isinstance(sent, dict) and sent.get("message_id") else None

    async def upload(self, account: Account, open_file: Callable[[], Awaitable[OpenFile]]) -> str:
        """Upload an image (JPG or PNG up to 3 MB); its media id, good for 30 days.

        `open_file` opens the file anew: it is read once per attempt.
        """

        async def image() -> FilePart:
            return image_part(await open_file())

        data = await self._api.as_account(account, UPLOAD, image=image)
        if not data.get("media_id"):
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail="The upload's answer has no id."))
        return str(data["media_id"])

    async def takes_images(self, account: Account, conversation_id: str) -> bool | None:
        """Whether images can be sent in a conversation; None when TikTok does not say.

        A conversation is STRANGER until the business has answered, then SINGLE, and is not found as the other.
        """
        refused = False
        for conversation_type in ("SINGLE", "STRANGER"):
            query = {
                "conversation_id": conversation_id,
                "conversation_type": conversation_type,
                "capability_types": '["IMAGE_SEND"]',
            }
            try:
                data = await self._api.as_account(account, CAPABILITIES, query=query)
            except ProviderError as failed:
                if failed.failure.code in (ErrorCode.RECIPIENT_UNKNOWN, ErrorCode.CONTENT_REJECTED):
                    continue
                return None  # not worth failing a send for
            infos = data.get("capability_infos")
            results = [info.get("capability_result") for info in infos or () if isinstance(info, dict)]
            if True in results:
                return True
            refused = refused or False in results
        return False if refused else None

    async def messages(
        self, account: Account, conversation_id: str, priority: Priority = MESSAGES.priority
    ) -> dict[str, Any]:
        """The newest 20 messages of a conversation and its participants; there is no older page."""
        query = {"conversation_id": conversation_id}
        return await self._api.as_account(account, MESSAGES, priority=priority, query=query)

    async def conversations(self, account: Account) -> AsyncIterator[dict[str, Any]]:
        """The conversations of the last 90 days, at most 100 of each type."""
        for conversation_type in ("STRANGER", "SINGLE"):
            cursor, more = 0, True
            while more:
                query = {"conversation_type": conversation_type, "limit": "100", "cursor": str(cursor)}
                data = await self._api.as_account(account, CONVERSATIONS, query=query)
                listed = data.get("conversations")
                for conversation in listed if isinstance(listed, list) else ():
                    if isinstance(conversation, dict) and conversation.get("conversation_id"):
                        yield conversation
                following = data.get("cursor")
                more = data.get("has_more") is True and isinstance(following, int) and following > cursor
                cursor = following if isinstance(following, int) else cursor

    # ---------------------------------------------------------------------------------------------------- media

    async def download(
        self, account: Account, *, conversation_id: str, message_id: str, media_id: str, media_type: str
    ) -> OpenFile:
        """Start the download of a message's image or video. The token goes along, and only to TikTok."""
        params = {
            "conversation_id": conversation_id,
            "message_id": message_id,
            "media_id": media_id,
            "media_type": media_type,
        }
        data = await self._api.as_account(account, DOWNLOAD, json=params)
        grant = await self.tokens.grant(account)
        return await self.fetch(str(data.get("download_url") or ""), {"x-user": grant.access_token})

    async def fetch(self, address: str, headers: Mapping[str, str] | None = None) -> OpenFile:
        """Open a file at one of TikTok's media hosts; redirects are followed only to another of them."""
        response = await self._api.fetch(address, headers)
        kind = response.content_type or "application/octet-stream"
        return opened(response, upload_name("file", kind), kind)

    # ------------------------------------------------------------------------------------------------------- app

    def authorize_url(self, redirect_uri: str, state: str) -> str:
        """Where the owner of an account is sent to consent; `redirect_uri` is https and ends with a slash."""
        query = {
            "client_key": self._settings.app_id,
            "response_type": "code",
            "scope": ",".join(SCOPES),
            "redirect_uri": redirect_uri,
            "state": state,
            "disable_auto_auth": "1",  # show the consent page to an owner who has been here before, too
        }
        return f"{self._settings.authorize_url}?{urlencode(query)}"

    async def exchange(self, auth_code: str, redirect_uri: str) -> tuple[str, Grant]:
        """Spend an authorization code (good for 10 minutes, once): the business id and its first token pair."""
        body = {"grant_type": "authorization_code", "auth_code": auth_code, "redirect_uri": redirect_uri}
        data = await self._api.request(EXCHANGE, json=self._as_client(body))
        return str(data.get("open_id") or ""), Grant.of_answer(data, self._clock())

    async def refresh(self, account: Account, grant: Grant) -> Grant:
        """Spend a refresh token. An explicit refusal means that the owner has to authorize again."""
        if not grant.refresh_token:
            raise ProviderError(reauthorise("The access token has expired and there is no refresh token."))
        body = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
        try:
            data = await self._api.request(REFRESH, json=self._as_client(body))
        except ProviderError as failed:
            code = failed.failure.provider_code or ""
            if failed.failure.code is ErrorCode.RATE_LIMITED or not code.startswith("4"):
                raise
            raise ProviderError(reauthorise(failed.failure.detail or "TikTok refused the refresh token.")) from None
        fresh = Grant.of_answer(data, self._clock(), grant)
        if not fresh.access_token:
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail="The refresh's answer has no token."))
        return fresh

    async def revoke(self, account: Account) -> None:
        """Give the account's authorization back."""
        grant = await self.tokens.grant(account)
        body = self._as_client({"access_token": grant.access_token})
        await self._api.request(REVOKE, account=account, json=body)

    async def inspect(self, account: Account) -> dict[str, Any]:
        """What TikTok says about the account's token: `app_id`, `creator_id`, `scope`."""

        async def ask(grant: Grant) -> dict[str, Any]:
            body = {"app_id": self._settings.app_id, "access_token": grant.access_token}
            return await self._api.request(INSPECT, account=account, json=body)

        return await self._api.with_token(account, ask)

    async def webhook(self) -> str | None:
        """The callback URL of the app's direct messages, where there is one."""
        data = await self._api.request(WEBHOOK_LIST, query=self._as_app())
        return str(data["callback_url"]) if data.get("callback_url") else None

    async def set_webhook(self, callback_url: str) -> None:
        """Have direct messages of every account of the app delivered there."""
        await self._api.request(WEBHOOK_UPDATE, json={**self._as_app(), "callback_url": callback_url})

    def _as_client(self, body: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._settings.app_secret.get_secret_value()
        return {"client_id": self._settings.app_id, "client_secret": secret, **body}

    def _as_app(self) -> dict[str, str]:
        secret = self._settings.app_secret.get_secret_value()
        return {"app_id": self._settings.app_id, "secret": secret, "event_type": "DIRECT_MESSAGE"}
