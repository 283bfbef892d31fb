"""Fields of commands that nobody knows: each is told once, at any depth, with the nearest known name."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import pytest

from shared.contract.base import Model
from shared.contract.schemas import ACCOUNT, COMMANDS, json_schema
from shared.contract.unknown_fields import MOST_TOLD, ignored_fields
from tests.contract.additive import breaks

COMMON: dict[str, Any] = {"command_id": "c1", "workspace_id": "ws", "account_id": "acc", "conversation_id": "x:acc:1"}
SEND = "channels.message.send.v1"


def told(ce_type: str, **data: Any) -> list[tuple[str | None, str | None]]:
    return [(warning.field, warning.nearest) for warning in ignored_fields(ce_type, {**COMMON, **data})]


@pytest.mark.parametrize(
    ("data", "field", "nearest"),
    [
        ({"replyto": {"message_id": "m"}}, "replyto", "reply_to"),
        ({"reply_to": {"mesage_id": "m"}}, "reply_to.mesage_id", "message_id"),
        ({"content": {"kind": "text", "text": "x", "preview": True}}, "content.preview", "preview_url"),
        ({"content": {"kind": "media", "attachments": [{}, {"urll": "x"}]}}, "content.attachments.1.urll", "url"),
        ({"content": {"kind": "text", "buttons": [[{"titel": "x"}]]}}, "content.buttons.0.0.titel", "title"),
        ({"content": {"kind": "interactive", "cards": [{"file": {"nam": 1}}]}}, "content.cards.0.file.nam", None),
        ({"content": {"kind": "interactive", "cards": [{"file": {"urls": 1}}]}}, "content.cards.0.file.urls", "url"),
        ({"actor": {"kind": "human", "zzz": 1}}, "actor.zzz", None),
        ({"to": [{"kind": "phone", "valeu": "x"}]}, "to.0.valeu", "value"),
    ],
)  # fmt: skip
def test_a_field_that_nobody_knows_is_named(data: dict[str, Any], field: str, nearest: str | None) -> None:
    assert told(SEND, **data) == [(field, nearest)]
    (warning,) = ignored_fields(SEND, {**COMMON, **data})
    assert warning.detail.startswith(f"{field} is no field of this command and was ignored")
    assert nearest is None or warning.detail.endswith(f"; {nearest} may be meant.")


def test_what_goes_to_the_provider_as_it_is_has_any_fields() -> None:
    content = {"kind": "template", "name": "n", "language": "en", "components": [{"anything": {"at": "all"}}]}
    assert told(SEND, content=content) == []
    assert told("channels.reaction.set.v1", message_id="m", emoji="👍", reply_to={}) == [("reply_to", None)]


@pytest.mark.parametrize(
    "data",
    [
        {"content": None}, {"content": []}, {"content": {"kind": "no such", "x": 1}}, {"content": {"kind": ["text"]}},
        {"to": [1, [[{"x": 1}]]]}, {"actor": "human"}, {"reply_to": [[]]},
    ],
)  # fmt: skip
def test_what_is_no_command_has_no_fields_to_tell_of(data: dict[str, Any]) -> None:
    assert told(SEND, **data) == []
    assert ignored_fields("nonsense", data) == ()


def test_a_name_that_is_none_is_not_repeated_and_no_more_are_told_than_help() -> None:
    assert told(SEND, **{"+49 151 1234567": 1, "x" * 100_000: 1}) == [("?", None)] * 2
    began = time.perf_counter()
    assert len(told(SEND, **{f"reply_too_{number}" * 40: 1 for number in range(10_000)})) == MOST_TOLD
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("record", COMMANDS, ids=lambda record: record.name)
def test_the_published_schema_of_a_command_finds_it_too(record: Any) -> None:
    schema = json_schema(record)
    for part in (schema, *schema.get("$defs", {}).values()):
        assert part.get("additionalProperties") is False or part.get("type") != "object"
    errors = jsonschema.Draft202012Validator(schema).iter_errors({**COMMON, "reply_too": 1})
    assert any("reply_too" in error.message for error in errors)


def test_the_parser_goes_on_taking_what_it_does_not_know() -> None:
    """Why the comparison with the published baseline lets strict schemas of commands through."""
    tolerant = {"type": "object", "properties": {"id": {"type": "string"}}}
    strict = {**tolerant, "additionalProperties": False}
    assert breaks(tolerant, strict, "accepted") == []
    assert breaks(tolerant, strict, "published") == []
    assert {one.model_config["extra"] for one in (Model, *(record.model for record in COMMANDS))} == {"ignore"}
    assert "additionalProperties" not in json_schema(ACCOUNT)
