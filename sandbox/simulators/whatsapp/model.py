"""What exists in the simulated world: apps, business accounts, numbers, customers, groups, conversations, messages."""

from __future__ import annotations

import base64
import re
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from sandbox.simulators.whatsapp.errors import Json

# Two letters, a dot, optionally ENT for a parent id, then up to 128 alphanumerics (Meta: business-scoped user ids).
BSUID: Final = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
WINDOW: Final = 24 * 3600.0
FREE_ENTRY_POINT: Final = 72 * 3600.0
RECENT: Final = 30 * 24 * 3600.0  # marks as read and reactions reach back this far

RANK: Final[dict[str, int]] = {"accepted": 0, "sent": 1, "delivered": 2, "read": 3, "played": 4, "failed": 5}


def wamid(peer: str) -> str:
    """A new message id; like Meta's it is base64 with the peer's number or BSUID inside."""
    inner = peer.encode()
    tail = secrets.token_hex(8).upper().encode()
    return (
        "wamid."
        + base64.b64encode(b"\x1d\x18" + bytes((len(inner),)) + inner + b"\x15\x02\x00\x11\x18" + tail).decode()
    )


@dataclass(slots=True)
class App:
    """A Meta app: the secret that signs webhooks and where they go."""

    app_id: str
    secret: str
    callback_url: str | None = None
    verify_token: str = ""
    fields: frozenset[str] | None = None  # None: subscribed to every field

    def wants(self, webhook_field: str) -> bool:
        return self.fields is None or webhook_field in self.fields


@dataclass(slots=True)
class Account:
    """A WhatsApp business account (WABA) and the apps subscribed to it, each with an optional override callback."""

    waba_id: str
    name: str = "Sim Business"
    subscribed: dict[str, str | None] = field(default_factory=dict)


@dataclass(slots=True)
class Number:
    """A business phone number. `throughput` in messages per second, in and out together."""

    phone_number_id: str
    display_phone_number: str
    waba_id: str
    verified_name: str = "Sim Business"
    throughput: float = 80.0
    coexistence: bool = False
    direct_send: bool = False
    registered: bool = True
    shares_history: bool = True
    onboarded_at: float = 0.0
    webhook_override: str | None = None
    blocked: dict[str, str] = field(default_factory=dict)  # customer key -> input
    syncs_requested: set[str] = field(default_factory=set)
    busy_until: float = 0.0  # throughput bucket

    @property
    def digits(self) -> str:
        return digits_of(self.display_phone_number)


@dataclass(slots=True)
class Customer:
    """A WhatsApp user as one business portfolio sees it; phone, BSUID and username may each be absent.

    `shows_phone=False` leaves the phone keys out of webhooks although the number still works in `to`.
    `aliases` are other spellings that reach the same account (Brazil's 9th digit, Mexico's 1, Argentina's 9).
    """

    key: str
    phone: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    username: str | None = None
    name: str | None = None
    shows_phone: bool = True
    aliases: tuple[str, ...] = ()
    on_whatsapp: bool = True
    receipts: bool = True
    blocked_us: bool = False
    marketing_opt_out: bool = False
    identity_key_hash: str | None = None

    @property
    def peer(self) -> str:
        """What message ids embed: the phone when it shows, else the BSUID."""
        return (self.phone if self.shows_phone else None) or self.user_id or self.phone or self.key

    def contact(self, *, with_username: bool = True) -> Json:
        """One item of `contacts[]`; keys that do not apply are left out, never empty."""
        profile: Json = {}
        if self.name is not None:
            profile["name"] = self.name
        if with_username and self.username is not None:
            profile["username"] = self.username
        item: Json = {"profile": profile}
        if self.phone and self.shows_phone:
            item["wa_id"] = self.phone
        if self.user_id:
            item["user_id"] = self.user_id
        if self.parent_user_id:
            item["parent_user_id"] = self.parent_user_id
        if self.identity_key_hash:
            item["identity_key_hash"] = self.identity_key_hash
        return item

    def sender_keys(self) -> Json:
        """The `from…` keys of an inbound message."""
        keys: Json = {}
        if self.phone and self.shows_phone:
            keys["from"] = self.phone
        if self.user_id:
            keys["from_user_id"] = self.user_id
        if self.parent_user_id:
            keys["from_parent_user_id"] = self.parent_user_id
        return keys

    def recipient_keys(self) -> Json:
        """The `recipient…` keys of a status."""
        keys: Json = {}
        if self.phone and self.shows_phone:
            keys["recipient_id"] = self.phone
        if self.user_id:
            keys["recipient_user_id"] = self.user_id
        if self.parent_user_id:
            keys["parent_recipient_user_id"] = self.parent_user_id
        return keys


@dataclass(slots=True)
class Group:
    """A group of at most eight customers and one business number."""

    group_id: str
    phone_number_id: str
    subject: str
    participants: list[Customer] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """What one business number and one customer (or group) said, and the clocks that belong to the pair."""

    number: Number
    peer: Customer | Group
    window_until: float = 0.0
    free_until: float = 0.0  # free entry point
    ad_click_until: float = 0.0  # answer before this to open the free entry point
    pair_until: float = 0.0  # pair-rate bucket
    typing_until: float = 0.0
    received: deque[Received] = field(default_factory=deque)  # from the customer
    sent: deque[Sent] = field(default_factory=deque)  # from the business

    def messages(self) -> list[Sent | Received]:
        """Both directions, oldest first."""
        both: list[Sent | Received] = [*self.received, *self.sent]
        return sorted(both, key=lambda message: message.at)


@dataclass(slots=True, eq=False)
class Sent:
    """A message the business sent: as accepted, with the best status it reached.

    `raw` is the request body; `bytes` instead of a parsed dict keeps 100,000 of them small.
    """

    id: str
    conversation: Conversation
    type: str
    raw: bytes
    at: float
    callback_data: str | None = None
    status: str = "accepted"
    error_code: int | None = None
    via: Literal["api", "app"] = "api"
    category: str = "service"
    voice: bool = False
    forgotten: bool = False  # by the records, not by the chat

    @property
    def body(self) -> Json:
        parsed: Json = orjson.loads(self.raw)
        return parsed

    def reached(self, status: str) -> bool:
        return RANK[self.status] >= RANK[status] and self.status != "failed"

    def view(self) -> Json:
        """As the control API shows it."""
        content = self.body.get(self.type)
        return {
            "id": self.id, "direction": "out", "type": self.type, self.type: content, "timestamp": self.at,
            "status": self.status, "error_code": self.error_code, "context": self.body.get("context"),
            "callback_data": self.callback_data, "via": self.via,
        }  # fmt: skip


@dataclass(slots=True, eq=False)
class Received:
    """A message the customer sent, as the webhook carried it."""

    id: str
    conversation: Conversation
    item: dict[str, Any]
    at: float
    read: bool = False

    def view(self) -> Json:
        """As the control API shows it."""
        return {**self.item, "direction": "in", "timestamp": self.at, "read": self.read}


def digits_of(phone: str) -> str:
    """`+55 (11) 9…` → `55119…`."""
    return re.sub(r"\D", "", phone)
