"""What came out on the topics: readers that keep every record, and the one way tests wait."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import orjson

from shared.contract.envelope import attributes
from shared.stream.errors import LogUnavailable
from shared.stream.log import CaughtUp, Log
from shared.stream.records import Record

T = TypeVar("T")

# A receipt may overtake the word that a message was sent, which is then not told any more.
SENT = frozenset({"sent", "delivered", "read", "played"})
ENDS = SENT | {"done", "failed", "rejected", "expired", "cancelled", "uncertain"}
_REFUSED = frozenset({"rejected", "expired", "cancelled"})


async def eventually(
    check: Callable[[], T], seconds: float = 30.0, *, every: float = 0.02, what: str | Callable[[], object] = ""
) -> T:
    """What `check` returns, as soon as it is true. After `seconds` the test fails and shows `what`."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what() if callable(what) else what or check}")
        await asyncio.sleep(every)
    return found


@dataclass(frozen=True)
class Seen:
    """One record as a reader of the topic sees it."""

    record: Record

    @cached_property
    def attributes(self) -> dict[str, str]:
        return attributes(self.record.headers)

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    @property
    def type(self) -> str:
        """`message.received` for `channels.message.received.v1`."""
        return self.attributes.get("type", "").removeprefix("channels.").removesuffix(".v1")

    @property
    def key(self) -> str:
        return (self.record.key or b"").decode("utf-8", "replace")

    @cached_property
    def data(self) -> dict[str, Any]:
        return orjson.loads(self.record.value or b"{}")

    @property
    def text(self) -> str:
        return self.data.get("content", {}).get("text", "")


class Reader:
    """Follows one topic from its beginning and keeps everything, in order of arrival and by key."""

    def __init__(self, log: Log, topic: str) -> None:
        self.topic = topic
        self.all: list[Seen] = []
        self.by_key: defaultdict[str, list[Seen]] = defaultdict(list)
        self._log = log
        self._next: dict[int, int] = {}
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except LogUnavailable:
                await asyncio.sleep(0.2)

    async def _follow(self) -> None:
        async for record in self._log.follow(self.topic):
            # After an outage following begins anew; what was kept before is not kept twice.
            if isinstance(record, CaughtUp) or record.offset < self._next.get(record.partition, 0):
                continue
            self._next[record.partition] = record.offset + 1
            self.keep(Seen(record))

    def keep(self, seen: Seen) -> None:
        self.all.append(seen)
        self.by_key[seen.key].append(seen)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def of(self, key: str, kind: str | None = None) -> list[Seen]:
        """The records of one key, perhaps of one type only."""
        return [seen for seen in self.by_key.get(key, ()) if kind in (None, seen.type)]

    def repeated_ids(self) -> dict[str, int]:
        """`ce_id`s that stand on the topic more than once."""
        return {ce_id: times for ce_id, times in Counter(seen.id for seen in self.all).items() if times > 1}

    async def one(self, key: str, matches: Callable[[Seen], object], seconds: float = 30.0) -> Seen:
        """The first record of a key that matches."""
        return await eventually(
            lambda: next((seen for seen in self.by_key.get(key, ()) if matches(seen)), None),
            seconds,
            what=lambda: f"no such record of {key!r} on {self.topic}; there are {self._shown(key)}",
        )

    async def event(self, key: str, kind: str, seconds: float = 30.0, **fields: Any) -> Seen:
        """The first event of a type whose data has these fields."""
        return await self.one(
            key, lambda s: s.type == kind and all(s.data.get(name) == value for name, value in fields.items()), seconds
        )

    def _shown(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        return [(seen.type, seen.data) for seen in self.by_key.get(key, ())][-5:]


class Statuses(Reader):
    """The statuses topic, by command."""

    def __init__(self, log: Log, topic: str) -> None:
        self.by_command: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        super().__init__(log, topic)

    def keep(self, seen: Seen) -> None:
        super().keep(seen)
        self.by_command[seen.data.get("command_id", "")].append(seen.data)

    def ended(self, command_id: str) -> list[dict[str, Any]] | None:
        """The first end of every part, in order; None while a part has none."""
        parts: dict[int, dict[str, Any]] = {}
        for status in self.by_command.get(command_id, ()):
            if status["state"] in ENDS:
                parts.setdefault(status["part"]["index"], status)
        if not parts:
            return None
        refused = 0 in parts and parts[0]["state"] in _REFUSED
        complete = len(parts) >= next(iter(parts.values()))["part"]["of"]
        return [parts[index] for index in sorted(parts)] if complete or refused else None

    async def end(self, command_id: str, seconds: float = 30.0) -> list[dict[str, Any]]:
        """The first end of every part, in order, once all parts have ended."""
        return await eventually(
            lambda: self.ended(command_id),
            seconds,
            what=lambda: f"command {command_id} has not ended: {self.by_command.get(command_id)}",
        )

    async def state(self, command_id: str, state: str, seconds: float = 30.0, part: int = 0) -> dict[str, Any]:
        """The first status of a command's part with this state."""

        def found() -> dict[str, Any] | None:
            statuses = self.by_command.get(command_id, ())
            return next((s for s in statuses if s["state"] == state and s["part"]["index"] == part), None)

        return await eventually(
            found,
            seconds,
            what=lambda: f"command {command_id} never came to {state}: {self.by_command.get(command_id)}",
        )

    def states(self, command_id: str, part: int = 0) -> set[str]:
        """Every state a part has been in."""
        return {s["state"] for s in self.by_command.get(command_id, ()) if s["part"]["index"] == part}
