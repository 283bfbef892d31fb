"""Safe fetching: files that a command names by URL, without letting the URL reach into our own network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator
from urllib.parse import urljoin, urlsplit

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    ThreadedResolver,
)
from aiohttp.abc import AbstractResolver, ResolveResult

CHUNK = 64 * 1024
_REDIRECTS = 3
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_TIMEOUT = ClientTimeout(total=60, connect=5, sock_read=15)


class FetchRefused(Exception):
    """The URL may not be fetched, or did not give a file."""


class FetchTooLarge(FetchRefused):
    """The file is larger than allowed; `size` in bytes as far as it is known."""

    def __init__(self, size: int) -> None:
        super().__init__("too large")
        self.size = size


class _PublicOnly(AbstractResolver):
    """Resolves names to public addresses only: checked where the connection is made, so a name cannot change its
    mind between the check and the use."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [address for address in found if _is_public(address["host"])]
        if not public:
            raise OSError("no public address")
        return public

    async def close(self) -> None:
        await self._resolver.close()


def _is_public(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True  # a name: the resolver decides
    if isinstance(address, ipaddress.IPv6Address) and (address.sixtofour or address.teredo or address in _NAT64):
        return False  # an IPv4 address in disguise
    return address.is_global and not address.is_multicast


class Fetcher:
    """Downloads over https from public addresses; `allow_private` is for worlds on one machine and tests."""

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._session: ClientSession | None = None

    def _open_session(self) -> ClientSession:
        if self._session is None:
            resolver = ThreadedResolver() if self._allow_private else _PublicOnly()
            connector = TCPConnector(resolver=resolver, limit=32, force_close=True)
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
        for _ in range(_REDIRECTS + 1):
            self._check(url)
            try:
                response = await self._open_session().get(url, allow_redirects=False)
            except (ClientError, TimeoutError, OSError, ValueError) as failure:
                raise FetchRefused(type(failure).__name__) from None
            if response.status not in (301, 302, 303, 307, 308):
                break
            url = urljoin(url, response.headers.get("Location", ""))
            response.close()
        if response.status != 200:
            response.close()
            raise FetchRefused(f"HTTP {response.status}")
        return response

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (self._allow_private and parts.scheme == "http"):
            raise FetchRefused("not https")
        if not parts.hostname or parts.username or parts.password:
            raise FetchRefused("not a plain address")
        if not self._allow_private and not _is_public(parts.hostname):
            raise FetchRefused("not a public address")
