"""What `/_sim/` shows: the world as its people see it, and what the API's caller did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from .platform import Platform
from .world import Conversation

SHOWN_DUPLICATES = 100

View = Callable[[web.BaseRequest], Awaitable[Any]]


class Views:
    """The reading half of the control interface; `routes` are GETs that answer JSON."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.routes: dict[str, View] = {
            "/_sim/state": self._state,
            "/_sim/conversations": self._conversations,
            "/_sim/conversation": self._conversation,
            "/_sim/sent": self._sent,
            "/_sim/calls": self._calls,
            "/_sim/violations": self._violations,
            "/_sim/webhooks": self._webhooks,
        }

    async def _state(self, http: web.BaseRequest) -> Any:
        platform = self._platform
        return {
            "now_ms": platform.now_ms(),
            "accounts": [asdict(account) for account in platform.world.accounts.values()],
            "conversations": len(platform.world.conversations),
            "callback_url": platform.webhooks.callback_url,
            "options": asdict(platform.options),
            "totals": dict(platform.ledger.totals),
            "refreshes": dict(platform.tokens.refreshes),
            "faults": [fault.model_dump() for fault in platform.faults.active],
        }

    async def _conversations(self, http: web.BaseRequest) -> Any:
        business_id, limit = http.query.get("business_id"), int(http.query.get("limit", 100))
        newest = reversed(self._platform.world.conversations.values())
        chosen = (c for c in newest if business_id in (None, c.account.business_id))
        return [self._summary(c) for c, _ in zip(chosen, range(limit), strict=False)]

    async def _conversation(self, http: web.BaseRequest) -> Any:
        conversation = self._platform.world.conversation(http.query.get("conversation_id", ""))
        messages = [asdict(message) for message in conversation.messages]
        return self._summary(conversation) | {"messages": messages}

    def _summary(self, conversation: Conversation) -> dict[str, Any]:
        now, options = self._platform.now_ms(), self._platform.options
        opened = conversation.last_inbound
        return {
            "conversation_id": conversation.conversation_id,
            "business_id": conversation.account.business_id,
            "customer": asdict(conversation.customer),
            "conversation_type": conversation.conversation_type,
            "window_until": None if opened is None else opened + int(options.window * 1000),
            "remaining": conversation.remaining(now, options),
            "typing": conversation.typing_until > now,
            "read_by_business": conversation.read_by_business,
            "read_by_customer": conversation.read_by_customer,
            "updated": conversation.updated,
        }

    async def _sent(self, http: web.BaseRequest) -> Any:
        ledger = self._platform.ledger
        conversation_id = http.query.get("conversation_id")
        if conversation_id is not None:
            return [sent._asdict() for sent in ledger.sent(conversation_id)]
        duplicates = ledger.duplicates()
        return {
            "total": ledger.totals["sent"],
            "duplicated": len(duplicates),
            "duplicates": duplicates[:SHOWN_DUPLICATES],
        }

    async def _calls(self, http: web.BaseRequest) -> Any:
        return [call._asdict() for call in self._platform.ledger.calls]

    async def _violations(self, http: web.BaseRequest) -> Any:
        return [violation._asdict() for violation in self._platform.ledger.violations]

    async def _webhooks(self, http: web.BaseRequest) -> Any:
        webhooks = self._platform.webhooks
        return {
            "totals": dict(webhooks.totals),
            "redelivering": webhooks.redelivering,
            "attempts": [attempt._asdict() for attempt in webhooks.attempts],
        }
