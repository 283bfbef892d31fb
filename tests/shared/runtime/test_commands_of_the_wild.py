"""Commands as nobody should write them: every one ends with a status and a stable code, and none is poison."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.channel import Refused
from shared.contract.commands import CommandRefused, CommandType
from shared.contract.envelope import type_name
from shared.contract.errors import ErrorCode
from shared.runtime.outbound.commands import LONGEST_ID, NotACommand, expiry, read_command, refusal_status
from shared.runtime.tools import offline
from shared.stream.records import Record
from tests.channels import goldens
from tests.shared.runtime.world import CONVERSATION, PATIENCE, World

NESTED: Any = []
for _ in range(200):
    NESTED = [NESTED]
NESTED_OBJECT: Any = {}
for _ in range(200):
    NESTED_OBJECT = {"a": NESTED_OBJECT}

CHANNELS = {name: goldens.channel(name) for name in goldens.channel_names()}

# What stands where something else is expected.
EVIL: list[Any] = [
    None, True, False, "", " ", "\x00", "a\x00b", "\n", "NaN", "-Infinity", "1e999",
    "0x10", "\u202e", "\ud83d", "é" * 600,
    0, -1, 1.5, -0.0, 1e30, -1e308, 2**63, -(2**63) - 1, 2**64, 10**30, float("nan"), float("inf"), float("-inf"),
    [], {}, [None], [[]], {"": ""}, {"kind": "text"}, {"kind": "?"}, NESTED, NESTED_OBJECT, "x" * 5000, ["x"] * 300,
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00",
    "2026-02-30T00:00:00Z", "0000-00-00T00:00:00Z", "2026-01-01T00:00:00+99:99", "10000-01-01T00:00:00Z", 253402300800,
    "../..", "a/b", "a:b:c", "telegram:a:b", "https://[::1", "http://a@b:c", "data:,x", "tel:", "+", "@",
    "\U0001f3f4\U000e0067\U000e007f",
]  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in members:
        yield (*path, name)
        yield from paths(inner, (*path, name))


def with_(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def commands(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of every golden command."""
    found = []
    for path in goldens.cases(name, "outbound"):
        document = json.loads(path.read_bytes())
        ce_type, data, _ = offline.read_command(document)
        data = {
            "command_id": "c1",
            "workspace_id": "ws_1",
            "account_id": "acc_1",
            "conversation_id": f"{name}:acc_1:1",
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2099-01-01T00:00:00Z",
            **data,
        }
        found.append((ce_type, data))
    return found


# Where a conversation's id does not say where to write.
ADDRESSED = {"email": {"address": {"email": "ida@people.example"}}}


def record(ce_type: str, value: bytes, key: bytes | None = b"k", timestamp_ms: int = 1_790_000_000_000) -> Record:
    return Record("t", 0, 0, key, value, (("ce_type", ce_type.encode("utf-8", "replace")),), timestamp_ms)


def as_json(data: Any) -> bytes:
    """As a careless writer of JSON has it: NaN, Infinity and half characters pass."""
    return json.dumps(data).encode()


def judged(name: str, ce_type: str, value: bytes) -> str:
    """What becomes of the command. Raises what nobody expects."""
    written = record(ce_type, value)
    try:
        command = read_command(written).command
    except NotACommand:
        return "unreadable"
    except CommandRefused as refused:
        status = refusal_status(name, written, refused)
        assert orjson.loads(status.to_json())["error"]["code"] == refused.code
        assert refused.code is not ErrorCode.INTERNAL
        return refused.code
    expiry(written, command, PATIENCE)
    try:
        document = {"type": ce_type, "data": orjson.loads(value), "context": ADDRESSED.get(name, {})}
        calls = offline.plan(CHANNELS[name], document)
    except Refused as refused:  # pragma: no cover  plan says so itself
        return refused.code
    orjson.dumps(calls)
    code = str(calls[0]["refused"]["code"]) if calls and "refused" in calls[0] else "planned"
    assert code != ErrorCode.INTERNAL
    return code


@pytest.mark.parametrize("name", goldens.channel_names())
def test_a_value_that_is_wrong_in_any_place_ends_with_a_code(name: str) -> None:
    chance = random.Random(name)
    seen: dict[str, int] = {}
    for ce_type, data in commands(name):
        for path in paths(data):
            code = judged(name, ce_type, as_json(with_(data, path, chance.choice(EVIL))))
            seen[code] = seen.get(code, 0) + 1
    assert {"planned", "invalid_command"} <= seen.keys()
    # Only a command id that no status can repeat has no status.
    assert seen.get("unreadable", 0) < 0.05 * sum(seen.values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(EVIL),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", goldens.channel_names())
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_several_values_that_are_wrong_end_with_a_code(name: str, data: st.DataObject) -> None:
    ce_type, command = data.draw(st.sampled_from(commands_of[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(paths(command))))
        command = with_(command, path, data.draw(json_values))
    judged(
        name,
        data.draw(st.sampled_from([ce_type, "", "channels.message.send.v2", type_name("typing.start")])),
        as_json(command),
    )


commands_of = {name: commands(name) for name in goldens.channel_names()}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1e999", '"nan"', '"-inf"', "1" * 5000])
def test_a_number_that_is_none_is_named(number: str) -> None:
    location = f'{{"latitude":{number},"longitude":1}}'
    value = (
        '{"command_id":"c","workspace_id":"w","account_id":"a","conversation_id":"telegram:a:1",'
        f'"content":{{"kind":"location","location":{location}}}}}'
    ).encode()
    with pytest.raises(CommandRefused) as caught:
        read_command(record("channels.message.send.v1", value))
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_COMMAND, "content.location.latitude")


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", 10**30), ("width", 1e30), ("height", -(2**63) - 1), ("duration", float("inf")), ("duration", "NaN")],
)
def test_facts_of_a_file_are_numbers_that_can_be_written(field: str, value: Any) -> None:
    data = {
        "command_id": "c", "workspace_id": "w", "account_id": "a", "conversation_id": "telegram:a:1",
        "content": {"kind": "media", "attachments": [{"blob": "b", field: value}]},
    }  # fmt: skip
    with pytest.raises(CommandRefused) as caught:
        read_command(record("channels.message.send.v1", as_json(data)))
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_COMMAND, f"content.attachments.0.{field}")


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 2**62, -(2**62)])
@pytest.mark.parametrize(
    "times",
    [
        {},
        {"not_before": "9999-12-31T23:59:59.999Z"},
        {"not_after": "9999-12-31T23:59:59.999999Z"},
        {"not_before": "0001-01-01T00:00:00Z"},
        {"not_after": "0001-01-01T00:00:00Z"},
    ],
)
@pytest.mark.parametrize("patience", [0.0, 86400.0, 1e11])
def test_times_at_the_ends_of_the_calendar_have_an_expiry(
    timestamp_ms: int, times: dict[str, str], patience: float
) -> None:
    data = {"command_id": "c", "workspace_id": "w", "account_id": "a", "conversation_id": "plain:a:1", **times}
    written = record("channels.conversation.mark_read.v1", as_json(data), timestamp_ms=timestamp_ms)
    command = read_command(written).command
    assert expiry(written, command, patience).year < 10_000


# --------------------------------------------------------------------------------------------- through deliver


async def ended(world: World, written: Record) -> str:
    """Deliver a record; the last thing that is told about it, or its dead letter."""
    before = len(await world.statuses()), len(await world.dead())
    await world.handle(written)
    told = (await world.statuses())[before[0] :]
    assert all((status.get("error") or {}).get("code") != "internal" for status in told)
    if told:
        return str(told[-1]["state"])
    return "dead" if len(await world.dead()) > before[1] else "nothing"


async def test_no_command_of_the_wild_is_poison(world: World) -> None:
    chance = random.Random(1)
    ends: dict[str, int] = {}
    all_of_them = [command for name in goldens.channel_names() for command in commands_of[name]]
    all_of_them = [command for command in all_of_them if b'"url"' not in orjson.dumps(command)]  # nothing is fetched
    for number in range(400):
        ce_type, data = chance.choice(all_of_them)
        ours = {"workspace_id": "ws_1", "account_id": "acc_1", "conversation_id": CONVERSATION}
        data = {**data, **ours, "command_id": f"c{number}"}
        path = chance.choice([path for path in paths(data) if path[-1] not in ("command_id", "blob")])
        value = as_json(with_(data, path, chance.choice(EVIL)))
        end = await ended(world, await world.record(value, ce_type))
        ends[end] = ends.get(end, 0) + 1
    assert ends.get("nothing", 0) == 0, ends
    assert {"sent", "rejected"} <= ends.keys()


@pytest.mark.parametrize(
    "odd",
    [
        {"key": None},
        {"key": b"\xff\xfe"},
        {"key": b""},
        {"value": None},
        {"value": b""},
        {"value": b"\xff\xfe"},
        {"value": b"[" * 100_000},
        {"value": b"null"},
        {"headers": ()},
        {"headers": (("ce_type", b"\xff"),)},
        {"headers": (("ce_type", b"channels.message.send.v1"), ("traceparent", b"\xff"), ("ce_id", b"\x00"))},
        {"headers": (("ce_type", b"channels.message.send.v99999999999999999999999"),)},
        {"timestamp_ms": -1},
        {"timestamp_ms": 2**62},
    ],
    ids=str,
)
async def test_an_odd_record_ends(world: World, odd: dict[str, Any]) -> None:
    written = await world.command(text="hello")
    assert await ended(world, replace(written, **odd)) in ("sent", "rejected", "dead", "expired")


@pytest.mark.parametrize("command_id", ["x" * (LONGEST_ID + 1), "x" * 900_000, "\ud83d", "", 7, None])
async def test_a_command_that_no_status_can_name_is_a_dead_letter(world: World, command_id: Any) -> None:
    written = await world.command()
    value = as_json({**orjson.loads(written.value or b""), "command_id": command_id})
    assert await ended(world, replace(written, value=value)) == "dead"


@pytest.mark.parametrize("field", ["workspace_id", "account_id", "conversation_id", "command_id"])
@pytest.mark.parametrize("value", ["x" * 200_000, "a\x00b", "a b", "\ud83d", "..", "/", {"a": 1}, "\u202e"])
async def test_an_odd_id_is_refused_or_carried(world: World, field: str, value: Any) -> None:
    written = await world.command()
    data = {**orjson.loads(written.value or b""), field: value}
    assert await ended(world, replace(written, value=as_json(data))) in ("rejected", "dead", "sent")


@pytest.mark.parametrize("kind", [CommandType.MESSAGE_SEND, CommandType.MESSAGE_CANCEL, CommandType.CONTACT_BLOCK])
async def test_a_time_at_the_end_of_the_calendar_is_waited_for(world: World, kind: CommandType) -> None:
    facts = {"cancel_conversation": True} if kind is CommandType.MESSAGE_CANCEL else {}
    written = await world.command(kind, not_before="9999-12-31T23:59:59.999999Z", **facts)
    assert await ended(world, written) in ("deferred", "sent", "rejected", "accepted", "done", "nothing")
