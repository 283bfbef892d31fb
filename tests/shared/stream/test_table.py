"""A table follows a compacted topic into a dictionary and survives interruptions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from unittest.mock import Mock

import pytest

from shared.stream.errors import LogUnavailable
from shared.stream.log import CaughtUp, Log
from shared.stream.memory import MemoryLog
from shared.stream.records import Record
from shared.stream.table import Table
from tests.integration.brokers import every_log
from tests.shared.stream.support import eventually, fill, topic


class Accounts(dict[bytes, bytes]):
    def apply(self, key: bytes, value: bytes | None) -> None:
        if value == b"bad":
            raise ValueError
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value


@every_log
async def test_a_table_is_ready_with_what_was_there_and_follows(log: Log, unique: Callable[[str], str]) -> None:
    name = await topic(log, unique("accounts"), 3, compact=True)
    await fill(log, name, [(b"a%d" % n, b"old") for n in range(30)])
    await fill(log, name, [(b"a0", b"new"), (b"a2", b"bad")])
    await log.send(name, b"a1", None)
    accounts = Accounts()
    rejected = Mock()
    async with Table(log, name, accounts.apply, rejected) as table:
        assert table.health == "starting"
        await eventually(table.ready.is_set)
        assert table.health == "live"
        assert accounts == {b"a0": b"new"} | {b"a%d" % n: b"old" for n in range(2, 30)}
        assert rejected.call_count == 1
        await log.send(name, b"a2", b"good")
        await log.send(name, b"a3", None)
        await eventually(lambda: accounts.get(b"a2") == b"good" and b"a3" not in accounts)


class Interrupted(MemoryLog):
    """Gives the given passes; each ends with the broker gone."""

    def __init__(self, *passes: list[Record | CaughtUp]) -> None:
        super().__init__()
        self.passes = iter(passes)

    async def follow(self, topic: str) -> AsyncIterator[Record | CaughtUp]:
        for item in next(self.passes):
            yield item
        raise LogUnavailable("gone")


def entry(key: bytes, value: bytes | None) -> Record:
    return Record("accounts", 0, 0, key, value, (), 0)


async def test_what_vanished_during_an_interruption_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.stream.table.AGAIN_SECONDS", 0)
    # The tombstone of `gone` was compacted away before the second pass; the third is cut off before its end.
    log = Interrupted(
        [entry(b"kept", b"1"), entry(b"gone", b"1"), CaughtUp("accounts"), entry(b"late", b"1")],
        [entry(b"kept", b"2")],
        [entry(b"kept", b"2"), entry(b"late", b"1"), CaughtUp("accounts")],
    )
    accounts = Accounts()
    states = []
    async with Table(log, "accounts", accounts.apply) as table:
        await table.ready.wait()
        states.append(table.health)
        await eventually(lambda: b"gone" not in accounts)
    assert accounts == {b"kept": b"2", b"late": b"1"}
    assert table.health in ("live", "stale")
