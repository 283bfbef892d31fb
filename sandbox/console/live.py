"""What the page hears as it happens: records and changes of the simulated world, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from sandbox.channels.control import Simulator
from sandbox.console.tail import Tail

BATCH = 200
PAUSE = 0.03  # seconds between two writes to a page: many records at once cost it one rendering
KEEP_ALIVE = 15.0
RECONNECT = 1.0


class Live:
    """Feeds any number of pages; a page that cannot keep up misses what has left the ring."""

    def __init__(self, tail: Tail) -> None:
        self.run = secrets.token_hex(4)
        """Tells a page that reconnects whether the numbers it knows are still good."""
        self._tail = tail
        self._arrived = asyncio.Event()
        self._pages: set[asyncio.Event] = set()
        self._changes: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, simulators: dict[str, Simulator]) -> None:
        """Follow the log and the simulators, by channel."""
        await self._tail.start(self._arrived)
        self._tasks.add(asyncio.create_task(self._spread()))
        for name, simulator in simulators.items():
            self._changes[name] = 0
            self._tasks.add(asyncio.create_task(self._follow(name, simulator)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._tail.stop()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/events`: `hello` once, `records` in batches, `changed` with the name of a channel."""
        after = _resume_at(request, self.run)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        wake = asyncio.Event()
        self._pages.add(wake)
        try:
            await stream.write(b"retry: 1000\nevent: hello\ndata: %s\n\n" % self.run.encode())
            async for event in self._events(after, wake):
                await stream.write(event)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the page was closed, or the console stops
        finally:
            self._pages.discard(wake)
        return stream

    async def _events(self, after: int, wake: asyncio.Event) -> AsyncIterator[bytes]:
        seen = dict(self._changes)
        while True:
            wake.clear()
            records = self._tail.since(after, BATCH)
            if records:
                after = records[-1][0]
                payload = b",".join(entry for _, entry in records)
                yield b"id: %s.%d\nevent: records\ndata: [%s]\n\n" % (self.run.encode(), after, payload)
            for name, version in self._changes.items():
                if version != seen[name]:
                    seen[name] = version
                    yield b"event: changed\ndata: %s\n\n" % name.encode()
            if len(records) < BATCH:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), KEEP_ALIVE)
                if not wake.is_set():
                    yield b": still here\n\n"
            await asyncio.sleep(PAUSE)

    async def _spread(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            self._wake()

    async def _follow(self, name: str, simulator: Simulator) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async for _ in simulator.changes():
                    self.changed(name)
            await asyncio.sleep(RECONNECT)

    def changed(self, channel: str) -> None:
        """Something of the channel's people is new."""
        self._changes[channel] += 1
        self._wake()

    def _wake(self) -> None:
        for page in self._pages:
            page.set()


def _resume_at(request: web.Request, run: str) -> int:
    """The number of the last record the page has, when it is of this run."""
    known_run, _, number = request.headers.get("Last-Event-ID", "").partition(".")
    return int(number) if known_run == run and number.isdecimal() else 0
