"""JSON of strangers: what is read all the same, what is refused, and that the rest can be written again."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kit.json import DEEPEST, read_json, read_shallow


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        (b'{"a": 1}', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('{"a": 1}'.encode("utf-8-sig"), {"a": 1}),
        (b'{"text": "\\ud83d", "\\ud83d": 1}', {"text": "\ufffd", "\ufffd": 1}),
        (b'{"text": "a\xffb"}', {"text": "a\ufffdb"}),
        (b'{"text": "a\nb"}', {"text": "a\nb"}),
        (b'{"\\ud83d": [NaN, 1e999, 18446744073709551616]}', {"\ufffd": [None, None, "18446744073709551616"]}),
    ],
)
def test_what_can_be_read_is(given_: bytes | str, read: Any) -> None:
    assert read_json(given_) == read


@pytest.mark.parametrize("given_", [b"", b"{", b"hello", b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_what_is_no_json_is_refused(given_: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        read_json(given_)


@pytest.mark.parametrize("level", ["[%s]", '{"a": %s}'])
def test_what_could_not_be_published_again_is_refused(level: str) -> None:
    def nested(depth: int) -> str:
        before, after = level.split("%s")
        return before * depth + "1" + after * depth

    assert orjson.dumps({"a": {"b": [read_shallow(nested(DEEPEST))]}})
    with pytest.raises(ValueError, match="nested too deeply"):
        read_shallow(nested(DEEPEST + 1))
    assert read_shallow("[" + "[]," * 1000 + "[]]"), "wide is not deep"


@given(st.recursive(st.none() | st.floats() | st.integers() | st.text(st.characters()), st.lists, max_leaves=8))
def test_what_was_read_can_be_written(value: Any) -> None:
    assert orjson.dumps(read_json(json.dumps([value, "\ud83d"])))
