"""The Graph API around messages: numbers, accounts, tokens, media nodes, blocking, subscriptions, registration."""

from __future__ import annotations

import base64
from typing import Any, Final

from aiohttp import web

from sandbox.simulators.common import json_response
from sandbox.simulators.whatsapp.business import Business
from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.errors import GraphError, Json, unknown_object
from sandbox.simulators.whatsapp.model import Account, Number, digits_of
from sandbox.simulators.whatsapp.sending import parse

_SCOPES: Final = ["whatsapp_business_management", "whatsapp_business_messaging"]
_OVERRIDE_MAX: Final = 200
_LONGEST_PAGE: Final = 1000


class Nodes:
    """Handlers that answer from the world."""

    def __init__(self, core: Core, business: Business) -> None:
        self._core = core
        self._business = business

    async def get(self, request: web.Request) -> web.Response:
        """A phone number, an account, or a file's URL; `?fields=` picks keys of the first two."""
        node = request.match_info["id"]
        world = self._core.world
        if node in world.numbers:
            return json_response(_pick(self._number_view(world.numbers[node]), request))
        if node in world.accounts:
            return json_response(_pick({"id": node, "name": world.accounts[node].name, "currency": "USD"}, request))
        media = self._core.media.get(node, owner=request.query.get("phone_number_id"))
        return json_response(
            {
                "messaging_product": "whatsapp",
                "url": self._core.media.url(media, self._core.base_url),
                "mime_type": media.mime_type,
                "sha256": media.digest.hex(),
                "file_size": media.size,
                "id": media.id,
            }
        )

    async def post(self, request: web.Request) -> web.Response:
        """A number's `webhook_configuration`: an override callback, removed by an empty URL."""
        number = self._core.world.number(request.match_info["id"])
        settings = (await _body(request)).get("webhook_configuration") or {}
        number.webhook_override = await self._override(settings)
        return json_response({"success": True})

    async def delete(self, request: web.Request) -> web.Response:
        """Forget an uploaded file."""
        media = self._core.media.get(request.match_info["id"], owner=request.query.get("phone_number_id"))
        self._core.media.delete(media.id)
        return json_response({"success": True})

    async def me(self, request: web.Request) -> web.Response:
        return json_response({"id": "100000000000000", "name": "Sim System User"})

    async def debug_token(self, request: web.Request) -> web.Response:
        """Whether `input_token` is valid, its scopes and the accounts it reaches."""
        token = request.query.get("input_token", "")
        app_id = next(iter(self._core.world.apps), "")
        if token not in self._core.world.tokens:
            error = {"code": 190, "message": "Invalid OAuth access token."}
            return json_response({"data": {"app_id": app_id, "is_valid": False, "error": error, "scopes": []}})
        reach = self._core.world.tokens[token]
        granular = [{"scope": s} | ({"target_ids": sorted(reach)} if reach is not None else {}) for s in _SCOPES]
        data = {
            "app_id": app_id, "type": "SYSTEM_USER", "application": "Sim", "is_valid": True, "expires_at": 0,
            "scopes": _SCOPES, "granular_scopes": granular, "user_id": "100000000000000",
        }  # fmt: skip
        return json_response({"data": data})

    async def app_token(self, request: web.Request) -> web.Response:
        """`GET /oauth/access_token` with an app's id and secret."""
        app = self._core.world.apps.get(request.query.get("client_id", ""))
        if app is None or app.secret != request.query.get("client_secret"):
            raise GraphError(100, "Error validating client secret.")
        return json_response({"access_token": f"{app.app_id}|{app.secret}", "token_type": "bearer"})

    async def subscribe_app(self, request: web.Request) -> web.Response:
        """`POST /{app}/subscriptions`: the app's callback, after the GET challenge (2200 when it fails)."""
        app = self._core.world.apps.get(request.match_info["id"])
        if app is None or request.query.get("access_token") != f"{app.app_id}|{app.secret}":
            raise GraphError(190, "Invalid OAuth access token signature.")
        url, token = request.query.get("callback_url", ""), request.query.get("verify_token", "")
        await self._core.webhooks.verify(url, token)
        app.callback_url, app.verify_token = url, token
        fields = request.query.get("fields", "")
        app.fields = frozenset(fields.split(",")) if fields else None
        return json_response({"success": True})

    async def subscriptions(self, request: web.Request) -> web.Response:
        data = []
        for app_id, override in self._account(request).subscribed.items():
            item: Json = {
                "whatsapp_business_api_data": {"id": app_id, "name": "Sim App", "link": "https://app.example"}
            }
            data.append(item | ({"override_callback_uri": override} if override else {}))
        return json_response({"data": data})

    async def subscribe(self, request: web.Request) -> web.Response:
        """Subscribe the (first) app to an account, with an optional override callback."""
        account = self._account(request)
        body = await _body(request)
        app_id = str(body.get("app_id") or next(iter(self._core.world.apps)))
        if app_id not in self._core.world.apps:
            raise unknown_object(app_id)
        account.subscribed[app_id] = await self._override(body)
        return json_response({"success": True})

    async def unsubscribe(self, request: web.Request) -> web.Response:
        account = self._account(request)
        account.subscribed.pop(request.query.get("app_id") or next(iter(self._core.world.apps)), None)
        return json_response({"success": True})

    async def templates(self, request: web.Request) -> web.Response:
        """A page of the templates: `name` finds names that contain it, `limit` and `after` turn pages."""
        self._account(request)
        asked, query = request.query, self._core.templates.all()
        wanted = {key: asked[key] for key in ("language", "status", "category") if key in asked}
        found = [t for t in query if wanted.items() <= t.view().items() and asked.get("name", "") in t.name]
        limit, start = _page(request)
        page = [_pick(t.fields(), request) if "fields" in asked else t.view() for t in found[start : start + limit]]
        paging: Json = {"cursors": {"before": _cursor(start), "after": _cursor(start + len(page))}} if page else {}
        if start + limit < len(found):
            paging["next"] = str(request.url.update_query(after=_cursor(start + limit)))
        return json_response({"data": page, "paging": paging})

    async def phone_numbers(self, request: web.Request) -> web.Response:
        account = self._account(request)
        mine = [n for n in self._core.world.numbers.values() if n.waba_id == account.waba_id]
        return json_response({"data": [self._number_view(number) for number in mine]})

    async def register(self, request: web.Request) -> web.Response:
        number = self._core.world.number(request.match_info["id"])
        pin = str((await _body(request)).get("pin", ""))
        if len(pin) != 6 or not pin.isdigit():
            raise GraphError(100, "Param pin must be 6 digits.")
        number.registered = True
        return json_response({"success": True})

    async def deregister(self, request: web.Request) -> web.Response:
        self._core.world.number(request.match_info["id"]).registered = False
        return json_response({"success": True})

    async def sync(self, request: web.Request) -> web.Response:
        number = self._core.world.number(request.match_info["id"])
        return json_response(self._business.request_sync(number, str((await _body(request)).get("sync_type"))))

    async def blocked(self, request: web.Request) -> web.Response:
        number = self._core.world.number(request.match_info["id"])
        data = [{"messaging_product": "whatsapp", **_user(entry)} for entry in number.blocked.values()]
        return json_response({"data": data, "paging": {}})

    async def block(self, request: web.Request) -> web.Response:
        return await self._block(request, "added_users")

    async def unblock(self, request: web.Request) -> web.Response:
        return await self._block(request, "removed_users")

    async def _block(self, request: web.Request, outcome: str) -> web.Response:
        """Partial failures answer 200 with `failed_users` and error 139100, as Meta does."""
        number = self._core.world.number(request.match_info["id"])
        users = (await _body(request)).get("block_users")
        if not isinstance(users, list) or not users:
            raise GraphError(131008, "The parameter block_users is required.")
        done: list[Json] = []
        failed: list[Json] = []
        for user in users:
            entry = str(user.get("user") or user.get("user_id") or "") if isinstance(user, dict) else ""
            customer = self._core.world.at_address(entry) or self._core.world.at_address(digits_of(entry) or "-")
            if customer is None:
                reason = {"code": 131009, "message": "Parameter value is not valid"}
                failed.append({"input": entry, "errors": [reason]})
                continue
            if outcome == "added_users":
                number.blocked[customer.key] = customer.phone or customer.user_id or entry
            else:
                number.blocked.pop(customer.key, None)
            done.append({"input": entry, **_user(customer.phone or customer.user_id or entry)})
        result: Json = {outcome: done}
        answer: Json = {"messaging_product": "whatsapp", "block_users": result}
        if failed:
            result["failed_users"] = failed
            answer |= GraphError(139100, "Some users could not be blocked or unblocked.").envelope()
        return json_response(answer)

    async def _override(self, settings: Json) -> str | None:
        url = settings.get("override_callback_uri")
        if not url:
            return None
        if len(str(url)) > _OVERRIDE_MAX:
            raise GraphError(100, f"Param override_callback_uri must be at most {_OVERRIDE_MAX} characters long.")
        await self._core.webhooks.verify(str(url), str(settings.get("verify_token", "")))
        return str(url)

    def _account(self, request: web.Request) -> Account:
        waba_id = request.match_info["id"]
        try:
            return self._core.world.accounts[waba_id]
        except KeyError:
            raise unknown_object(waba_id) from None

    def _number_view(self, number: Number) -> Json:
        return {
            "id": number.phone_number_id,
            "display_phone_number": number.display_phone_number,
            "verified_name": number.verified_name,
            "quality_rating": "GREEN",
            "code_verification_status": "VERIFIED",
            "name_status": "APPROVED",
            "status": "CONNECTED" if number.registered else "DISCONNECTED",
            "platform_type": "CLOUD_API",
            "messaging_limit_tier": "TIER_10K",
            "throughput": {"level": "HIGH" if number.throughput > 80 else "STANDARD"},
            "is_on_biz_app": number.coexistence,
            "account_mode": "LIVE",
            "webhook_configuration": {"phone_number": number.webhook_override} if number.webhook_override else {},
        }


def _user(address: str) -> dict[str, str]:
    return {"wa_id": address} if address.isdigit() else {"user_id": address}


def _pick(view: Json, request: web.Request) -> Json:
    """The keys `?fields=a,b{...}` asks for; one unknown field fails the whole request, as with Meta."""
    asked = [name.split("{", 1)[0].split(".", 1)[0].strip() for name in request.query.get("fields", "").split(",")]
    names = [name for name in asked if name]
    unknown = [name for name in names if name not in view]
    if unknown:
        raise GraphError(100, f"Tried accessing nonexisting field ({unknown[0]})")
    return {"id": view["id"], **{name: view[name] for name in names}} if names else view


def _cursor(place: int) -> str:
    return base64.b64encode(b"%d" % place).decode()


def _page(request: web.Request) -> tuple[int, int]:
    """How many, and from where. Raises GraphError 100 for a page of more than 1,000, and 131059 for no cursor."""
    limit = request.query.get("limit", "25")
    if not limit.isdigit() or not 0 < int(limit) <= _LONGEST_PAGE:
        raise GraphError(100, f"Param limit must be a number from 1 to {_LONGEST_PAGE}.")
    try:
        return int(limit), int(base64.b64decode(request.query.get("after", "") or _cursor(0), validate=True))
    except ValueError:
        raise GraphError(131059, "Invalid cursor.") from None


async def _body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    return parse(raw) if raw else {}
