"""Fetching by URL: what is public is streamed, what is private, too large or not a file is refused."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from yarl import URL

from shared.media import fetch
from shared.media.addresses import is_public
from shared.media.fetch import FetchRefused, FetchTooLarge, UrlFetcher


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


async def _all(fetcher: UrlFetcher, url: str, limit: int = 1000) -> bytes:
    try:
        return b"".join([chunk async for chunk in fetcher.fetch(url, max_bytes=limit)])
    finally:
        await fetcher.close()


@pytest.mark.parametrize("path", ["/file", "/moved"])
async def test_a_file_is_streamed(origin: str, path: str) -> None:
    assert await _all(UrlFetcher(allow_private=True), origin + path) == b"x" * 100


@pytest.mark.parametrize("path", ["/file", "/endless"])
async def test_too_large_is_refused_with_or_without_a_length(origin: str, path: str) -> None:
    with pytest.raises(FetchTooLarge) as refused:
        await _all(UrlFetcher(allow_private=True), origin + path, limit=50)
    assert refused.value.size > 50


@pytest.mark.parametrize("path", ["/nothing", "/circle", "/inwards"])
async def test_what_gives_no_file_is_refused(origin: str, path: str) -> None:
    with pytest.raises(FetchRefused):
        await _all(UrlFetcher(allow_private=True), origin + path)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/file",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://example.com:99999/",
        "https://[::1/",
        "file:///etc/passwd",
        "file://127.0.0.1/etc/passwd",
        "ftp://127.0.0.1/file",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "dict://127.0.0.1:6379/info",
        "jar:https://127.0.0.1!/file",
        "data:text/plain,x",
        "unix:///run/docker.sock",
        "//127.0.0.1/file",
        "https:///file",
        "",
    ],
)
async def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        await _all(UrlFetcher(), url)


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
    "127.000.000.001",
    "0000::1",
    "[0:0:0:0:0:0:0:1]",
    "[::1%25lo]",
    "[::1%lo]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::1]",
    "017700000001",
    "0x7F.0x0.0x0.0x1",
    "0b1111111.0.0.1",
    "127.0.1",
    "127.0.0.1%00.example.com",
    "127.0.0.1%2eexample.com",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "ｌｏｃａｌｈｏｓｔ",
    "localhost.localdomain",
    "loc\u00adalhost",
    "127.0.0.1\u200b",
    "localhost\t",
    "x@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com\\@127.0.0.1",
    "example.com#@127.0.0.1",
    "127.0.0.1#.example.com",
    "127.0.0.1?.example.com",
    ":@127.0.0.1",
    "%6c%6f%63%61%6c%68%6f%73%74",
    "４２２７０８５８８９",
    "⑫７.⓪.0.1",
    "127。1",
    "127．0．0．1",
    "0x7f。0。0。1",
    "-127.0.0.1",
    "256.0.0.1",
    "4294967297",
    "127.0.0.1..",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_our_own_machine_is_not_reached(
    monkeypatch: pytest.MonkeyPatch, knocks: tuple[int, list[object]], host: str
) -> None:
    port, found = knocks
    monkeypatch.setattr(fetch, "_PORT", port)  # it is the address that is to keep it away
    with pytest.raises(FetchRefused):
        await _all(UrlFetcher(), f"https://{host}:{port}/file")
    assert found == []


async def test_only_the_port_of_https_is_asked(knocks: tuple[int, list[object]]) -> None:
    port, found = knocks
    for url in (f"https://127.0.0.1:{port}/", "https://example.com:22/", "https://example.com:80/"):
        with pytest.raises(FetchRefused, match="only port 443"):
            await _all(UrlFetcher(), url)
    assert found == []


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["::1", "127.0.0.1"]])
async def test_a_name_that_resolves_to_us_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, knocks: tuple[int, list[object]], answers: list[str]
) -> None:
    port, found = knocks
    monkeypatch.setattr(fetch, "_PORT", port)
    asked = 0

    async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        nonlocal asked
        asked += 1
        kinds = [
            (socket.AF_INET6, (one, port, 0, 0)) if ":" in one else (socket.AF_INET, (one, port)) for one in answers
        ]
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in kinds]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(FetchRefused, match="not a public address"):
        await _all(UrlFetcher(), f"https://files.example.com:{port}/")
    assert asked == 1
    assert found == []


async def test_what_was_public_a_moment_ago_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, knocks: tuple[int, list[object]]
) -> None:
    """DNS rebinding: whatever was resolved before, it is the address connected to that counts."""
    port, found = knocks
    monkeypatch.setattr(fetch, "_PORT", port)
    seen: list[str] = []

    def public(host: str) -> bool:
        seen.append(host)
        return is_public(host)

    monkeypatch.setattr(fetch, "is_public", public)
    for address in ("127.0.0.1", "127.0.0.1"):

        async def getaddrinfo(*_: object, to: str = address, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (to, port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        with pytest.raises(FetchRefused, match="not a public address"):
            await _all(UrlFetcher(), f"https://rebound.example.com:{port}/")
    assert seen == ["127.0.0.1", "127.0.0.1"], "once for every connection"
    assert found == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.0.9",
        "192.0.0.10",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.175.48.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "239.255.255.255",
        "240.0.0.1",
        "[fd00:ec2::254]",
        "[64:ff9b:1::1]",
        "[64:ff9b::169.254.169.254]",
        "[100::1]",
        "[100:0:0:1::1]",
        "[5f00::1]",
        "[2001:2::1]",
        "[2001:20::1]",
        "[2001:1::1]",
        "[2001:4:112::1]",
        "[2620:4f:8000::1]",
        "[3fff::1]",
        "[3ffe::1]",
        "[2600:1900::5efe:7f00:1]",
        "[2600:1900::200:5efe:a00:1]",
        "[::ffff:168.63.129.16]",
        "[4000::1]",
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
        await _all(UrlFetcher(), f"https://{host}/file")


@pytest.mark.parametrize("address", ["8.8.8.8", "168.63.129.17", "192.0.1.1", "2606:4700::1111", "2a00:1450::1"])
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_nothing_that_python_or_iana_calls_special_is_public() -> None:
    """The first and the last address of every network of `ipaddress`' own lists."""
    lists = (ipaddress._IPv4Constants._private_networks, ipaddress._IPv6Constants._private_networks)  # type: ignore[attr-defined]
    for network in (*lists[0], *lists[1]):
        assert not is_public(str(network[0]))
        assert not is_public(str(network[-1]))


@pytest.mark.parametrize("host", ["fe80::1%eth0", "2606:4700::1111%1", "example.com", "", "8.8.8.8 ", "010.8.8.8"])
def test_what_is_no_plain_address_is_not_public(host: str) -> None:
    assert not is_public(host)


@pytest.mark.parametrize("host", ["10.1.2.3", "１０.1.2.3", "0xa010203"])
async def test_a_redirect_leads_nowhere_private(monkeypatch: pytest.MonkeyPatch, origin: str, host: str) -> None:
    """Only the origin counts as public here, and plain http is let pass for it."""
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(fetch, "_check", lambda *_, **__: None)
    assert await _all(UrlFetcher(), f"{origin}/file") == b"x" * 100
    with pytest.raises(FetchRefused, match="not a public address"):
        await _all(UrlFetcher(), f"{origin}/to?url=https://{host}/")


@pytest.fixture
async def front(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, list[object]]]:
    """A server at 127.0.0.2, which counts as public, plain http and any port included; its port, which our own machine
    listens at, too, and who has connected there. `/to` leads to `url`."""
    found: list[object] = []

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(writer.get_extra_info("peername"))
        writer.close()

    async def to(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["url"]})

    app = web.Application()
    app.add_routes([web.get("/to", to)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.2", 0).start()
    port = runner.addresses[0][1]
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.2")
    monkeypatch.setattr(fetch, "_check", lambda *_, **__: None)
    async with await asyncio.start_server(connected, "127.0.0.1", port):
        yield port, found
    await runner.cleanup()


@pytest.mark.parametrize("host", LOOPBACK)
async def test_a_redirect_does_not_lead_to_our_own_machine(front: tuple[int, list[object]], host: str) -> None:
    port, found = front
    url = URL(f"http://127.0.0.2:{port}/to").with_query(url=f"http://{host}:{port}/")
    with pytest.raises(FetchRefused):
        await _all(UrlFetcher(), str(url))
    assert found == []


async def test_a_name_that_is_public_first_and_ours_at_the_redirect_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, front: tuple[int, list[object]]
) -> None:
    """DNS rebinding with answers that are not kept: each connection is to what the name means at that moment."""
    port, found = front
    answers = iter(["127.0.0.2", "127.0.0.1"])

    async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    fetcher = UrlFetcher()
    fetcher._open_session().connector._use_dns_cache = False  # type: ignore[union-attr]  # a name that lives for no time
    with pytest.raises(FetchRefused, match="not a public address"):
        await _all(fetcher, f"http://rebound.example.com:{port}/to?url=/file")
    assert list(answers) == [], "it has been asked for twice"
    assert found == []
