"""Who may ask `/v1/…`, how often, and where health and metrics are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from shared.runtime.http.guard import ApiGuard, _Bucket
from shared.runtime.http.reviews import KNOWN_SECONDS, TokenReviews
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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1", "Origin": "http://127.0.0.1:9"}, 200),
        ({"Host": "rebound.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_another_sites_page_may_not_ask_through_a_browser_here(headers: dict[str, str], status: int) -> None:
    async with serving("127.0.0.1") as (ask, server), aiohttp.ClientSession() as browser:
        async with browser.get(f"http://127.0.0.1:{server.port}/v1/blobs/ws/x", headers=headers) as answer:
            assert answer.status == status
        assert await ask("/webhooks/plain") == 200


@pytest.mark.parametrize("headers", [{"Host": "connector.svc"}, {"Origin": "https://inbox.example"}])
async def test_whom_a_network_policy_lets_in_comes_by_any_name(headers: dict[str, str]) -> None:
    async with (
        serving("127.0.0.1", open=True) as (_, server),
        aiohttp.ClientSession() as browser,
        browser.get(f"http://127.0.0.1:{server.port}/v1/blobs/ws/x", headers=headers) as answer,
    ):
        assert answer.status == 200


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


class Kubernetes:
    """Its TokenReview API, as the documentation has it, with tokens of a few service accounts."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self.audiences: list[str] | None = ["connectors"]
        self.asked = 0
        self.status = 201

    async def review(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.status != 201 or request.headers["Authorization"] != "Bearer our-own-token":
            return web.Response(status=self.status if self.status != 201 else 401)
        body = await request.json()
        assert (body["apiVersion"], body["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
        assert body["spec"]["audiences"] == ["connectors"]
        user = self.users.get(body["spec"]["token"])
        known = {"authenticated": True, "user": {"username": user}, "audiences": self.audiences}
        return web.json_response({**body, "status": known if user else {"error": "unknown"}}, status=201)


INBOX, STRANGER = "header.inbox.signature", "header.stranger.signature"


@asynccontextmanager
async def reviewing(directory: Path, **api: Any) -> AsyncIterator[tuple[Ask, Kubernetes]]:
    (directory / "token").write_text("our-own-token\n")
    kubernetes, app = Kubernetes(), web.Application()
    kubernetes.users = {INBOX: "system:serviceaccount:inbox:core", STRANGER: "system:serviceaccount:other:pod"}
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", kubernetes.review)
    async with TestServer(app) as server:
        settings = {"review_audience": "connectors", "review_accounts": "inbox:core", "review_directory": directory}
        async with serving(review_url=str(server.make_url("/")), **settings, **api) as (ask, _):
            yield ask, kubernetes


async def test_tokens_of_service_accounts_are_proven_by_kubernetes_and_remembered(tmp_path: Path) -> None:
    async with reviewing(tmp_path, tokens=SecretStr(TOKENS[0])) as (ask, kubernetes):
        assert [await ask("/v1/blobs/ws/x", INBOX) for _ in range(3)] == [200] * 3
        assert kubernetes.asked == 1
        assert [await ask("/v1/blobs/ws/x", STRANGER) for _ in range(3)] == [401] * 3
        assert kubernetes.asked == 2
        assert await ask("/v1/blobs/ws/x", "header.forged.signature") == 401
        assert kubernetes.asked == 3
        for token in ("no-token-of-kubernetes", "a.b.c.d", "a.b.c\u00e9", ""):
            assert await ask("/v1/blobs/ws/x", token) == 401
        assert await ask("/v1/blobs/ws/x", TOKENS[0]) == 200
        assert kubernetes.asked == 3


async def test_a_token_for_another_audience_opens_nothing(tmp_path: Path) -> None:
    async with reviewing(tmp_path) as (ask, kubernetes):
        for number, audiences in enumerate((["another"], [], None)):
            kubernetes.audiences = audiences
            kubernetes.users[f"header.{number}.signature"] = kubernetes.users[INBOX]
            assert await ask("/v1/blobs/ws/x", f"header.{number}.signature") == 401


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_while_kubernetes_does_not_answer_nobody_new_is_let_in(tmp_path: Path, status: int) -> None:
    async with reviewing(tmp_path) as (ask, kubernetes):
        kubernetes.status = status
        assert await ask("/v1/blobs/ws/x", INBOX) == 503
        kubernetes.status = 201
        assert await ask("/v1/blobs/ws/x", INBOX) == 200
        kubernetes.status = status
        assert await ask("/v1/blobs/ws/x", INBOX) == 200  # as it was said a moment ago


async def test_what_kubernetes_said_of_a_token_ends(tmp_path: Path) -> None:
    now = 0.0
    (tmp_path / "token").write_text("our-own-token")
    settings = ApiSettings(
        review_audience="connectors",
        review_accounts="inbox:core",
        review_directory=tmp_path,
        review_url="http://127.0.0.1:9",
    )
    reviews = TokenReviews(settings, lambda: now)
    said: list[str | None] = ["system:serviceaccount:inbox:core", None]

    async def ask(_: str) -> str | None:
        return said.pop(0)

    reviews._ask = ask  # type: ignore[method-assign]
    assert await reviews.user(INBOX) == await reviews.user(INBOX) == "system:serviceaccount:inbox:core"
    now = KNOWN_SECONDS
    assert await reviews.user(INBOX) is None


async def test_a_service_account_that_asks_too_often_waits_whatever_its_token(tmp_path: Path) -> None:
    async with reviewing(tmp_path, rate=0.01, burst=2) as (ask, kubernetes):
        kubernetes.users["header.renewed.signature"] = kubernetes.users[INBOX]
        tokens = (INBOX, "header.renewed.signature", INBOX)
        assert [await ask("/v1/blobs/ws/x", token) for token in tokens] == [200, 200, 429]


@pytest.mark.parametrize(
    "settings",
    [
        {"review_audience": "connectors"},
        {"review_accounts": "inbox:core"},
        {"review_audience": "connectors", "review_accounts": "core"},
        {"review_audience": "connectors", "review_accounts": "inbox:core", "open": True},
        {"review_audience": "connectors", "review_accounts": "inbox:core"},
    ],
)
def test_reviews_that_cannot_be_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="REVIEW_"):
        ApiSettings(review_directory=tmp_path, **settings)
