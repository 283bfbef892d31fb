"""The control API's customers and business side: what a console needs to play the person at the other end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from sandbox.simulators.common import json_response
from sandbox.simulators.whatsapp.errors import Json
from sandbox.simulators.whatsapp.media import WEBHOOK_LIFE
from sandbox.simulators.whatsapp.model import Conversation, Customer, Number, Received, Sent
from sandbox.simulators.whatsapp.transfers import chunks_of, parts_of

if TYPE_CHECKING:
    from sandbox.simulators.whatsapp.simulator import WhatsAppSimulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SETTABLE = frozenset(
    {
        "name",
        "username",
        "shows_phone",
        "receipts",
        "on_whatsapp",
        "blocked_us",
        "marketing_opt_out",
        "identity_key_hash",
    }
)


class People:
    """Handlers below `/_sim/customers` and `/_sim/business`. `{ref}` is a phone, alias, BSUID or customer key.

    Every action takes an optional `phone_number_id`; the first number is meant without it.
    """

    def __init__(self, simulator: WhatsAppSimulator) -> None:
        self._sim = simulator

    def routes(self) -> list[tuple[str, str, Handler]]:
        one = "/customers/{ref}"
        return [
            ("GET", "/customers", self.customers),
            ("POST", "/customers", self.add_customer),
            ("PATCH", one, self.change_customer),
            ("GET", f"{one}/conversation", self.conversation),
            ("POST", f"{one}/messages", self.say),
            ("POST", f"{one}/read", self.read),
            ("POST", f"{one}/played", self.played),
            ("POST", f"{one}/number", self.change_number),
            ("POST", f"{one}/user_id", self.rotate),
            ("POST", f"{one}/identity", self.identity),
            ("POST", f"{one}/preference", self.preference),
            ("POST", f"{one}/raw", self.raw_message),
            ("POST", "/media", self.add_media),
            ("POST", "/groups", self.add_group),
            ("POST", "/business/echo", self.echo),
            ("POST", "/business/standby", self.agent),
            ("POST", "/business/history", self.history),
            ("POST", "/business/contacts", self.contacts),
            ("POST", "/business/field", self.field),
            ("POST", "/business/change", self.change),
        ]

    async def customers(self, request: web.Request) -> web.Response:
        return json_response([_view(c) for c in list(self._sim.world.customers.values())[:1000]])

    async def add_customer(self, request: web.Request) -> web.Response:
        """`{phone?, user_id?, name?, username?, parent_user_id?, shows_phone?, aliases?, receipts?, on_whatsapp?}`."""
        return json_response(_view(self._sim.add_customer(**await json_of(request))), 201)

    async def change_customer(self, request: web.Request) -> web.Response:
        """Settings that need no webhook, such as `blocked_us` or `receipts`."""
        customer, body = self._customer(request), await json_of(request)
        if unknown := sorted(body.keys() - _SETTABLE):
            raise ValueError(f"cannot set {unknown[0]}; settable: {', '.join(sorted(_SETTABLE))}")
        for name, value in body.items():
            setattr(customer, name, value)
        return json_response(_view(customer))

    async def conversation(self, request: web.Request) -> web.Response:
        """`[{phone_number_id, window_until, typing_until, messages}]` as the customer sees them."""
        limit = int(request.query.get("limit", 200))
        found = self._sim.world.conversations(self._customer(request))
        return json_response([_conversation(conversation, limit) for conversation in found])

    async def say(self, request: web.Request) -> web.Response:
        """`{kind, ...}` with the fields of `inbound`'s builders; or a form with `kind`, `file` and more fields."""
        customer = self._customer(request)
        body = await (self._form(request) if request.content_type == "multipart/form-data" else json_of(request))
        group = self._sim.world.groups[str(body.pop("group_id"))] if "group_id" in body else None
        kind = str(body.pop("kind", "text"))
        message_id = self._sim.customers.say(customer, kind, number=self._number(body), group=group, **body)
        return json_response({"id": message_id}, 201)

    async def read(self, request: web.Request) -> web.Response:
        """`{message_id?}`: read everything, or everything up to that message."""
        body = await json_of(request)
        count = self._sim.customers.read(self._customer(request), number=self._number(body), **body)
        return json_response({"read": count})

    async def played(self, request: web.Request) -> web.Response:
        """`{message_id}` of a voice message."""
        message = self._sim.world.message(str((await json_of(request)).get("message_id")))
        if not isinstance(message, Sent):
            raise LookupError("no such message")
        self._sim.customers.play(message)
        return json_response({"success": True})

    async def change_number(self, request: web.Request) -> web.Response:
        """`{phone, user_id?}`."""
        customer = self._customer(request)
        self._sim.customers.change_number(customer, **await json_of(request))
        return json_response(_view(customer))

    async def rotate(self, request: web.Request) -> web.Response:
        """`{user_id?}`: a new business-scoped user id."""
        customer = self._customer(request)
        self._sim.customers.rotate_user_id(customer, **await json_of(request))
        return json_response(_view(customer))

    async def identity(self, request: web.Request) -> web.Response:
        """`{identity_key_hash}`."""
        customer = self._customer(request)
        self._sim.customers.change_identity(customer, **await json_of(request))
        return json_response(_view(customer))

    async def preference(self, request: web.Request) -> web.Response:
        """`{value: stop|resume|signup}`."""
        body = await json_of(request)
        self._sim.customers.prefer_marketing(self._customer(request), number=self._number(body), **body)
        return json_response({"success": True})

    async def raw_message(self, request: web.Request) -> web.Response:
        """A message in Meta's own shape, as the body; missing id, sender and time are filled in."""
        customer, number = self._customer(request), self._number(dict(request.query))
        conversation = self._sim.world.conversation(number or self._sim.world.number(), customer)
        message_id = self._sim.customers.receive(customer, conversation, await json_of(request))
        return json_response({"id": message_id}, 201)

    async def add_media(self, request: web.Request) -> web.Response:
        """A form with `file`: stored as a customer's file; answers `{id}` for `media_id`."""
        return json_response({"id": (await self._form(request))["media_id"]}, 201)

    async def add_group(self, request: web.Request) -> web.Response:
        """`{group_id, subject, participants: [ref...]}`."""
        body = await json_of(request)
        members = [self._find(str(ref)) for ref in body["participants"]]
        group = self._sim.add_group(
            str(body["group_id"]), str(body.get("subject", "")), members, number=self._number(body)
        )
        return json_response({"group_id": group.group_id}, 201)

    async def echo(self, request: web.Request) -> web.Response:
        """`{customer, kind?, ...}`: the business writes in its phone app."""
        body = await json_of(request)
        customer, number = self._find(str(body.pop("customer"))), self._number(body)
        return json_response({"id": self._sim.business.echo(customer, number=number, **body)}, 201)

    async def agent(self, request: web.Request) -> web.Response:
        """`{customer, body}`: Meta's agent answers. What customers write meanwhile: `say` with `standby: true`."""
        body = await json_of(request)
        customer, number = self._find(str(body.pop("customer"))), self._number(body)
        self._sim.business.agent_says(customer, number=number, **body)
        return json_response({"success": True})

    async def history(self, request: web.Request) -> web.Response:
        """`{phase?}`."""
        body = await json_of(request)
        return json_response({"messages": self._sim.business.history(number=self._number(body), **body)})

    async def contacts(self, request: web.Request) -> web.Response:
        """`{action?}`."""
        body = await json_of(request)
        return json_response({"contacts": self._sim.business.sync_contacts(number=self._number(body), **body)})

    async def field(self, request: web.Request) -> web.Response:
        """`{name, value, waba_id?}`: any account-level webhook."""
        self._sim.business.field(**await json_of(request))
        return json_response({"success": True})

    async def change(self, request: web.Request) -> web.Response:
        """`{name, kind, item, contact?}`: any item of a number's field."""
        body = await json_of(request)
        self._sim.business.change(number=self._number(body), **body)
        return json_response({"success": True})

    async def _form(self, request: web.Request) -> Json:
        """A multipart form: the file goes to the media store and becomes `media_id`, other parts are fields."""
        fields: Json = {}
        async for part in parts_of(await request.multipart()):
            if part.filename is None:
                fields[part.name or ""] = await part.text()
                continue
            media = await self._sim.media.add(
                chunks_of(part), owner="", mime_type=part.headers.get("Content-Type", "application/octet-stream"),
                filename=part.filename, life=WEBHOOK_LIFE,
            )  # fmt: skip
            fields["media_id"] = media.id
        return fields

    def _customer(self, request: web.Request) -> Customer:
        return self._find(request.match_info["ref"])

    def _find(self, ref: str) -> Customer:
        found = self._sim.world.find_customer(ref)
        if found is None:
            raise LookupError(f"no customer {ref}")
        return found

    def _number(self, body: dict[str, Any]) -> Number | None:
        number_id = body.pop("phone_number_id", None)
        return self._sim.world.number(str(number_id)) if number_id else None


def _view(customer: Customer) -> Json:
    names = ("key", "phone", "user_id", "parent_user_id", "aliases", *sorted(_SETTABLE))
    return {name: getattr(customer, name) for name in names}


def _conversation(conversation: Conversation, limit: int) -> Json:
    # The API's failures never reached the customer's phone.
    seen = [m for m in conversation.messages() if isinstance(m, Received) or m.status != "failed"]
    return {
        "phone_number_id": conversation.number.phone_number_id,
        "window_until": conversation.window_until,
        "typing_until": conversation.typing_until,
        "messages": [m.view() for m in seen[-limit:]],
    }


async def json_of(request: web.Request) -> Json:
    """The request's JSON object, `{}` when empty; raises ValueError."""
    raw = await request.read()
    body = orjson.loads(raw) if raw else {}
    if not isinstance(body, dict):
        raise ValueError("a JSON object is expected")
    return body
