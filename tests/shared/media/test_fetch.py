"""Fetching by URL: what is public is streamed, what is private, too large or not a file is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from shared.media import fetch
from shared.media.fetch import Fetcher, FetchRefused, FetchTooLarge


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    async def file(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x" * 1000)
        return response

    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/file"})

    async def circle(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/circle"})

    async def inwards(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "ftp://10.0.0.1/"})

    async def to(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["url"]})

    app = web.Application()
    routes = {"/file": file, "/endless": endless, "/moved": moved, "/circle": circle, "/inwards": inwards, "/to": to}
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def _all(fetcher: Fetcher, url: str, limit: int = 1000) -> bytes:
    try:
        return b"".join([chunk async for chunk in fetcher.fetch(url, max_bytes=limit)])
    finally:
        await fetcher.close()


@pytest.mark.parametrize("path", ["/file", "/moved"])
async def test_a_file_is_streamed(origin: str, path: str) -> None:
    assert await _all(Fetcher(allow_private=True), origin + path) == b"x" * 100


@pytest.mark.parametrize("path", ["/file", "/endless"])
async def test_too_large_is_refused_with_or_without_a_length(origin: str, path: str) -> None:
    with pytest.raises(FetchTooLarge) as refused:
        await _all(Fetcher(allow_private=True), origin + path, limit=50)
    assert refused.value.size > 50


@pytest.mark.parametrize("path", ["/nothing", "/circle", "/inwards"])
async def test_what_gives_no_file_is_refused(origin: str, path: str) -> None:
    with pytest.raises(FetchRefused):
        await _all(Fetcher(allow_private=True), origin + path)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/file",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://example.com:99999/",
        "https://[::1/",
        "file:///etc/passwd",
        "//127.0.0.1/file",
        "https:///file",
        "",
    ],
)
async def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        await _all(Fetcher(), url)


@pytest.fixture
async def knocks() -> AsyncIterator[tuple[int, list[object]]]:
    """A port on all addresses of this machine, and who has connected to it."""
    found: list[object] = []

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(writer.get_extra_info("peername"))
        writer.close()

    async with await asyncio.start_server(connected, "0.0.0.0", 0) as server:
        yield server.sockets[0].getsockname()[1], found


# How one writes an address that is not public; those the client takes for names, getaddrinfo takes for addresses.
LOOPBACK = [
    "127.0.0.1",
    "127.8.8.8",
    "localhost",
    "LOCALHOST.",
    "0.0.0.0",
    "0",
    "127.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "%31%32%37.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_our_own_machine_is_not_reached(knocks: tuple[int, list[object]], host: str) -> None:
    port, found = knocks
    with pytest.raises(FetchRefused):
        await _all(Fetcher(), f"https://{host}:{port}/file")
    assert found == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fd00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[2001:db8::1]",
        "[::ffff:8.8.8.8]",
    ],
)
async def test_no_private_network_is_reached(host: str) -> None:
    with pytest.raises(FetchRefused, match="not a public address"):
        await _all(Fetcher(), f"https://{host}/file")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_the_internet_is_public(address: str) -> None:
    assert fetch._is_public(address)


@pytest.mark.parametrize("host", ["10.1.2.3", "１０.1.2.3", "0xa010203"])
async def test_a_redirect_leads_nowhere_private(monkeypatch: pytest.MonkeyPatch, origin: str, host: str) -> None:
    """Only the origin counts as public here, and plain http is let pass for it."""
    monkeypatch.setattr(fetch, "_is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(Fetcher, "_check", lambda *_: None)
    assert await _all(Fetcher(), f"{origin}/file") == b"x" * 100
    with pytest.raises(FetchRefused, match="not a public address"):
        await _all(Fetcher(), f"{origin}/to?url=https://{host}/")
