"""Connections: kept, bounded, renewed; how an account logs in over them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from shared.channel import ProviderError
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.kit.grants import ProcessTokens
from tests.channels.email.scripted import CLOSE, ScriptedServer
from tests.channels.email.sending import Memory, account, call, channel, refused


async def test_mails_go_over_the_same_connection() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port)
        for number in range(5):
            await sender.perform(call(sender, owner, f"cmd_{number}"), owner, Memory({}))
    assert (len(server.received), server.connections) == (5, 1)


async def test_an_account_has_only_so_many_connections() -> None:
    async with ScriptedServer() as server, channel(connections=2) as sender:
        owner = account(server.port)
        sends = (sender.perform(call(sender, owner, f"cmd_{n}"), owner, Memory({})) for n in range(12))
        await asyncio.gather(*sends)
    assert (len(server.received), server.connections) == (12, 2)


async def test_a_connection_ends_after_so_many_mails() -> None:
    async with ScriptedServer() as server, channel(mails_per_connection=2) as sender:
        owner = account(server.port)
        for number in range(5):
            await sender.perform(call(sender, owner, f"cmd_{number}"), owner, Memory({}))
    assert (len(server.received), server.connections) == (5, 3)


async def test_a_connection_that_was_idle_is_asked_first() -> None:
    async with ScriptedServer({"NOOP": CLOSE}) as server, channel(idle_check=0.001) as sender:
        owner = account(server.port)
        for number in range(2):
            await sender.perform(call(sender, owner, f"cmd_{number}"), owner, Memory({}))
            await asyncio.sleep(0.01)
    assert (len(server.received), server.connections) == (2, 2)


@pytest.mark.parametrize("end", [CLOSE, "421 4.4.2 idle too long"])
async def test_a_connection_that_has_ended_meanwhile_costs_nothing(end: str) -> None:
    async with ScriptedServer({"MAIL": ["250 Ok", end]}) as server, channel() as sender:
        owner = account(server.port)
        for number in range(2):
            await sender.perform(call(sender, owner, f"cmd_{number}"), owner, Memory({}))
    assert (len(server.received), server.connections) == (2, 2)


async def test_another_password_gets_another_connection() -> None:
    async with ScriptedServer() as server, channel() as sender:
        for password in ("one", "two"):
            owner = account(server.port, {"password": password})
            await sender.perform(call(sender, owner), owner, Memory({}))
    logins = [command for command in server.commands if command.startswith("AUTH")]
    assert [base64.b64decode(login.split()[2]) for login in logins] == [
        b"\0support@acme.example\0one",
        b"\0support@acme.example\0two",
    ]


async def test_checking_the_way_reaches_nobody() -> None:
    async with ScriptedServer() as server, channel() as sender:
        await sender.check_sending(account(server.port))
    assert [command.split()[0] for command in server.commands][2:] == ["MAIL", "RSET", "QUIT"]


@pytest.mark.parametrize(
    ("extension", "expected"),
    [("AUTH PLAIN", "AUTH PLAIN"), ("AUTH LOGIN", "AUTH LOGIN"), ("AUTH CRAM-MD5 LOGIN PLAIN", "AUTH PLAIN")],
)
async def test_a_password_is_given_once_in_a_way_the_server_knows(extension: str, expected: str) -> None:
    refusal = {"AUTH": "535 5.7.8 no"}
    async with ScriptedServer(refusal, extensions=(extension,)) as server, channel() as sender:
        owner = account(server.port)
        failure = await refused(sender, call(sender, owner), owner)
    assert failure.code is ErrorCode.ACCOUNT_REAUTH_REQUIRED
    [login] = [command for command in server.commands if command.startswith("AUTH")]
    assert login.startswith(expected)


async def test_no_password_goes_over_an_open_connection_to_elsewhere() -> None:
    async with channel() as sender:
        owner = account(25, smtp={"host": "mail.acme.example", "security": "none"})
        failure = await refused(sender, call(sender, owner), owner)
    assert failure.code is ErrorCode.ACCOUNT_DISCONNECTED


async def test_a_server_without_starttls_gets_no_password() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port, smtp={"host": "127.0.0.1", "port": server.port, "security": "starttls"})
        failure = await refused(sender, call(sender, owner), owner)
    assert failure.code is ErrorCode.ACCOUNT_DISCONNECTED
    assert not any(command.startswith("AUTH") for command in server.commands)


@pytest.mark.parametrize("smtp", [None, {"host": "x y"}, {"host": "127.0.0.1", "port": 0}])
async def test_settings_that_do_not_suffice_pause_the_account(smtp: dict[str, Any] | None) -> None:
    async with channel() as sender:
        owner = account(25, smtp=smtp)
        failure = await refused(sender, call(sender, owner), owner)
        assert (failure.code, failure.health) == (ErrorCode.ACCOUNT_DISCONNECTED, Health.DISCONNECTED)
        assert (await sender.probe(owner)).health is Health.DISCONNECTED


# ------------------------------------------------------------------------------------------------------- tokens


class TokenServer:
    """Gives a new pair for each refresh token, once."""

    def __init__(self) -> None:
        self.good = "refresh-0"
        self.asked: list[dict[str, str]] = []
        self.answer: tuple[int, dict[str, Any]] | None = None

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        if self.answer is not None:
            return web.json_response(self.answer[1], status=self.answer[0])
        if form.get("grant_type") == "refresh_token" and form.get("refresh_token") != self.good:
            return web.json_response({"error": "invalid_grant"}, status=400)
        number = len(self.asked)
        self.good = f"refresh-{number}"
        return web.json_response({"access_token": f"access-{number}", "refresh_token": self.good, "expires_in": 3600})


@asynccontextmanager
async def token_server() -> AsyncIterator[tuple[TokenServer, str]]:
    tokens, app = TokenServer(), web.Application()
    app.router.add_post("/token", tokens.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield tokens, f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()


def by_token(url: str, **more: str) -> dict[str, str]:
    return {"token_url": url, "client_id": "app", "refresh_token": "refresh-0", "scopes": "smtp offline", **more}


def said(server: ScriptedServer) -> list[bytes]:
    return [base64.b64decode(command.split()[2]) for command in server.commands if command.startswith("AUTH")]


async def test_an_account_logs_in_by_token_and_keeps_each_new_one() -> None:
    async with token_server() as (tokens, url), ScriptedServer() as server:
        store = ProcessTokens()
        for _ in range(2):  # the second process finds what the first one has kept
            async with channel() as sender:
                sender.use_tokens(store)
                owner = account(server.port, by_token(url))
                await sender.perform(call(sender, owner), owner, Memory({}))
    assert len(tokens.asked) == 1
    assert tokens.asked[0] == {
        "client_id": "app", "scope": "smtp offline", "grant_type": "refresh_token", "refresh_token": "refresh-0"
    }  # fmt: skip
    assert said(server) == [b"user=support@acme.example\x01auth=Bearer access-1\x01\x01"] * 2


async def test_a_token_that_is_refused_is_refreshed_once() -> None:
    async with token_server() as (tokens, url), channel() as sender:
        async with ScriptedServer({"AUTH": ["535 5.7.8 expired", "235 ok"]}) as server:
            owner = account(server.port, by_token(url))
            await sender.perform(call(sender, owner), owner, Memory({}))
            assert len(server.received) == 1
        async with ScriptedServer({"AUTH": "535 5.7.8 no"}) as server:
            owner = account(server.port, by_token(url))
            failure = await refused(sender, call(sender, owner, "cmd_2"), owner)
            assert failure.code is ErrorCode.ACCOUNT_REAUTH_REQUIRED
            assert len(said(server)) == 2
    assert [form["refresh_token"] for form in tokens.asked] == ["refresh-0", "refresh-1", "refresh-2"]


async def test_a_server_with_oauthbearer_only() -> None:
    oauthbearer = ScriptedServer(extensions=("AUTH OAUTHBEARER",))
    async with token_server() as (_, url), channel() as sender, oauthbearer as server:
        owner = account(server.port, by_token(url))
        await sender.perform(call(sender, owner), owner, Memory({}))
    [login] = said(server)
    assert login.startswith(b"n,a=support@acme.example,\x01host=127.0.0.1\x01port=")
    assert login.endswith(b"\x01auth=Bearer access-1\x01\x01")


async def test_a_refused_refresh_token_asks_for_the_owner() -> None:
    async with token_server() as (tokens, url), ScriptedServer() as server, channel() as sender:
        tokens.good = "another"
        owner = account(server.port, by_token(url))
        failure = await refused(sender, call(sender, owner), owner)
        assert (failure.code, failure.health) == (ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED)
        assert (await sender.probe(owner)).health is Health.REAUTH_REQUIRED
        assert "refresh-0" not in repr(failure)


@pytest.mark.parametrize("answer", [(500, {}), (503, {"error": "temporarily_unavailable"}), (200, {}), (302, {})])
async def test_a_token_server_in_trouble_is_an_outage(answer: tuple[int, dict[str, Any]]) -> None:
    async with token_server() as (tokens, url), ScriptedServer() as server, channel() as sender:
        tokens.answer = answer
        owner = account(server.port, by_token(url))
        failure = await refused(sender, call(sender, owner), owner)
    assert (failure.code, failure.health, failure.certain) == (ErrorCode.PROVIDER_UNAVAILABLE, None, True)


async def test_an_application_acts_for_itself_without_a_refresh_token() -> None:
    async with token_server() as (tokens, url), ScriptedServer() as server, channel() as sender:
        owner = account(server.port, {"token_url": url, "client_id": "app", "client_secret": "s"})
        await sender.perform(call(sender, owner), owner, Memory({}))
    assert tokens.asked[0]["grant_type"] == "client_credentials"


@pytest.mark.parametrize("url", ["http://tokens.example/token", "ftp://127.0.0.1/", "not an address"])
async def test_a_refresh_token_goes_over_https_only(url: str) -> None:
    async with channel() as sender:
        owner = account(25, by_token(url))
        failure = await refused(sender, call(sender, owner), owner)
    assert failure.code is ErrorCode.ACCOUNT_DISCONNECTED


async def test_many_sends_refresh_once() -> None:
    async with token_server() as (tokens, url), ScriptedServer() as server, channel() as sender:
        owner = account(server.port, by_token(url))
        await asyncio.gather(*(sender.perform(call(sender, owner, f"cmd_{n}"), owner, Memory({})) for n in range(10)))
    assert len(tokens.asked) == 1
    assert len(server.received) == 10


async def test_where_nothing_shows_what_was_sent_nothing_is_claimed() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port)
        with pytest.raises(ProviderError):
            await sender.find_sent(call(sender, owner), owner, sender._now())
