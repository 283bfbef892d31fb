"""The updates of one bot: the queue, getUpdates and the webhook."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import orjson

from sandbox.simulators.common import Clock, Fault, Faults
from sandbox.simulators.deliverer import Attempt, Deliverer, Delivery
from sandbox.simulators.telegram.errors import bad_request, conflict, too_many_requests

DAY = 86_400.0
CALLBACK_LIFE = 150.0
MAX_QUEUE = 100_000  # events per bot, then new updates are dropped (tddb TQueue)
MAX_BATCH_BYTES = 4 << 20
DROP_AFTER_410 = 23 * 3600.0
NOT_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
_KINDS = """
    message edited_message channel_post edited_channel_post business_connection business_message
    edited_business_message deleted_business_messages guest_message message_reaction message_reaction_count
    inline_query chosen_inline_result callback_query shipping_query pre_checkout_query purchased_paid_media poll
    poll_answer my_chat_member chat_member chat_join_request chat_boost removed_chat_boost managed_bot
"""
KINDS = frozenset(_KINDS.split())
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")


def backoff(attempts: int) -> float:
    """Seconds before the next attempt: at once, then 2, 4, 8 … up to 60-120."""
    return 0.0 if attempts == 1 else min(2.0 ** (attempts - 1), random.uniform(60, 120))


@dataclass(slots=True)
class Webhook:
    """Settings of a webhook and what went wrong with it last."""

    url: str
    secret_token: str = ""
    max_connections: int = 40
    ip_address: str = ""
    last_error_date: int | None = None
    last_error_message: str = ""
    gone_since: float | None = None

    def same_as(self, other: Webhook) -> bool:
        """Whether setting `other` would change nothing."""
        return (self.url, self.secret_token, self.max_connections, self.ip_address) == (
            other.url, other.secret_token, other.max_connections, other.ip_address
        )  # fmt: skip


class Surroundings(Protocol):
    """What a queue uses of the world around it; `spawn` runs something until the simulator stops."""

    clock: Clock
    faults: Faults[Fault]
    counters: Counter[str]
    session: aiohttp.ClientSession

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None: ...


@dataclass(slots=True, eq=False)
class UpdateQueue:
    """Keeps updates until a webhook or a getUpdates took them, at most 24 hours."""

    bot_id: int
    world: Surroundings
    next_id: int
    allowed: frozenset[str] | None = None
    webhook: Webhook | None = None
    pending: dict[int, Delivery] = field(default_factory=dict)
    _deliverer: Deliverer | None = None
    _poller: asyncio.Future[None] | None = None
    _next_set: float = 0.0

    @property
    def clock(self) -> Clock:
        """The clock of the world."""
        return self.world.clock

    def emit(self, kind: str, payload: dict[str, Any], lane: str, life: float = DAY) -> int | None:
        """Queue an update; returns its id, or None when the bot does not want this kind."""
        if kind in NOT_DEFAULT if self.allowed is None else kind not in self.allowed:
            return None
        update_id = self.next_id
        self.next_id += 1
        body = orjson.dumps({"update_id": update_id, kind: payload})
        chat = (payload.get("message") or payload).get("chat", {})
        facts = {**self._facts(kind), "chat": chat.get("id"), "to": chat.get("id")}
        self._queue(Delivery(lane, body, self.clock.now() + life, facts, key=update_id))
        return update_id

    def emit_raw(self, update: dict[str, Any], lane: str) -> int:
        """Queue any JSON object as an update; `update_id` is filled in unless given."""
        update_id = int(update.get("update_id", self.next_id))
        self.next_id = max(self.next_id, update_id + 1)
        body = orjson.dumps({"update_id": update_id, **update})
        facts = self._facts(next((name for name in update if name != "update_id"), ""))
        self._queue(Delivery(lane, body, self.clock.now() + DAY, facts, key=update_id))
        return update_id

    def _facts(self, kind: str) -> dict[str, object]:
        return {"call": "webhook", "account": self.bot_id, "bot": self.bot_id, "kind": kind}

    def _queue(self, delivery: Delivery) -> None:
        if len(self.pending) >= MAX_QUEUE:
            self.world.counters["updates_dropped"] += 1
            return
        self.pending[delivery.key] = delivery
        self.world.counters["updates_queued"] += 1
        if self._deliverer is not None:
            self._deliverer.push(delivery)
        elif self._poller is not None:
            _wake(self._poller)

    async def poll(
        self, offset: int, limit: int, seconds: float, allowed: list[str] | None = None
    ) -> list[orjson.Fragment]:
        """getUpdates: confirm what is below `offset`, then wait up to `seconds` for updates."""
        if self.webhook is not None:
            raise conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        self._end_poll("terminated by other getUpdates request; make sure that only one bot instance is running")
        self.allow(allowed)
        self._confirm(offset)
        if not (found := self._batch(limit)) and seconds > 0:
            await self._wait(seconds)
            found = self._batch(limit)
        return found

    async def _wait(self, seconds: float) -> None:
        poller = self._poller = asyncio.get_running_loop().create_future()
        timer = self.clock.call_later(seconds, lambda: _wake(poller))
        try:
            await poller
        finally:
            timer.cancel()
            if self._poller is poller:
                self._poller = None

    def _confirm(self, offset: int) -> None:
        if offset < 0:  # only the last few are wanted
            offset = next(iter(list(self.pending)[offset:]), 0)
        for update_id in [known for known in self.pending if known < offset]:
            del self.pending[update_id]
            self.world.counters["updates_delivered"] += 1

    def _batch(self, limit: int) -> list[orjson.Fragment]:
        now = self.clock.now()
        found: list[orjson.Fragment] = []
        expired: list[int] = []
        size = 0
        for update_id, delivery in self.pending.items():
            if now >= delivery.expires:
                expired.append(update_id)
                continue
            size += len(delivery.body)
            if len(found) == limit or (found and size > MAX_BATCH_BYTES):
                break
            found.append(orjson.Fragment(delivery.body))
        for update_id in expired:
            del self.pending[update_id]
            self.world.counters["updates_expired"] += 1
        return found

    def _end_poll(self, why: str) -> None:
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(conflict(why))

    def allow(self, names: list[str] | None) -> None:
        """Keep the list of wanted kinds; unknown names are skipped, an empty list means the default."""
        if names is not None:
            known = frozenset(name.lower() for name in names) & KINDS
            self.allowed = known or None

    async def set_webhook(self, webhook: Webhook, allowed: list[str] | None, drop_pending: bool) -> str:
        """Start posting to `webhook`; returns Telegram's remark. Raises `ApiError`."""
        if webhook.secret_token and not _SECRET.match(webhook.secret_token):
            too_long = len(webhook.secret_token) > 256
            raise bad_request("secret token is too long" if too_long else "secret token contains unallowed characters")
        before = self.allowed
        self.allow(allowed)
        if self.webhook and self.webhook.same_as(webhook) and self.allowed == before and not drop_pending:
            return "Webhook is already set"
        if self.clock.now() < self._next_set:
            self.allowed = before
            raise too_many_requests(1)
        self._next_set = self.clock.now() + 1
        self._end_poll("terminated by setWebhook request")
        await self.close()
        if drop_pending:
            self.pending.clear()
        self.webhook = webhook
        self._start(webhook)
        return "Webhook was set"

    async def delete_webhook(self, drop_pending: bool) -> str:
        """Stop posting; what was not delivered waits for getUpdates."""
        had = self.webhook is not None
        await self.close()
        self.webhook = None
        if drop_pending:
            self.pending.clear()
        return "Webhook was deleted" if had else "Webhook is already deleted"

    async def close(self) -> None:
        """Stop deliveries and polls."""
        self._end_poll("terminated by other getUpdates request")
        if self._deliverer is not None:
            deliverer, self._deliverer = self._deliverer, None
            await deliverer.close()

    def _start(self, webhook: Webhook) -> None:
        headers = {"Content-Type": "application/json"}
        if webhook.secret_token:
            headers["X-Telegram-Bot-Api-Secret-Token"] = webhook.secret_token
        self._deliverer = Deliverer(
            url=webhook.url,
            session=self.world.session,
            clock=self.clock,
            faults=self.world.faults,
            headers=lambda _body: headers,
            backoff=backoff,
            report=self._report,
            max_connections=webhook.max_connections,
        )
        for delivery in self.pending.values():
            self._deliverer.push(delivery)

    def _report(self, delivery: Delivery, attempt: Attempt) -> None:
        webhook = self.webhook
        self.world.counters[f"updates_{attempt.outcome}"] += 1
        if attempt.outcome != "failed":
            self.pending.pop(delivery.key, None)
        if webhook is None:
            return
        if attempt.outcome == "failed":
            webhook.last_error_date = int(self.clock.now())
            answered = attempt.status is not None
            webhook.last_error_message = (
                f"Wrong response from the webhook: {attempt.error}" if answered else attempt.error
            )
        if attempt.status != 410:
            webhook.gone_since = None
        elif webhook.gone_since is None:
            webhook.gone_since = self.clock.now()
        elif self.clock.now() - webhook.gone_since >= DROP_AFTER_410:
            self.world.spawn(self.delete_webhook(drop_pending=False))

    def info(self) -> dict[str, Any]:
        """The `WebhookInfo` object."""
        webhook = self.webhook or Webhook("")
        info: dict[str, Any] = {
            "url": webhook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self.pending),
        }
        if webhook.url:
            info["max_connections"] = webhook.max_connections
            info["ip_address"] = webhook.ip_address or "127.0.0.1"
        if webhook.last_error_date is not None:
            info |= {
                "last_error_date": webhook.last_error_date,
                "last_error_message": webhook.last_error_message,
            }
        if self.allowed is not None:
            info["allowed_updates"] = sorted(self.allowed)
        return info


def _wake(poller: asyncio.Future[None]) -> None:
    if not poller.done():
        poller.set_result(None)


def check_url(url: str) -> None:
    """Raise `ApiError` for what can be no webhook; plain HTTP and any port pass, as in the server's local mode."""
    if not re.match(r"https?://[^/\s]+", url):
        raise bad_request("bad webhook: invalid webhook URL specified")
