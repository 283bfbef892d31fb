"""Loose readers: something of the right type out of anything, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kit import loose

EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda one: st.lists(one) | st.just({}),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("a", "a"),
        ("", None),
        (12, "12"),
        (12.0, "12"),
        (1.5, "1.5"),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_a_text_is_a_string_or_a_number(value: Any, read: str | None) -> None:
    assert loose.as_text(value) == read
    assert loose.text({"a": "", "b": value}, "a", "b") == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, 1.0),
        ("1.5", 1.5),
        ("x", None),
        (float("nan"), None),
        ("inf", None),
        (10**400, None),
        (True, None),
        ([], None),
    ],
)
def test_a_number_is_finite(value: Any, read: float | None) -> None:
    assert loose.as_number(value) == read
    assert loose.number({"n": value}, "n") == read


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_700_000_000, 1_700_000_000.0),
        ("1700000000", 1_700_000_000.0),
        (1_700_000_000_123, 1_700_000_000.123),
        (0, None),
        (-1, None),
        (1e300, None),
        (4_200_000_000, None),
        ("soon", None),
    ],
)
def test_a_moment_counts_seconds_or_milliseconds(value: Any, seconds: float | None) -> None:
    found = loose.as_moment(value, EARLIEST, LATEST)
    assert (found.timestamp() if found else None) == seconds


def test_what_stands_alone_is_a_list_of_one() -> None:
    source = {"one": {"a": 1}, "many": [{"a": 1}, 2, {"b": 3}], "none": {}, "text": "x"}
    assert loose.objects(source, "one") == [{"a": 1}]
    assert loose.objects(source, "many") == [{"a": 1}, {"b": 3}]
    assert loose.items(source, "many") == source["many"]
    assert [loose.items(source, name) for name in ("none", "text", "absent")] == [[], [], []]
    assert loose.texts(loose.objects(source, "many"), "b", "a") == ("1", "3")
    assert [loose.flag({"f": value}, "f") for value in (True, "true", 1.5, None)] == [True, True, False, False]


@given(anything)
def test_nothing_raises(value: Any) -> None:
    source = {"x": value}
    assert isinstance(loose.obj(source, "x"), dict)
    assert isinstance(loose.objects(source, "x"), list)
    assert loose.text(source, "x") is None or loose.text(source, "x") != ""
    moment = loose.as_moment(value, EARLIEST, LATEST)
    assert moment is None or EARLIEST <= moment <= LATEST
