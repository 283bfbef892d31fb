"""The customer side: what people with WhatsApp do, turned into webhooks."""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.simulators.whatsapp import inbound
from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.errors import Json
from sandbox.simulators.whatsapp.model import (
    WINDOW,
    Conversation,
    Customer,
    Group,
    Number,
    Received,
    Sent,
    wamid,
)
from sandbox.simulators.whatsapp.sending import count_throughput
from sandbox.simulators.whatsapp.statuses import Statuses
from sandbox.simulators.whatsapp.webhooks import Update


class Customers:
    """Actions of customers towards one of the business's numbers (the first one when none is named)."""

    def __init__(self, core: Core, statuses: Statuses) -> None:
        self._core = core
        self._statuses = statuses

    def say(
        self,
        customer: Customer,
        kind: str,
        *,
        number: Number | None = None,
        group: Group | None = None,
        reply_to: str | None = None,
        forwarded: bool = False,
        frequently_forwarded: bool = False,
        referral: Json | None = None,
        referred_product: Json | None = None,
        at: float | None = None,
        standby: bool = False,
        with_contact: bool = True,
        **content: Any,
    ) -> str:
        """Send a message of one of `inbound`'s kinds; returns its wamid.

        Media kinds take `media_id` (of a stored file), `caption`, `filename`. `at` is the customer's own time, for
        messages that arrive late. `standby`: Meta's agent holds the chat, so the message comes on that field.
        Raises ValueError for wrong content, GraphError for an unknown media id.
        """
        number = number or self._core.world.number(group.phone_number_id if group else None)
        item = self._media(kind, content) if kind in inbound.MEDIA_KINDS else inbound.build(kind, content)
        conversation = self._core.world.conversation(number, group or customer)
        context = self._context(conversation, reply_to, forwarded, frequently_forwarded, referred_product)
        if context:
            item["context"] = context
        if referral:
            item["referral"] = referral
        if group is not None:
            item["group_id"] = group.group_id
        return self.receive(
            customer, conversation, item, at=at, field="standby" if standby else "messages", with_contact=with_contact
        )

    def receive(
        self,
        customer: Customer,
        conversation: Conversation,
        item: Json,
        *,
        at: float | None = None,
        field: str = "messages",
        with_contact: bool = True,
    ) -> str:
        """Send a message whose content is given in Meta's own shape; fills in id, sender and time."""
        now = self._core.clock.now()
        at = now if at is None else at
        number = conversation.number
        message_id = item.get("id") or wamid(customer.peer)
        full = {**customer.sender_keys(), "id": message_id, "timestamp": str(int(at)), **item}
        received = Received(message_id, conversation, full, at)
        self._core.world.keep_received(received)
        if item.get("type") not in inbound.NOT_REFRESHING:
            conversation.window_until = max(conversation.window_until, at + WINDOW)
            if "referral" in item:
                conversation.ad_click_until = at + WINDOW
        count_throughput(number, now)
        self._core.feed.publish("received", {"id": message_id, "type": item.get("type"), "customer": customer.key})
        if customer.key in number.blocked:
            return message_id  # Meta keeps messages of blocked users to itself
        account = self._core.world.accounts[number.waba_id]
        contact = customer.contact() if with_contact else None
        self._core.webhooks.send(Update(account, field, full, number, "messages", contact))
        return message_id

    def read(self, customer: Customer, *, number: Number | None = None, message_id: str | None = None) -> int:
        """Open the chat: everything unread (up to `message_id`) becomes `read`; returns how many messages."""
        count = 0
        for conversation in self._core.world.conversations(customer):
            if number is not None and conversation.number is not number:
                continue
            for sent in conversation.sent:
                if sent.status in ("sent", "delivered") and sent.type != "reaction":
                    self._statuses.read(sent)
                    count += 1
                if sent.id == message_id:
                    break
        return count

    def play(self, sent: Sent) -> None:
        """Listen to a voice message for the first time."""
        self._statuses.emit(sent, "played")

    def change_number(self, customer: Customer, phone: str, *, user_id: str | None = None) -> None:
        """Move to a new phone; the BSUID is regenerated with it (`user_id`, or a random one) when there is one."""
        old_phone, old_id = customer.phone, customer.user_id
        new_id = (user_id or _rotated(old_id)) if old_id else None
        self._core.world.readdress(customer, phone=phone, user_id=new_id)
        system: Json = {
            "type": "user_changed_number",
            "body": f"User {customer.name or 'A'} changed from {old_phone} to {customer.phone}",
            "wa_id": customer.phone,
        }
        if new_id:
            system |= {"user_id": new_id, "previous_user_id": old_id}
        self._system(customer, system, {"from": old_phone} if old_phone and customer.shows_phone else {})

    def rotate_user_id(self, customer: Customer, user_id: str | None = None) -> str:
        """Give the customer a new BSUID and tell every number they talked to; returns it."""
        if customer.user_id is None:
            raise ValueError("the customer has no business-scoped user id")
        old, new = customer.user_id, user_id or _rotated(customer.user_id)
        self._core.world.readdress(customer, user_id=new)
        system = {
            "type": "user_changed_user_id",
            "previous_user_id": old,
            "user_id": new,
            "body": f"User {customer.name or 'A'} changed their user id",
        }
        self._system(customer, system, {})
        return new

    def change_identity(self, customer: Customer, identity_key_hash: str) -> None:
        """Reinstall WhatsApp: the identity hash changes."""
        customer.identity_key_hash = identity_key_hash
        identity = {
            "acknowledged": "false",
            "created_timestamp": str(int(self._core.clock.now())),
            "hash": identity_key_hash,
        }
        system = {"type": "customer_identity_changed", "body": "The identity changed", "identity": identity}
        self._system(customer, system, customer.sender_keys())

    def prefer_marketing(self, customer: Customer, value: str, *, number: Number | None = None) -> None:
        """Stop or resume marketing messages: a `user_preferences` webhook."""
        if value not in ("stop", "resume", "signup"):
            raise ValueError("value must be stop, resume or signup")
        customer.marketing_opt_out = value == "stop"
        number = number or self._core.world.number()
        item: Json = {
            "category": "marketing_messages",
            "value": value,
            "detail": f"User requested to {value} marketing messages",
            "timestamp": int(self._core.clock.now()),
        }
        item |= {"wa_id": customer.phone} if customer.phone and customer.shows_phone else {}
        item |= {"user_id": customer.user_id} if customer.user_id else {}
        account = self._core.world.accounts[number.waba_id]
        self._core.webhooks.send(
            Update(account, "user_preferences", item, number, "user_preferences", customer.contact())
        )

    def _media(self, kind: str, content: Json) -> Json:
        try:
            media = self._core.media.get(str(content.pop("media_id")))
        except KeyError:
            raise ValueError("media_id is required") from None
        block = media.block()
        if self._core.behaviour.media_url_in_webhook:
            block["url"] = self._core.media.url(media, self._core.base_url)
        try:
            return inbound.media(kind, block, **{"filename": media.filename, **content})
        except TypeError as error:
            raise ValueError(str(error)) from None

    def _context(
        self,
        conversation: Conversation,
        reply_to: str | None,
        forwarded: bool,
        frequently_forwarded: bool,
        referred_product: Json | None,
    ) -> Json:
        context: Json = {}
        if forwarded:
            context["forwarded"] = True
        if frequently_forwarded:
            context["frequently_forwarded"] = True
        if reply_to is not None and not context:  # a forwarded message keeps no reference
            target = self._core.world.message(reply_to)
            context = {"from": conversation.number.digits, "id": reply_to}
            if isinstance(target, Received):  # an answer to a customer's own message, or to another group member
                author = {key: target.item.get(key) for key in ("from", "from_user_id")}
                context = {**author, "id": reply_to}
            context = {key: value for key, value in context.items() if value is not None}
        if referred_product is not None:
            context["referred_product"] = referred_product
        return context

    def _system(self, customer: Customer, system: Json, sender: Json) -> None:
        """A system message to every number the customer talked to: no contacts, and no window."""
        now = self._core.clock.now()
        for conversation in self._core.world.conversations(customer):
            number = conversation.number
            item = {
                **sender,
                "id": wamid(customer.peer),
                "timestamp": str(int(now)),
                "type": "system",
                "system": system,
            }
            account = self._core.world.accounts[number.waba_id]
            self._core.webhooks.send(Update(account, "messages", item, number))
        self._core.feed.publish("system", {"customer": customer.key, "type": system["type"]})


def _rotated(user_id: str) -> str:
    """Another BSUID of the same country."""
    return f"{user_id[:2]}.{secrets.randbelow(10**17) + 10**17}"
