"""Waves: the first records of idle lanes, handed over together instead of one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from shared.stream.records import Record

Wave = Callable[[Sequence[Record]], Awaitable[Sequence[Record]]]

SIZE = 128
"""Records of a wave at most: what is done with all of them without a pause must not hold the event loop."""
BYTES = 256 * 1024
"""Of their values, but for a record that comes alone: as above."""
WIDTH = 2
"""Waves at once: while one waits for the state store or the broker, the other computes."""


class Waiting(Protocol):
    """A lane whose first record waits for a wave."""

    @property
    def first(self) -> Record: ...

    def done(self) -> bool:
        """The first record is done with. Returns whether the next one waits for a wave."""
        ...

    def alone(self) -> None:
        """The first record is to be handled alone, and so are those behind it."""
        ...


class Waves:
    """`wave(records)` gets at most one record of each lane, and returns those that it has not handled; when it raises,
    it has handled none of them.

    The fewer records come, the smaller the waves: a record that comes alone goes at once, in a wave of one.
    """

    def __init__(self, wave: Wave, die: Callable[[Exception], None]) -> None:
        """`die` is called for an error of this machinery itself."""
        self._wave = wave
        self._die = die
        self._lanes: deque[Waiting] = deque()
        self.tasks: set[asyncio.Task[None]] = set()

    def put(self, lane: Waiting) -> None:
        """The lane's first record goes with one of the next waves."""
        self._lanes.append(lane)
        if len(self.tasks) < WIDTH:
            task = asyncio.create_task(self._run())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _run(self) -> None:
        try:
            while self._lanes:
                await self._go(self._next())
        except Exception as error:
            self._die(error)

    def _next(self) -> list[Waiting]:
        taken: list[Waiting] = []
        size = 0
        while self._lanes and len(taken) < SIZE:
            size += len(self._lanes[0].first.value or b"")
            if taken and size > BYTES:
                break
            taken.append(self._lanes.popleft())
        return taken

    async def _go(self, lanes: Sequence[Waiting]) -> None:
        records = [lane.first for lane in lanes]
        try:
            left = {id(record) for record in await self._wave(records)}
        except Exception:  # found again, and dealt with, by whoever handles them one by one
            left = {id(record) for record in records}
        for lane, record in zip(lanes, records, strict=True):
            if id(record) in left:
                lane.alone()
            elif lane.done():
                self._lanes.append(lane)
