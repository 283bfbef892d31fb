"""The business's own side: phone-app echoes, history, contact sync, Meta's agent, and account-level fields."""

from __future__ import annotations

from typing import Any

import orjson

from sandbox.simulators.whatsapp import inbound
from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.errors import GraphError, Json, status_error
from sandbox.simulators.whatsapp.model import Customer, Number, Received, Sent, wamid
from sandbox.simulators.whatsapp.templates import Template
from sandbox.simulators.whatsapp.webhooks import Update

ONBOARDING = 24 * 3600.0  # history and contacts may be asked for within a day
_HISTORY_CHUNK = 500  # messages a webhook


class Business:
    """Webhooks that no customer and no send causes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def echo(self, customer: Customer, kind: str = "text", *, number: Number | None = None, **content: Any) -> str:
        """A message written in the phone app of a coexistence number (`smb_message_echoes`); returns its wamid.

        Kinds as customers have them, `edit` and `revoke` included. Raises ValueError for wrong content.
        """
        number = number or self._core.world.number()
        conversation = self._core.world.conversation(number, customer)
        item = inbound.build(kind, content)
        now = self._core.clock.now()
        sent = Sent(
            wamid(customer.peer),
            conversation,
            str(item["type"]),
            orjson.dumps(item),
            now,
            status="delivered",
            via="app",
        )
        self._core.world.keep_sent(sent)
        echo: Json = {"from": number.digits, "id": sent.id, "timestamp": str(int(now)), **item}
        if customer.phone and customer.shows_phone:
            echo["to"] = customer.phone
        if customer.user_id:
            echo["to_user_id"] = customer.user_id
        self._send(number, "smb_message_echoes", "message_echoes", echo, customer.contact())
        return sent.id

    def agent_says(self, customer: Customer, body: str, *, number: Number | None = None) -> None:
        """Meta's Business Agent answers a customer: our app sees an echo on field `standby`."""
        number = number or self._core.world.number()
        echo = {
            "from": number.digits, "to": customer.phone, "to_user_id": customer.user_id, "id": wamid(customer.peer),
            "timestamp": str(int(self._core.clock.now())), "type": "text", "text": {"body": body},
        }  # fmt: skip
        echo = {key: value for key, value in echo.items() if value is not None}
        self._send(number, "standby", "message_echoes", echo, customer.contact())

    def history(self, *, number: Number | None = None, phase: int = 0) -> int:
        """Send every kept message of the number as `history` webhooks; returns how many messages.

        A number whose owner refused sends error 2593109 instead.
        """
        number = number or self._core.world.number()
        if not number.shares_history:
            refused = {"errors": [status_error(2593109, "History sharing is turned off by the business.")]}
            self._send(number, "history", "history", refused)
            return 0
        threads: list[tuple[str, list[Json]]] = []
        for conversation in self._core.world.conversations():
            if conversation.number is number and isinstance(conversation.peer, Customer):
                messages = [_historic(message) for message in conversation.messages()]
                threads.append((conversation.peer.peer, messages))
        chunks = [
            {"id": peer, "messages": messages[start : start + _HISTORY_CHUNK]}
            for peer, messages in threads
            for start in range(0, len(messages), _HISTORY_CHUNK)
        ]
        for order, thread in enumerate(chunks, 1):
            metadata = {"phase": phase, "chunk_order": order, "progress": order * 100 // len(chunks)}
            self._send(number, "history", "history", {"metadata": metadata, "threads": [thread]})
        return sum(len(messages) for _, messages in threads)

    def sync_contacts(self, *, number: Number | None = None, action: str = "add") -> int:
        """The phone app's contacts as `smb_app_state_sync`; returns how many."""
        number = number or self._core.world.number()
        customers = [c for c in self._core.world.customers.values() if c.phone]
        for customer in customers:
            name = customer.name or ""
            contact = {"full_name": name, "first_name": name.split(" ")[0], "phone_number": customer.phone}
            metadata = {"timestamp": str(int(self._core.clock.now()))}
            item = {"type": "contact", "action": action, "contact": contact, "metadata": metadata}
            self._send(number, "smb_app_state_sync", "state_sync", item)
        return len(customers)

    def request_sync(self, number: Number, sync_type: str) -> Json:
        """`POST /{phone_number_id}/smb_app_data`; raises GraphError 100, 2593107 (twice), 2593108 (too late)."""
        if sync_type not in ("history", "smb_app_state_sync") or not number.coexistence:
            raise GraphError(100, "Param sync_type is not available for this number.")
        if sync_type in number.syncs_requested:
            raise GraphError(2593107, "This sync was requested before.")
        if self._core.clock.now() - number.onboarded_at > ONBOARDING:
            raise GraphError(2593108, "A sync must be requested within 24 hours of onboarding.")
        number.syncs_requested.add(sync_type)
        begin = self.history if sync_type == "history" else self.sync_contacts
        self._core.clock.call_later(0.1, lambda: begin(number=number))
        return {"messaging_product": "whatsapp", "request_id": wamid(number.digits).removeprefix("wamid.")}

    def field(self, name: str, value: Json, *, waba_id: str | None = None) -> None:
        """Any account-level field (template, quality, limit, account, alert...) with the value given."""
        accounts = self._core.world.accounts
        account = accounts[waba_id] if waba_id else next(iter(accounts.values()))
        self._core.webhooks.send(Update(account, name, value))

    def change(
        self, name: str, kind: str, item: Json, *, number: Number | None = None, contact: Json | None = None
    ) -> None:
        """One raw item of a number's field, for instance `messages`/`statuses`, beside correct metadata."""
        self._send(number or self._core.world.number(), name, kind, item, contact)

    def template_status(
        self, name: str, language: str, event: str, reason: str = "NONE", *, waba_id: str | None = None
    ) -> None:
        """Approve, pause, disable... a template: the registry changes and `message_template_status_update` goes out."""
        template = self._core.templates.get(name, language)
        kept = {"REINSTATED": "APPROVED", "UNARCHIVED": "APPROVED", "FLAGGED": template.status}
        template.status = kept.get(event, event)
        template.rejected_reason = reason if event == "REJECTED" else "NONE"
        self._tell_status(template, event, reason, waba_id)

    def delete_template(self, name: str, *, waba_id: str | None = None) -> None:
        """Delete a template in all its languages. Raises LookupError where there is none."""
        for template in self._core.templates.remove(name):
            self._tell_status(template, "DELETED", "NONE", waba_id)

    def _tell_status(self, template: Template, event: str, reason: str, waba_id: str | None) -> None:
        told = {"event": event, **_named(template), "reason": reason, "message_template_category": template.category}
        self.field("message_template_status_update", told, waba_id=waba_id)

    def template_quality(self, name: str, language: str, score: str, *, waba_id: str | None = None) -> None:
        """GREEN, YELLOW, RED or UNKNOWN: `message_template_quality_update` goes out."""
        template = self._core.templates.get(name, language)
        before, template.quality = template.quality, score
        told = {"previous_quality_score": before, "new_quality_score": score, **_named(template)}
        self.field("message_template_quality_update", told, waba_id=waba_id)

    def template_category(self, name: str, language: str, category: str, *, waba_id: str | None = None) -> None:
        """Meta moves a template to another category: `template_category_update` goes out."""
        template = self._core.templates.get(name, language)
        before, template.category = template.category, category
        told = {**_named(template), "previous_category": before, "new_category": category}
        self.field("template_category_update", told, waba_id=waba_id)

    def _send(self, number: Number, name: str, kind: str, item: Json, contact: Json | None = None) -> None:
        account = self._core.world.accounts[number.waba_id]
        self._core.webhooks.send(Update(account, name, item, number, kind, contact))


def _named(template: Template) -> Json:
    return {
        "message_template_id": int(template.id), "message_template_name": template.name,
        "message_template_language": template.language,
    }  # fmt: skip


def _historic(message: Sent | Received) -> Json:
    """A message as history carries it: media as placeholders, our own with their status."""
    if isinstance(message, Received):
        item, kind = dict(message.item), str(message.item["type"])
        status = "read" if message.read else "delivered"
    else:
        number, peer = message.conversation.number, message.conversation.peer
        kind, status = message.type, message.status
        item = {"from": number.digits, "id": message.id, "timestamp": str(int(message.at)), "type": kind}
        item |= {kind: message.body.get(kind)} | ({"to": peer.peer} if isinstance(peer, Customer) else {})
    if kind in ("image", "video", "audio", "document", "sticker", "voice"):
        item.pop(kind, None)
        item["type"] = "media_placeholder"
    item["history_context"] = {"status": status.upper()}
    return item
