"""Fetching by URL: what is public is streamed, what is private, too large or not a file is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

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

    app = web.Application()
    routes = {"/file": file, "/endless": endless, "/moved": moved, "/circle": circle, "/inwards": inwards}
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
        "https://127.0.0.1/file",
        "https://localhost/file",
        "https://[::1]/file",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://user:secret@example.com/",
        "file:///etc/passwd",
        "https:///file",
        "",
    ],
)
async def test_nothing_private_is_reached(url: str) -> None:
    with pytest.raises(FetchRefused):
        await _all(Fetcher(), url)
