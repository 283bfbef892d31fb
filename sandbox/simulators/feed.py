"""The feed of changes in a simulated world, followed by a console or a test."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from itertools import islice
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from sandbox.simulators.common import Clock, json_response


class Change(NamedTuple):
    """One thing that happened in the simulated world."""

    seq: int
    at: float
    kind: str
    data: dict[str, Any]


class Feed:
    """A ring of recent changes, followed by a console over server-sent events or long polling."""

    def __init__(self, clock: Clock, size: int) -> None:
        self._clock = clock
        self._ring: deque[Change] = deque(maxlen=size)
        self._seq = 0
        self._wake = asyncio.Event()
        self._closed = False

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Record a change and wake the followers."""
        self._seq += 1
        self._ring.append(Change(self._seq, self._clock.now(), kind, data))
        self._wake.set()

    def since(self, after: int, limit: int = 500) -> list[Change]:
        """Changes with a sequence number above `after`, oldest first."""
        if not self._ring or after >= self._seq:
            return []
        first = max(0, after + 1 - self._ring[0].seq)
        return list(islice(self._ring, first, first + limit))

    def close(self) -> None:
        """Let every follower go."""
        self._closed = True
        self._wake.set()

    async def _changes(self, after: int, seconds: float) -> list[Change]:
        deadline = time.monotonic() + seconds
        while not (found := self.since(after)) and not self._closed:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), deadline - time.monotonic())
            except TimeoutError:
                break
        return found

    async def serve(self, request: web.BaseRequest, after: int | None, seconds: float) -> web.StreamResponse:
        """The changes above `after` (None: from now on), waited for at most `seconds` where there are none yet.

        With `Accept: text/event-stream` an endless stream of them, continued after `Last-Event-ID`.
        """
        after = int(request.headers.get("Last-Event-ID") or (self._seq if after is None else after))
        if "text/event-stream" not in request.headers.get("Accept", ""):
            found = await self._changes(after, min(seconds, 60))
            last = found[-1].seq if found else after
            return json_response({"last": last, "changes": [change._asdict() for change in found]})
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        await stream.write(b": connected\n\n")
        while not self._closed:
            found = await self._changes(after, 15)
            lines = [b"id: %d\ndata: %s\n\n" % (c.seq, orjson.dumps(c._asdict(), default=str)) for c in found]
            await stream.write(b"".join(lines) or b": still here\n\n")
            after = found[-1].seq if found else after
        return stream
