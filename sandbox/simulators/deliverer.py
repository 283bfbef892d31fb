"""Webhook delivery as providers do it: ordered lanes, retries with back-off, expiry, planned faults."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import aiohttp

from sandbox.simulators.common import Clock, Faults, Timer

_REORDER = frozenset({"reorder"})
_DUPLICATE = frozenset({"duplicate"})


@dataclass(slots=True, eq=False)
class Delivery:
    """One webhook request on its way. `facts` is what faults match against."""

    lane: Hashable
    body: bytes
    expires: float
    facts: Mapping[str, object]
    key: int = 0
    attempts: int = 0
    held: bool = False


class Attempt(NamedTuple):
    """How one attempt ended; `status` is None when no answer came."""

    outcome: Literal["delivered", "failed", "expired"]
    status: int | None
    error: str


@dataclass(slots=True)
class Deliverer:
    """Posts webhooks: one in flight per lane, in order; lanes in parallel up to `max_connections`.

    A failed delivery stays at the head of its lane and is tried again after `Retry-After` of the answer or
    `backoff(attempts)` seconds, until it expires. `report` hears of every attempt.
    """

    url: str
    session: aiohttp.ClientSession
    clock: Clock
    faults: Faults[Any]
    headers: Callable[[bytes], dict[str, str]]
    backoff: Callable[[int], float]
    report: Callable[[Delivery, Attempt], None]
    max_connections: int = 40
    timeout: float = 60.0
    _lanes: dict[Hashable, deque[Delivery]] = field(default_factory=dict)
    _ready: deque[Hashable] = field(default_factory=deque)
    _waiting: dict[Hashable, Timer] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _working: int = 0

    def push(self, delivery: Delivery) -> None:
        """Queue a delivery behind its lane."""
        lane = self._lanes.setdefault(delivery.lane, deque())
        lane.append(delivery)
        if len(lane) == 1:
            self._make_ready(delivery.lane)

    async def close(self) -> None:
        """Stop; what was not delivered is left to the owner of the deliveries."""
        for timer in self._waiting.values():
            timer.cancel()
        self._ready.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _make_ready(self, key: Hashable) -> None:
        self._waiting.pop(key, None)
        self._ready.append(key)
        if self._working < self.max_connections:
            self._working += 1
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while self._ready:
                await self._serve_lane(self._ready.popleft())
        finally:
            self._working -= 1

    async def _serve_lane(self, key: Hashable) -> None:
        lane = self._lanes[key]
        delivery = lane[0]
        if not delivery.held and (fault := self.faults.take(_REORDER, delivery.facts)):
            delivery.held = True
            self._waiting[key] = self.clock.call_later(fault.seconds, lambda: self._release(key, fault.within_lane))
            return
        attempt, pause = await self._try(delivery)
        self.report(delivery, attempt)
        if attempt.outcome == "failed":
            self._waiting[key] = self.clock.call_later(pause, lambda: self._make_ready(key))
            return
        if attempt.outcome == "delivered" and self.faults.take(_DUPLICATE, delivery.facts):
            await self._try(delivery)
        lane.popleft()
        if lane:
            self._ready.append(key)
        else:
            del self._lanes[key]

    def _release(self, key: Hashable, swap: bool) -> None:
        lane = self._lanes[key]
        if swap and len(lane) > 1:
            lane[0], lane[1] = lane[1], lane[0]
        self._make_ready(key)

    async def _try(self, delivery: Delivery) -> tuple[Attempt, float]:
        """The attempt, and how many seconds to wait before the next one."""
        if self.clock.now() >= delivery.expires:
            return Attempt("expired", None, "expired"), 0
        delivery.attempts += 1
        pause = self.backoff(delivery.attempts)
        try:
            async with (
                self.clock.timeout(self.timeout),
                self.session.post(
                    self.url, data=delivery.body, headers=self.headers(delivery.body), allow_redirects=False
                ) as answer,
            ):
                await answer.content.read(65_536)
        except TimeoutError:
            return Attempt("failed", None, "Read timeout expired"), pause
        except aiohttp.ClientConnectorError:
            return Attempt("failed", None, "Connection refused"), pause
        except (aiohttp.ClientError, OSError):
            return Attempt("failed", None, "Connection closed"), pause
        if 200 <= answer.status < 300:
            return Attempt("delivered", answer.status, ""), 0
        asked = answer.headers.get("Retry-After", "")
        pause = min(float(asked), 3600.0) if asked.isdigit() else pause
        return Attempt("failed", answer.status, f"{answer.status} {answer.reason}"), pause
