"""Safe fetching: files that a command names by URL, without letting the URL reach into our own network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.connector import AddrInfoType
from yarl import URL

CHUNK = 64 * 1024
_REDIRECTS = 3
_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291: what there is of the IPv6 internet
_TIMEOUT = ClientTimeout(total=60, connect=5, sock_read=15)


class FetchRefused(Exception):
    """The URL may not be fetched, or did not give a file."""


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
    if not _is_public(str(address[0])):
        raise _NotPublic
    return socket.socket(family, kind, protocol)


def _is_public(host: str) -> bool:
    """Whether an IP address is one of the internet's, and is not an IPv4 address in disguise."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _UNICAST or address.sixtofour is not None or address.teredo is not None
    ):
        return False
    return address.is_global and not address.is_multicast


class Fetcher:
    """Downloads over https from public addresses; `allow_private` is for worlds on one machine and tests."""

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._session: ClientSession | None = None

    def _open_session(self) -> ClientSession:
        if self._session is None:
            make_socket = None if self._allow_private else _public_socket
            connector = TCPConnector(socket_factory=make_socket, limit=32, force_close=True)
            self._session = ClientSession(connector=connector, timeout=_TIMEOUT, cookie_jar=DummyCookieJar())
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str, *, max_bytes: int) -> AsyncIterator[bytes]:
        """The file in chunks. Raises FetchRefused, FetchTooLarge."""
        response = await self._follow(url)
        try:
            if (response.content_length or 0) > max_bytes:
                raise FetchTooLarge(response.content_length or 0)
            size = 0
            async for chunk in response.content.iter_chunked(CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise FetchTooLarge(size)
                yield chunk
        except (ClientError, TimeoutError, OSError) as failure:
            raise FetchRefused(type(failure).__name__) from None
        finally:
            response.close()

    async def _follow(self, url: str) -> ClientResponse:
        """The response behind redirects, each of which is checked like the first address."""
        at, to = URL(), url
        for _ in range(_REDIRECTS + 1):
            try:
                at = at.join(URL(to))
                self._check(at)
                response = await self._open_session().get(at, allow_redirects=False)
            except (ClientError, TimeoutError, OSError, ValueError) as failure:
                private = isinstance(failure.__cause__, _NotPublic)
                raise FetchRefused("not a public address" if private else type(failure).__name__) from None
            if response.status not in (301, 302, 303, 307, 308):
                break
            to = response.headers.get("Location", "")
            response.close()
        if response.status != 200:
            response.close()
            raise FetchRefused(f"HTTP {response.status}")
        return response

    def _check(self, url: URL) -> None:
        if url.scheme != "https" and not (self._allow_private and url.scheme == "http"):
            raise FetchRefused("not https")
        if not url.host or url.user or url.password:
            raise FetchRefused("not a plain address")
