"""Every simulator is asked in the same way, its document shows each operation, and every example holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.simulators import carried_out, documents, matches, names

# What a console and a test of any channel build on.
EVERYWHERE = {
    "GET ", "GET state", "POST reset", "GET behaviour", "PATCH behaviour", "GET faults", "POST faults", "DELETE faults",
    "GET clock", "POST clock", "GET calls", "GET violations", "GET sent", "GET repeats", "GET events", "GET accounts",
    "POST accounts", "POST accounts/{account}/revoke", "GET people", "POST people", "POST people/{person}/write",
    "GET conversation", "GET files/{file}", "POST webhooks/raw",
}  # fmt: skip
ROWS = {
    "sent": {"id", "account", "person", "kind", "text", "at"},
    "calls": {"at", "call", "arguments", "status"},
    "people": {"id", "name"},
    "accounts": {"id"},
    "conversation": {"messages"},
}
Done = dict[str, tuple[list[dict[str, Any]], list[Any]]]


@pytest.fixture(scope="module")
def done() -> Done:
    """What came of the examples, by simulator."""

    async def all_of_them() -> Done:
        return dict(zip(names(), await asyncio.gather(*map(carried_out, names())), strict=True))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("name", names())
def test_it_has_what_all_have(done: Done, name: str) -> None:
    listed = {f"{row['method']} {row['path'].removeprefix('/_sim/')}" for row in done[name][0]}
    assert listed >= EVERYWHERE


@pytest.mark.parametrize("name", names())
def test_every_operation_says_what_it_does_and_has_an_example(done: Done, name: str) -> None:
    operations, steps = done[name]
    assert [row["path"] for row in operations if not row["does"].endswith(".")] == []
    assert [row for row in operations if not any(matches(row, step) for step, _, _ in steps)] == []


@pytest.mark.parametrize("name", names())
def test_every_example_holds(done: Done, name: str) -> None:
    assert [(step.path, status, answer) for step, status, answer in done[name][1] if status != 200] == []


@pytest.mark.parametrize("name", names())
def test_answers_have_the_same_fields_everywhere(done: Done, name: str) -> None:
    for step, _, answer in done[name][1]:
        if (fields := ROWS.get(step.path.partition("?")[0])) and step.method == "GET":
            rows = answer.get("messages", answer) if "sent" in step.path else answer
            assert rows, step.path
            for row in rows if isinstance(rows, list) else [rows]:
                assert fields <= row.keys(), step.path


@pytest.mark.parametrize("name", names())
def test_no_example_breaks_the_providers_rules(done: Done, name: str) -> None:
    assert [answer for step, _, answer in done[name][1] if step.path == "violations"] == [[]]


def test_the_document_is_fresh(done: Done) -> None:
    for path, text in documents({name: done[name][0] for name in names()}).items():
        assert path.read_text() == text, f"make docs writes {path.name} anew"
