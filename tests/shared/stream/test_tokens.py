"""Tokens for Kafka: one for all, fetched anew in time, and what becomes of an issuer that is away."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestServer
from aiokafka.errors import KafkaConnectionError

from shared.stream.tokens import ClientCredentials, MskTokens


class Issuer:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answer: tuple[int, Any] = (200, {"access_token": "first", "expires_in": 600})

    async def answers(self, request: web.Request) -> web.Response:
        self.asked.append((request.headers["Authorization"], dict(await request.post())))
        status, body = self.answer
        return web.json_response(body, status=status)


async def test_a_token_is_kept_until_shortly_before_it_ends() -> None:
    clock = [1000.0]
    issuer, app = Issuer(), web.Application()
    app.router.add_post("/", issuer.answers)
    async with TestServer(app) as server:
        credentials = ClientCredentials(str(server.make_url("/")), "connector", "a secret", "kafka", lambda: clock[0])
        assert await asyncio.gather(*(credentials.token() for _ in range(5))) == ["first"] * 5
        asked = {"grant_type": "client_credentials", "scope": "kafka"}
        assert issuer.asked == [(encode_basic_auth("connector", "a secret"), asked)]
        clock[0] += 539
        assert await credentials.token() == "first"
        issuer.answer = (503, {})
        clock[0] += 2  # a minute before its end: the issuer is away, and the token still good
        assert await credentials.token() == "first"
        issuer.answer = (200, {"access_token": "second", "expires_in": 10})
        assert await credentials.token() == "second"
        clock[0] += 9  # in the last fifth of a short life
        issuer.answer = (200, {"access_token": "third"})
        assert await credentials.token() == "third"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "a secret"}), "the issuer answers 401"),
        ((302, {}), "the issuer answers 302"),
        ((200, ["a secret"]), "the issuer's answer has no access_token"),
        ((200, {"access_token": 5}), "the issuer's answer has no access_token"),
    ],
)
async def test_no_token_is_said_without_the_issuers_words(answer: tuple[int, Any], said: str) -> None:
    issuer, app = Issuer(), web.Application()
    app.router.add_post("/", issuer.answers)
    issuer.answer = answer
    async with TestServer(app) as server:
        with pytest.raises(KafkaConnectionError, match=said) as failed:
            await ClientCredentials(str(server.make_url("/")), "connector", "a secret").token()
    assert "a secret" not in str(failed.value)


async def test_an_issuer_that_cannot_be_reached_is_an_outage() -> None:
    with pytest.raises(KafkaConnectionError, match="no token: ClientConnectorError"):
        await ClientCredentials("http://127.0.0.1:1/", "connector", "a secret").token()


async def test_msks_tokens_are_signed_for_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def signed(region: str) -> tuple[str, int]:
        made.append(region)
        return "signed", (1000 + 900) * 1000

    signer = SimpleNamespace(generate_auth_token=signed)
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", ModuleType("aws_msk_iam_sasl_signer"))
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer.MSKAuthTokenProvider", signer)
    clock = [0.0]
    provider = MskTokens("eu-central-1", lambda: clock[0], lambda: 1000.0)
    assert [await provider.token(), await provider.token()] == ["signed", "signed"]
    clock[0] = 841.0  # in the last minute
    await provider.token()
    assert made == ["eu-central-1", "eu-central-1"]
