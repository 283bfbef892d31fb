"""Requests are checked against the description of the Bot API."""

from __future__ import annotations

import pytest

from sandbox.simulators.telegram.methods import METHODS
from sandbox.simulators.telegram.spec import Spec, SpecViolation, load

DESCRIPTION = {
    "version": "Bot API test",
    "methods": {
        "send": {
            "chat_id!": "Integer | String",
            "text!": "String",
            "silent": "Boolean",
            "latitude": "Float",
            "media": "[Photo | Video]",
            "reply": "Reply",
            "file": "InputFile | String",
        },
        "getMe": {},
    },
    "types": {
        "Photo": {"type!": "=photo"},
        "Video": {"type!": "=video", "width": "Integer"},
        "Reply": {"message_id!": "Integer", "inner": "Reply"},
    },
    "elsewhere": "sendDice stopPoll",
}
SPEC = Spec(DESCRIPTION)


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


def test_names_of_types_must_be_described():
    with pytest.raises(ValueError, match="Voice is not described"):
        Spec({**DESCRIPTION, "methods": {"send": {"media": "[Photo | Voice]"}}})


def test_what_the_simulator_has_is_described_and_nothing_else():
    assert load().methods == set(METHODS)
    assert not load().elsewhere & load().methods


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


async def test_a_method_that_exists_but_is_not_simulated_says_so(stage, http):
    answer = await http("POST", f"/bot{stage.token}/getMyCommands")
    assert (answer.status, answer.json["error_code"]) == (501, 501)


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
