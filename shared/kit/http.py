"""HTTP as channels need it: connections, calls and whether they were surely not sent, files from known hosts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

from shared.channel import Failure, OpenFile, ProviderError
from shared.contract.errors import ErrorCode
from shared.kit.json import as_object
from shared.kit.loose import Json
from shared.kit.multipart import FilePart, form, uploading
from shared.media.transfers import whole
from shared.policy.retry import retry_after

# What a call may break with.
BROKEN = (aiohttp.ClientError, OSError, TimeoutError)
_UNREACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_REDIRECTS = 3
_CHUNK = 64 * 1024


def open_session(connections: int, headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    """A pool of connections for all accounts: at most so many at once, 0 for as many as are asked for."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=15, ttl_dns_cache=60)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers)


class Pool:
    """The connections of a channel, open from `open` to `close`; `connections` and `headers` as in `open_session`."""

    def __init__(self, connections: int, headers: Mapping[str, str] | None = None) -> None:
        self._connections = connections
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        self._session = open_session(self._connections, self._headers)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Raises RuntimeError when it is not open."""
        if self._session is None:
            raise RuntimeError("the channel has not been started")
        return self._session


def certain(broken: BaseException) -> bool:
    """Whether a call that broke was surely not sent: no connection was made, or none was free in time.

    Whatever broke later may have come after the request.
    """
    return isinstance(broken, _UNREACHED)


def breakage(broken: BaseException) -> str:
    """How a call broke: what is told where the provider has given no code."""
    match broken:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "tls"
        case aiohttp.ClientConnectorError() | ConnectionRefusedError():
            return "unreachable"
        case aiohttp.ClientPayloadError():
            return "cut_off"
        case aiohttp.ClientConnectionError() | OSError():
            return "reset"
    return "no_http"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a call may take, in seconds: to get a connection, and between any two pieces of the answer."""

    connect: float
    read: float

    @property
    def whole(self) -> aiohttp.ClientTimeout:
        """For a call whose answer is short."""
        return aiohttp.ClientTimeout(total=self.connect + self.read, connect=self.connect, sock_read=self.read)

    @property
    def streamed(self) -> aiohttp.ClientTimeout:
        """For a body that has a speed instead of a total, see whoever writes or reads it."""
        return aiohttp.ClientTimeout(total=None, connect=self.connect, sock_read=self.read)


def webhook_url(base_url: str, channel: str, route: str = "") -> str:
    """Where a provider is to call; `route` is our id of an account, where each has an address of its own."""
    return f"{base_url.rstrip('/')}/webhooks/{channel}" + (f"/{route}" if route else "")


# ---------------------------------------------------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of a call, read to its end, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds, where the answer says when to try again."""
        return retry_after(self.headers.get("Retry-After"))

    @property
    def json(self) -> Json:
        """The object that it is; an empty one for an answer that is none."""
        return as_object(self.body)


class Unanswered(Exception):
    """A call that broke with what is called `name`.

    `certain` says that it was surely not sent, `written` that its files were, to their last byte; `unreadable` that one
    of them could not be read.
    """

    def __init__(self, broken: BaseException, files: Collection[FilePart]) -> None:
        self.name = breakage(broken)
        super().__init__(self.name)
        self.certain = certain(broken)
        self.written = all(file.written for file in files)
        self.unreadable = any(file.unreadable for file in files)


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    waits: aiohttp.ClientTimeout,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    json: Any = None,
    fields: Mapping[str, str] | None = None,
    files: Mapping[str, FilePart] | None = None,
    patience: float = 0.0,
) -> Answer:
    """One call with a JSON body, or with a form of `fields` and `files`; redirects are not followed.

    Files have to move; the answer after them has `patience` seconds. Raises Unanswered, which holds no address.
    """
    parts = (files or {}).values()
    sent = dict(headers or {})
    body: Any = form(fields or {}, files) if files else None
    if body is None and json is not None:
        body, sent["Content-Type"] = orjson.dumps(json), "application/json"
    try:
        async with (
            uploading(parts, patience),
            session.request(
                method, url, params=params, data=body, headers=sent, allow_redirects=False, timeout=waits
            ) as response,
        ):
            return Answer(response.status, response.headers, await whole(response))
    except BROKEN as broken:
        unanswered = Unanswered(broken, parts)
    raise unanswered  # out here: what broke names the address, and so may a token


# ------------------------------------------------------------------------------------------------------ downloads


def is_at(url: URL, hosts: Iterable[str]) -> bool:
    """Whether a URL leads to one of `hosts`: a domain (by https, its subdomains too) or a whole origin
    (`http://127.0.0.1:8080`)."""
    if url.user is not None or not url.host:
        return False
    host = url.host.lower().rstrip(".")
    for known in hosts:
        if "://" in known:
            if url.origin() == URL(known).origin():
                return True
        elif url.scheme == "https" and url.port == 443 and f".{host}".endswith(f".{known.lstrip('.')}"):
            return True
    return False


async def fetch(
    session: aiohttp.ClientSession,
    address: str,
    hosts: Iterable[str],
    waits: Waits,
    headers: Mapping[str, str] | None = None,
) -> aiohttp.ClientResponse:
    """The head of an answer to GET, whatever its status; whoever reads the rest watches its speed and closes it.

    Redirects are followed to `hosts` only: they get the same headers, and with them a token. Raises ProviderError,
    which never holds the address.
    """
    at, to = URL(), address
    for _ in range(_REDIRECTS + 1):
        try:
            at = at.join(URL(to))
            known = is_at(at, hosts)
        except ValueError:
            known = False
        if not known:
            raise ProviderError(
                Failure(ErrorCode.FILE_UNAVAILABLE, detail="The file is not at a host of the provider's.")
            )
        response = await _asked(session, at, waits, headers)
        to = response.headers.get("Location", "")
        if not 300 <= response.status < 400 or not to:
            return response
        response.close()
    raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE, detail="The download goes in circles."))


async def _asked(
    session: aiohttp.ClientSession, url: URL, waits: Waits, headers: Mapping[str, str] | None
) -> aiohttp.ClientResponse:
    try:
        async with asyncio.timeout(waits.connect + waits.read):
            return await session.get(url, headers=headers, allow_redirects=False, timeout=waits.streamed)
    except BROKEN as broken:
        name = breakage(broken)
    raise _broke_off(name)  # out here: what broke names the address, and so may a token


def _broke_off(name: str) -> ProviderError:
    return ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code=name))


def _no_file(response: aiohttp.ClientResponse) -> ProviderError:
    """What an answer means that is no file: it is gone for good, or cannot be had now."""
    status, seconds = response.status, retry_after(response.headers.get("Retry-After"))
    code = ErrorCode.FILE_UNAVAILABLE if 400 <= status < 500 else ErrorCode.PROVIDER_UNAVAILABLE
    code = ErrorCode.RATE_LIMITED if status == 429 else code
    return ProviderError(Failure(code, provider_code=str(status), retry_after=seconds))


def opened(response: aiohttp.ClientResponse, filename: str, mime_type: str, size: int | None = None) -> OpenFile:
    """A download under way, which raises ProviderError when it breaks off. Whoever reads it bounds speed and length.

    `size` in bytes, where the provider has told it elsewhere. Raises ProviderError for an answer that is no file.
    """
    if response.status != 200:
        response.close()
        raise _no_file(response)

    async def close() -> None:
        response.close()

    return OpenFile(filename, mime_type, response.content_length or size or 0, _chunks(response), close)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            yield chunk
        return
    except BROKEN as broken:
        name = breakage(broken)
    raise _broke_off(name)
