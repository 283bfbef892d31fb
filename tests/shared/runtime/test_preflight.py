"""What would become of a command: the same judgement and the same plan as delivery, with nothing sent."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator

from shared.channel import Failure, HealthChange
from shared.contract import openapi
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from shared.media.blobs import BlobsUnavailable
from shared.runtime.http.bodies import Bodies
from shared.runtime.outbound.printed import printable_calls
from shared.runtime.settings import HttpSettings
from shared.runtime.tools import offline
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import WINDOW, PlainChannel, VaryingChannel, item
from tests.shared.runtime.world import ACCOUNT, CONVERSATION, Away, World, soon

QUOTA = WINDOW.model_copy(update={"quota": 3, "templates_outside": True})
TEMPLATE = {"kind": "template", "name": "t", "language": "en"}


def _published_answers() -> dict[int, Draft202012Validator]:
    """By status: what the OpenAPI document says of the answer."""
    document = openapi.document()
    responses = document["paths"]["/v1/preflight"]["post"]["responses"]
    return {
        int(status): Draft202012Validator({**document, **response["content"]["application/json"]["schema"]})
        for status, response in responses.items()
        if "content" in response
    }


PUBLISHED_ANSWER = _published_answers()


class Asked:
    """A service's preflight, asked over HTTP."""

    def __init__(self, world: World, client: TestClient[Any, Any]) -> None:
        self._world = world
        self._client = client

    async def about(self, kind: str = "message.send", **data: Any) -> dict[str, Any]:
        record = await self._world.command(kind, **data)
        return await self.document({"type": kind, "data": orjson.loads(record.value or b"")})

    async def document(self, document: Any, status: int = 200) -> dict[str, Any]:
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        answer = await self._client.post("/v1/preflight", data=body)
        assert answer.status == status
        found: dict[str, Any] = await answer.json()
        assert list(PUBLISHED_ANSWER[status].iter_errors(found)) == []
        return found


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(PlainChannel(windows=(QUOTA,)))


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[Asked]:
    app = web.Application()
    app.add_routes(world.process.delivering.routes(Bodies(HttpSettings())))
    async with TestClient(TestServer(app)) as client:
        yield Asked(world, client)


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asked]:
    async with asking(world) as asked:
        yield asked


async def test_a_command_is_planned_and_nothing_is_sent(world: World, ask: Asked) -> None:
    answer = await ask.about(text="one|two")
    assert (answer["accepted"], answer["parts"], answer["conversation_id"]) == (True, 2, CONVERSATION)
    assert [call["params"]["text"] for call in answer["calls"]] == ["one", "two"]
    assert [warning["code"] for warning in answer["warnings"]] == ["text_split"]
    assert world.provider.asked == []
    assert await world.statuses() == []
    assert (await world.store.open(CONVERSATION, "cmd_1")).ledger == {}


async def test_a_cloud_event_and_bare_data_are_taken_too(ask: Asked) -> None:
    data = {"command_id": "c", "workspace_id": "ws_1", "account_id": "acc_1", "conversation_id": CONVERSATION}
    data["content"] = {"kind": "text", "text": "hi"}  # type: ignore[assignment]
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "channels.message.send.v1", "data": data}
    for document in (event, data, {"type": "message.send", "data": data}):
        assert (await ask.document(document))["accepted"] is True


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"7"])
async def test_what_is_no_object(ask: Asked, body: bytes) -> None:
    assert (await ask.document(body, 400))["refused"]["code"] == "invalid_command"


@pytest.mark.parametrize("document", [{}, {"type": 7, "data": {}}, {"type": "x", "data": {}}, {"data": [1]}])
async def test_what_is_no_command(ask: Asked, document: Any) -> None:
    assert (await ask.document(document))["refused"]["code"] == "invalid_command"


async def test_the_quota_is_looked_at_and_not_touched(world: World, ask: Asked) -> None:
    await world.receive(item())
    for _ in range(5):
        assert (await ask.about(text="1|2|3"))["accepted"] is True
    refused = (await ask.about(text="1|2|3|4"))["refused"]
    assert (refused["code"], refused["limit"], refused["actual"]) == ("quota_exhausted", 3, 0)


async def test_a_paused_account_is_said_to_wait(world: World, ask: Asked) -> None:
    account = world.accounts.get("acc_1")
    assert account is not None
    await world.process.health.learn(account, HealthChange(Health.REAUTH_REQUIRED))
    assert (await ask.about())["waits_for"] == "account_reauth_required"


async def test_a_command_that_is_only_asked_about_needs_no_id(world: World, ask: Asked) -> None:
    await world.receive(item())
    data = {"workspace_id": "ws_1", "account_id": "acc_1", "conversation_id": CONVERSATION}
    answer = await ask.document({"data": data | {"content": {"kind": "text", "text": "Hello"}}})
    assert answer["accepted"], answer


async def test_nothing_is_sent_again_of_what_nobody_knows(world: World, ask: Asked) -> None:
    await world.receive(item())
    answer = await ask.about("message.resend", resend_command_id="never")
    assert (answer["refused"]["code"], answer["refused"]["field"]) == ("message_unknown", "resend_command_id")
    world.provider.script["doubtful"].append(Failure(ErrorCode.UNCERTAIN, certain=False))
    await world.handle(await world.command(command_id="doubtful", text="doubtful"))
    assert (await ask.about("message.resend", resend_command_id="doubtful"))["accepted"]


async def test_a_large_command_is_planned_beside_the_event_loop(
    world: World, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned_by: list[bool] = []
    plan = world.channel.plan

    def noting(*arguments: Any) -> Any:
        planned_by.append(threading.current_thread() is threading.main_thread())
        return plan(*arguments)

    monkeypatch.setattr(world.channel, "plan", noting)
    for text in ("small", "large" * 40_000):
        await ask.about(text=text)
        await world.handle(await world.command(text=text))
    assert planned_by == [True, True, False, False]


async def test_what_has_expired(world: World, ask: Asked) -> None:
    assert (await ask.about(not_after=soon(world.clock, -1)))["refused"]["code"] == "expired"


@pytest.mark.parametrize(
    ("kind", "data"),
    [("message.cancel", {"cancel_conversation": True}), ("contact.block", {}), ("typing.stop", {})],
)
async def test_what_needs_no_provider_is_accepted(world: World, ask: Asked, kind: str, data: dict[str, Any]) -> None:
    await world.receive(item(address={"unblockable": "1"}))
    answer = await ask.about(kind, **data)
    assert (answer["accepted"], answer["calls"]) == (True, [])


async def test_a_cancel_of_what_nobody_knows_is_taken_as_by_delivery(world: World, ask: Asked) -> None:
    """It may have overtaken its command, which is never carried out then."""
    await world.receive(item())
    answer = await ask.about("message.cancel", cancel_command_id="later")
    assert (answer["accepted"], answer["calls"], answer["warnings"]) == (True, [], [])
    await world.handle(await world.command("message.cancel", command_id="cancel", cancel_command_id="later"))
    (done,) = await world.statuses("cancel")
    assert (done["state"], done["count"]) == ("done", 0)
    await world.handle(await world.command(command_id="later", text="too late"))
    assert [status["state"] for status in await world.statuses("later")] == ["cancelled"]
    assert world.provider.asked == []


async def test_without_state_or_blobs_nothing_is_guessed(
    world: World, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: str) -> int:
        raise BlobsUnavailable

    monkeypatch.setattr(world.blobs, "stat", away)
    data = {"content": {"kind": "media", "attachments": [{"blob": "ws_1/b"}]}}
    record = await world.command(**data)
    document = {"type": "message.send", "data": orjson.loads(record.value or b"")}
    assert await ask.document(document, 503) == {"unavailable": "blobs"}
    with monkeypatch.context() as patch:
        patch.setattr(world.client, "_connection", Away())
        assert await ask.document(document, 503) == {"unavailable": "state"}


# ------------------------------------------------------------------------------- preflight equals what is then sent


def some_command(chance: random.Random, blobs: list[str]) -> tuple[str, dict[str, Any]]:
    kind = chance.choice(["message.send"] * 8 + ["message.edit", "message.delete", "reaction.set", "conversation.mark_read", "contact.block", "contact.unblock"])  # fmt: skip # noqa: E501
    data: dict[str, Any] = {"conversation_id": f"plain:acc_1:{chance.randrange(6)}"}
    if chance.random() < 0.05:
        data["conversation_id"] = chance.choice(["plain:acc_2:p", "odd", f"plain:acc_9:{1}"])
    if chance.random() < 0.05:
        data["workspace_id"] = "ws_2"
    known = chance.choice(["known", "unknown", "given", None])
    if kind == "message.send":
        files = [{"blob": chance.choice(blobs)} for _ in range(chance.randrange(1, 4))]
        data["content"] = chance.choice(
            [
                {"kind": "text", "text": "|".join("part" for _ in range(chance.randrange(1, 5)))},
                {"kind": "text", "text": f"refuse:{chance.choice(['text_too_long', 'content_rejected'])}"},
                TEMPLATE | {"category": chance.choice([None, "utility"])},
                {"kind": "media", "text": chance.choice(["file", "album"]), "attachments": files},
                {"kind": "interactive", "interactive": chance.choice(["buttons", "flow"]), "text": "?"},
                {"kind": "nonsense"},
            ]
        )
        if known:
            data["reply_to"] = {"provider_message_id": "x"} if known == "given" else {"message_id": known}
            data["reply_policy"] = chance.choice(["degrade", "strict"])
    if kind in ("message.edit", "message.delete", "reaction.set"):
        data["message_id"] = "m"
        if known == "given":
            data["provider_message_id"] = "x"
    if kind == "message.edit":
        data["content"] = {"kind": "text", "text": "new"}
    return kind, data


async def some_event(chance: random.Random, world: World) -> None:
    """Something happens between commands: time, messages, refusals, choices of the contact."""
    peer = str(chance.randrange(6))
    match chance.randrange(7):
        case 0:
            world.clock.advance(chance.choice([1, 600, 30_000, 90_000]))
        case 1 | 2:
            await world.receive(item(id=str(chance.random()), peer=peer))
        case 3:
            await world.receive(item(chance.choice(["blocked", "unblocked"]), id=str(chance.random()), peer=peer))
        case 4:
            choice = chance.choice(["opted_in", "opted_out"])
            await world.receive(item("consent", id=str(chance.random()), peer=peer, consent=choice))
        case 5:
            await world.store.note(f"plain:acc_1:{peer}", {"closed_by_provider": chance.choice("01")})


async def test_what_preflight_says_is_what_is_then_sent(world: World, ask: Asked) -> None:
    chance = random.Random(7)
    await world.blob(b"somebody else's", key="ws_2/b/1")
    there = [await world.blob(b"text", key="ws_1/b/1"), await world.blob(b"MZ\x90\x00 program", key="ws_1/b/2")]
    blobs = [*there, "ws_1/b/gone", "ws_2/b/1"]
    answers: Counter[str] = Counter()
    for turn in range(1000):
        if chance.random() < 0.5:
            await some_event(chance, world)
        kind, data = some_command(chance, blobs)
        record = await world.command(kind, command_id=f"r{turn}", **data)
        said = await ask.document({"type": kind, "data": orjson.loads(record.value or b"")})
        before = len(world.provider.made)
        await world.handle(record)
        made = world.provider.made[before:]
        statuses = await world.statuses(f"r{turn}")
        if said["accepted"]:
            planned = [(call["method"], call["params"], call.get("parts")) for call in said["calls"]]
            assert planned == [(c["method"], c["params"], c.get("parts")) for c in printable_calls(made)]
            assert {status["state"] for status in statuses} == {"sent" if kind == "message.send" else "done"}
            assert len(statuses) == max(1, said["parts"])
            assert [w["code"] for w in said["warnings"]] == [w["code"] for s in statuses for w in s["warnings"]]
        else:
            (status,) = statuses
            assert (made, status["state"]) == ([], "rejected")
            assert status["error"] == said["refused"]
        answers[said.get("refused", {}).get("code", "accepted")] += 1
        world.log._topics[world.topics.statuses("plain")][0].clear()
    assert answers["accepted"] > 200
    assert set(answers) >= {
        str(code)
        for code in (
            ErrorCode.WINDOW_CLOSED,
            ErrorCode.QUOTA_EXHAUSTED,
            ErrorCode.RECIPIENT_BLOCKED,
            ErrorCode.OPTED_OUT,
            ErrorCode.FILE_UNAVAILABLE,
            ErrorCode.FILE_TYPE_MISMATCH,
            ErrorCode.REPLY_TARGET_UNKNOWN,
            ErrorCode.MESSAGE_UNKNOWN,
            ErrorCode.INVALID_COMMAND,
            ErrorCode.UNSUPPORTED_BY_CHANNEL,
        )
    }


async def test_what_an_account_may_is_its_own(make_world: MakeWorld) -> None:
    world = await make_world(VaryingChannel())
    await world.receive(item())
    world.clock.advance(25 * 3600)
    async with asking(world) as ask:
        assert (await ask.about(category="utility"))["refused"]["field"] == "category"
        world.account(ACCOUNT.model_copy(update={"settings": {"able": {"direct_send": ("utility",)}}}))
        assert (await ask.about(category="utility"))["accepted"] is True


async def test_whatever_is_asked_is_answered(ask: Asked) -> None:
    odd: list[Any] = [
        b"", b"null", b"[]", b"\xff", b"{", b"[" * 100_000, b'{"data":' * 2000 + b"1" + b"}" * 2000, b'{"data":NaN}',
    ]  # fmt: skip
    for document in odd:
        await ask.document(document, status=400)
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    ours = {"workspace_id": "ws_1", "account_id": "acc_1", "conversation_id": CONVERSATION}
    data = {**ours, "command_id": "c", "content": {"kind": "text", "text": "hello"}}
    values = [None, True, "", "\x00", "a b", -1, 1.5, 1e300, 2**63, [], {}, [None], deep, "9999-12-31T23:59:59.999999Z"]
    for field in ("command_id", "account_id", "conversation_id", "to", "not_before", "not_after", "content", "actor"):
        for value in values:
            await ask.document({"type": "message.send", "data": {**data, field: value}})
    for value in values:
        for whole in ({"type": value}, {"data": value}, {"type": "message.send", "data": {"content": value}}):
            await ask.document(whole)


async def test_preflight_and_plan_tell_of_fields_nobody_knows(ask: Asked) -> None:
    data = {
        "command_id": "c1",
        "workspace_id": "ws_1",
        "account_id": "acc_1",
        "conversation_id": CONVERSATION,
        "content": {"kind": "text", "text": "one|two"},
        "reply_too": 1,
    }
    said = await ask.document({"type": "message.send", "data": data})
    assert said["accepted"]
    warning, split = said["warnings"]
    assert (warning["code"], warning["field"], warning["nearest"]) == ("field_ignored", "reply_too", "reply_to")
    first, second = offline.plan(PlainChannel(), {"type": "message.send", "data": data})
    assert (first["warnings"], second.get("warnings")) == ([warning, split], None)
    refused = await ask.document({"type": "message.delete", "data": {**data, "mesage_id": "m"}})
    assert not refused["accepted"]
    assert "mesage_id" in [warning["field"] for warning in refused["warnings"]]
