"""What becomes of an accepted message: statuses in time or out of it, and their webhook shape."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.errors import GraphError, Json, status_error
from sandbox.simulators.whatsapp.model import RANK, WINDOW, Customer, Group, Sent
from sandbox.simulators.whatsapp.webhooks import Update

_HOLD = 60.0  # seconds a held template waits before it is dropped


class Statuses:
    """Schedules and emits the statuses of sent messages."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def plan(self, sent: Sent, failure: GraphError | None, *, held: bool = False) -> None:
        """Schedule what follows the acceptance; delivers `sent` before returning when `early` strikes."""
        behaviour = self._core.behaviour
        if failure is not None:
            self._later(_HOLD if held else behaviour.sent_after, self.fail, sent, failure)
            return
        if self._core.happens(behaviour.early):
            sent.status = "sent"
            for update in self._updates(sent, "sent"):
                await self._core.webhooks.send_now(update)
        else:
            self._later(behaviour.sent_after, self.emit, sent, "sent")
        if sent.type == "reaction":
            return  # Meta reports nothing else for reactions
        self._later(behaviour.delivered_after, self.emit, sent, "delivered")
        if behaviour.read_after is not None:
            self._later(behaviour.read_after, self.read, sent)
        if behaviour.played_after is not None and sent.voice:
            self._later(behaviour.played_after, self.emit, sent, "played")

    def read(self, sent: Sent) -> None:
        """The customer saw it: `read`, or nothing when their receipts are off."""
        peer = sent.conversation.peer
        if isinstance(peer, Group) or peer.receipts:
            self.emit(sent, "read")

    def fail(self, sent: Sent, failure: GraphError) -> None:
        """Emit `failed`; the message did not reach the customer."""
        sent.status, sent.error_code = "failed", failure.code
        self._queue(self._updates(sent, "failed", failure))
        self._announce(sent, "failed")

    def emit(self, sent: Sent, status: str) -> None:
        """Reach `status` and tell the apps, with whatever oddity strikes."""
        behaviour = self._core.behaviour
        if RANK[status] > RANK[sent.status]:
            sent.status = status
        self._announce(sent, status)
        if status == "delivered" and self._core.happens(behaviour.skip_delivered):
            return
        updates = self._updates(sent, status)
        if self._core.happens(behaviour.disorder):
            self._later(self._core.random.uniform(0, behaviour.disorder_by), self._queue, updates)
        else:
            self._queue(updates)
        if self._core.happens(behaviour.repeat):
            self._later(self._core.random.uniform(0, behaviour.disorder_by), self._queue, updates)

    def _later(self, delay: float, call: Any, *args: Any) -> None:
        self._core.clock.call_later(delay, partial(call, *args))

    def _queue(self, updates: list[Update]) -> None:
        for update in updates:
            self._core.webhooks.send(update)

    def _announce(self, sent: Sent, status: str) -> None:
        self._core.feed.publish("status", {"id": sent.id, "status": status, "error_code": sent.error_code})

    def _updates(self, sent: Sent, status: str, failure: GraphError | None = None) -> list[Update]:
        """One update; for groups one per participant from `delivered` on."""
        peer = sent.conversation.peer
        if isinstance(peer, Group):
            if status in ("sent", "failed") or not peer.participants:
                return [self._update(sent, self._item(sent, status, failure) | _group_keys(peer), None)]
            return [
                self._update(
                    sent,
                    self._item(sent, status, failure)
                    | _group_keys(peer)
                    | {"recipient_participant_id": member.phone or member.user_id},
                    None,
                )
                for member in peer.participants
            ]
        item = self._item(sent, status, failure)
        item.update(peer.recipient_keys())
        return [self._update(sent, item, self._contact(peer, status))]

    def _contact(self, peer: Customer, status: str) -> Json | None:
        if status == "failed" or not self._core.behaviour.contacts_on_statuses:
            return None
        return peer.contact(with_username=status != "sent")  # Meta leaves the username out of `sent`

    def _update(self, sent: Sent, item: Json, contact: Json | None) -> Update:
        number = sent.conversation.number
        account = self._core.world.accounts[number.waba_id]
        return Update(account, "messages", item, number, "statuses", contact)

    def _item(self, sent: Sent, status: str, failure: GraphError | None) -> Json:
        now = self._core.clock.now()
        item: Json = {"id": sent.id, "status": status, "timestamp": str(int(now))}
        if sent.callback_data is not None:
            item["biz_opaque_callback_data"] = sent.callback_data
        if failure is not None:
            item["errors"] = [status_error(failure.code, failure.details)]
        elif status in ("sent", "delivered"):
            item["pricing"] = pricing = self._pricing(sent)
            if self._core.behaviour.webhook_version < 24:
                item["conversation"] = conversation = {
                    "id": _conversation_id(sent),
                    "origin": {"type": pricing["category"]},
                }
                if status == "sent":
                    conversation["expiration_timestamp"] = str(int(now + WINDOW))
        return item

    def _pricing(self, sent: Sent) -> Json:
        """Per-message pricing as since October 2026: replies are charged, the free entry point is not."""
        free = sent.at < sent.conversation.free_until
        group = "group_" if isinstance(sent.conversation.peer, Group) else ""
        return {
            "billable": not free,
            "pricing_model": "PMP",
            "type": "free_entry_point" if free else "regular",
            "category": group + ("referral_conversion" if free else sent.category),
        }


def _group_keys(group: Group) -> Json:
    return {"recipient_id": group.group_id, "recipient_type": "group"}


def _conversation_id(sent: Sent) -> str:
    peer = sent.conversation.peer
    key = peer.key if isinstance(peer, Customer) else peer.group_id
    return hashlib.blake2s(f"{sent.conversation.number.phone_number_id}:{key}".encode(), digest_size=16).hexdigest()
