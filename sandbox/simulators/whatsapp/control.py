"""WhatsApp's part of `/_sim/`: numbers, apps, tokens, templates, webhooks and the business's own side.

Keys of a fault's `where` are those of `GraphFaults`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import BodyPartReader

from sandbox.simulators.common import ControlError
from sandbox.simulators.control import SHOWN, Control, Row, Work
from sandbox.simulators.feed import Feed
from sandbox.simulators.whatsapp.control_people import People, number_of, person_id
from sandbox.simulators.whatsapp.errors import GraphError
from sandbox.simulators.whatsapp.media import WEBHOOK_LIFE, Media
from sandbox.simulators.whatsapp.model import Customer, Number, Sent
from sandbox.simulators.whatsapp.platform import APP_ID, WABA_ID, Platform
from sandbox.simulators.whatsapp.templates import Template
from sandbox.simulators.whatsapp.transfers import chunks_of


def build(platform: Platform) -> Control:
    """The control interface of one simulator."""
    own = {**_Setup(platform).operations(), **_Business(platform).operations(), **People(platform).operations()}
    return Control(_Simulated(platform), own, _Files(platform), refusals=(GraphError,))


class _Simulated:
    """The platform, as the operations that all simulators have see it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.clock = platform.clock
        self.faults = platform.faults
        self.behaviour = platform.behaviour

    @property
    def feed(self) -> Feed:
        return self._platform.core.feed

    def state(self) -> Row:
        return self._platform.summary()

    def forget(self) -> None:
        self._platform.calls.clear()
        self._platform.violations.clear()
        self._platform.world.forget_sent()

    def person(self, person: str) -> str:
        peer = self._platform.world.peer(person)
        return person_id(peer) if isinstance(peer, Customer) else peer.group_id

    def sent(self) -> Iterator[Row]:
        return (_sent(message) for message in self._platform.sent())

    def calls(self) -> Iterator[Row]:
        return (call.view() for call in self._platform.calls)

    def violations(self) -> Iterator[Row]:
        for found in self._platform.violations:
            row = asdict(found)
            yield {**row, "call": f"{found.method} {found.path}", "problem": row.pop("details")}


def _sent(message: Sent) -> Row:
    content = message.body.get(message.type)
    text = content.get("body") or content.get("caption") or "" if isinstance(content, dict) else ""
    peer = message.conversation.peer
    return {
        "id": message.id,
        "account": message.conversation.number.phone_number_id,
        "person": person_id(peer) if isinstance(peer, Customer) else peer.group_id,
        "kind": message.type,
        "text": text if isinstance(text, str) else "",
        "at": message.at,
        "content": content,
        "context": message.body.get("context"),
        "status": message.status,
        "error_code": message.error_code,
        "callback_data": message.callback_data,
        "via": message.via,
    }


class _Files:
    """Customers' files that come with a form."""

    def __init__(self, platform: Platform) -> None:
        self._media = platform.media

    async def store(self, part: BodyPartReader) -> Media:
        mime_type = part.headers.get("Content-Type", "application/octet-stream")
        chunks = chunks_of(part)
        return await self._media.add(chunks, owner="", mime_type=mime_type, filename=part.filename, life=WEBHOOK_LIFE)

    def discard(self, stored: Media) -> None:
        self._media.delete(stored.id)


class _Setup:
    """What an operator does in Meta's dashboards."""

    def __init__(self, platform: Platform) -> None:
        self._sim = platform

    def operations(self) -> dict[str, Work]:
        return {
            "GET accounts": self.accounts,
            "POST accounts": self.add_account,
            "POST accounts/{account}/revoke": self.revoke,
            "POST apps": self.add_app,
            "POST tokens": self.add_token,
            "DELETE tokens/{token}": self.end_token,
            "GET templates": self.templates,
            "POST templates": self.add_template,
            "POST templates/status": self.template_status,
            "POST templates/quality": self.template_quality,
            "POST templates/category": self.template_category,
            "DELETE templates/{name}": self.delete_template,
            "POST webhooks": self.set_webhook,
            "GET webhooks": self.webhooks,
            "POST webhooks/pause": self.pause,
            "POST webhooks/resume": self.resume,
            "POST webhooks/raw": self.raw,
        }

    def accounts(self) -> list[Row]:
        """The business numbers."""
        keys = ["phone_number_id", "display_phone_number", "waba_id", "throughput"]
        keys += ["coexistence", "direct_send", "registered"]
        numbers = self._sim.world.numbers.values()
        return [{"id": n.phone_number_id, **{key: getattr(n, key) for key in keys}} for n in numbers]

    def add_account(
        self,
        phone_number_id: str,
        display_phone_number: str,
        waba_id: str = WABA_ID,
        throughput: float | None = None,
        coexistence: bool = False,
        direct_send: bool = False,
        shares_history: bool = True,
        apps: tuple[str, ...] = (APP_ID,),
    ) -> Row:
        """Another business number, and its business account where that is new."""
        self._sim.add_number(
            phone_number_id, display_phone_number, waba_id=waba_id, throughput=throughput, coexistence=coexistence,
            direct_send=direct_send, shares_history=shares_history, apps=apps,
        )  # fmt: skip
        return {"id": phone_number_id}

    def revoke(self, account: str) -> None:
        """Every token that reaches the number ends: it answers 190 from now on."""
        waba_id, tokens = number_of(self._sim, account).waba_id, self._sim.world.tokens
        for token in [token for token, reach in tokens.items() if reach is None or waba_id in reach]:
            del tokens[token]

    def add_app(self, app_id: str, secret: str) -> Row:
        """Another Meta app."""
        return {"id": self._sim.add_app(app_id, secret).app_id}

    def add_token(self, token: str, waba_ids: list[str] | None = None) -> None:
        """A token; without `waba_ids` it reaches every business account."""
        self._sim.world.tokens[token] = frozenset(waba_ids) if waba_ids is not None else None

    def end_token(self, token: str) -> None:
        """From now on the token answers 190."""
        if token not in self._sim.world.tokens:
            raise ControlError(404, "no such token")
        del self._sim.world.tokens[token]

    def templates(self) -> list[Row]:
        """The message templates."""
        return [template.view() for template in self._sim.templates.all()]

    def add_template(
        self,
        name: str,
        language: str,
        category: str = "UTILITY",
        status: str = "APPROVED",
        components: list[Row] | None = None,
    ) -> Row:
        """A template, its components in Meta's definition shape."""
        return self._sim.templates.add(Template(name, language, category, status, components or [])).view()

    def template_status(
        self, name: str, language: str, event: str, reason: str = "NONE", waba_id: str | None = None
    ) -> None:
        """Meta changes a template's status, and tells by webhook."""
        self._sim.business.template_status(name, language, event, reason, waba_id=waba_id)

    def template_quality(self, name: str, language: str, score: str, waba_id: str | None = None) -> None:
        """Recipients like a template less, or more, and Meta tells by webhook."""
        self._sim.business.template_quality(name, language, score, waba_id=waba_id)

    def template_category(self, name: str, language: str, category: str, waba_id: str | None = None) -> None:
        """Meta moves a template to another category, and tells by webhook."""
        self._sim.business.template_category(name, language, category, waba_id=waba_id)

    def delete_template(self, name: str, waba_id: str | None = None) -> None:
        """Delete a template in all its languages; Meta tells by webhook."""
        self._sim.business.delete_template(name, waba_id=waba_id)

    async def set_webhook(self, url: str, verify_token: str, app_id: str = APP_ID) -> None:
        """Register an app's callback, with Meta's GET challenge."""
        await self._sim.set_webhook(url, verify_token, app_id=app_id)

    def webhooks(self, limit: int = SHOWN) -> list[Row]:
        """The newest attempts to deliver, oldest first."""
        return list(self._sim.webhooks.recent)[-limit:] if limit > 0 else []

    def pause(self) -> None:
        """Let updates pile up, to be sent in one batch."""
        self._sim.webhooks.pause()

    def resume(self) -> None:
        """Send what piled up."""
        self._sim.webhooks.resume()

    def raw(self, body: Any) -> None:
        """Post any body, text as it is and everything else as JSON, signed, to every app's callback."""
        self._sim.webhooks.post_body(body.encode() if isinstance(body, str) else orjson.dumps(body))


class _Business:
    """The business's own side: its phone app, Meta's agent, and what happens to its account."""

    def __init__(self, platform: Platform) -> None:
        self._sim = platform

    def operations(self) -> dict[str, Work]:
        names = ("echo", "standby", "history", "contacts", "field", "change")
        return {f"POST business/{name}": getattr(self, name) for name in names}

    def echo(self, person: str, kind: str = "text", account: str | None = None, **content: Any) -> Row:
        """The business writes in its phone app; content as customers have it."""
        return {"id": self._sim.business.echo(self._find(person), kind, number=self._number(account), **content)}

    def standby(self, person: str, body: str, account: str | None = None) -> None:
        """Meta's agent answers. What people write meanwhile is said with `standby`."""
        self._sim.business.agent_says(self._find(person), body, number=self._number(account))

    def history(self, account: str | None = None, phase: int = 0) -> Row:
        """Send the history of a coexistence number."""
        return {"messages": self._sim.business.history(number=self._number(account), phase=phase)}

    def contacts(self, account: str | None = None, action: str = "add") -> Row:
        """Send the contacts of a coexistence number."""
        return {"contacts": self._sim.business.sync_contacts(number=self._number(account), action=action)}

    def field(self, name: str, value: Row, waba_id: str | None = None) -> None:
        """Any webhook of the business account."""
        self._sim.business.field(name, value, waba_id=waba_id)

    def change(self, name: str, kind: str, item: Row, contact: Row | None = None, account: str | None = None) -> None:
        """Any item of a number's webhook field."""
        self._sim.business.change(name, kind, item, contact=contact, number=self._number(account))

    def _find(self, person: str) -> Customer:
        found = self._sim.world.find_customer(person)
        if found is None:
            raise ControlError(404, f"no customer {person}")
        return found

    def _number(self, account: str | None) -> Number | None:
        return None if account is None else number_of(self._sim, account)
