"""The only file that talks to Meta: pywa's Graph client over one shared pool of aiohttp connections.

pywa makes the requests, over the transport of httpx-aiohttp, but gets every body as it was planned
(`send_raw_request`): its senders know numeric business-scoped ids only (one with letters goes out as a group) and lag
behind Meta's newer fields, and one way for everything is easier to trust. Three more things are done around it. Its
error parser loses what lacks a code or a message, so the session sees refusals first. Its multipart upload reads files
synchronously, so ours is a stream. Its download follows redirects with the token in the header, so ours asks only
hosts that may see it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
import orjson
from cachetools import LRUCache
from httpx_aiohttp import AiohttpTransport
from pywa_async.client import WhatsApp

from services.whatsapp.api.errors import About, answer_failure, failure_of, is_authentication
from services.whatsapp.settings import Settings
from shared.channel import Account, Failure, ProviderError
from shared.contract.errors import ErrorCode
from shared.kit.http import BROKEN, Pool, Waits, certain, fetch
from shared.kit.loose import Json
from shared.kit.multipart import FilePart, form, uploading
from shared.media.transfers import whole
from shared.policy.retry import retry_after

_JSON = {"Content-Type": "application/json"}


class Refusal(Exception):
    """An answer with an error status or a redirect, before pywa has looked at it."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.retry_after = retry_after(headers.get("retry-after"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What pywa looks at of an answer."""

    status_code: int
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Raises ValueError."""
        return orjson.loads(self.content)


class Session(httpx.AsyncClient):
    """What pywa takes for its session, straight on the shared connections.

    A browser's cookies, redirects and authentication flows, and httpx's own objects around a request and its answer,
    cost more than the exchange itself and are nothing Graph needs. Raises Refusal for every answer that is no success.
    """

    def __init__(self, transport: AiohttpTransport, base_url: str, timeout: aiohttp.ClientTimeout) -> None:
        super().__init__(transport=transport, trust_env=False)
        self._shared = transport
        self._base = base_url
        self._waits = timeout

    @cached_property
    def own_headers(self) -> dict[str, str]:
        """pywa's, its token among them; what an answer may be packed in is for aiohttp to say, which unpacks it."""
        return {name: value for name, value in self.headers.items() if name != "accept-encoding"}

    async def request(  # type: ignore[override]  # pywa looks at nothing else of an httpx.Response
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | aiohttp.MultipartWriter | None = None,
        params: Mapping[str, str] | None = None,
        waits: aiohttp.ClientTimeout | None = None,
    ) -> Answer:
        """An answer, read to its end. `url` is a path below the base address."""
        async with self._shared.get_client().request(
            method,
            self._base + url,
            headers={**self.own_headers, **headers} if headers else self.own_headers,
            data=content,
            params=params,
            allow_redirects=False,
            timeout=waits or self._waits,
        ) as response:
            body = await whole(response)
        if response.status >= 300:
            raise Refusal(response.status, body, response.headers)
        return Answer(response.status, body)


class Client:
    """Graph calls for all accounts. Errors leave as ProviderError and carry neither content nor secrets."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base_url = f"{settings.graph_url.rstrip('/')}/{settings.graph_version}"
        self._waits = Waits(settings.connect_timeout, settings.send_timeout)
        self._upload_timeout = Waits(settings.connect_timeout, settings.transfer_timeout).streamed
        self._media_hosts = (settings.graph_url, *settings.media_hosts)
        self._pool = Pool(settings.connections)
        self._transport: AiohttpTransport | None = None
        # Only forgotten, never closed: the connections belong to all.
        self._clients: LRUCache[tuple[str, str], tuple[WhatsApp, Session]] = LRUCache(settings.clients)

    async def start(self) -> None:
        # Both log bodies and addresses of requests: phone numbers, texts, media tokens.
        logging.getLogger("pywa").setLevel(logging.ERROR)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._pool.open()
        self._transport = AiohttpTransport(client=self._pool.session)

    async def stop(self) -> None:
        self._clients.clear()
        await self._pool.close()
        self._transport = None

    async def call(
        self,
        account: Account,
        method: str,
        path: str,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        about: About = About.NUMBER,
    ) -> Json:
        """One Graph call with a JSON body; what came back. `about` reads a refusal. Raises ProviderError."""
        content = {} if body is None else {"content": orjson.dumps(body), "headers": _JSON}
        return await self._request(account, method, path, about, params=params, **content)

    async def upload(self, account: Account, path: str, fields: Mapping[str, str], file: FilePart) -> Json:
        """A POST of a form that holds a file. Raises ProviderError."""
        try:
            async with uploading([file], self._settings.transfer_timeout):
                sent: Json = {"content": form(fields, {"file": file}), "waits": self._upload_timeout}
                return await self._request(account, "POST", path, About.UPLOAD, **sent)
        except TimeoutError:
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code="too_slow")) from None

    async def download(self, account: Account, url: str) -> aiohttp.ClientResponse:
        """The head of a file's answer, asked for with the account's token. Raises ProviderError."""
        headers = self._client(account)[1].own_headers
        return await fetch(self._pool.session, url, self._media_hosts, self._waits, headers)

    # ------------------------------------------------------------------------------------------------ requests

    async def _request(self, account: Account, method: str, path: str, about: About, **request: Any) -> Json:
        try:
            return await self._attempt(account, method, path, about, **request)
        except ProviderError as refused:
            if is_authentication(refused.failure):
                raise ProviderError(await self._confirmed(account, refused.failure)) from None
            raise

    async def _attempt(self, account: Account, method: str, path: str, about: About, **request: Any) -> Json:
        try:
            answer = await self._client(account)[0].api.send_raw_request(method, path, **request)
        except Refusal as refusal:
            failure = answer_failure(refusal.status, refusal.body, about)
            raise ProviderError(replace(failure, retry_after=refusal.retry_after or failure.retry_after)) from None
        except BROKEN as broken:
            if certain(broken):
                raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE)) from None
            raise ProviderError(Failure(ErrorCode.UNCERTAIN, certain=False)) from None
        except ValueError:
            detail = "The answer could not be read."
            raise ProviderError(Failure(ErrorCode.UNCERTAIN, certain=False, detail=detail)) from None
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            raise ProviderError(failure_of(answer["error"], about=about))
        return answer if isinstance(answer, dict) else {}

    async def _confirmed(self, account: Account, failure: Failure) -> Failure:
        """What a refusal of the credentials means once they have been tried again.

        Gateways have answered for Graph before; a healthy account must not be cut off by one of them.
        """
        try:
            path = f"/{number_of(account)}"
            await self._attempt(account, "GET", path, About.NUMBER, params={"fields": "id"})
        except ProviderError as again:
            if is_authentication(again.failure):
                return failure
        return Failure(
            ErrorCode.PROVIDER_UNAVAILABLE,
            provider_code=failure.provider_code,
            detail=failure.detail,
            retry_after=30.0,
            trace_id=failure.trace_id,
        )

    def _client(self, account: Account) -> tuple[WhatsApp, Session]:
        """The account's client: pywa keeps the token in the session's headers, so each account has its own."""
        if self._transport is None:
            raise RuntimeError("the client has not been started")
        token = account.credentials.get("access_token")
        if not token:
            detail = "The account has no access token."
            raise ProviderError(Failure(ErrorCode.ACCOUNT_DISCONNECTED, detail=detail, scope="account"))
        key = (account.account_id, token)
        found = self._clients.get(key)
        if found is None:
            session = Session(self._transport, self._base_url, self._waits.whole)
            found = self._clients[key] = (WhatsApp(number_of(account), token, session=session), session)
        return found


def number_of(account: Account) -> str:
    """The account's phone number id, as a step of a path. Raises ProviderError when it has none."""
    external_id = account.record.external_id
    if not external_id:
        detail = "The account has no phone number id."
        raise ProviderError(Failure(ErrorCode.ACCOUNT_DISCONNECTED, detail=detail, scope="account"))
    return quote(external_id, safe="")
