"""Consent, exchange, rotation, expiry, revocation, and the webhook configuration of the app."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from tests.sandbox.tiktok.conftest import BUSINESS, Client

REDIRECT = "https://connect.example.com/tiktok/"
CLIENT = {"client_id": "7611000000000000001", "client_secret": "app_secret_value"}
APP = {"app_id": "7611000000000000001", "secret": "app_secret_value", "event_type": "DIRECT_MESSAGE"}
YEAR = 31_536_000


async def exchange(client: Client, code: str, redirect: str = REDIRECT) -> dict[str, Any]:
    body = {**CLIENT, "grant_type": "authorization_code", "auth_code": code, "redirect_uri": redirect}
    return await client.post("/tt_user/oauth2/token/", body, auth=False)


async def refresh(client: Client, token: str) -> dict[str, Any]:
    body = {**CLIENT, "grant_type": "refresh_token", "refresh_token": token}
    return await client.post("/tt_user/oauth2/refresh_token/", body, auth=False)


async def consent(client: Client, **changes: str) -> tuple[int, str]:
    query = {
        "client_key": CLIENT["client_id"],
        "response_type": "code",
        "scope": "message.list.read,message.list.send,user.info.basic",
        "redirect_uri": REDIRECT,
        "state": "s1",
        "disable_auto_auth": "1",
        **changes,
    }
    url = client.base_url + "/v2/auth/authorize/"
    async with client.session.get(url, params=query, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location", "")


async def test_consent_gives_a_code_good_for_one_exchange(client: Client) -> None:
    status, location = await consent(client)
    assert status == 302
    assert location.startswith(REDIRECT)
    query = parse_qs(urlsplit(location).query)
    assert query["state"] == ["s1"]
    first = await exchange(client, query["code"][0])
    assert first["code"] == 0
    assert first["data"]["open_id"] == BUSINESS
    assert first["data"]["expires_in"] == 86_400
    assert first["data"]["refresh_token_expires_in"] == YEAR
    assert first["data"]["scope"] == "message.list.read,message.list.send,user.info.basic"
    assert (await exchange(client, query["code"][0]))["code"] == 40002


async def test_an_auth_code_lives_ten_minutes_and_is_bound_to_its_redirect(
    sim: TikTokSimulator, client: Client, clock: Clock
) -> None:
    tokens = sim.platform.tokens
    code = tokens.consent(BUSINESS, redirect_uri=REDIRECT)
    assert (await exchange(client, code, "https://elsewhere.example.com/"))["code"] == 40002
    late = tokens.consent(BUSINESS)
    clock.advance(600)
    assert (await exchange(client, late))["code"] == 40002


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://connect.example.com/tiktok/"},
        {"redirect_uri": "https://connect.example.com/tiktok"},
        {"redirect_uri": "https://connect.example.com:8443/tiktok/"},
        {"redirect_uri": "https://connect.example.com/tiktok/?a=1"},
        {"scope": "message.list.read,video.publish"},
        {"client_key": "1"},
        {"response_type": "token"},
        {"prompt": "login"},
    ],
)
async def test_a_broken_authorize_request_is_a_violation(
    sim: TikTokSimulator, client: Client, changes: dict[str, str]
) -> None:
    assert (await consent(client, **changes))[0] == 400
    assert len(sim.violations) == 1


async def test_the_owner_may_grant_less_than_asked(client: Client) -> None:
    await client.control("consent", {"account": BUSINESS, "scope": ["message.list.read"]})
    _, location = await consent(client)
    answer = await exchange(client, parse_qs(urlsplit(location).query)["code"][0])
    assert answer["data"]["scope"] == "message.list.read"
    client.token = answer["data"]["access_token"]
    assert (await client.get("/business/get/", business_id=BUSINESS))["code"] == 40001


async def test_refreshing_rotates_and_does_not_restart_the_year(
    sim: TikTokSimulator, client: Client, clock: Clock
) -> None:
    first = sim.platform.tokens.issue(BUSINESS)
    clock.advance(30 * 86_400)
    second = (await refresh(client, first.refresh_token))["data"]
    assert second["refresh_token"] != first.refresh_token
    assert second["refresh_token_expires_in"] == YEAR - 30 * 86_400
    reused = await refresh(client, first.refresh_token)
    assert reused["code"] == 40105
    assert sim.platform.tokens.refreshes[BUSINESS] == 1
    clock.advance(YEAR)
    assert (await refresh(client, second["refresh_token"]))["code"] == 40103


async def test_access_tokens_expire_and_invalid_ones_are_told_apart(
    sim: TikTokSimulator, client: Client, clock: Clock
) -> None:
    assert (await client.get("/business/get/", business_id=BUSINESS))["code"] == 0
    clock.advance(86_400)
    assert (await client.get("/business/get/", business_id=BUSINESS))["code"] == 40102
    client.token = "act.invented"
    assert (await client.get("/business/get/", business_id=BUSINESS))["code"] == 40105
    assert sim.violations == []


@pytest.mark.parametrize(("ends", "code"), [(False, 0), (True, 40105)])
async def test_whether_the_old_access_token_survives_a_refresh_is_an_option(
    sim: TikTokSimulator, client: Client, ends: bool, code: int
) -> None:
    sim.options.refresh_ends_old_access = ends
    pair = sim.platform.tokens.issue(BUSINESS)
    client.token = pair.access_token
    await refresh(client, pair.refresh_token)
    assert (await client.get("/business/get/", business_id=BUSINESS))["code"] == code


async def test_revoking_ends_the_whole_grant(sim: TikTokSimulator, client: Client) -> None:
    pair = sim.platform.tokens.issue(BUSINESS)
    info = {"app_id": CLIENT["client_id"], "access_token": pair.access_token}
    assert (await client.post("/tt_user/token_info/get/", info, auth=False))["data"]["creator_id"] == BUSINESS
    body = {**CLIENT, "access_token": pair.access_token}
    assert (await client.post("/tt_user/oauth2/revoke/", body, auth=False))["data"] == {}
    assert (await client.post("/tt_user/token_info/get/", info, auth=False))["code"] == 40105
    assert (await refresh(client, pair.refresh_token))["code"] == 40105


async def test_a_token_opens_its_own_account_only(sim: TikTokSimulator, client: Client) -> None:
    sim.add_account("-0bOther", "other")
    assert (await client.get("/business/get/", business_id="-0bOther"))["code"] == 40001


async def test_webhook_configuration(client: Client) -> None:
    listed = await client.get("/business/webhook/list/", auth=False, **APP)
    assert "callback_url" not in listed["data"]
    url = "https://connect.example.com/webhooks/tiktok"
    await client.post("/business/webhook/update/", {**APP, "callback_url": url}, auth=False)
    listed = await client.get("/business/webhook/list/", auth=False, **APP)
    assert listed["data"]["callback_url"] == url
    await client.post("/business/webhook/delete/", APP, auth=False)
    listed = await client.get("/business/webhook/list/", auth=False, **APP)
    assert "callback_url" not in listed["data"]
    wrong = await client.get("/business/webhook/list/", auth=False, **{**APP, "secret": "guess"})
    assert wrong["code"] == 40001


async def test_recorded_calls_hold_no_secret(sim: TikTokSimulator, client: Client) -> None:
    pair = sim.platform.tokens.issue(BUSINESS)
    await refresh(client, pair.refresh_token)
    await client.get("/business/webhook/list/", auth=False, **APP)
    kept = repr(sim.platform.ledger.calls)
    assert CLIENT["client_secret"] not in kept
    assert pair.refresh_token not in kept
