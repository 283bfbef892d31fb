"""The control API under `/_sim/`: set the world up, make it misbehave, see what was asked and sent.

Errors are `{"error": text}` with 400 (bad input), 404 (unknown id) or 409 (address taken).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web
from pydantic import ValidationError

from sandbox.simulators.common import json_response
from sandbox.simulators.whatsapp.control_people import People, json_of
from sandbox.simulators.whatsapp.errors import GraphError
from sandbox.simulators.whatsapp.templates import Template

if TYPE_CHECKING:
    from sandbox.simulators.whatsapp.simulator import WhatsAppSimulator

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(handler: Handler) -> Handler:
    """Turn what the simulator raises into the control API's errors."""

    @wraps(handler)
    async def call(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except GraphError as error:
            return json_response(error.envelope(), 404 if error.subcode == 33 else 400)
        except ValidationError as error:
            return json_response({"error": error.errors(include_url=False, include_context=False)}, 400)
        except LookupError as error:
            return json_response({"error": str(error)}, 404)
        except (ValueError, TypeError) as error:
            return json_response({"error": str(error)}, 409 if "exists" in str(error) else 400)

    return call


class Control:
    """Handlers for everything that is not a customer's action (those are in `People`)."""

    def __init__(self, simulator: WhatsAppSimulator) -> None:
        self._sim = simulator

    def routes(self) -> list[web.RouteDef]:
        """All of `/_sim/`."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "", self.summary),
            ("GET", "/numbers", self.numbers),
            ("POST", "/numbers", self.add_number),
            ("POST", "/apps", self.add_app),
            ("POST", "/webhook", self.set_webhook),
            ("POST", "/tokens", self.add_token),
            ("DELETE", "/tokens/{token}", self.revoke_token),
            ("GET", "/templates", self.templates),
            ("POST", "/templates", self.add_template),
            ("POST", "/templates/status", self.template_status),
            ("GET", "/behaviour", self.behaviour),
            ("PATCH", "/behaviour", self.change_behaviour),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("POST", "/clock", self.advance),
            ("POST", "/webhooks/pause", self.pause),
            ("POST", "/webhooks/resume", self.resume),
            ("POST", "/webhooks/raw", self.raw),
            ("GET", "/webhooks", self.deliveries),
            ("GET", "/calls", self.calls),
            ("GET", "/violations", self.violations),
            ("GET", "/sent", self.sent),
            ("GET", "/repeats", self.repeats),
            ("GET", "/events", self._sim.core.feed.serve),
            *People(self._sim).routes(),
        ]
        return [web.route(method, f"/_sim{path}", guarded(handler)) for method, path, handler in table] + [
            web.get("/_sim/", guarded(self.summary))
        ]

    async def summary(self, request: web.Request) -> web.Response:
        return json_response(self._sim.summary())

    async def numbers(self, request: web.Request) -> web.Response:
        keys = (
            "phone_number_id",
            "display_phone_number",
            "waba_id",
            "throughput",
            "coexistence",
            "direct_send",
            "registered",
        )
        return json_response([{key: getattr(n, key) for key in keys} for n in self._sim.world.numbers.values()])

    async def add_number(self, request: web.Request) -> web.Response:
        """`{phone_number_id, display_phone_number, waba_id?, throughput?, coexistence?, direct_send?, apps?}`."""
        number = self._sim.add_number(**await json_of(request))
        return json_response({"phone_number_id": number.phone_number_id}, 201)

    async def add_app(self, request: web.Request) -> web.Response:
        """`{app_id, secret}`."""
        app = self._sim.add_app(**await json_of(request))
        return json_response({"app_id": app.app_id}, 201)

    async def set_webhook(self, request: web.Request) -> web.Response:
        """`{url, verify_token, app_id?}`: performs the GET challenge; Meta's error 2200 when it fails."""
        await self._sim.set_webhook(**await json_of(request))
        return json_response({"success": True})

    async def add_token(self, request: web.Request) -> web.Response:
        """`{token, waba_ids?}`; without `waba_ids` the token reaches every account."""
        body = await json_of(request)
        reach = body.get("waba_ids")
        self._sim.world.tokens[str(body["token"])] = frozenset(reach) if reach is not None else None
        return json_response({"success": True}, 201)

    async def revoke_token(self, request: web.Request) -> web.Response:
        """From now on the token answers 190."""
        del self._sim.world.tokens[request.match_info["token"]]
        return json_response({"success": True})

    async def templates(self, request: web.Request) -> web.Response:
        return json_response([t.view() for t in self._sim.templates.all()])

    async def add_template(self, request: web.Request) -> web.Response:
        """`{name, language, category?, status?, components?}`, components in Meta's definition shape."""
        return json_response(self._sim.templates.add(Template(**await json_of(request))).view(), 201)

    async def template_status(self, request: web.Request) -> web.Response:
        """`{name, language, event, reason?}`: changes the template and sends the webhook."""
        self._sim.business.template_status(**await json_of(request))
        return json_response({"success": True})

    async def behaviour(self, request: web.Request) -> web.Response:
        return json_response(self._sim.behaviour.model_dump())

    async def change_behaviour(self, request: web.Request) -> web.Response:
        """Any of `Behaviour`'s fields."""
        self._sim.behaviour.change(**await json_of(request))
        return json_response(self._sim.behaviour.model_dump())

    async def faults(self, request: web.Request) -> web.Response:
        return json_response([fault.model_dump() for fault in self._sim.faults.active])

    async def add_fault(self, request: web.Request) -> web.Response:
        """A `GraphFault`: `{kind, where?, code?, status?, count?, probability?, seconds?, html?, ...}`."""
        body = await json_of(request)
        return json_response(self._sim.faults.add(str(body.pop("kind", "")), **body).model_dump(), 201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._sim.faults.clear()
        return json_response({"success": True})

    async def advance(self, request: web.Request) -> web.Response:
        """`{advance: seconds}`."""
        self._sim.clock.advance(float((await json_of(request))["advance"]))
        return json_response({"now": self._sim.clock.now()})

    async def pause(self, request: web.Request) -> web.Response:
        self._sim.webhooks.pause()
        return json_response({"paused": True})

    async def resume(self, request: web.Request) -> web.Response:
        self._sim.webhooks.resume()
        return json_response({"paused": False})

    async def raw(self, request: web.Request) -> web.Response:
        """Post the body as it is, signed, to every callback."""
        self._sim.webhooks.post_body(await request.read())
        return json_response({"success": True})

    async def deliveries(self, request: web.Request) -> web.Response:
        return json_response(_last(list(self._sim.webhooks.recent), request))

    async def calls(self, request: web.Request) -> web.Response:
        return json_response([call.view() for call in _last(list(self._sim.calls), request)])

    async def violations(self, request: web.Request) -> web.Response:
        return json_response([asdict(v) for v in _last(list(self._sim.violations), request)])

    async def sent(self, request: web.Request) -> web.Response:
        """`{count, messages}` of `?peer=`, or of everybody; `?limit=` bounds the messages, not the count."""
        sent = self._sim.sent(request.query.get("peer"))
        return json_response({"count": len(sent), "messages": [m.view() for m in _last(sent, request)]})

    async def repeats(self, request: web.Request) -> web.Response:
        return json_response(self._sim.repeats())


def _last(items: list[T], request: web.Request) -> list[T]:
    """The newest `?limit=` (100) items, oldest first."""
    limit = int(request.query.get("limit", 100))
    return items[-limit:] if limit > 0 else []
