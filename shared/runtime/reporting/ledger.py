"""How a command's ledger is written: one field per call, one per part, and one for an end without any call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from shared.channel import Call, Failure, InThread
from shared.contract.base import rfc3339
from shared.contract.commands import File
from shared.contract.errors import ErrorCode
from shared.contract.statuses import (
    ENDED_WITHOUT_SENDING,
    RANK,
    MessageStatus,
    Receipts,
    Rollup,
    State,
    Warning,
    WarningCode,
)

_NOT_SENT = ENDED_WITHOUT_SENDING | {State.DONE}
END = "end"
AT = "at"
"""The time of the latest status."""
COMMAND = "command"
"""The record of a command some of whose parts are uncertain: what it takes to make their calls again."""
PLAN = "plan"
"""The calls of a message of several parts, kept with the first claim: who takes it over makes these and no others."""
CallState = Literal["intent", "done", "failed", "uncertain"]


def call_field(index: int) -> str:
    return f"call:{index}"


def part_field(index: int) -> str:
    return f"part:{index}"


def again_field(index: int) -> str:
    """Set where an uncertain call is made once more, as the command asks: it is not made a third time."""
    return f"again:{index}"


def split_field(index: int) -> str:
    """The failures for which a call was exchanged for several: made again, the plan is split in the same way."""
    return f"split:{index}"


def encode_failures(failures: Sequence[Failure]) -> str:
    """What `split_field` holds: of a failure what decides on another way."""
    told = [{"code": f.code, "provider_code": f.provider_code, "facts": dict(f.facts)} for f in failures]
    return orjson.dumps(told).decode()


def decode_failures(value: str | None) -> list[Failure]:
    """Read what `encode_failures` wrote."""
    told = orjson.loads(value) if value else []
    return [Failure(ErrorCode(f["code"]), provider_code=f["provider_code"], facts=f["facts"]) for f in told]


def participant_field(part: int, participant: str) -> str:
    """How far a part has got with one participant of a group; who it is cannot be read from it."""
    return f"with:{part}:{hashlib.sha256(participant.encode()).hexdigest()[:16]}"


def participant_entry(state: State, at: datetime) -> tuple[str, int, str]:
    """The value of `participant_field` with its rank and its time, as the store moves it on."""
    return f"{RANK[state]}|{state}|", RANK[state], rfc3339(at)


def receipts(ledger: Mapping[str, str], part: int) -> Receipts:
    """With how many participants a part has got how far."""
    states = [part_state(value) for field, value in ledger.items() if field.startswith(f"with:{part}:")]
    return Receipts(
        delivered=sum(RANK[state] >= RANK[State.DELIVERED] for state in states),
        read=sum(RANK[state] >= RANK[State.READ] for state in states),
        failed=sum(state is State.FAILED for state in states),
    )


def warned_field(index: int, code: WarningCode) -> str:
    """Set where the provider has warned of a part that is out; told again, it is the same status."""
    return f"warned:{index}:{code}"


def told_field(index: int) -> str:
    """The last state of a part that a provider reported and that has been told."""
    return f"told:{index}"


def in_doubt(ledger: Mapping[str, str]) -> list[int]:
    """Indices of the calls that nobody knows the end of, or that are to be made again because of it."""
    uncertain = [
        int(field[5:])
        for field, value in ledger.items()
        if field.startswith("call:") and decode_call(value).state == "uncertain"
    ]
    again = [
        int(field[6:]) for field in ledger if field.startswith("again:") and call_field(int(field[6:])) not in ledger
    ]
    return sorted({*uncertain, *again})


def encode_command(record_type: bytes, value: bytes, queued_ms: int) -> str:
    """What `COMMAND` holds of a record."""
    return orjson.dumps({"type": record_type.decode(), "value": value.decode(), "at": queued_ms}).decode()


def decode_command(ledger: Mapping[str, str]) -> tuple[bytes, bytes, int] | None:
    """The type, the value and the time of the record under `COMMAND`, or None."""
    if COMMAND not in ledger:
        return None
    kept = orjson.loads(ledger[COMMAND])
    return kept["type"].encode(), kept["value"].encode(), kept["at"]


def encode_plan(calls: Sequence[Call]) -> str:
    """What `PLAN` holds of the calls of a message; empty for one part, which is sent or not."""
    if sum(call.parts for call in calls) <= 1:
        return ""
    told = [
        {
            "method": call.method,
            "params": call.params,
            "files": {name: file.model_dump(mode="json", exclude_defaults=True) for name, file in call.files.items()},
            "parts": call.parts,
            "warnings": [warning.model_dump(mode="json") for warning in call.warnings],
            "names": call.names,
            "thread": call.thread,
        }
        for call in calls
    ]
    return orjson.dumps(told).decode()


def decode_plan(ledger: Mapping[str, str]) -> list[Call] | None:
    """The calls under `PLAN`, or None."""
    if PLAN not in ledger:
        return None
    return [
        Call(
            told["method"],
            told["params"],
            {name: File.model_validate(file) for name, file in told["files"].items()},
            told["parts"],
            tuple(Warning.model_validate(warning) for warning in told["warnings"]),
            tuple(told["names"]),
            InThread(**{**told["thread"], "keys": tuple(told["thread"]["keys"])}) if told["thread"] else None,
        )
        for told in orjson.loads(ledger[PLAN])
    ]


def begun(ledger: Mapping[str, str]) -> bool:
    """Whether something of the command may have been sent."""
    return any(field.startswith(("call:", "again:")) for field in ledger)


@dataclass(frozen=True, slots=True)
class CallEntry:
    """What is on record of one call. `at` in Unix milliseconds."""

    state: CallState
    at: int

    def encode(self) -> str:
        return orjson.dumps({"s": self.state, "t": self.at}).decode()


def call_entry(ledger: Mapping[str, str], index: int) -> CallEntry | None:
    value = ledger.get(call_field(index))
    return decode_call(value) if value else None


def decode_call(value: str) -> CallEntry:
    """Read what `CallEntry.encode` wrote."""
    entry = orjson.loads(value)
    return CallEntry(entry["s"], entry["t"])


def encode_part(status: MessageStatus) -> str:
    """A part's value: rank, state, and the status as JSON (to be published again on a repeat)."""
    return f"{RANK[status.state]}|{status.state}|{status.to_json().decode()}"


def entry_of(status: MessageStatus) -> tuple[str, int, str]:
    """A part's value with its rank and its time, as the store settles it."""
    return encode_part(status), RANK[status.state], rfc3339(status.occurred_at)


Settled = Mapping[str, tuple[str, int, str]]
"""Parts by their fields, as `entry_of` has them."""


def onwards(status: MessageStatus, ledger: Mapping[str, str], settled: Settled | None = None) -> MessageStatus:
    """The status with the time it is told with: none of its command's before it is later.

    `settled` is what was given to the store: what stands there unchanged is told as it is.
    """
    field = part_field(status.part.index)
    kept = ledger.get(field)
    if settled is not None and kept == settled[field][0]:
        return status
    if kept is not None and part_state(kept) is status.state:
        return status.model_copy(update={"occurred_at": _time(part_status(kept)["occurred_at"])})
    return status.model_copy(update={"occurred_at": not_before(ledger, status.occurred_at)})


def not_before(ledger: Mapping[str, str], at: datetime) -> datetime:
    """A time of a status, or that of the latest one before it."""
    return max(at, _time(ledger.get(AT, "")))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)


def part_state(value: str) -> State:
    return State(value.split("|", 2)[1])


def part_status(value: str) -> dict[str, Any]:
    """The status a part was last published with."""
    return dict(orjson.loads(value.split("|", 2)[2]))


def published(ledger: Mapping[str, str]) -> Sequence[dict[str, Any]]:
    """The statuses to repeat for a command that comes a second time."""
    if END in ledger:
        return [dict(status) for status in orjson.loads(ledger[END])]
    parts = sorted((f for f in ledger if f.startswith("part:")), key=lambda f: int(f[5:]))
    statuses = sorted((part_status(ledger[field]) for field in parts), key=lambda status: str(status["occurred_at"]))
    return [
        status
        if "rollup" in status or status["state"] == State.DONE
        else {**status, "rollup": rollup(ledger, status["part"]["of"]).model_dump()}
        for status in statuses
    ]


def reached(ledger: Mapping[str, str], index: int, state: State) -> bool:
    """Whether a part has got at least this far."""
    value = ledger.get(part_field(index))
    return value is not None and RANK[part_state(value)] >= RANK[state]


def count_of(ledger: Mapping[str, str], state: State) -> int:
    """How many parts are in this state."""
    return sum(part_state(value) is state for field, value in ledger.items() if field.startswith("part:"))


def rollup(ledger: Mapping[str, str], of: int) -> Rollup:
    """How far the parts have got."""
    states = [part_state(value) for field, value in ledger.items() if field.startswith("part:")]
    ranks = [RANK[state] for state in states if state not in _NOT_SENT]
    return Rollup(
        of=of,
        sent=sum(rank >= RANK[State.SENT] for rank in ranks),
        delivered=sum(rank >= RANK[State.DELIVERED] for rank in ranks),
        read=sum(rank >= RANK[State.READ] for rank in ranks),
        failed=sum(state in ENDED_WITHOUT_SENDING for state in states),
    )
