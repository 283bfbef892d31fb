"""Row 21, by what a code answers: what means the account waits, what means one message ends only that one."""

from __future__ import annotations

import pytest

from tests.e2e.topics import eventually
from tests.e2e.world import WORKSPACE
from tests.requirements.inside import Channel, opened

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_number_that_the_token_no_longer_sees_waits_and_fails_nothing() -> None:
    """Meta's code 100 with subcode 33 names our number, not the message; the probe reads the same table."""
    async with opened() as world:
        whatsapp = await world.channel("whatsapp", DELIVER_PROBE_EVERY="0.2")
        account = await whatsapp.account()
        person = await whatsapp.person(account)
        await world.healthy(account, "connected")
        tokens, token = whatsapp.provider.sim.world.tokens, account.credentials["access_token"]
        granted, tokens[token] = tokens[token], frozenset({"another-business"})
        commands = [await whatsapp.command(person, text=f"text {n}") for n in range(5)]
        record = await world.healthy(account, "disconnected")
        assert record["error"]["code"] == "account_disconnected"
        for command in commands:
            await whatsapp.statuses.state(command.id, "deferred")
        assert all(whatsapp.statuses.ended(command.id) is None for command in commands)
        tokens[token] = granted
        ends = [await whatsapp.statuses.end(command.id, 20) for command in commands]
        assert all(status["state"] != "failed" for statuses in ends for status in statuses)
        assert whatsapp.texts(person) == [command.text for command in commands]


async def test_a_probe_alone_notices_that_the_number_is_gone_and_back() -> None:
    async with opened() as world:
        whatsapp = await world.channel("whatsapp", DELIVER_PROBE_EVERY="0.1")
        account = await whatsapp.account()
        await world.healthy(account, "connected")
        tokens, token = whatsapp.provider.sim.world.tokens, account.credentials["access_token"]
        granted, tokens[token] = tokens[token], frozenset({"another-business"})
        record = await world.healthy(account, "disconnected")
        assert record["error"]["code"] == "account_disconnected"
        tokens[token] = granted
        await eventually(lambda: world.health.of(account.id)[-1].data["health"] == "connected")
        assert whatsapp.asked(account) == []


async def test_an_upload_that_meta_does_not_take_is_a_file_of_another_type(whatsapp: Channel) -> None:
    """Code 100 of an upload is about the file; the same code of a text is about its content."""
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    where = {"phone_number_id": account.handle, "call": "upload"}
    whatsapp.provider.fail_sends("error", code=100, where=where)
    blob = await whatsapp.world.blobs.put_content(f"{WORKSPACE}/files", b"neither fish nor fowl")
    file = {"blob": blob, "kind": "document", "mime_type": "text/plain", "filename": "a.txt"}
    command = await whatsapp.command(person, content={"kind": "media", "attachments": [file]})
    (status,) = await whatsapp.statuses.end(command.id)
    assert (status["state"], status["error"]["code"]) == ("failed", "file_type_unsupported")


@pytest.mark.parametrize("code", [131008, 131009])
async def test_a_wrong_parameter_of_a_template_is_the_templates(whatsapp: Channel, code: int) -> None:
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    where = {"phone_number_id": account.handle}
    whatsapp.provider.fail_sends("error", code=code, where=where)
    template = {"kind": "template", "name": "order_update", "language": "en"}
    ends = []
    for content in (template, {"kind": "text", "text": "not a template"}):
        command = await whatsapp.command(person, content=content)
        (status,) = await whatsapp.statuses.end(command.id)
        ends.append((status["state"], status["error"]["code"]))
    assert ends == [("failed", "template_invalid"), ("failed", "content_rejected")]


@pytest.mark.parametrize(("code", "expected"), [(131036, "undelivered"), (888999, "undelivered")])
async def test_a_status_that_nobody_knows_is_not_the_contents_fault(
    whatsapp: Channel, code: int, expected: str
) -> None:
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    whatsapp.provider.sim.faults.add("error", code=code, where={"call": "status"})
    command = await whatsapp.command(person, text="on its way")
    status = await whatsapp.statuses.state(command.id, "failed", 10)
    assert (status["error"]["code"], status["error"]["class"]) == (expected, "recipient")
