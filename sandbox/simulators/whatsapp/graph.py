"""The Graph API over HTTP: routes, bearer tokens, planned misbehaviour, the error envelope, the record of calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from aiohttp import web

from sandbox.simulators.common import gateway_page, leave_unread
from sandbox.simulators.whatsapp.behaviour import GraphFault
from sandbox.simulators.whatsapp.core import BODY_KEPT, Call, Core
from sandbox.simulators.whatsapp.errors import GraphError, Json, unknown_object
from sandbox.simulators.whatsapp.model import Number
from sandbox.simulators.whatsapp.nodes import Nodes
from sandbox.simulators.whatsapp.sending import Sender, parse
from sandbox.simulators.whatsapp.spec import Violation
from sandbox.simulators.whatsapp.transfers import Transfers

Work = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MISBEHAVIOUR: Final = frozenset({"error", "refuse", "drop_answer", "hang", "slow", "unread"})
_MISBEHAVIOUR_OF_FILES: Final = _MISBEHAVIOUR | {"trickle"}
_SILENT: Final = frozenset({"refuse", "drop_answer", "hang", "unread"})
_CONTENT: Final = frozenset(
    {100, 131008, 131009, 131021, 131051, 131062, 132000, 132001, 132005, 132008, 132012, 132018, 134100}
)
_BEARER: Final = re.compile(r"(?:Bearer|OAuth)\s+(\S+)", re.IGNORECASE)
_STREAMED: Final = frozenset({"upload", "download"})  # bodies that are not read into memory
_BARE: Final = frozenset({"subscribe_app", "token"})  # authorised by an app's id and secret


class GraphAPI:
    """All routes of one simulator; any version `vNN.N` is served alike."""

    def __init__(self, core: Core, sender: Sender, nodes: Nodes, transfers: Transfers) -> None:
        self._core, self._sender = core, sender
        self._nodes, self._transfers = nodes, transfers
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let go of the requests that hang."""
        self._closing.set()

    def routes(self) -> list[web.RouteDef]:
        """The routes, the busiest first."""
        nodes, transfers = self._nodes, self._transfers
        node = r"/{version:v\d+\.\d+}/{id:\w+}"
        version = r"/{version:v\d+\.\d+}"
        return [
            web.post(f"{node}/messages", self._call("send", self._messages)),
            web.post(f"{node}/marketing_messages", self._call("send", self._marketing_messages)),
            web.post(f"{node}/media", self._call("upload", transfers.upload)),
            web.get("/whatsapp_business/attachments/", self._call("download", transfers.download), allow_head=False),
            web.get(f"{version}/debug_token", self._call("debug_token", nodes.debug_token)),
            web.get(f"{version}/oauth/access_token", self._call("token", nodes.app_token)),
            web.get(f"{version}/me", self._call("me", nodes.me)),
            web.get(f"{node}/block_users", self._call("block", nodes.blocked)),
            web.post(f"{node}/block_users", self._call("block", nodes.block)),
            web.delete(f"{node}/block_users", self._call("block", nodes.unblock)),
            web.get(f"{node}/subscribed_apps", self._call("subscribe", nodes.subscriptions)),
            web.post(f"{node}/subscribed_apps", self._call("subscribe", nodes.subscribe)),
            web.delete(f"{node}/subscribed_apps", self._call("subscribe", nodes.unsubscribe)),
            web.post(f"{node}/subscriptions", self._call("subscribe_app", nodes.subscribe_app)),
            web.get(f"{node}/message_templates", self._call("templates", nodes.templates)),
            web.get(f"{node}/phone_numbers", self._call("numbers", nodes.phone_numbers)),
            web.post(f"{node}/register", self._call("register", nodes.register)),
            web.post(f"{node}/deregister", self._call("register", nodes.deregister)),
            web.post(f"{node}/smb_app_data", self._call("sync", nodes.sync)),
            web.get(node, self._call("node", nodes.get)),
            web.post(rf"{node}{{slash:/?}}", self._call("node", nodes.post)),
            web.delete(node, self._call("delete", nodes.delete)),
            web.route("*", "/{tail:(?!_sim).*}", self._call("unknown", self._unknown)),
        ]

    async def _messages(self, request: web.Request) -> web.Response:
        raw = await request.read()
        number, body = self._number(request), parse(raw)
        if "status" in body:
            return answer(self._sender.mark_read(number, body))
        return answer(await self._sender.send(number, raw, body))

    async def _marketing_messages(self, request: web.Request) -> web.Response:
        raw = await request.read()
        return answer(await self._sender.send(self._number(request), raw, parse(raw), marketing=True))

    async def _unknown(self, request: web.Request) -> web.Response:
        raise GraphError(2500, f"Unknown path components: {request.path}")

    def _number(self, request: web.Request) -> Number:
        return self._core.world.number(request.match_info["id"])

    def _call(self, name: str, work: Work) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Wrap a handler: token, faults, error envelope, record."""

        async def handle(request: web.Request) -> web.StreamResponse:
            code: int | None = None
            status = 0
            try:
                self._authorise(request, name)
                fault = await self._fault(request, name) if self._core.faults.active else None
                response = await (work(request) if fault is None else self._misbehave(request, fault, work))
                status = 0 if fault is not None and fault.kind in _SILENT else response.status
            except GraphError as error:
                code, status = error.code, error.http
                if code in _CONTENT and error.subcode is None:
                    now = self._core.clock.now()
                    self._core.violations.append(Violation(now, request.method, request.path, code, error.details))
                response = answer(error.envelope(), status)
            body = b"" if name in _STREAMED else (await request.read())[:BODY_KEPT]
            now = self._core.clock.now()
            self._core.calls.append(Call(now, name, request.method, request.path, status, code, body))
            return response

        return handle

    def _authorise(self, request: web.Request, name: str) -> None:
        """The bearer token must exist and reach the account of the path's node."""
        if name in _BARE:
            return
        found = _BEARER.fullmatch(request.headers.get("Authorization", ""))
        token = found.group(1) if found else request.query.get("access_token", "")
        world = self._core.world
        if token not in world.tokens:
            raise GraphError(190, "Invalid OAuth access token - Cannot parse access token")
        allowed = world.tokens[token]
        node = request.match_info.get("id", "")
        number = world.numbers.get(node)
        account = number.waba_id if number else node if node in world.accounts else None
        if allowed is not None and account is not None and account not in allowed:
            raise unknown_object(node)

    async def _fault(self, request: web.Request, name: str) -> GraphFault | None:
        """The planned misbehaviour that matches this request."""
        node = request.match_info.get("id", "")
        facts: dict[str, object] = {"call": name, "method": request.method, "id": node}
        facts["account"] = facts["phone_number_id"] = node
        if name == "download":
            facts["waba_id"] = waba_id = self._account_of(request)
            numbers = self._core.world.numbers.values()
            facts["account"] = next((n.phone_number_id for n in numbers if n.waba_id == waba_id), None)
        if name == "send":
            try:
                body = parse(await request.read())
            except GraphError:
                body = {}
            if "status" in body:
                facts["call"] = "read"
            facts |= {"type": body.get("type", "text"), "to": body.get("to") or body.get("recipient")}
        kinds = _MISBEHAVIOUR_OF_FILES if name == "download" else _MISBEHAVIOUR
        return self._core.faults.find(kinds, **facts)

    def _account_of(self, request: web.Request) -> str | None:
        """The account whose token this is, where it reaches no other."""
        found = _BEARER.fullmatch(request.headers.get("Authorization", ""))
        reached = self._core.world.tokens.get(found.group(1)) if found else None
        return next(iter(reached)) if reached is not None and len(reached) == 1 else None

    async def _misbehave(self, request: web.Request, fault: GraphFault, work: Work) -> web.StreamResponse:
        match fault.kind:
            case "error":
                return self._planned_error(fault)
            case "hang":
                await self._closing.wait()
            case "unread":
                return await leave_unread(request, self._core.faults, fault)
            case "trickle":
                return await self._transfers.trickle(request, fault)
            case "drop_answer":
                await work(request)
            case "slow":
                response = await work(request)
                await self._core.clock.sleep(fault.seconds)
                return response
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    @staticmethod
    def _planned_error(fault: GraphFault) -> web.Response:
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if fault.code is not None:
            error = GraphError(fault.code, fault.description, http=fault.http)
            return answer(error.envelope(), error.http, headers)
        if fault.html:
            return gateway_page(fault.status, fault.retry_after)
        return web.Response(text=fault.description, status=fault.status, headers=headers)


def answer(body: Json, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer as the Graph API gives it."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)
