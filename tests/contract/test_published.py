"""The published contract: fresh, well-formed, true to the models, and only ever added to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from asyncapi3 import AsyncAPI3
from jsonschema import Draft202012Validator, FormatChecker

from shared.contract import schemas
from shared.contract.bundle import FILE
from shared.contract.envelope import parse_type
from shared.contract.publish_schemas import BASELINE, PUBLISHED, files
from shared.contract.schemas import RecordType
from shared.contract.topics import Topic, Topics
from shared.contract.version import version
from shared.contract.vocabularies import KEYWORD
from tests.contract.additive import breaks

GOLDENS = sorted(Path(__file__).parent.parent.glob("channels/*/inbound/*.events.json"))
REPOSITORY = Path(__file__).parents[2]
BY_NAME = {record.name: record for record in schemas.ALL}
RECORDS = [pytest.param(record, id=record.name) for record in schemas.ALL]
TOPICS = (*Topics().shared(), *Topics().of_channel("{channel}"))


def schema_of(record: RecordType) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PUBLISHED / "schemas" / record.file_name).read_text())
    return loaded


@cache
def published(name: str) -> dict[str, Any]:
    """A published document. JSON is YAML, too."""
    loaded: dict[str, Any] = yaml.load((PUBLISHED / name).read_text(), yaml.CSafeLoader)
    return loaded


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return published("asyncapi.yaml")


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


@pytest.mark.parametrize("path", sorted(schemas.EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
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
    example = json.loads((schemas.EXAMPLES / f"{name}.json").read_text()) | spoil
    assert not Draft202012Validator(schema_of(BY_NAME[name])).is_valid(example)


def test_goldens_fit_the_schemas() -> None:
    validators = {r.ce_type: Draft202012Validator(schema_of(r), format_checker=FormatChecker()) for r in schemas.ALL}
    wrong = [
        f"{path.name}: {error.json_path} {error.message}"
        for path in GOLDENS
        for event in json.loads(path.read_text())
        if event["type"] in validators and event["type"] != schemas.HEALTH.ce_type
        for error in validators[event["type"]].iter_errors(event["data"])
    ]
    assert wrong == []


# --------------------------------------------------------------------------------- the contract explains itself


def _parts(node: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside of a schema, with where it stands."""
    yield path, node
    for keyword in ("properties", "$defs"):
        for name, inner in node.get(keyword, {}).items():
            yield from _parts(inner, f"{path}/{keyword}/{name}")
    for keyword in ("anyOf", "oneOf", "allOf"):
        for index, inner in enumerate(node.get(keyword, ())):
            yield from _parts(inner, f"{path}/{keyword}/{index}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield from _parts(node[keyword], f"{path}/{keyword}")


def _published_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in (*sorted((PUBLISHED / "schemas").glob("*.json")), PUBLISHED / FILE):
        yield path.name, json.loads(path.read_text())
    for name in ("asyncapi.yaml", "openapi.yaml"):
        components = published(name)["components"]
        yield name, {"$defs": components["schemas"]}
        for message, described in components.get("messages", {}).items():
            yield f"{name}: {message}", described.get("headers", {})


def test_every_property_is_described_and_nothing_is_anonymous() -> None:
    """A schema in the middle of another that a generator makes a type of (an object, a choice) has a name."""
    silent, anonymous = [], []
    for file, schema in _published_schemas():
        for path, part in _parts(schema):
            silent += [f"{file} {path}: {n}" for n, p in part.get("properties", {}).items() if not p.get("description")]
            branches = [b for b in (*part.get("anyOf", ()), *part.get("oneOf", ())) if b.get("type") != "null"]
            makes_a_type = "properties" in part or len(part.get("enum", ())) > 1 or len(branches) > 1
            if makes_a_type and not part.get("title"):
                anonymous.append(f"{file} {path}")
    assert (silent, anonymous) == ([], [])


def the_bundle() -> dict[str, Any]:
    return published(FILE)


def test_titles_are_names() -> None:
    types = the_bundle()["$defs"]
    assert {name: part["title"] for name, part in types.items()} == {name: name for name in types}
    assert {record.title for record in schemas.ALL} <= types.keys()
    assert all(name.isidentifier() and name[0].isupper() for name in types)


@pytest.mark.parametrize("record", RECORDS)
def test_the_bundle_says_what_the_schema_of_a_record_says(record: RecordType) -> None:
    """By examples: every example fits both, and neither takes it without a required field or with a spoilt one."""
    alone = Draft202012Validator(schema_of(record))
    bundled = Draft202012Validator({**the_bundle(), "$ref": f"#/$defs/{record.title}"})
    assert schema_of(record)["examples"]
    for example in schema_of(record)["examples"]:
        assert alone.is_valid(example)
        assert bundled.is_valid(example)
        for name in example:
            for spoilt in ({n: v for n, v in example.items() if n != name}, {**example, name: ["?", {}]}):
                assert alone.is_valid(spoilt) == bundled.is_valid(spoilt), name


def test_preflight_takes_every_command_and_names_its_answers() -> None:
    document = published("openapi.yaml")
    post = document["paths"]["/v1/preflight"]["post"]
    asked = post["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    requests = [document["components"]["schemas"][one["$ref"].rpartition("/")[2]] for one in asked]
    assert {one["properties"]["type"]["enum"][0] for one in requests} == {record.name for record in schemas.COMMANDS}
    assert document["openapi"].startswith("3.1")
    scheme = document["components"]["securitySchemes"]["token"]["scheme"]
    assert (scheme, document["security"]) == ("bearer", [{"token": []}])
    for path in (post, document["paths"]["/v1/blobs/{key}"]["get"]):
        assert {"401", "429", "503"} <= path["responses"].keys()


# What the goldens make up to try what happens to words that nobody knows.
MADE_UP = {"hologram", "planet", "bot_emeritus", "other", "interactive"}


def test_words_of_ours_are_listed() -> None:
    """What the channels say in fields with an open vocabulary stands in it."""
    unlisted: set[str] = set()

    def look(value: Any, part: dict[str, Any]) -> None:
        while "$ref" in part:
            part = types[part["$ref"].rpartition("/")[2]]
        for branch in part.get("oneOf", ()):
            found = types[branch["$ref"].rpartition("/")[2]]
            if found["properties"]["kind"]["const"] == value.get("kind"):
                part = found
        if isinstance(value, str) and value not in part.get(KEYWORD, (value,)):
            unlisted.add(value)
        elif isinstance(value, dict):
            for name, inner in value.items():
                look(inner, part.get("properties", {}).get(name, {}))
        elif isinstance(value, list):
            for inner in value:
                look(inner, part.get("items", {}))

    types = the_bundle()["$defs"]
    names = {record.ce_type: record.title for record in schemas.ALL}
    for path in GOLDENS:
        for event in json.loads(path.read_text()):
            if event["type"] in names:
                look(event["data"], types[names[event["type"]]])
    assert unlisted <= MADE_UP
    for title, name in (
        ("MessageStatus", "why"),
        ("ContactUpdated", "reason"),
        ("UnsupportedContent", "reason"),
        ("AccountNotice", "notice"),
        ("SystemContent", "event"),
    ):
        assert types[title]["properties"][name][KEYWORD]


def test_there_is_one_version_number() -> None:
    documents = [published(name) for name in ("asyncapi.yaml", "openapi.yaml")]
    headings = re.findall(r"^## (\d+\.\d+\.\d+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)
    assert {document["info"]["version"] for document in documents} == {version()} == {headings[0]}


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


@pytest.mark.parametrize("name", ["asyncapi.yaml", "openapi.yaml", FILE])
def test_every_reference_resolves(name: str) -> None:
    document = published(name)
    elsewhere = {"": document, f"./{FILE}": the_bundle()}
    for reference in _references(document):
        file, _, path = reference.partition("#/")
        node = elsewhere[file]
        for step in path.split("/"):
            node = node[step]


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
    assert payloads == {record.ce_type: {"$ref": f"./{FILE}#/$defs/{record.title}"} for record in schemas.ALL}


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
