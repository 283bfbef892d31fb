"""The only file that talks to Meta: pywa's Graph client over one shared pool of aiohttp connections.

pywa makes the requests, over the transport of httpx-aiohttp, but gets every body as it was planned
(`send_raw_request`): its senders know numeric business-scoped ids only (one with letters goes out as a group) and lag
behind Meta's newer fields, and one way for everything is easier to trust. Three more things are done around it. Its
error parser loses what lacks a code or a message, so the session sees refusals first. Its multipart upload reads files
synchronously, so ours is a stream. Its download follows redirects with the token in the header, so ours asks only
hosts that may see it.

The transport reports a connection that broke after the request was written as a connect timeout; what became of a
message is therefore decided by the aiohttp error underneath.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport
from pywa_async.client import WhatsApp

from services.whatsapp.api.errors import About, answer_failure, failure_of, is_authentication, nothing_sent
from services.whatsapp.settings import Settings
from shared.channel import Account, Failure, ProviderError
from shared.contract.errors import ErrorCode
from shared.media.transfers import Upload, whole
from shared.policy.retry import retry_after

Json = dict[str, Any]

_JSON = {"Content-Type": "application/json"}
_REDIRECTS = 3
_REFUSAL = 65_536  # bytes of a refusal that are looked at
_BROKEN = (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError)


class Refusal(Exception):
    """An answer with an error status or a redirect, before pywa has looked at it."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.location = headers.get("location")
        self.retry_after = retry_after(headers.get("retry-after"))


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose body is still to come; `size` in bytes, 0 where it was not announced.

    `chunks` raises ProviderError when the connection breaks; `close` gives the connection back.
    """

    size: int
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]


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
    def _own_headers(self) -> dict[str, str]:
        """pywa's, its token among them; what an answer may be packed in is for aiohttp to say, which unpacks it."""
        return {name: value for name, value in self.headers.items() if name != "accept-encoding"}

    async def request(  # type: ignore[override]  # pywa looks at nothing else of an httpx.Response
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        params: Mapping[str, str] | None = None,
        waits: aiohttp.ClientTimeout | None = None,
    ) -> Answer:
        """An answer, read to its end. `url` is a path below the base address."""
        async with self._shared.get_client().request(
            method,
            self._base + url,
            headers={**self._own_headers, **headers} if headers else self._own_headers,
            data=content,
            params=params,
            allow_redirects=False,
            timeout=waits or self._waits,
        ) as response:
            body = await whole(response)
        if response.status >= 300:
            raise Refusal(response.status, body, response.headers)
        return Answer(response.status, body)

    async def open(self, url: str, waits: aiohttp.ClientTimeout) -> httpx.Response:
        """An answer to GET whose body is still to come."""
        timeout = {"connect": waits.sock_connect, "read": waits.sock_read, "pool": waits.connect}
        request = httpx.Request("GET", url, headers=self._own_headers, extensions={"timeout": timeout})
        async with asyncio.timeout(waits.total):  # the body has a speed instead, see whoever reads it
            response = await self._shared.handle_async_request(request)
            if response.status_code < 300:
                return response
            body = b""
            try:
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > _REFUSAL:
                        break
            finally:
                await response.aclose()
        raise Refusal(response.status_code, body, response.headers)


class Client:
    """Graph calls for all accounts. Errors leave as ProviderError and carry neither content nor secrets."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base_url = f"{settings.graph_url.rstrip('/')}/{settings.graph_version}"
        self._timeout = _timeout(settings, settings.send_timeout, settings.connect_timeout + settings.send_timeout)
        self._transfer_timeout = _timeout(settings, settings.transfer_timeout, None)
        self._session: aiohttp.ClientSession | None = None
        self._transport: AiohttpTransport | None = None
        self._clients: OrderedDict[tuple[str, str], tuple[WhatsApp, Session]] = OrderedDict()

    async def start(self) -> None:
        # Both log bodies and addresses of requests: phone numbers, texts, media tokens.
        logging.getLogger("pywa").setLevel(logging.ERROR)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        connector = aiohttp.TCPConnector(limit=self._settings.connections, keepalive_timeout=15, ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._transport = AiohttpTransport(client=self._session)

    async def stop(self) -> None:
        self._clients.clear()
        if self._session is not None:
            await self._session.close()
        self._session = self._transport = None

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

    async def upload(self, account: Account, path: str, body: AsyncIterator[bytes], headers: Mapping[str, str]) -> Json:
        """A POST whose body is streamed. Raises ProviderError."""
        waits = self._transfer_timeout
        try:
            async with Upload(self._settings.transfer_timeout) as upload:
                sent: Json = {"content": upload.watched(body), "headers": headers, "waits": waits}
                return await self._request(account, "POST", path, About.UPLOAD, **sent)
        except TimeoutError:
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code="too_slow")) from None

    async def download(self, account: Account, url: str) -> Download:
        """Start fetching a file with the account's token. Raises Refusal, ProviderError."""
        session = self._client(account)[1]
        for _ in range(_REDIRECTS):
            if not self._may_see_token(url):
                detail = "The file lies on a host that is not Meta's."
                raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE, detail=detail))
            try:
                response = await session.open(url, self._timeout)
            except Refusal as refusal:
                if refusal.location is None or refusal.status >= 400:
                    raise
                url = urljoin(url, refusal.location)
            except (*_BROKEN, httpx.InvalidURL) as broken:
                raise ProviderError(nothing_sent(_transport_failure(broken))) from None
            else:
                size = response.headers.get("content-length", "")
                return Download(int(size) if size.isdigit() else 0, _chunks(response), response.aclose)
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE, detail="The download went in circles."))

    def _may_see_token(self, url: str) -> bool:
        """Meta's domains by https, the Graph API itself, and origins a setting names (`http://127.0.0.1:8080`)."""
        parts = urlsplit(url)
        if "@" in parts.netloc or "\\" in url:
            return False
        origin = f"{parts.scheme}://{parts.netloc}"
        graph = urlsplit(self._settings.graph_url)
        if origin == f"{graph.scheme}://{graph.netloc}" or origin in self._settings.media_hosts:
            return True
        host = parts.hostname or ""
        if parts.netloc.lower() not in (host, f"{host}:443"):
            return False
        return parts.scheme == "https" and any(
            host.endswith(entry) if entry.startswith(".") else host == entry for entry in self._settings.media_hosts
        )

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
        except _BROKEN as broken:
            raise ProviderError(_transport_failure(broken)) from None
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
            session = Session(self._transport, self._base_url, self._timeout)
            found = (WhatsApp(number_of(account), token, session=session), session)
            self._clients[key] = found
            # Only forgotten, never closed: the connections belong to all.
            if len(self._clients) > self._settings.clients:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(key)
        return found


def number_of(account: Account) -> str:
    """The account's phone number id, as a step of a path. Raises ProviderError when it has none."""
    external_id = account.record.external_id
    if not external_id:
        detail = "The account has no phone number id."
        raise ProviderError(Failure(ErrorCode.ACCOUNT_DISCONNECTED, detail=detail, scope="account"))
    return quote(external_id, safe="")


def _timeout(settings: Settings, silence: float, total: float | None) -> aiohttp.ClientTimeout:
    """Without a `total` something else watches over the call."""
    return aiohttp.ClientTimeout(
        total=total, sock_connect=settings.connect_timeout, sock_read=silence, connect=settings.connect_timeout
    )


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except _BROKEN:
        raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail="The download broke off.")) from None


def _transport_failure(broken: BaseException) -> Failure:
    """Certainly not sent only where no connection was made; whatever broke later may have come after the message."""
    unconnected = aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
    if isinstance(broken, unconnected) or isinstance(broken.__cause__, unconnected):  # the transport's names for them
        return Failure(ErrorCode.PROVIDER_UNAVAILABLE)
    return Failure(ErrorCode.UNCERTAIN, certain=False)
