"""A product asks whether credentials connect an account, before it writes them; and gets the record to write."""

from __future__ import annotations

from typing import Any

from shared.contract.accounts import AccountRecord
from tests.e2e.conftest import REPLICAS
from tests.e2e.providers import Connected
from tests.e2e.topics import SENT
from tests.e2e.world import WORKSPACE, ChannelUnderTest, World, number


def _asked(channel: ChannelUnderTest) -> tuple[dict[str, Any], Any]:
    """What a product sends about a new account of the provider, and the provider's handle of it."""
    serial = number()
    record, credentials, handle = channel.provider.open_account(serial)
    about = {"account_id": f"new_{serial}", "workspace_id": WORKSPACE, "channel": channel.name, **record}
    return {**about, "credentials": credentials}, handle


async def _check(channel: ChannelUnderTest, asked: dict[str, Any], status: int = 200) -> dict[str, Any]:
    url = f"{channel.service.balancer.url}/v1/accounts/check"
    async with channel.service.session.post(url, json=asked) as answered:
        assert answered.status == status, await answered.text()
        answer: dict[str, Any] = await answered.json()
        return answer


def _not_told(channel: ChannelUnderTest, credentials: dict[str, str]) -> bool:
    logs = "".join(replica.log_text() for replica in channel.service.replicas)
    return not any(secret in logs for secret in credentials.values() if len(secret) > 6)


async def test_what_is_asked_for_can_be_written_and_works(channel: ChannelUnderTest, world: World) -> None:
    asked, handle = _asked(channel)
    found = await _check(channel, {**asked, "seal": True})
    assert (found["ok"], found["missing"], found.get("error")) == (True, [], None)
    assert found["external_id"] == asked["external_id"]
    record = AccountRecord.model_validate(found["record"])
    assert not any(secret in record.to_json().decode() for secret in asked["credentials"].values())
    assert _not_told(channel, asked["credentials"])

    await world.apply(record)
    account = Connected(record, handle, asked["credentials"])
    await channel.service.everywhere(lambda url: channel._knows(url, account))
    await channel.provider.connect(account)
    person = await channel.person(account)
    assert {status["state"] for status in await channel.sends(person, "Connected")} <= SENT


async def test_what_the_provider_refuses_is_said_and_not_sealed(channel: ChannelUnderTest, world: World) -> None:
    asked, handle = _asked(channel)
    connected = Connected(AccountRecord.model_validate({**asked}), handle, asked["credentials"])
    channel.provider.revoke(connected)
    found = await _check(channel, {**asked, "seal": True})
    assert found["ok"] is False
    assert found["error"]["code"] == "account_reauth_required"
    assert "record" not in found
    assert _not_told(channel, asked["credentials"])


async def test_what_cannot_be_an_account_is_refused_by_its_field(channel: ChannelUnderTest, world: World) -> None:
    asked, _ = _asked(channel)
    typo = {**asked, "credentials": {**asked["credentials"], "tokken": "a-secret-value"}}
    refused = await _check(channel, typo, 400)
    assert refused["code"] == "invalid_account"
    assert "tokken" in refused["detail"] and "a-secret-value" not in refused["detail"]
    for broken in ({**asked, "channel": "other"}, {**asked, "workspace_id": ""}, {**asked, "credentials": "x"}):
        assert (await _check(channel, broken, 400))["code"] == "invalid_account"
    taken = await channel.account()
    refused = await _check(channel, {**asked, "external_id": taken.record.external_id}, 400)
    assert refused["code"] == "account_taken"


async def test_tiktoks_refresh_token_is_not_spent_by_a_check(world: World) -> None:
    channel = await world.channel("tiktok", REPLICAS)
    asked, _ = _asked(channel)
    refreshes = sum(call.endpoint == "refresh" for call in channel.provider.sim.platform.ledger.calls)
    old = {**asked["credentials"], "expires_at": "2026-01-01T00:00:00Z"}
    found = await _check(channel, {**asked, "credentials": old})
    assert (found["ok"], found["error"]["code"]) == (False, "account_reauth_required")
    assert sum(call.endpoint == "refresh" for call in channel.provider.sim.platform.ledger.calls) == refreshes
    assert (await _check(channel, asked))["ok"] is True


async def test_whatsapps_missing_subscription_is_told(world: World) -> None:
    channel = await world.channel("whatsapp", REPLICAS)
    asked, handle = _asked(channel)
    sim: Any = channel.provider.sim
    business = sim.world.accounts[sim.world.number(handle).waba_id]
    found = await _check(channel, {**asked, "parent_id": business.waba_id})
    assert (found["ok"], found["webhook_subscribed"], found["webhook"]) == (True, True, [])
    assert found["name"] == sim.world.number(handle).verified_name
    business.subscribed.clear()
    found = await _check(channel, {**asked, "parent_id": business.waba_id})
    assert (found["ok"], found["webhook_subscribed"]) == (True, False)
    assert "not subscribed" in found["webhook"][0]
