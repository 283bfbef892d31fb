"""What `/_sim/` shows of the platform: the world as its people see it, and what the API's caller did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sandbox.simulators.feed import Feed

from .platform import Platform
from .world import Conversation

Row = dict[str, Any]


class Shown:
    """The platform, as the operations that all simulators have see it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.clock = platform.clock
        self.faults = platform.faults
        self.behaviour = platform.options
        self.forget = platform.ledger.clear

    @property
    def feed(self) -> Feed:
        return self._platform.feed

    def state(self) -> Row:
        platform = self._platform
        return {
            "now": platform.clock.now(),
            "accounts": [asdict(account) for account in platform.world.accounts.values()],
            "conversations": len(platform.world.conversations),
            "webhook": platform.webhooks.callback_url,
            "behaviour": platform.options.model_dump(),
            "totals": dict(platform.ledger.totals),
            "refreshes": dict(platform.tokens.refreshes),
            "faults": platform.faults.active,
        }

    def person(self, person: str) -> str:
        if all(thread.customer.username != person for thread in self._platform.world.conversations.values()):
            raise LookupError("nothing was ever said to anybody of this name")
        return person

    def sent(self) -> Iterator[Row]:
        for conversation_id, sent in self._platform.ledger.all_sent():
            conversation = self._platform.world.conversations.get(conversation_id)
            if conversation is not None:
                yield {
                    "id": sent.message_id,
                    "account": conversation.account.business_id,
                    "person": conversation.customer.username,
                    "conversation_id": conversation_id,
                    "kind": sent.message_type.lower(),
                    "text": sent.text,
                    "at": sent.timestamp / 1000,
                }

    def calls(self) -> Iterator[Row]:
        for call in self._platform.ledger.calls:
            row = call._asdict()
            endpoint, params = row.pop("endpoint"), row.pop("params")
            account = params.get("business_id")
            yield {**row, "at": call.at / 1000, "call": endpoint, "account": account, "arguments": params}

    def violations(self) -> Iterator[Row]:
        for violation in self._platform.ledger.violations:
            yield {"at": violation.at / 1000, "call": violation.request, "problem": violation.problem}


def summary(platform: Platform, conversation: Conversation) -> Row:
    """A thread without its messages."""
    now, options = platform.now_ms(), platform.options
    opened = conversation.last_inbound
    return {
        "account": conversation.account.business_id,
        "person": conversation.customer.username,
        "conversation_id": conversation.conversation_id,
        "customer": asdict(conversation.customer),
        "conversation_type": conversation.conversation_type,
        "window_until": None if opened is None else opened + int(options.window * 1000),
        "remaining": conversation.remaining(now, options),
        "typing": conversation.typing_until > now,
        "read_by_business": conversation.read_by_business,
        "read_by_customer": conversation.read_by_customer,
        "updated": conversation.updated,
    }


def full(platform: Platform, conversation: Conversation) -> Row:
    """A thread with the messages that are kept, oldest first."""
    return summary(platform, conversation) | {"messages": [asdict(message) for message in conversation.messages]}
