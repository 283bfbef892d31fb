"""Safe fetching: files that a command names by URL, without letting the URL reach into our own network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

from aiohttp import (
    ClientConnectorDNSError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from aiohttp.connector import AddrInfoType
from yarl import URL

from shared.media.addresses import is_public
from shared.media.transfers import steady

CHUNK = 64 * 1024
_REDIRECTS = 3
_PORT = 443
_LONGEST_HOST = 253  # RFC 1035
_TIMEOUT = ClientTimeout(total=None, connect=5, sock_connect=5, sock_read=15)
# A command's file comes from a web server of the workspace's choice, and its conversation waits meanwhile: seconds
# until the head of the answer is there, behind redirects too; then as `steady` takes it. 100 MiB have six minutes.
_HEAD = 20.0
_PATIENCE = 30.0
_SLOWEST = 300_000.0


class FetchRefused(Exception):
    """The URL may not be fetched, or did not give a file."""


class FetchFailed(FetchRefused):
    """The URL did not give a file now, and may later: its host is not known or does not answer, or is too busy."""


class FetchTooLarge(FetchRefused):
    """The file is larger than allowed; `size` in bytes as far as it is known."""

    def __init__(self, size: int) -> None:
        super().__init__("too large")
        self.size = size


class _NotPublic(OSError):
    """The address to connect to is not a public one."""


def _public_socket(to: AddrInfoType) -> socket.socket:
    """The socket of a connection, if it goes to a public address.

    Checked here, at the one address that a connection is made to, because whatever stands before it can be written in
    too many ways: a name may resolve anew, and what looks like a name (`１２７。0。0。1`, `0x7f.1`) may be an address.
    """
    family, kind, protocol, _, address = to
    if not is_public(str(address[0])) or address[3:] not in ((), (0,)):  # the last is the zone
        raise _NotPublic
    return socket.socket(family, kind, protocol)


class UrlFetcher:
    """Downloads over https from public addresses; `allow_private` is for worlds on one machine and tests."""

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._session: ClientSession | None = None

    def _open_session(self) -> ClientSession:
        if self._session is None:
            make_socket = None if self._allow_private else _public_socket
            # More than calls at once: what waits here waits for somebody else's web server.
            connector = TCPConnector(socket_factory=make_socket, limit=512, force_close=True)
            self._session = ClientSession(connector=connector, timeout=_TIMEOUT, cookie_jar=DummyCookieJar())
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str, *, max_bytes: int) -> AsyncIterator[bytes]:
        """The file in chunks. Raises FetchRefused, FetchTooLarge."""
        try:
            async with asyncio.timeout(_HEAD):
                response = await self._follow(url)
        except TimeoutError as slow:
            raise FetchFailed(_why(slow)) from None
        try:
            if (response.content_length or 0) > max_bytes:
                raise FetchTooLarge(response.content_length or 0)
            size = 0
            async for chunk in steady(response.content.iter_chunked(CHUNK), _PATIENCE, _SLOWEST):
                size += len(chunk)
                if size > max_bytes:
                    raise FetchTooLarge(size)
                yield chunk
        except (ClientError, TimeoutError, OSError) as failure:
            raise FetchFailed(_why(failure)) from None
        finally:
            response.close()

    async def _follow(self, url: str) -> ClientResponse:
        """The response behind redirects, each of which is checked like the first address."""
        at, to = URL(), url
        for _ in range(_REDIRECTS + 1):
            try:
                at = at.join(URL(to))
                _check(at, allow_private=self._allow_private)
                response = await self._open_session().get(at, allow_redirects=False)
            except (InvalidURL, ValueError) as odd:
                raise FetchRefused(_why(odd)) from None
            except (ClientError, TimeoutError, OSError) as failure:
                kind = FetchRefused if isinstance(failure.__cause__, _NotPublic) else FetchFailed
                raise kind(_why(failure)) from None
            if response.status not in (301, 302, 303, 307, 308):
                break
            to = response.headers.get("Location", "")
            response.close()
        if response.status != 200:
            response.close()
            passes = response.status == 429 or response.status >= 500
            kind = FetchFailed if passes else FetchRefused
            raise kind(f"the address answers with HTTP {response.status}")
        return response


def check_address(url: str) -> None:
    """Raises FetchRefused for an address that is not fetched, whatever is there."""
    try:
        _check(URL(url))
    except (InvalidURL, ValueError) as odd:
        raise FetchRefused(_why(odd)) from None


def _check(url: URL, *, allow_private: bool = False) -> None:
    """Raises FetchRefused; what an address leads to is looked at where the connection is made."""
    if not url.host or url.user is not None or url.password is not None or len(url.host) > _LONGEST_HOST:
        raise FetchRefused("it is not a plain address")
    if allow_private and url.scheme in ("http", "https"):
        return
    if url.scheme != "https":
        raise FetchRefused("only https addresses are fetched")
    if url.port != _PORT:
        raise FetchRefused("only port 443 is asked")


def _why(failure: Exception) -> str:
    """Why an address could not be had, in words that an agent can do something with."""
    if isinstance(failure.__cause__, _NotPublic):
        return "it is not a public address"
    match failure:
        case ClientConnectorDNSError():
            return "its host is not known"
        case TimeoutError():
            return "it took too long"
        case InvalidURL() | ValueError():
            return "it is not an address"
        case _:
            return "its host does not answer as it should"
