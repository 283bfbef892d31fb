"""Who may ask `/v1/…`, how often, and where health and metrics are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from shared.runtime.http.guard import ApiGuard, _Bucket
from shared.runtime.http.server import HealthChecks, Server
from shared.runtime.settings import ApiSettings, HttpSettings

TOKENS = ("the-token-of-the-inbox-core", "another-token-of-some-length")
Ask = Callable[..., Awaitable[int]]


async def _answered(_: web.Request) -> web.Response:
    return web.Response()


@asynccontextmanager
async def serving(host: str = "0.0.0.0", ops_port: int | None = None, **api: Any) -> AsyncIterator[tuple[Ask, Server]]:
    """A listener; what asks it for a path."""
    checks = HealthChecks("plain")
    checks.accepting = True
    guard = ApiGuard(ApiSettings(**api), host)
    server = Server(HttpSettings(port=0, ops_port=ops_port), checks, lambda: None, guard)
    server.add_routes([web.get("/v1/blobs/{key:.+}", _answered), web.get("/webhooks/plain", _answered)])
    await server.start()

    async def ask(path: str, token: str | None = None, scheme: str = "Bearer", port: int | None = None) -> int:
        headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
        async with session.get(f"http://127.0.0.1:{port or server.port}{path}", headers=headers) as answer:
            return answer.status

    async with aiohttp.ClientSession() as session:
        yield ask, server
    await server.stop()


@pytest.mark.parametrize(
    ("host", "settings", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("localhost", {}, 200),
        ("::1", {}, 200),
        ("0.0.0.0", {}, 401),
        ("", {}, 401),
        ("127.0.0.1.example", {}, 401),
        ("0.0.0.0", {"open": True}, 200),
        ("127.0.0.1", {"tokens": SecretStr(TOKENS[0])}, 401),
    ],
)
async def test_without_tokens_only_this_machine_may_ask(host: str, settings: dict[str, Any], status: int) -> None:
    async with serving(host, **settings) as (ask, _):
        assert await ask("/v1/blobs/ws/x") == status
        assert await ask("/webhooks/plain") == 200


async def test_each_token_opens_and_nothing_else_does() -> None:
    async with serving(tokens=SecretStr(f" {TOKENS[0]}, {TOKENS[1]} ")) as (ask, _):
        assert [await ask("/v1/blobs/ws/x", token) for token in TOKENS] == [200, 200]
        assert await ask("/v1/blobs/ws/x", TOKENS[0], scheme="bearer") == 200
        for token in ("", "x", TOKENS[0][:-1], ",".join(TOKENS), f"{TOKENS[0]}\u00e9"):
            assert await ask("/v1/blobs/ws/x", token) == 401
        assert await ask("/v1/blobs/ws/x", TOKENS[0], scheme="Basic") == 401
        assert await ask("/v1%2Fblobs/ws/x") in (401, 404)
        assert await ask("/readyz") == await ask("/webhooks/plain") == 200


async def test_a_token_that_asks_too_often_waits_and_costs_no_other() -> None:
    async with serving(tokens=SecretStr(",".join(TOKENS)), rate=0.01, burst=2) as (ask, _):
        assert [await ask("/v1/blobs/ws/x", TOKENS[0]) for _ in range(3)] == [200, 200, 429]
        assert await ask("/v1/blobs/ws/x", TOKENS[1]) == 200


def test_a_token_gets_its_calls_back_at_its_rate() -> None:
    bucket = _Bucket(ApiSettings(rate=2.0, burst=3))
    assert [bucket.draw(100.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.draw(100.0) == pytest.approx(0.5)
    assert bucket.draw(100.5) == 0
    assert [bucket.draw(10_000.0) for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]


async def test_health_and_metrics_have_a_door_of_their_own_where_one_is_given() -> None:
    paths = ("/livez", "/readyz", "/metrics")
    async with serving(ops_port=0) as (ask, server):
        assert server.ops_port != server.port
        assert [await ask(path) for path in paths] == [404] * 3
        assert [await ask(path, port=server.ops_port) for path in paths] == [200] * 3
        assert await ask("/webhooks/plain", port=server.ops_port) == 404
    async with serving() as (ask, server):
        assert server.ops_port == server.port
        assert [await ask(path) for path in paths] == [200] * 3
