"""The comparison that guards the contract: it lets additions through and names every kind of break."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contract.schemas import Direction
from tests.contract.additive import breaks

BASE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "state", "content"],
    "properties": {
        "id": {"type": "string", "maxLength": 10, "minLength": 1},
        "state": {"$ref": "#/$defs/State"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "size": {"type": "integer", "minimum": 0},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "content": {"oneOf": [{"$ref": "#/$defs/Text"}, {"$ref": "#/$defs/Media"}]},
        "child": {"$ref": "#/$defs/Node"},
    },
    "$defs": {
        "State": {"type": "string", "enum": ["sent", "read"]},
        "Text": {
            "type": "object",
            "required": ["kind", "text"],
            "properties": {"kind": {"type": "string", "const": "text"}, "text": {"type": "string"}},
        },
        "Media": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "const": "media"}}},
        "Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "name": {"type": "string"}}},
    },
}


def changed(path: str, value: Any = None) -> dict[str, Any]:
    """BASE with the value at a slash-separated path replaced, or removed when it is None."""
    root: dict[str, Any] = _copy(BASE)
    *steps, last = path.split("/")
    node = root
    for step in steps:
        node = node[step]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return root


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("direction", ["published", "accepted"])
def test_the_same_schema_breaks_nothing(direction: Direction) -> None:
    assert breaks(BASE, _copy(BASE), direction) == []


@pytest.mark.parametrize("direction", ["published", "accepted"])
@pytest.mark.parametrize(
    ("new", "where"),
    [
        (changed("properties/note"), "$.note: field is gone"),
        (changed("$defs/Node/properties/name"), "$.child.name: field is gone"),
        (changed("$defs/Text/properties/text"), "$.content<kind=text>.text: field is gone"),
        (changed("$defs/State/enum", ["sent"]), "$.state: value read is gone"),
        (changed("properties/content/oneOf", [{"$ref": "#/$defs/Text"}]), "$.content: kind=media is gone"),
        (changed("properties/size", {"type": "string"}), "$.size: integer is gone"),
        (changed("properties/tags/items", {"type": "integer"}), "$.tags[]: string is gone"),
    ],
)
def test_breaks_both_ways(direction: Direction, new: dict[str, Any], where: str) -> None:
    assert where in breaks(BASE, new, direction)


@pytest.mark.parametrize(
    ("new", "where"),
    [
        (changed("required", ["id", "state", "content", "size"]), "$.size: field is required now"),
        (changed("$defs/Node/required", ["name"]), "$.child.name: field is required now"),
        (changed("properties/note", {"type": "string"}), "$.note: null is gone"),
        (changed("properties/id/maxLength", 5), "$.id: maxLength 10 became 5"),
        (changed("properties/id/minLength", 2), "$.id: minLength 1 became 2"),
        (changed("properties/size/maximum", 9), "$.size: maximum None became 9"),
        (changed("properties/id/pattern", "^a"), "$.id: pattern None became ^a"),
        (changed("properties/note", {"type": "string", "enum": ["x"]}), "$.note: null is gone"),
        (changed("properties/at/enum", ["x"]), "$.at: only certain values are allowed now"),
    ],
)
def test_what_is_accepted_must_not_get_stricter(new: dict[str, Any], where: str) -> None:
    assert where in breaks(BASE, new, "accepted")


@pytest.mark.parametrize(
    ("new", "where"),
    [
        (changed("required", ["id", "content"]), "$.state: field may be absent now"),
        (changed("properties/id", {"anyOf": [{"type": "string"}, {"type": "null"}]}), "$.id: may now be null"),
        (changed("properties/at", {"type": "string"}), "$.at: format date-time became None"),
        (changed("$defs/State", {"type": "string"}), "$.state: values are not enumerated any more"),
    ],
)
def test_what_is_published_must_not_get_looser(new: dict[str, Any], where: str) -> None:
    assert where in breaks(BASE, new, "published")


@pytest.mark.parametrize("direction", ["published", "accepted"])
@pytest.mark.parametrize(
    "new",
    [
        changed("properties/extra", {"type": "string"}),
        changed("$defs/State/enum", ["sent", "read", "played"]),
        changed("properties/state/description", "said better"),
    ],
)
def test_additions_break_nothing(direction: Direction, new: dict[str, Any]) -> None:
    assert breaks(BASE, new, direction) == []


def test_a_new_content_kind_breaks_no_reader() -> None:
    new = changed("$defs/Poll", {"type": "object", "properties": {"kind": {"type": "string", "const": "poll"}}})
    new["properties"]["content"]["oneOf"].append({"$ref": "#/$defs/Poll"})
    assert breaks(BASE, new, "published") == []
    assert breaks(BASE, new, "accepted") == []


@pytest.mark.parametrize(
    "new", [changed("required", ["id"]), changed("properties/id/maxLength", 20), changed("properties/size/minimum")]
)
def test_accepting_more_breaks_no_writer(new: dict[str, Any]) -> None:
    assert breaks(BASE, new, "accepted") == []
