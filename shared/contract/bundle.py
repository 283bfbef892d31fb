"""The whole contract as one JSON Schema: every record and every type it is made of, each once, under its own name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared.contract import schemas

FILE = "contract.v1.json"
_WRITTEN = "Input"
"""What is added to the name of a type that is written in another way than it is read: `Place`, `PlaceInput`."""

Schema = dict[str, Any]


def bundle() -> Schema:
    """A schema without a value of its own; its `$defs` hold the records by their titles, and the types."""
    types: dict[str, Schema] = {}
    records: dict[str, Schema] = {}
    for record, schema in schemas.all_schemas():
        inner = {name: part for name, part in schema.items() if name not in ("$schema", "$defs")}
        named: dict[str, Schema] = {**schema.get("$defs", {}), **dict(_unions(inner))}
        inner = _pointed(inner, named)
        local = {name: _pointed(part, named) for name, part in named.items()}
        renamed = _renamed(local, types)
        types |= {renamed.get(name, name): _moved(part, renamed) for name, part in local.items()}
        records[record.title] = _moved(inner, renamed)
    clash = records.keys() & types.keys()
    assert not clash, f"a record and a type have one name: {clash}"
    return {
        "$schema": schemas.DIALECT,
        "title": "ChannelConnectors",
        "description": "Every record of the contract by its name, and the types they are made of.",
        "$defs": {**records, **dict(sorted(types.items()))},
    }


def _unions(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Tagged unions that stand in a property, by their titles: they become types of their own."""
    for part in schema.get("properties", {}).values():
        if "oneOf" in part and "title" in part:
            yield part["title"], {name: value for name, value in part.items() if name != "description"}


def _pointed(schema: Schema, named: dict[str, Schema]) -> Schema:
    """The schema with its unions replaced by references to them."""
    properties = {
        name: {"$ref": f"#/$defs/{part['title']}", "description": part["description"]}
        if "oneOf" in part and part.get("title") in named
        else part
        for name, part in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _renamed(local: dict[str, Schema], known: dict[str, Schema]) -> dict[str, str]:
    """Types that need another name, because one of theirs is known that says something else."""
    return {
        name: name + _WRITTEN
        for name, part in local.items()
        if name in known and _spelt(part, local) != _spelt(known[name], known)
    }


def _spelt(node: Any, types: dict[str, Schema]) -> Any:
    """The schema without names: with what it refers to in the place of references."""
    if isinstance(node, list):
        return [_spelt(inner, types) for inner in node]
    if not isinstance(node, dict):
        return node
    spelt = {name: _spelt(inner, types) for name, inner in node.items() if name not in ("title", "$ref")}
    if isinstance(reference := node.get("$ref"), str):
        spelt["$ref"] = _spelt(types[reference.rpartition("/")[2]], types)
    return spelt


def _moved(node: Any, renamed: dict[str, str]) -> Any:
    """The schema with its references under their new names, and the title of what has one."""
    if isinstance(node, list):
        return [_moved(inner, renamed) for inner in node]
    if not isinstance(node, dict):
        return node
    moved = {name: _moved(inner, renamed) for name, inner in node.items()}
    if isinstance(reference := node.get("$ref"), str):
        name = reference.rpartition("/")[2]
        moved["$ref"] = f"#/$defs/{renamed.get(name, name)}"
    if isinstance(title := node.get("title"), str) and title in renamed:
        moved["title"] = renamed[title]
    return moved
