"""Signs and delivers webhooks: in lanes per conversation, at least once, redelivered with backoff for 72 h."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
import orjson

from sandbox.simulators.common import Clock, Faults

from .faults import CallFault
from .options import Options

REDELIVERY_HORIZON_S = 72 * 3600.0
FIRST_REDELIVERY_S = 1.0
ATTEMPT_TIMEOUT_S = 10.0

LANES = 16
LANE_LENGTH = 4_096
MAX_REDELIVERING = 10_000
MAX_DELAYED = 20_000
KEPT_ATTEMPTS = 5_000

_DISTURBANCES = frozenset({"duplicate", "reorder"})


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The `TikTok-Signature` value: HMAC-SHA256 over `<unix seconds>.<raw body>` with the app's secret."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},s={digest}"


def redelivery_delays() -> Iterator[float]:
    """Waits before each redelivery, seconds: doubling from 1 s, the last one ending 72 h after the first try."""
    delay, left = FIRST_REDELIVERY_S, REDELIVERY_HORIZON_S
    while left > 0:
        yield min(delay, left)
        left -= delay
        delay *= 2


class Attempt(NamedTuple):
    """One try to deliver; `status` is the receiver's, 0 when it could not be reached. `at` is unix ms."""

    at: int
    event: str
    attempt: int
    status: int


@dataclass(slots=True)
class Delivery:
    """One webhook on its way. `signature` is set when the test wants that one and no other."""

    event: str
    body: bytes
    facts: dict[str, object]
    attempts: int = 0
    timestamp: int = 0
    signature: str | None = None


class Webhooks:
    """The platform's sender. Without a callback URL events are dropped, as for an app that never subscribed.

    `wall` is the receiver's clock and stamps signatures: the platform's may run ahead of it.
    """

    def __init__(
        self, clock: Clock, options: Options, faults: Faults[CallFault], wall: Callable[[], float] = time.time
    ) -> None:
        self.callback_url: str | None = None
        self.attempts: deque[Attempt] = deque(maxlen=KEPT_ATTEMPTS)
        self.totals: Counter[str] = Counter()
        self._clock = clock
        self._wall = wall
        self._options = options
        self._faults = faults
        self._session: aiohttp.ClientSession | None = None
        self._lanes: list[asyncio.Queue[Delivery]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._redelivering: set[asyncio.Task[None]] = set()
        self._delayed: set[asyncio.TimerHandle] = set()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Open the HTTP client and the lanes."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=LANES * 4),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S),
        )
        self._lanes = [asyncio.Queue(LANE_LENGTH) for _ in range(LANES)]
        self._workers = {asyncio.create_task(self._work(lane)) for lane in self._lanes}

    async def stop(self) -> None:
        """Drop what is under way; a platform that goes down does not say goodbye."""
        for handle in self._delayed:
            handle.cancel()
        tasks = self._workers | self._redelivering
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._workers, self._redelivering, self._delayed = set(), set(), set()
        self._under_way = 0
        self._idle.set()
        if self._session is not None:
            await self._session.close()

    def delivery(self, event: str, content: dict[str, Any] | str, business_id: str) -> Delivery:
        """Wrap a content into the envelope; `content` travels as JSON in a string."""
        text = content if isinstance(content, str) else orjson.dumps(content).decode()
        envelope = {
            "client_key": self._options.app_id,
            "event": event,
            "create_time": int(self._clock.now()),
            "user_openid": business_id,
            "content": text,
        }
        facts: dict[str, object] = {
            "call": "webhook",
            "account": business_id,
            "event": event,
            "business_id": business_id,
        }
        if isinstance(content, dict):
            facts["to"] = facts["conversation_id"] = content.get("conversation_id", "")
        return Delivery(event, orjson.dumps(envelope), facts)

    async def post(self, delivery: Delivery) -> None:
        """Queue a delivery, waiting while its lane is full; a conversation keeps its order."""
        for each in self._disturbed(delivery):
            self._take_on()
            await self._lane(each).put(each)

    def post_later(self, delivery: Delivery, delay_s: float) -> None:
        """Queue a delivery after real seconds without waiting; what finds no room is lost and counted."""
        if len(self._delayed) >= MAX_DELAYED:
            self.totals["lost"] += 1
            return
        self._take_on()

        def fire() -> None:
            self._delayed.discard(handle)
            for each in self._disturbed(delivery):
                self._put(each)
            self._finish()

        handle = asyncio.get_running_loop().call_later(delay_s, fire)
        self._delayed.add(handle)

    async def post_now(self, delivery: Delivery) -> None:
        """Deliver once before returning; what the receiver refuses is redelivered like any other."""
        self._take_on()
        await self._first_attempt(delivery)

    async def settled(self) -> None:
        """Wait until every delivery had its first attempt; neither redeliveries nor held ones are waited for."""
        await self._idle.wait()

    @property
    def redelivering(self) -> int:
        """Deliveries refused so far and due again."""
        return len(self._redelivering)

    def _lane(self, delivery: Delivery) -> asyncio.Queue[Delivery]:
        return self._lanes[hash(delivery.facts.get("conversation_id")) % LANES]

    def _put(self, delivery: Delivery) -> None:
        try:
            self._lane(delivery).put_nowait(delivery)
            self._take_on()
        except asyncio.QueueFull:
            self.totals["lost"] += 1

    def _disturbed(self, delivery: Delivery) -> list[Delivery]:
        """What to queue now: twice the same under a `duplicate`, nothing yet under a `reorder`."""
        fault = self._faults.take(_DISTURBANCES, delivery.facts) if self._faults.active else None
        if fault is None:
            return [delivery]
        if fault.kind == "duplicate":
            again = Delivery(delivery.event, delivery.body, delivery.facts, signature=delivery.signature)
            return [delivery, again]
        self._clock.call_later(fault.seconds, lambda: self._put(delivery))
        return []

    def _take_on(self) -> None:
        self._under_way += 1
        self._idle.clear()

    def _finish(self) -> None:
        self._under_way -= 1
        if self._under_way == 0:
            self._idle.set()

    async def _work(self, lane: asyncio.Queue[Delivery]) -> None:
        while True:
            await self._first_attempt(await lane.get())

    async def _first_attempt(self, delivery: Delivery) -> None:
        try:
            if await self._attempt(delivery):
                return
            if len(self._redelivering) >= MAX_REDELIVERING:
                self.totals["lost"] += 1
                return
            task = asyncio.create_task(self._redeliver(delivery))
            self._redelivering.add(task)
            task.add_done_callback(self._redelivering.discard)
        finally:
            self._finish()

    async def _redeliver(self, delivery: Delivery) -> None:
        for delay in redelivery_delays():
            await self._clock.sleep(delay)
            if await self._attempt(delivery):
                return
        self.totals["expired"] += 1

    async def _attempt(self, delivery: Delivery) -> bool:
        """True when the receiver answered 200, the only answer that counts, or nobody is subscribed."""
        if self.callback_url is None or self._session is None:
            self.totals["unsubscribed"] += 1
            return True
        if not (delivery.attempts and self._options.redelivery_keeps_timestamp):
            delivery.timestamp = int(self._wall())
        delivery.attempts += 1
        signature = delivery.signature
        if signature is None:
            signature = sign(self._options.app_secret, delivery.timestamp, delivery.body)
        headers = {
            "Content-Type": "application/json",
            "TikTok-Signature": signature,
            "X-Tt-Logid": f"{self.totals['attempts']:032x}",
        }
        self.totals["attempts"] += 1
        status = 0
        try:
            async with self._session.post(
                self.callback_url, data=delivery.body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.totals["unreachable"] += 1
        self.attempts.append(Attempt(int(self._clock.now() * 1000), delivery.event, delivery.attempts, status))
        self.totals["delivered"] += status == 200
        return status == 200
