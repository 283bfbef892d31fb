"""Reading files for the command line: any number of documents, and whatever else people put into files."""

from __future__ import annotations

import json

import pytest

from shared.runtime import offline
from tests.channels import goldens


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": 1}', [b'{"a": 1}']),
        (b'{\n "a": 1\n}\n\n{\n "b": 2\n}\n', [b'{\n "a": 1\n}', b'{\n "b": 2\n}']),
        (b'{"a":1}\nno json\n{"b":2}\n', [b'{"a":1}', b"no json", b'{"b":2}']),
        (b'{"a":1}{"b":', [b'{"a":1}', b'{"b":']),
        (b'"text"', [b'"text"']),
        (b"two words", [b"two words"]),
        (b"\xff\xfe", [b"\xff\xfe"]),
        (b"", [b""]),
    ],
)
def test_a_file_holds_documents_one_after_the_other(content: bytes, expected: list[bytes]) -> None:
    assert list(offline.payloads(content)) == expected


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


def test_a_refusal_names_the_field_without_the_unions_tag() -> None:
    data = {"conversation_id": "telegram:b:42", "account_id": "b", "content": {"kind": "text", "text": ""}}
    [refusal] = offline.plan(goldens.channel("telegram"), data)
    assert refusal["refused"]["field"] == "content.text"
