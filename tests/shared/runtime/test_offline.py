"""Reading files for the command line: any number of documents, and whatever else people put into files."""

from __future__ import annotations

import json

import pytest

from shared.channel import Call, Refused
from shared.contract.errors import ErrorCode
from shared.runtime.tools import offline
from shared.runtime.tools.payloads import payloads
from tests.channels import goldens


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": 1}', [b'{"a": 1}']),
        (b'{\n "a": 1\n}\n\n{\n "b": 2\n}\n', [b'{\n "a": 1\n}', b'{\n "b": 2\n}']),
        (b'{"a":1}\nno json\n{"b":2}\n', [b'{"a":1}', b"no json", b'{"b":2}']),
        (b'{"a":1}{"b":', [b'{"a":1}', b'{"b":']),
        (b'{"a":1}\r\n\r\n{"b":\r\n{"c":\r\n{"d":4}\r\n', [b'{"a":1}', b'{"b":', b'{"c":', b'{"d":4}']),
        (b'two\nlines\n[{"a":1}]', [b"two\nlines", b'[{"a":1}]']),
        (b'1\nnull\n{"a":1}', [b"1\nnull", b'{"a":1}']),
        (b'{\n "a": [\n  {"b": 1\n\n{"c":3}', [b'{\n "a": [\n  {"b": 1', b'{"c":3}']),
        (b'"text"', [b'"text"']),
        (b"two words", [b"two words"]),
        (b"\xff\xfe", [b"\xff\xfe"]),
        (b'{"a":"\xe9"}\n{"b":2}', [b'{"a":"\xe9"}', b'{"b":2}']),
        (b"", [b""]),
    ],
)
def test_a_file_holds_documents_one_after_the_other(content: bytes, expected: list[bytes]) -> None:
    assert list(payloads(content)) == expected


def test_a_payload_may_call_its_account_anything() -> None:
    channel = goldens.channel("whatsapp")
    change = {"field": "messages", "value": {"metadata": {"phone_number_id": "x" * 500}, "messages": [{"id": "1"}]}}
    body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    assert offline.normalise(channel, json.dumps(body).encode())


@pytest.mark.parametrize("context", [{"address": "x"}, {"address": {"phone": 1}}, {"settings": []}, {"target": 7}, 3])
def test_an_odd_context_is_no_reason_to_fall_over(context: object) -> None:
    data = {"conversation_id": "telegram:b:42", "account_id": "b", "content": {"kind": "text", "text": "hi"}}
    [call] = offline.plan(goldens.channel("telegram"), {"data": data, "context": context})
    assert call["method"] == "sendMessage"


@pytest.mark.parametrize("nothing", [None, "", {}, []])
def test_an_address_that_says_nothing_is_none(nothing: object) -> None:
    data = {"conversation_id": "tiktok:a:k9", "account_id": "a", "content": {"kind": "text", "text": "hi"}}
    context = {"address": {"conversation_id": nothing}}
    [call] = offline.plan(goldens.channel("tiktok"), {"data": data, "context": context})
    assert call["params"]["recipient"] == "k9"


def test_a_refusal_names_the_field_without_the_unions_tag() -> None:
    data = {"conversation_id": "telegram:b:42", "account_id": "b", "content": {"kind": "text", "text": ""}}
    [refusal] = offline.plan(goldens.channel("telegram"), data)
    assert refusal["refused"]["field"] == "content.text"


@pytest.mark.parametrize("levels", [200, 253, 300, 900])
def test_a_payload_that_cannot_be_written_again_is_a_dead_letter(levels: int) -> None:
    inner = "[" * levels + "]" * levels
    message = f'{{"message_id": 1, "date": 1795340001, "chat": {{"id": 5, "type": "private"}}, "new_thing": {inner}}}'
    body = f'{{"update_id": 1, "message": {message}}}'.encode()
    [printed] = offline.normalise(goldens.channel("telegram"), body)
    assert printed["type"] == ("channels.message.received.v1" if levels == 200 else "channels.dead.letter.v1")
    assert json.dumps(printed)


@pytest.mark.parametrize("value", [json.loads("[" * 300 + "]" * 300), 2**64])
def test_a_call_that_nobody_could_send_is_refused(value: object) -> None:
    with pytest.raises(Refused) as refused:
        offline.printable_calls([Call("messages", {"value": value})])
    assert refused.value.code is ErrorCode.INVALID_COMMAND


def test_what_is_no_object_is_refused_like_every_other_command() -> None:
    [printed] = offline.plan(goldens.channel("telegram"), [1])
    assert (printed["refused"]["code"], printed["refused"]["retryable"]) == ("invalid_command", False)


@pytest.mark.parametrize("told", [7, "", [], False, "message.juggle", "channels.message.send.v2"])
def test_a_type_that_is_none_of_ours_is_refused(told: object) -> None:
    data = {"conversation_id": "telegram:b:42", "account_id": "b", "content": {"kind": "text", "text": "hi"}}
    [printed] = offline.plan(goldens.channel("telegram"), {"type": told, "data": data})
    assert (printed["refused"]["code"], printed["refused"]["field"]) == ("invalid_command", "type")
