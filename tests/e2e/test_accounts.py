"""Accounts come, change and go while the replicas run; what is wrong with a request or a command is answered."""

from __future__ import annotations

from typing import Any

import pytest

from shared.channel import Parses
from tests.channels import goldens
from tests.e2e.conftest import REPLICAS
from tests.e2e.providers import Person
from tests.e2e.topics import SENT, Seen, eventually
from tests.e2e.world import ChannelUnderTest, World, number


async def test_an_account_is_removed_and_comes_back_without_a_restart(channel: ChannelUnderTest, world: World) -> None:
    account = await channel.account()
    person = await channel.person(account)
    await channel.sends(person, "While it is there")
    await world.remove(account)
    refused = await _first_news(channel, person, rejected=True)
    assert refused["error"]["code"] == "account_disconnected"
    await world.apply(account.record)
    accepted = await _first_news(channel, person, rejected=False)
    (sent,) = await channel.statuses.end(accepted["command_id"])
    assert sent["state"] in SENT


async def _first_news(channel: ChannelUnderTest, person: Person, *, rejected: bool) -> dict[str, Any]:
    """Replicas hear of a change one by one: send until the first status of a command is a rejection, or none.

    Only the first, because of a message accepted for an account that goes nothing more may be heard.
    """
    for _ in range(200):
        statuses = channel.statuses.by_command[(await channel.command(person, text=f"Now? {number()}")).id]
        first = await eventually(lambda told=statuses: next(iter(told), None), what="a status")
        if (first["state"] == "rejected") is rejected:
            return first
    raise AssertionError("the replicas never heard of the change")


async def test_a_webhook_with_a_wrong_proof_is_refused(channel: ChannelUnderTest, world: World) -> None:
    account = await channel.account()
    before = len(channel.raw.all)
    _, body, headers = channel.provider.forged()
    path, _ = channel.provider.genuine(account, body)
    status, answer = await channel.service.post(f"/webhooks/{channel.name}{path}", data=body, headers=headers)
    assert (status, answer) == (401, b"")
    unsigned, _ = await channel.service.post(f"/webhooks/{channel.name}{path}", data=body)
    assert unsigned == 401
    person = await channel.person(account)  # two genuine ones, and nothing else
    await eventually(lambda: len(channel.raw.all) >= before + 2, what="the genuine ones")
    assert len(channel.raw.all) == before + 2
    assert person.conversation_id


async def test_a_webhook_for_nobody_is_not_told_from_any_other(channel: ChannelUnderTest, world: World) -> None:
    status, answer = await channel.service.post(f"/webhooks/{channel.name}/nobody-here", data=b"{}")
    assert (status, answer) in ((401, b""), (404, b""))


async def test_a_body_too_large_is_refused(channel: ChannelUnderTest, world: World) -> None:
    account = await channel.account()
    body = b"x" * (5 * 1024 * 1024)
    path, headers = channel.provider.genuine(account, body)
    status, _ = await channel.service.post(f"/webhooks/{channel.name}{path}", data=body, headers=headers)
    assert status == 413


async def test_garbage_is_kept(channel: ChannelUnderTest, world: World) -> None:
    garbage = await _post_garbage(channel)
    if isinstance(goldens.channel(channel.name), Parses):  # anything is a mail, and shown as one
        await eventually(
            lambda: [seen for seen in channel.inbound.all if garbage.decode() in seen.text], what="the mail"
        )
        return
    letter = await eventually(lambda: _letters(channel, garbage), what="the dead letter")
    assert dict(letter[0].record.headers)["dl_code"] == b"unreadable"


async def test_what_still_cannot_be_read_stays_where_it_is(world: World) -> None:
    channel = await world.channel("whatsapp", REPLICAS)
    garbage = await _post_garbage(channel)
    await eventually(lambda: _letters(channel, garbage), what="the dead letter")
    for _ in range(2):
        assert int((await channel.run("redrive")).rpartition("still unreadable: ")[2]) >= 1
    assert len(_letters(channel, garbage)) == 1


async def _post_garbage(channel: ChannelUnderTest) -> bytes:
    account = await channel.account()
    garbage = f"no JSON, number {number()}".encode()
    path, headers = channel.provider.genuine(account, garbage)
    status, _ = await channel.service.post(f"/webhooks/{channel.name}{path}", data=garbage, headers=headers)
    assert status == 200
    return garbage


def _letters(channel: ChannelUnderTest, value: bytes) -> list[Seen]:
    return [seen for seen in channel.dead.all if seen.record.value == value]


@pytest.mark.parametrize("value", [b"\xff\xfe no JSON", b"[1, 2]", b'{"content": {}}'])
async def test_what_names_no_command_is_a_dead_letter(channel: ChannelUnderTest, world: World, value: bytes) -> None:
    key = f"{channel.name}:nobody:{number()}"
    stored = await world.produce(world.topics.outbound(channel.name), key, "message.send", value)
    letter = await channel.dead.one(key, lambda s: s.record.value == value)
    assert dict(letter.record.headers)["dl_offset"] == b"%d" % stored.offset


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("message.juggle", {"text": "x"}, "invalid_command"),
        ("message.send", {"content": {"kind": "hologram"}}, "invalid_command"),
        ("message.send", {"text": "between us", "visibility": "internal"}, "not_sendable"),
        ("message.send", {"text": "x", "workspace_id": "ws_of_others"}, "invalid_command"),
    ],
)
async def test_a_command_that_cannot_be_one_is_rejected(
    channel: ChannelUnderTest, world: World, kind: str, fields: dict[str, object], code: str
) -> None:
    person = await channel.person(await channel.account())
    command = await channel.command(person, kind, **fields)
    (status,) = await channel.statuses.end(command.id)
    assert (status["state"], status["error"]["code"]) == ("rejected", code)
    assert channel.texts(person) == []


async def test_commands_can_be_cancelled_and_expire(channel: ChannelUnderTest, world: World) -> None:
    person = await channel.person(await channel.account())
    late = await channel.command(person, text="Too late", not_after="2026-01-01T00:00:00.000Z")
    (expired,) = await channel.statuses.end(late.id)
    assert (expired["state"], expired["error"]["code"]) == ("expired", "expired")
    early = await channel.command(person, text="Not yet", not_before="2099-01-01T00:00:00.000Z")
    await channel.statuses.state(early.id, "deferred")
    await channel.command(person, "message.cancel", cancel_command_id=early.id)
    (cancelled,) = await channel.statuses.end(early.id)
    assert cancelled["state"] == "cancelled"
    assert channel.texts(person) == []
