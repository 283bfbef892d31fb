"""A webhook with one plain message or status is split by a short way: the bytes are those of the long one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from services.whatsapp.receive import batch
from services.whatsapp.receive.batch import unbatch
from shared.channel import RawItem
from tests.channels import goldens

ODD: list[Any] = [None, "", "x", 7, True, [], {}, [{}], {"a": 1}, [{"a": 1}, {"b": 2}], "+491511"]
ADDED = {"to": "49151", "message": {"id": "wamid.x"}, "errors": [{"code": 1}], "standby": [], "statuses": [{"id": "1"}]}


def changed(value: Any) -> Iterator[Any]:
    """Every place of a document without what is there, with something odd instead, and with something more."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: content for name, content in value.items() if name != key}
            for other in (*ODD, *changed(inner)):
                yield {**value, key: other}
        for key, more in ADDED.items():
            yield {**value, key: more}
    elif isinstance(value, list):
        yield value * 2
        for index, inner in enumerate(value):
            for other in changed(inner):
                yield [*value[:index], other, *value[index + 1 :]]


def split(body: bytes) -> list[RawItem] | str:
    try:
        return unbatch(body)
    except ValueError as unreadable:
        return str(unreadable)


def payloads() -> list[Any]:
    """One golden of each shape that goes the short way, and one that does not."""
    found: dict[str, Any] = {}
    for path in goldens.cases("whatsapp", "inbound"):
        if path.suffix == ".json":
            document = json.loads(path.read_bytes())
            lone = batch._lone(deepcopy(document))
            shape = "none" if lone is None else f"{sorted(json.loads(lone.body))}"
            found.setdefault(shape, document)
    return list(found.values())


@pytest.mark.parametrize("index", range(len(payloads())))
def test_the_short_way_finds_what_the_long_one_finds(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [json.dumps(document).encode() for document in changed(payloads()[index])]
    short = [split(body) for body in bodies]
    monkeypatch.setattr(batch, "_lone", lambda document: None)
    for body, found in zip(bodies, short, strict=True):
        assert found == split(body), body


def test_every_golden_is_split_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [path.read_bytes() for path in goldens.cases("whatsapp", "inbound")]
    lone = batch._lone
    taken: list[bool] = []

    def counted(document: Any) -> RawItem | None:
        found = lone(document)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(batch, "_lone", counted)
    short = list(map(split, bodies))
    assert sum(taken) > len(taken) / 3
    monkeypatch.setattr(batch, "_lone", lambda document: None)
    assert short == list(map(split, bodies))
