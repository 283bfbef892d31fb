"""Webhooks as Meta sends them: updates gathered into signed POSTs for every subscribed app, with registration."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import orjson

from sandbox.simulators.common import Clock
from sandbox.simulators.deliverer import Attempt, Deliverer, Delivery
from sandbox.simulators.whatsapp.behaviour import Behaviour, GraphFaults
from sandbox.simulators.whatsapp.errors import GraphError, Json
from sandbox.simulators.whatsapp.model import Account, App, Number
from sandbox.simulators.whatsapp.world import World

# Seconds before the next attempt; Meta promises "immediately, then less and less often" for up to seven days.
BACKOFF: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
QUEUE_MAX: Final = 500_000
RETRYING_MAX: Final = 5_000
_POSTS_AT_ONCE: Final = 8


@dataclass(slots=True)
class Update:
    """One thing to tell an account's apps.

    With `number`, `item` goes into `value[kind]` beside the number's metadata and may share a change with its
    neighbours; without, `item` is the whole value.
    """

    account: Account
    field: str
    item: Json
    number: Number | None = None
    kind: str = "messages"
    contact: Json | None = None


def pack(updates: list[Update], *, merge: bool) -> Json:
    """The envelope for `updates`: entries by account, changes by number, field and kind."""
    entries: dict[str, list[Json]] = {}
    values: dict[tuple[str, str, str], Json] = {}
    for update in updates:
        changes = entries.setdefault(update.account.waba_id, [])
        if update.number is None:
            changes.append({"field": update.field, "value": update.item})
            continue
        key = (update.number.phone_number_id, update.field, update.kind)
        value = values.get(key) if merge else None
        if value is None:
            value = values[key] = {
                "messaging_product": "whatsapp",
                "metadata": {
                    "display_phone_number": update.number.digits,
                    "phone_number_id": update.number.phone_number_id,
                },
            }
            changes.append({"field": update.field, "value": value})
        if update.contact is not None:
            contacts = value.setdefault("contacts", [])
            if update.contact not in contacts[-8:]:
                contacts.append(update.contact)
        value.setdefault(update.kind, []).append(update.item)
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": waba_id, "changes": changes} for waba_id, changes in entries.items()],
    }


def sign(secret: str, body: bytes) -> str:
    """The X-Hub-Signature-256 header of `body`."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@dataclass(slots=True)
class Endpoint:
    """One callback of one app, and what waits for it."""

    app: App
    deliverer: Deliverer
    queue: deque[Update] = field(default_factory=deque)
    in_flight: int = 0
    retrying: int = 0
    flush_armed: bool = False


class Webhooks:
    """Routes updates to endpoints, batches what waits, posts it, retries what fails.

    Posts run concurrently and nothing keeps their order, as with Meta. When one app answers badly every other app
    subscribed to the same accounts gets the body again, too.
    """

    def __init__(self, world: World, clock: Clock, behaviour: Behaviour, faults: GraphFaults) -> None:
        self.posts = self.delivered = self.failed_attempts = self.expired = self.dropped = 0
        self.recent: deque[Json] = deque(maxlen=500)  # attempts, newest last
        self.paused = False
        self._world, self._clock, self._behaviour, self._faults = world, clock, behaviour, faults
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._session: aiohttp.ClientSession | None = None
        self._keys = itertools.count(1)
        self._receipts: dict[int, asyncio.Future[None]] = {}

    async def close(self) -> None:
        """Stop delivering; what waits is lost, as in a crash."""
        for endpoint in self._endpoints.values():
            await endpoint.deliverer.close()
        self._endpoints.clear()
        for receipt in self._receipts.values():
            receipt.cancel()
        if self._session is not None:
            await self._session.close()

    async def verify(self, url: str, verify_token: str) -> None:
        """Perform the GET challenge; raises GraphError 2200 when the callback does not echo it."""
        challenge = str(secrets.randbelow(10**10))
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
        try:
            async with self._http().get(url, params=query, timeout=aiohttp.ClientTimeout(total=6)) as answer:
                text = await answer.text()
                if answer.status != 200 or text.strip() != challenge:
                    raise GraphError(2200, f"Callback verification failed with HTTP status {answer.status}.")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise GraphError(2200, f"Callback verification failed: {type(error).__name__}.") from None

    def send(self, update: Update) -> None:
        """Queue an update for every app that is subscribed."""
        for endpoint in self._targets(update):
            if len(endpoint.queue) >= QUEUE_MAX:
                self.dropped += 1
                continue
            endpoint.queue.append(update)
            self._wake(endpoint)

    async def send_now(self, update: Update) -> None:
        """Deliver one update alone and return after its first attempt."""
        receipts = [self._push(endpoint, [update]) for endpoint in self._targets(update)]
        if receipts:
            await asyncio.wait(receipts)

    def post_body(self, body: bytes) -> None:
        """Post any body, signed, to the callback of every app that has one."""
        for app in self._world.apps.values():
            if app.callback_url:
                self._post(self._endpoint(app, app.callback_url), body, 1)

    def pause(self) -> None:
        """Let updates pile up, to be sent in one batch by `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Send what piled up."""
        self.paused = False
        for endpoint in self._endpoints.values():
            self._flush(endpoint)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is on its way (retries that wait for their time do not count)."""
        return all(not e.queue and not e.in_flight for e in self._endpoints.values())

    def _targets(self, update: Update) -> list[Endpoint]:
        found = []
        for app_id, override in update.account.subscribed.items():
            app = self._world.apps[app_id]
            url = app.callback_url
            if update.field == "messages":  # overrides apply to this field only
                url = (update.number.webhook_override if update.number else None) or override or url
            if url and app.wants(update.field):
                found.append(self._endpoint(app, url))
        return found

    def _endpoint(self, app: App, url: str) -> Endpoint:
        key = (app.app_id, url)
        if key not in self._endpoints:
            deliverer = Deliverer(
                url=url,
                session=self._http(),
                clock=self._clock,
                faults=self._faults,
                headers=lambda body: {
                    "Content-Type": "application/json",
                    "User-Agent": "facebookexternalua",
                    "X-Hub-Signature-256": sign(app.secret, body),
                },
                backoff=lambda attempts: BACKOFF[min(attempts, len(BACKOFF)) - 1],
                report=lambda delivery, attempt: self._report(self._endpoints[key], delivery, attempt),
            )
            self._endpoints[key] = Endpoint(app, deliverer)
        return self._endpoints[key]

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self._session

    def _wake(self, endpoint: Endpoint) -> None:
        if self.paused or endpoint.flush_armed:
            return
        endpoint.flush_armed = True
        asyncio.get_running_loop().call_later(self._behaviour.batch_linger, self._flush, endpoint)

    def _flush(self, endpoint: Endpoint) -> None:
        endpoint.flush_armed = False
        if endpoint.retrying >= RETRYING_MAX:
            return  # the callback has been down for long: updates wait in the queue until a retry gets through
        while endpoint.queue and not self.paused and endpoint.in_flight < _POSTS_AT_ONCE:
            size = min(len(endpoint.queue), self._behaviour.batch_max)
            self._push(endpoint, [endpoint.queue.popleft() for _ in range(size)])

    def _push(self, endpoint: Endpoint, updates: list[Update]) -> asyncio.Future[None]:
        body = orjson.dumps(pack(updates, merge=self._behaviour.merge_values))
        return self._post(endpoint, body, len(updates), updates[0].field)

    def _post(
        self, endpoint: Endpoint, body: bytes, count: int, name: str = "", *, again: bool = False
    ) -> asyncio.Future[None]:
        key = next(self._keys)
        receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._receipts[key] = receipt
        endpoint.in_flight += 1
        self.posts += 1
        facts = {"call": "webhook", "app_id": endpoint.app.app_id, "field": name, "updates": count, "again": again}
        expires = self._clock.now() + self._behaviour.retry_for
        # A lane of its own: a body that fails must not hold up the next one.
        endpoint.deliverer.push(Delivery(lane=key, body=body, expires=expires, facts=facts, key=key))
        return receipt

    def _report(self, endpoint: Endpoint, delivery: Delivery, attempt: Attempt) -> None:
        self.recent.append(
            {
                "at": self._clock.now(), "url": endpoint.deliverer.url, "attempt": delivery.attempts,
                "outcome": attempt.outcome, "status": attempt.status, "error": attempt.error, **delivery.facts,
            }
        )  # fmt: skip
        if attempt.outcome == "delivered":
            self.delivered += 1
        elif attempt.outcome == "expired":
            self.expired += 1
        else:
            self.failed_attempts += 1
        receipt = self._receipts.pop(delivery.key, None)
        if receipt is not None:  # the first attempt
            endpoint.in_flight -= 1
            receipt.set_result(None)
            if attempt.outcome == "failed":
                endpoint.retrying += 1
                self._repeat_elsewhere(endpoint, delivery)
        elif attempt.outcome != "failed":
            endpoint.retrying -= 1
        self._flush(endpoint)

    def _repeat_elsewhere(self, failed: Endpoint, delivery: Delivery) -> None:
        """Meta retries to all subscribed apps, also to one that had answered 200."""
        if delivery.facts["again"]:
            return  # two broken apps must not multiply a body for ever
        for endpoint in list(self._endpoints.values()):
            shares = any(
                {failed.app.app_id, endpoint.app.app_id} <= account.subscribed.keys()
                for account in self._world.accounts.values()
            )
            if endpoint.app is not failed.app and shares:
                self._post(endpoint, delivery.body, int(str(delivery.facts["updates"])), again=True)
