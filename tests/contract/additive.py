"""Compares two JSON Schemas of one record and says what would break somebody who relies on the older one.

What connectors publish may grow: readers ignore unknown fields and treat unknown values as "other". What connectors
accept may become more permissive: writers go on writing what they write today. That a schema of a command is strict
(`additionalProperties: false`) is no break: the parser takes unknown fields all the same, and warns (`field_ignored`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.contract.schemas import Direction

Schema = Mapping[str, Any]

_TAG = "kind"
# keyword → whether a larger value lets more through
_BOUNDS = {
    "maxLength": True,
    "maxItems": True,
    "maximum": True,
    "exclusiveMaximum": True,
    "minLength": False,
    "minItems": False,
    "minimum": False,
    "exclusiveMinimum": False,
}


def breaks(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """One line per break: where it is, and what happened. Empty when the change is additive."""
    return list(_Comparison(old, new, direction).node(old, new, "$"))


@dataclass
class _Comparison:
    old: Schema
    new: Schema
    direction: Direction
    seen: set[tuple[str, str]] = field(default_factory=set)

    def node(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self.seen:
                return
            self.seen.add(pair)
        before, after = _variants(old, self.old), _variants(new, self.new)
        for name in before.keys() - after.keys():
            yield f"{path}: {name} is gone"
        if self.direction == "published":
            # A reader can pass over a tagged variant it does not know, but not over another type of value.
            for name in after.keys() - before.keys():
                if not (name.startswith(f"{_TAG}=") and any(known.startswith(f"{_TAG}=") for known in before)):
                    yield f"{path}: may now be {name}"
        for name in sorted(before.keys() & after.keys()):
            yield from self.variant(before[name], after[name], path if len(before) == 1 else f"{path}<{name}>")

    def variant(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        yield from self.values(old, new, path)
        if self.direction == "accepted":
            yield from _tightened(old, new, path)
        elif old.get("format") != new.get("format"):
            yield f"{path}: format {old.get('format')} became {new.get('format')}"
        yield from self.fields(old, new, path)
        for keyword in ("items", "additionalProperties"):
            if isinstance(old.get(keyword), Mapping) and isinstance(new.get(keyword), Mapping):
                yield from self.node(old[keyword], new[keyword], f"{path}[]")

    def values(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = _allowed(old), _allowed(new)
        if before is not None and after is not None:
            for value in sorted(before - after):
                yield f"{path}: value {value} is gone"
        elif before is None and after is not None and self.direction == "accepted":
            yield f"{path}: only certain values are allowed now"
        elif before is not None and after is None and self.direction == "published":
            yield f"{path}: values are not enumerated any more"

    def fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in before.keys() - after.keys():
            yield f"{path}.{name}: field is gone"
        if self.direction == "accepted":
            for name in required_after - required_before:
                yield f"{path}.{name}: field is required now"
        else:
            for name in (required_before - required_after) & after.keys():
                yield f"{path}.{name}: field may be absent now"
        for name in before.keys() & after.keys():
            yield from self.node(before[name], after[name], f"{path}.{name}")


def _variants(node: Schema, document: Schema) -> dict[str, Schema]:
    """The schemas a value may match, by the name that tells them apart: `kind=text`, `string`, `null`, …"""
    while "$ref" in node:
        node = document["$defs"][node["$ref"].rpartition("/")[2]]
    branches = node.get("anyOf") or node.get("oneOf")
    if branches is not None:
        return {name: one for branch in branches for name, one in _variants(branch, document).items()}
    tag = node.get("properties", {}).get(_TAG, {}).get("const")
    return {f"{_TAG}={tag}" if tag is not None else node.get("type", "anything"): node}


def _allowed(node: Schema) -> set[str] | None:
    if "const" in node:
        return {str(node["const"])}
    return {str(value) for value in node["enum"]} if "enum" in node else None


def _tightened(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for keyword, larger_is_wider in _BOUNDS.items():
        before, after = old.get(keyword), new.get(keyword)
        if after is None or before == after:
            continue
        if before is None or (after < before if larger_is_wider else after > before):
            yield f"{path}: {keyword} {before} became {after}"
    for keyword in ("pattern", "format"):
        if new.get(keyword) is not None and old.get(keyword) != new[keyword]:
            yield f"{path}: {keyword} {old.get(keyword)} became {new[keyword]}"
