"""Requests are checked against the published description."""

from __future__ import annotations

import aiohttp
import pytest

from sandbox.simulators.telegram import TelegramSimulator
from sandbox.simulators.telegram.spec import Spec, SpecViolation, find_spec

DESCRIPTION = {
    "version": "Bot API test",
    "methods": {
        "send": {
            "fields": [
                {"name": "chat_id", "types": ["Integer", "String"], "required": True},
                {"name": "text", "types": ["String"], "required": True},
                {"name": "silent", "types": ["Boolean"], "required": False},
                {"name": "latitude", "types": ["Float"], "required": False},
                {"name": "media", "types": ["Array of Photo", "Array of Video"], "required": False},
                {"name": "reply", "types": ["Reply"], "required": False},
                {"name": "file", "types": ["InputFile", "String"], "required": False},
            ]
        },
        "getMe": {},
    },
    "types": {
        "Photo": {
            "fields": [{"name": "type", "types": ["String"], "required": True, "description": "Type, must be photo"}]
        },
        "Video": {
            "fields": [
                {"name": "type", "types": ["String"], "required": True, "description": "Type, must be video"},
                {"name": "width", "types": ["Integer"], "required": False, "description": ""},
            ]
        },
        "Reply": {
            "fields": [
                {"name": "message_id", "types": ["Integer"], "required": True, "description": ""},
                {"name": "inner", "types": ["Reply"], "required": False, "description": ""},
            ]
        },
    },
}
SPEC = Spec(DESCRIPTION)
needs_published = pytest.mark.skipif(find_spec() is None, reason="no Bot API description at hand")


def test_form_text_becomes_typed():
    typed = SPEC.check(
        "send",
        {
            "chat_id": "-100",
            "text": "5",
            "silent": "True",
            "latitude": "1.5",
            "media": '[{"type":"photo"},{"type":"video","width":3}]',
            "reply": '{"message_id":1,"inner":{"message_id":2}}',
        },
    )
    assert (typed["chat_id"], typed["text"], typed["silent"], typed["latitude"]) == (-100, "5", True, 1.5)
    assert typed["media"][1] == {"type": "video", "width": 3}
    assert typed["reply"]["inner"]["message_id"] == 2
    assert SPEC.check("send", {"chat_id": "@news", "text": "x"})["chat_id"] == "@news"
    assert SPEC.check("getme", {}) == {}


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"chat_id": 1}, 'parameter "text" is required'),
        ({"chat_id": 1, "text": "x", "color": 1}, 'parameter "color" does not exist'),
        ({"chat_id": 1, "text": 5}, 'parameter "text" must be a string'),
        ({"chat_id": True, "text": "x"}, 'parameter "chat_id" must be a string'),
        ({"chat_id": 1, "text": "x", "silent": "maybe"}, 'parameter "silent" must be a boolean'),
        ({"chat_id": 1, "text": "x", "latitude": "north"}, 'parameter "latitude" must be a number'),
        ({"chat_id": 1, "text": "x", "reply": "{"}, 'parameter "reply" must be JSON'),
        ({"chat_id": 1, "text": "x", "reply": {}}, 'parameter "reply.message_id" must be present'),
        ({"chat_id": 1, "text": "x", "reply": {"message_id": "1"}}, 'parameter "reply.message_id" must be an integer'),
        (
            {"chat_id": 1, "text": "x", "reply": {"message_id": 1, "inner": {"message_id": 1, "a": 1}}},
            'parameter "reply.inner.a" must be left out: Reply has no such field',
        ),
        ({"chat_id": 1, "text": "x", "media": [{"type": "x"}]}, 'parameter "media[0]" must be one of Photo or Video'),
    ],
)
def test_violations_name_the_parameter(parameters, problem):
    with pytest.raises(SpecViolation) as violation:
        SPEC.check("send", parameters)
    assert violation.value.problem == problem


@needs_published
async def test_a_violation_is_answered_400_and_recorded(stage, sim, http):
    url = f"/bot{stage.token}/sendMessage"
    entity = {"type": "bold", "offset": "0", "length": 1}
    answer = await http("POST", url, {"chat_id": stage.person, "text": "x", "entities": [entity]})
    assert answer.status == 400
    assert answer.json["description"] == 'Bad Request: parameter "entities[0].offset" must be an integer'
    assert (await http("POST", url, {"chat_id": stage.person, "text": "x", "parse_modus": "HTML"})).status == 400
    assert [violation["method"] for violation in sim.violations] == ["sendMessage", "sendMessage"]
    assert sim.sent(stage.person) == []
    sim.world.violations.clear()


@needs_published
async def test_a_method_that_exists_but_is_not_simulated_says_so(stage, http):
    answer = await http("POST", f"/bot{stage.token}/getMyCommands")
    assert (answer.status, answer.json["error_code"]) == (501, 501)


@needs_published
@pytest.mark.parametrize("encoding", ["json", "form", "multipart", "query"])
async def test_every_encoding_means_the_same(stage, sim, http, encoding):
    parameters = {"chat_id": str(stage.person), "text": "same", "entities": '[{"type":"bold","offset":0,"length":4}]'}
    answer = await http("POST", f"/bot{stage.token}/sendmessage", parameters, encoding=encoding)
    assert answer.json["result"]["entities"] == [{"type": "bold", "offset": 0, "length": 4}]
    assert sim.calls[-1].method == "sendmessage"


async def test_broken_bodies(stage, sim, http):
    url = f"/bot{stage.token}/sendMessage"
    for body in (b"{", b"[1]"):
        answer = await http("POST", url, body, encoding="json")
        assert answer.json["description"] == "Bad Request: can't parse request JSON object"
    broken = await http("POST", url, b"no boundary here", encoding="multipart")
    assert broken.status == 400
    assert (await http("POST", url, b'"' + b"x" * 2_000_000 + b'"', encoding="json")).status == 413
    assert sim.sent(stage.person) == []


async def test_without_a_description_requests_go_unchecked_and_the_state_says_so(monkeypatch):
    monkeypatch.setattr("sandbox.simulators.telegram.simulator.find_spec", lambda: None)
    simulator = TelegramSimulator()
    await simulator.start()
    try:
        assert simulator.state()["checks"].startswith("off")
        token = simulator.setup.bot(open_to_all=True)["token"]
        form = {
            "chat_id": "5",
            "text": "x",
            "anything": "goes",
            "reply_parameters": '{"message_id":1,"x":2,"allow_sending_without_reply":true}',
        }
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{simulator.base_url}{token}/sendMessage", data=form) as answer:
                assert (await answer.json())["result"]["chat"]["id"] == 5
            async with session.post(f"{simulator.base_url}{token}/deleteMessage", data={"chat_id": "5"}) as answer:
                assert (await answer.json())["description"] == "Bad Request: message to delete not found"
        assert simulator.violations == []
    finally:
        await simulator.stop()
