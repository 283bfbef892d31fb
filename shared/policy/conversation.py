"""What is known about a conversation, as policy sees it, and how the state store spells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as state has it.

    `known` is false when state has never heard of it or has lost it: then nothing is refused for its window.
    `address` is what the channel writes to; `kind` picks the windows that apply (`any` where there is one kind).
    """

    known: bool = False
    last_inbound: datetime | None = None
    last_ref: str | None = None
    quota_used: int = 0
    replied: bool = False  # the contact has written more than once
    cold: bool = False  # we wrote first, and the contact has never written
    closed_by_provider: bool = False
    unreachable: bool = False  # the contact blocked us, or is gone
    undeliverable: bool = False  # the last message came back for good: the next one probably will, too
    blocked: bool = False  # we block the contact
    opted_out: bool = False
    address: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    fed: str = ""

    @property
    def kind(self) -> str:
        return self.address.get("kind", "any")

    def at(self, address: Mapping[str, str]) -> Conversation:
        """The conversation with this address, where it has none of its own."""
        return self if self.address or not address else replace(self, address=address)


_FLAGS = frozenset({"cold", "closed_by_provider", "unreachable", "undeliverable", "blocked", "opted_out"})


def flags(**said: bool) -> dict[str, str]:
    """The fields that hold what is said, by the names of `Conversation`."""
    assert said.keys() <= _FLAGS
    return {name: "1" if value else "0" for name, value in said.items()}


def from_fields(fields: Mapping[str, str], quota_used: int = 0) -> Conversation:
    """Read the state store's fields (times in Unix milliseconds, flags `1` or `0`)."""
    if not fields:
        return Conversation(quota_used=quota_used)
    last = fields.get("last_inbound")
    return Conversation(
        known=True,
        last_inbound=datetime.fromtimestamp(int(last) / 1000, UTC) if last else None,
        last_ref=fields.get("last_ref") or None,
        quota_used=quota_used,
        replied=fields.get("replied") == "1",
        cold=fields.get("cold") == "1",
        closed_by_provider=fields.get("closed_by_provider") == "1",
        unreachable=fields.get("unreachable") == "1",
        undeliverable=fields.get("undeliverable") == "1",
        blocked=fields.get("blocked") == "1",
        opted_out=fields.get("opted_out") == "1",
        address=orjson.loads(fields["address"]) if fields.get("address") else {},
        name=fields.get("name"),
        fed=fields.get("fed", ""),
    )
