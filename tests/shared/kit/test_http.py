"""Fetching files for channels: where a token may go, how redirects are followed, what an answer means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from yarl import URL

from shared.channel import ProviderError
from shared.contract.errors import ErrorCode
from shared.kit.http import BROKEN, Waits, certain, fetch, is_at, open_session, opened, webhook_url

WAITS = Waits(connect=2.0, read=2.0)
HOSTS = ("http://127.0.0.1:8083", "cdn.example", ".media.example")


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://cdn.example/a", True),
        ("https://CDN.example./a", True),
        ("https://eu.cdn.example/a", True),
        ("https://eu.media.example/a", True),
        ("https://media.example/a", True),
        ("http://127.0.0.1:8083/a", True),
        ("http://127.0.0.1:8084/a", False),
        ("http://cdn.example/a", False),
        ("https://cdn.example:8443/a", False),
        ("https://evilcdn.example/a", False),
        ("https://cdn.example.evil.example/a", False),
        ("https://cdn.example@evil.example/a", False),
        ("https://user@cdn.example/a", False),
        ("https://169.254.169.254/latest", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_a_host_is_known_or_it_is_not(address: str, known: bool) -> None:
    assert is_at(URL(address), HOSTS) is known


class Server:
    """Serves a file, and redirects to wherever it is told to."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        app = web.Application()
        app.router.add_get("/file", self._file)
        app.router.add_get("/moved", self._moved)
        app.router.add_get("/status/{status}", self._status)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url(""))

    async def _file(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization"))
        return web.Response(body=bytes(8_000_000), content_type="image/png")

    async def _moved(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query["to"]})

    async def _status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]), headers={"Retry-After": "7"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    serving = Server()
    async with serving.server:
        yield serving


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(4) as opened_:
        yield opened_


async def code_of(session: aiohttp.ClientSession, address: str, hosts: tuple[str, ...]) -> ErrorCode:
    with pytest.raises(ProviderError) as refused:
        await fetch(session, address, hosts, WAITS, {"Authorization": "secret"})
    failure = refused.value.failure
    assert failure.certain
    assert "secret" not in repr(failure) and address not in repr(failure)
    assert refused.value.__context__ is None, "what broke names the address"
    return failure.code


async def test_a_token_goes_along_redirects_to_known_hosts_only(server: Server, session: aiohttp.ClientSession) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    response = await fetch(session, f"{server.url}/moved?to=/file", (server.url,), WAITS, {"Authorization": "secret"})
    assert response.status == 200
    response.close()
    for address in (f"{elsewhere}/file", f"{server.url}/moved?to={elsewhere}/file", "https://[", "file:///a"):
        assert await code_of(session, address, (server.url,)) is ErrorCode.FILE_UNAVAILABLE
    assert server.tokens == ["secret"]


async def test_a_download_that_goes_in_circles_ends(server: Server, session: aiohttp.ClientSession) -> None:
    circle = f"{server.url}/moved?to=/moved%3Fto=/moved%253Fto=/moved%25253Fto=/moved"
    assert await code_of(session, circle, (server.url,)) is ErrorCode.FILE_UNAVAILABLE


async def test_nobody_there_is_not_now(session: aiohttp.ClientSession) -> None:
    nobody = f"http://127.0.0.1:{unused_port()}"
    assert await code_of(session, nobody, (nobody,)) is ErrorCode.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, ErrorCode.FILE_UNAVAILABLE),
        (401, ErrorCode.FILE_UNAVAILABLE),
        (429, ErrorCode.RATE_LIMITED),
        (500, ErrorCode.PROVIDER_UNAVAILABLE),
        (304, ErrorCode.PROVIDER_UNAVAILABLE),
    ],
)
async def test_what_is_no_file_is_gone_or_not_now(
    server: Server, session: aiohttp.ClientSession, status: int, code: ErrorCode
) -> None:
    response = await fetch(session, f"{server.url}/status/{status}", (server.url,), WAITS)
    with pytest.raises(ProviderError) as raised:
        opened(response, "a.png", "image/png")
    failure = raised.value.failure
    assert (failure.code, failure.provider_code, failure.retry_after) == (code, str(status), 7.0)


async def test_a_download_that_is_broken_off_gives_its_connection_back(
    server: Server, session: aiohttp.ClientSession
) -> None:
    file = opened(await fetch(session, f"{server.url}/file", (server.url,), WAITS), "a.png", "image/png")
    assert file.size == 8_000_000
    await anext(file.chunks)
    assert session.connector is not None and session.connector._acquired
    await file.close()
    assert not session.connector._acquired


async def test_only_a_call_without_a_connection_was_surely_not_sent(server: Server) -> None:
    async def broken(url: str, timeout: aiohttp.ClientTimeout) -> BaseException:
        async with open_session(1) as session:
            try:
                await session.post(url, timeout=timeout)
            except BROKEN as raised:
                return raised
        raise AssertionError("it did not break")

    async def hang_up(reader: object, writer: object) -> None:
        writer.close()  # type: ignore[attr-defined]

    nobody = await broken(f"http://127.0.0.1:{unused_port()}", WAITS.whole)
    assert certain(nobody)
    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listening:
        hung_up = await broken(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", WAITS.whole)
    assert not certain(hung_up)
    assert not certain(TimeoutError())


def test_a_provider_calls_one_address_or_one_for_each_account() -> None:
    assert webhook_url("https://x.example/", "line") == "https://x.example/webhooks/line"
    assert webhook_url("https://x.example", "line", "acc") == "https://x.example/webhooks/line/acc"
