"""JSON Schemas of every record of the contract, as its readers or its writers see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from shared.contract.accounts import AccountRecord
from shared.contract.base import Model, rfc3339
from shared.contract.capabilities import CAPABILITIES_TYPE, CapabilityRecord
from shared.contract.commands import COMMAND_OF, CommandType
from shared.contract.described import fields_of, members_of, one_line
from shared.contract.envelope import type_name
from shared.contract.events import DATA_OF, HEALTH_TYPE, AccountHealth, EventType
from shared.contract.state import STATE_TYPE, ConversationState
from shared.contract.statuses import STATUS_TYPE, MessageStatus
from shared.contract.templates import TEMPLATE_TYPE, TemplateRecord

Direction = Literal["published", "accepted"]


@dataclass(frozen=True, slots=True)
class RecordType:
    """One kind of record: its name, the model of its data, and whether connectors publish or accept it."""

    name: str
    model: type[Model]
    direction: Direction

    @property
    def ce_type(self) -> str:
        return type_name(self.name)

    @property
    def file_name(self) -> str:
        return f"{self.name}.v1.json"

    @property
    def title(self) -> str:
        """What a generator shall call the type: `MessageReceived`."""
        return "".join(word.capitalize() for word in self.name.replace("_", ".").split("."))

    @property
    def about(self) -> str:
        """What the record is, as a sentence: what its name means, or its model where that has only one name."""
        return _NAMES.get(self.name) or one_line((self.model.__doc__ or "").partition("\n\n")[0])

    @property
    def examples(self) -> list[Any]:
        """Values of such records."""
        return [json.loads((EXAMPLES / f"{self.name}.json").read_text())]


DIALECT = GenerateJsonSchema.schema_dialect
EXAMPLES = Path(__file__).parent / "examples"
_NAMES = {**members_of(EventType), **members_of(CommandType)}
EVENTS = tuple(RecordType(name.value, model, "published") for name, model in DATA_OF.items())
COMMANDS = tuple(RecordType(name.value, model, "accepted") for name, model in COMMAND_OF.items())
STATUS = RecordType(STATUS_TYPE, MessageStatus, "published")
STATE = RecordType(STATE_TYPE, ConversationState, "published")
HEALTH = RecordType(HEALTH_TYPE, AccountHealth, "published")
CAPABILITIES = RecordType(CAPABILITIES_TYPE, CapabilityRecord, "published")
TEMPLATE = RecordType(TEMPLATE_TYPE, TemplateRecord, "published")
ACCOUNT = RecordType("account.record", AccountRecord, "accepted")
ALL = (*EVENTS, *COMMANDS, STATUS, STATE, HEALTH, CAPABILITIES, TEMPLATE, ACCOUNT)

# Core schemas that wrap another without changing what stands in the JSON.
_WRAPPERS = ("default", "function-before", "function-after", "function-wrap")


_Field = core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField


def _unwrapped(schema: Any) -> Any:
    while schema["type"] in _WRAPPERS:
        schema = schema["schema"]
    return schema


def _is_nullable(schema: Any) -> bool:
    return bool(_unwrapped(schema)["type"] == "nullable")


def _is_tag(schema: Any) -> bool:
    inner = _unwrapped(schema)
    return bool(inner["type"] == "literal" and len(inner["expected"]) == 1)


def _unstopped(text: str) -> str:
    return text[0].lower() + text[1:].removesuffix(".") if text[1:2].islower() else text.removesuffix(".")


def _name(part: JsonSchemaValue, name: str) -> None:
    """Give what stands in the middle of a schema, and is no plain value, the name that a generator shall give it."""
    branches = [branch for branch in part.get("anyOf", ()) if branch.get("type") != "null"]
    if "enum" in part or len(branches) > 1:
        part.setdefault("title", name)
    elif len(branches) == 1:
        _name(branches[0], name)


class _Accepted(GenerateJsonSchema):
    """What others may write: as pydantic validates it."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a title made of the field's name says nothing new

    def field_is_required(self, field: _Field, total: bool) -> bool:
        # The tag of a union has a default for whoever builds the model, not for whoever writes the JSON.
        return _is_tag(field["schema"]) or super().field_is_required(field, total)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        model = schema["cls"]
        described = super().model_schema(schema)
        meanings = fields_of(model)
        names = {field.alias or name: name for name, field in model.model_fields.items()}
        for name, part in described.get("properties", {}).items():
            words = (meanings.get(names[name]), part.get("description"))
            part["description"] = " ".join(filter(None, words))
            _name(part, model.__name__ + "".join(word.capitalize() for word in name.split("_")))
        return described

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        listed = super().enum_schema(schema)
        meanings = [f"`{value}`: {_unstopped(text)}." for value, text in members_of(schema["cls"]).items()]
        return {**listed, "description": " ".join((listed["description"], *meanings))}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        union = super().tagged_union_schema(schema)
        # OpenAPI's keyword: AsyncAPI has another meaning for it, and the constant tags say the same.
        union.pop("discriminator", None)
        return union


class _Commanded(_Accepted):
    """What commands may say: strict, so that whoever checks by the schema finds a misspelt field.

    The connector itself goes on taking what it does not know, and says so (`field_ignored`).
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return {**super().model_schema(schema), "additionalProperties": False}


class _Published(_Accepted):
    """What we write: `Model.to_json` leaves absent fields out, so none is null and all the others are required."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        if schema.get("function") is rfc3339:
            return {"type": "string", "format": "date-time"}
        return super().ser_schema(schema)

    def field_is_required(self, field: _Field, total: bool) -> bool:
        return not _is_nullable(field["schema"])


def json_schema(record: RecordType) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record's value, complete in itself; unknown fields are allowed but in commands."""
    accepted = _Commanded if record in COMMANDS else _Accepted
    generator, mode = (_Published, "serialization") if record.direction == "published" else (accepted, "validation")
    schema = _of(record.model, generator, mode)
    head = {"$schema": DIALECT, "title": record.title, "x-ce-type": record.ce_type}
    return {**head, **schema, "title": record.title, "description": record.about, "examples": record.examples}


def _of(model: type[BaseModel], generator: type[GenerateJsonSchema], mode: Any) -> dict[str, Any]:
    schema = model.model_json_schema(mode=mode, schema_generator=generator, by_alias=True)
    for part in (schema, *schema.get("$defs", {}).values()):
        if "description" in part:
            part["description"] = one_line(part["description"])
    return schema


def all_schemas() -> Iterator[tuple[RecordType, dict[str, Any]]]:
    """Every record type with its schema."""
    for record in ALL:
        yield record, json_schema(record)


def questions(*models: type[BaseModel]) -> dict[str, Any]:
    """Models of HTTP requests' bodies, for an OpenAPI document's `components/schemas`."""
    return _components(models, _Accepted, "validation")


def answers(*models: type[BaseModel]) -> dict[str, Any]:
    """Models of HTTP answers, and the types they are made of, for an OpenAPI document's `components/schemas`."""
    return _components(models, _Published, "serialization")


def _components(
    models: tuple[type[BaseModel], ...],
    generator: type[GenerateJsonSchema],
    mode: Literal["validation", "serialization"],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(
            mode=mode, schema_generator=generator, ref_template="#/components/schemas/{model}"
        )
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found
