"""Keys fail closed: who cannot open the accounts says nothing of them, and what others have said wrongly is mended."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from sandbox.simulators.whatsapp.webhooks import sign
from shared.contract.accounts import AccountRecord
from shared.contract.events import HEALTH_TYPE
from shared.runtime.accounts.sealing import new_key, public_key, seal, seal_credentials
from tests.e2e.providers import NAMES, Connected, Person
from tests.e2e.replicas import Replica
from tests.e2e.topics import SENT, eventually
from tests.e2e.world import WORKSPACE, ChannelUnderTest, World, number


def replica(channel: ChannelUnderTest, world: World, **environment: str) -> Replica:
    """One more of a channel, not started and not behind the balancer."""
    name = f"{channel.name}-odd-{number()}"
    return Replica(channel.name, name, world.logs, {**channel.service.environment, **environment})


async def missing(channel: ChannelUnderTest, sick: Replica, name: str) -> list[str]:
    """What `/readyz` lists, once `name` is in it."""
    for _ in range(1500):
        try:
            answer = await channel.service.readyz(sick)
        except aiohttp.ClientError:
            answer = {}
        found = answer.get("missing", [])
        assert isinstance(found, list)
        if name in found and "kafka" not in found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} is not missing: {answer}, {sick.last_words()}")


def said_wrongly(world: World, account: Connected) -> list[str]:
    """Tombstones of its capabilities, and healths that say that the account is gone."""
    tombstones = ["tombstone" for seen in world.capabilities.of(account.id) if seen.record.value is None]
    gone = [seen.data["health"] for seen in world.health.of(account.id)]
    return tombstones + [health for health in gone if health in ("removed", "disconnected")]


# The runtime refuses all of this before it asks a channel, so that one of them shows it in every run.
@pytest.mark.parametrize(
    "channel",
    [name if name == "telegram" else pytest.param(name, marks=pytest.mark.chaos) for name in NAMES],
    indirect=True,
)
async def test_a_replica_with_a_wrong_key_takes_nothing_and_says_nothing(
    channel: ChannelUnderTest, world: World
) -> None:
    account = await channel.account()
    people = await channel.people(account, 4)
    sick = replica(channel, world, SEALING_KEY=new_key())
    await sick.start()
    try:
        assert {"sealing_key", "accepting"} <= set(await missing(channel, sick, "sealing_key"))
        path, headers = channel.provider.genuine(account, b"{}")
        url = f"{sick.url}/webhooks/{channel.name}{path}"
        async with channel.service.session.post(url, data=b"{}", headers=headers) as answer:
            assert answer.status == 503
        beside = [await channel.sends(person, f"Beside {number()}") for person in people]
        assert {status["state"] for (status,) in beside} <= SENT
        assert await sick.terminate() == 0
    finally:
        await sick.kill()
    assert said_wrongly(world, account) == []


async def test_what_a_sick_replica_has_said_wrongly_is_said_anew(channel: ChannelUnderTest, world: World) -> None:
    """A release that takes what it cannot open for gone says so at its start."""
    account = await channel.account()
    person = await channel.person(account)
    await eventually(lambda: world.capabilities.of(account.id), what="its capabilities")
    await world.produce(world.topics.account_health, account.id, HEALTH_TYPE, _removed(channel, account))
    await world.log.send(world.topics.capabilities, account.id.encode(), None)

    def mended() -> bool:
        capabilities, healths = world.capabilities.of(account.id)[-1:], world.health.of(account.id)[-1:]
        told = bool(capabilities) and capabilities[0].record.value is not None
        return told and bool(healths) and healths[0].data["health"] == "connected"

    tombstoned = len(world.capabilities.of(account.id))
    await eventually(lambda: len(world.capabilities.of(account.id)) > tombstoned or mended(), what="the tombstone")
    await eventually(mended, what=lambda: [seen.data for seen in world.health.of(account.id)])
    (sent,) = await channel.sends(person, "As if nothing had been")
    assert sent["state"] in SENT


def _removed(channel: ChannelUnderTest, account: Connected) -> dict[str, Any]:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    facts = {"channel": channel.name, "workspace_id": WORKSPACE, "account_id": account.id}
    return {**facts, "health": "removed", "occurred_at": at}


async def test_one_record_that_cannot_be_opened_holds_up_only_its_own_account(
    channel: ChannelUnderTest, world: World
) -> None:
    """Its commands wait, its messages wait, nothing is said of it; once it is mended, all of it goes on."""
    record, credentials, handle = channel.provider.open_account(number())
    fields = {"account_id": f"{channel.name[:2]}_{number()}", "workspace_id": WORKSPACE, "channel": channel.name}
    right = world.sealed({**fields, **record}, credentials)
    damaged = right.model_copy(update={"sealed": "v2:bm90IHNlYWxlZA=="})
    account = Connected(damaged, handle, credentials)
    neighbour = await channel.person(await channel.account())
    await world.apply(damaged)
    await eventually_sealed(channel)
    await channel.provider.connect(account)
    stranger = Person(account, channel.provider.newcomer(account, number()))
    text = f"Is anybody there? {number()}"
    await channel.provider.write(account, stranger.handle, text)
    early = await channel.command(
        Person(account, None, f"{channel.name}:{account.id}:1"), "message.cancel", cancel_command_id="none"
    )
    (unaffected,) = await channel.sends(neighbour, "Nobody waits for others")
    assert unaffected["state"] in SENT
    assert (await channel.service.readyz(channel.service.replicas[0]))["ready"] is True
    assert channel.statuses.by_command.get(early.id) is None
    assert (said_wrongly(world, account), world.capabilities.of(account.id)) == ([], [])

    await world.apply(right)
    (ended,) = await channel.statuses.end(early.id)
    assert ended["state"] == "done"
    seen = await eventually(
        lambda: next((s for s in channel.inbound.all if s.text == text), None), what="the stranger's message"
    )
    assert seen.data["account_id"] == account.id
    assert said_wrongly(world, account) == []


async def eventually_sealed(channel: ChannelUnderTest) -> None:
    """Every replica has heard of a record that it cannot open."""
    for one in channel.service.replicas:
        for _ in range(500):
            async with channel.service.session.get(f"{one.url}/metrics") as answer:
                if (
                    f'connector_account_records{{channel="{channel.name}",standing="sealed"}} 1.0'
                    in await answer.text()
                ):
                    break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError(f"{one.instance} has not heard of it")


def health_of(world: World, account_id: str) -> tuple[str, str | None] | None:
    """The last health of an account, with its code."""
    seen = world.health.of(account_id)
    return (seen[-1].data["health"], seen[-1].data.get("error", {}).get("code")) if seen else None


async def test_the_first_owner_of_an_external_id_keeps_it_until_it_goes(
    channel: ChannelUnderTest, world: World
) -> None:
    """Also when its record is written anew, which moves it behind the other's on the topic."""
    first = await channel.account()
    person = await channel.person(first)
    await eventually(lambda: world.capabilities.of(first.id), what="what the first can do")
    _, credentials, handle = channel.provider.open_account(number())
    fields = {"account_id": f"{channel.name[:2]}_{number()}", "workspace_id": "ws_thief", "channel": channel.name}
    second = Connected(
        world.sealed({**fields, "external_id": first.record.external_id}, credentials), handle, credentials
    )
    await world.apply(second.record)
    refused = ("disconnected", "account_taken")
    await eventually(lambda: health_of(world, second.id) == refused, what=lambda: world.health.of(second.id))
    await channel.change(first, display_name="Later on the topic now")
    text = f"For the first alone {number()}"
    await channel.write(person, text)
    await channel.inbound.one(person.conversation_id, lambda seen: seen.text == text)
    assert [seen.data["account_id"] for seen in channel.inbound.all if seen.text == text] == [first.id]
    assert [seen for seen in channel.inbound.all if seen.data.get("account_id") == second.id] == []
    path, headers = channel.provider.genuine(second, b"{}")
    if second.id in path:
        status, _ = await channel.service.post(f"/webhooks/{channel.name}{path}", data=b"{}", headers=headers)
        assert status in (401, 404)  # of an account that is not served nothing is known, not its secret either
    theirs = Person(second, None, f"{channel.name}:{second.id}:1")
    command = await channel.command(theirs, text="As the first", workspace_id="ws_thief")
    (rejected,) = await channel.statuses.end(command.id)
    assert (rejected["state"], rejected["error"]["code"]) == ("rejected", "account_disconnected")
    (sent,) = await channel.sends(person, "The first goes on")
    assert sent["state"] in SENT

    await world.remove(first)
    # The provider may say first that its credentials are another account's: then it is never called connected.
    await eventually(lambda: health_of(world, second.id) != refused, what=lambda: world.health.of(second.id))
    await eventually(lambda: world.capabilities.of(second.id), what="what the second can do")


async def test_another_accounts_sealed_text_is_refused(channel: ChannelUnderTest, world: World) -> None:
    """Whoever copies it cannot send as the victim. Text of the old form is read until it is applied again."""
    victim = await channel.account()
    copied = AccountRecord(
        account_id=f"{channel.name[:2]}_{number()}",
        workspace_id="ws_thief",
        channel=channel.name,
        sealed=victim.record.sealed,
    )
    await world.log.send(world.topics.accounts, copied.account_id.encode(), copied.to_json())
    refused = ("disconnected", "account_sealed")
    await eventually(lambda: health_of(world, copied.account_id) == refused, what="the thief's health")
    thief = Person(Connected(copied, None), None, f"{channel.name}:{copied.account_id}:1")
    command = await channel.command(thief, text="As the victim", workspace_id="ws_thief")
    (rejected,) = await channel.statuses.end(command.id)
    assert (rejected["state"], rejected["error"]["code"]) == ("rejected", "account_disconnected")
    assert world.capabilities.of(copied.account_id) == []

    old = victim.record.model_copy(update={"sealed": seal(victim.credentials, public_key(world.sealing_key))})
    await world.log.send(world.topics.accounts, victim.id.encode(), old.to_json())
    person = await channel.person(victim)
    (sent,) = await channel.sends(person, "Sealed the old way")
    assert sent["state"] in SENT
    again = seal_credentials(victim.credentials, victim.record, public_key(world.sealing_key))
    await world.apply(again)
    (sent,) = await channel.sends(person, "Sealed the new way")
    assert sent["state"] in SENT


async def test_nothing_starts_without_a_key(world: World) -> None:
    channel = await world.channel("whatsapp")
    said = json.loads(await channel.run("run", status=2, SEALING_KEY=""))
    assert (said["event"], said["variable"]) == ("setting_invalid", "SEALING_KEY")


async def test_one_app_does_not_speak_of_anothers_numbers(world: World) -> None:
    """A body that the secret of app A has proven is refused whole when it concerns a number of app B."""
    channel = await world.channel("whatsapp")
    apps = {"a": {"secret": "secret of a"}, "b": {"secret": "secret of b"}}
    ours = [await channel.account(connect=False, settings={"app": app}) for app in apps]
    unnamed = await channel.account(connect=False)
    odd = replica(channel, world, ROLES="ingress", WHATSAPP_APPS=json.dumps(apps))
    await odd.start()
    try:
        await odd.ready(channel.service.session)
        before = len(channel.raw.all)
        for app in apps:
            for account in (*ours, unnamed):
                about = account.record.external_id or ""
                value = {"metadata": {"phone_number_id": about}, "statuses": [{"id": f"wamid.{number()}"}]}
                entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
                body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
                headers = {"X-Hub-Signature-256": sign(apps[app]["secret"], body)}
                url = f"{odd.url}/webhooks/whatsapp/{app}"
                async with channel.service.session.post(url, data=body, headers=headers) as answer:
                    assert answer.status == (200 if account.record.settings.get("app") == app else 401)
        await eventually(lambda: len(channel.raw.all) >= before + len(apps), what="what each said of its own")
        said = [dict(seen.record.headers) for seen in channel.raw.all[before:]]
        assert {(h["app"].decode(), h["external_id"].decode()) for h in said} == {
            (account.record.settings["app"], account.record.external_id) for account in ours
        }
    finally:
        await odd.kill()
