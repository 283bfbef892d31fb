"""The published contract: fresh, well-formed, true to the models, and only ever added to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from asyncapi3 import AsyncAPI3
from jsonschema import Draft202012Validator, FormatChecker

from shared.contract import schemas
from shared.contract.envelope import parse_type
from shared.contract.publish_schemas import BASELINE, PUBLISHED, files
from shared.contract.schemas import RecordType
from shared.contract.topics import Topic, Topics
from tests.contract.additive import breaks

EXAMPLES = Path(__file__).parent / "examples"
BY_NAME = {record.name: record for record in schemas.ALL}
RECORDS = [pytest.param(record, id=record.name) for record in schemas.ALL]
TOPICS = (*Topics().shared(), *Topics().of_channel("{channel}"))


def schema_of(record: RecordType) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PUBLISHED / "schemas" / record.file_name).read_text())
    return loaded


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PUBLISHED / "asyncapi.yaml").read_text())
    return loaded


def test_published_files_are_fresh() -> None:
    published = {
        str(path.relative_to(PUBLISHED)): path.read_text()
        for path in PUBLISHED.rglob("*")
        if path.is_file() and not path.is_relative_to(BASELINE)
    }
    fresh = files()
    stale = [name for name in published.keys() | fresh.keys() if published.get(name) != fresh.get(name)]
    assert not stale, f"run `make contract`: {sorted(stale)}"


# ------------------------------------------------------------------------------------------------ JSON Schemas


@pytest.mark.parametrize("record", RECORDS)
def test_schema_is_valid_json_schema(record: RecordType) -> None:
    Draft202012Validator.check_schema(schema_of(record))
    assert parse_type(record.ce_type) == (record.name, 1)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_example_fits_schema_and_model(path: Path) -> None:
    record = BY_NAME[path.stem]
    example = json.loads(path.read_text())
    validator = Draft202012Validator(schema_of(record), format_checker=FormatChecker())
    assert list(validator.iter_errors(example)) == []
    written = json.loads(record.model.model_validate(example).to_json())
    if record.direction == "published":
        assert written == example
    else:
        assert _holds(written, example)  # what the writer left out has our defaults now


def _holds(value: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(key in value and _holds(value[key], inner) for key, inner in part.items())
    if isinstance(part, list):
        return len(value) == len(part) and all(map(_holds, value, part))
    return bool(value == part)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("message.send", {"content": {"kind": "telepathy", "text": "hm"}}),
        ("message.send", {"content": {"text": "no kind"}}),
        ("message.send", {"account_id": "with blank "}),
        ("message.received", {"occurred_at": 1763805600}),
        ("message.received", {"sender": None}),
        ("message.status", {"state": "perhaps"}),
        ("conversation.state", {"reasons": ["bad weather"]}),
        ("account.record", {"workspace_id": ""}),
    ],
)
def test_schema_refuses_a_spoilt_example(name: str, spoil: dict[str, Any]) -> None:
    example = json.loads((EXAMPLES / f"{name}.json").read_text()) | spoil
    assert not Draft202012Validator(schema_of(BY_NAME[name])).is_valid(example)


def test_goldens_fit_the_schemas() -> None:
    validators = {r.ce_type: Draft202012Validator(schema_of(r), format_checker=FormatChecker()) for r in schemas.ALL}
    wrong = [
        f"{path.name}: {error.json_path} {error.message}"
        for path in sorted(EXAMPLES.parent.parent.glob("channels/*/inbound/*.events.json"))
        for event in json.loads(path.read_text())
        if event["type"] in validators and event["type"] != schemas.HEALTH.ce_type
        for error in validators[event["type"]].iter_errors(event["data"])
    ]
    assert wrong == []


# ---------------------------------------------------------------------------------------------------- AsyncAPI


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)


def test_asyncapi_is_a_valid_document(document: dict[str, Any]) -> None:
    assert AsyncAPI3.model_validate(document).asyncapi == "3.0.0"


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    for reference in _references(document):
        if reference.startswith("#/"):
            node = document
            for step in reference[2:].split("/"):
                node = node[step]
        else:
            assert (PUBLISHED / reference).is_file(), reference


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_described(document: dict[str, Any], topic: Topic) -> None:
    (channel,) = [entry for entry in document["channels"].values() if entry["address"] == topic.name]
    configuration = channel["bindings"]["kafka"]["topicConfiguration"]
    assert channel["x-key"] == topic.key
    assert configuration["cleanup.policy"] == (["compact"] if topic.compacted else ["delete"])
    if topic.retention is not None:
        assert configuration["retention.ms"] == topic.retention.total_seconds() * 1000
    assert channel["x-guarantees"]["delivery"] == "at least once"
    assert set(channel.get("parameters", {})) == set(re.findall(r"\{(\w+)\}", topic.name))


def test_the_document_describes_no_other_topic(document: dict[str, Any]) -> None:
    assert {entry["address"] for entry in document["channels"].values()} == {topic.name for topic in TOPICS}


def test_every_record_type_is_on_a_topic(document: dict[str, Any]) -> None:
    on_topics = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert on_topics == set(document["components"]["messages"])
    payloads = {
        message["name"]: message["payload"]
        for message in document["components"]["messages"].values()
        if "name" in message
    }
    assert payloads == {record.ce_type: {"$ref": f"./schemas/{record.file_name}"} for record in schemas.ALL}


def test_operations_agree_with_who_writes_and_reads(document: dict[str, Any]) -> None:
    """A connector's role that writes a topic is a `send`, one that reads it a `receive`."""
    ours = {"connectors", "ingress", "pull", "normalise", "deliver", "media"}
    expected = {
        (topic.name, action)
        for topic in TOPICS
        for action, who in (("send", topic.written_by), ("receive", topic.read_by))
        if ours & set(who.split(", "))
    }
    described = {
        (document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]["address"], operation["action"])
        for operation in document["operations"].values()
    }
    assert described == expected


def test_guarantees_are_written_down(document: dict[str, Any]) -> None:
    about = document["info"]["description"]
    assert "At least once, same `ce_id` on a repeat" in about
    assert "In order per conversation" in about


# -------------------------------------------------------------------------------------------------- additivity


@pytest.mark.parametrize("path", sorted(BASELINE.glob("*.json")), ids=lambda path: path.stem)
def test_change_since_the_last_release_is_additive(path: Path) -> None:
    name = path.name.removesuffix(".v1.json")
    assert name in BY_NAME, f"{name} was published and is gone"
    record = BY_NAME[name]
    assert breaks(json.loads(path.read_text()), schemas.json_schema(record), record.direction) == []


def test_there_is_a_baseline() -> None:
    assert list(BASELINE.glob("*.json"))
