"""Consent page, token endpoints and the app's webhook configuration."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from .api import ApiCall, Handler
from .errors import Code, Malformed, Rejected
from .platform import Platform
from .tokens import DEFAULT_SCOPE, TokenPair

AUTHORIZE_PATH = "/v2/auth/authorize/"

# The real platform wants https without a port; a sandbox on one machine has neither.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_AUTHORIZE_FIELDS = frozenset({"client_key", "response_type", "scope", "redirect_uri", "state", "disable_auto_auth"})


class Consent:
    """The owner in front of the consent page: which account they are, and what they agree to."""

    def __init__(self, platform: Platform) -> None:
        self.business_id: str | None = None
        # None agrees to everything asked for.
        self.scope: tuple[str, ...] | None = None
        self._platform = platform

    async def page(self, http: web.BaseRequest) -> web.Response:
        """Agree at once and send the browser back with a code; a broken request gets HTTP 400."""
        query = dict(http.query)
        problem = _authorize_problem(query, self._platform.options.app_id)
        business_id = self.business_id or next(iter(self._platform.world.accounts), None)
        if problem is None and business_id is None:
            problem = "nobody is logged in: add an account first"
        if problem is not None or business_id is None:
            self._platform.ledger.record_violation(self._platform.now_ms(), "GET authorize", problem or "")
            return web.Response(status=400, text=problem)
        asked = tuple(query["scope"].split(","))
        scope = asked if self.scope is None else tuple(name for name in asked if name in self.scope)
        code = self._platform.tokens.consent(business_id, scope, query["redirect_uri"])
        back = urlencode({"code": code, "scopes": ",".join(scope), "state": query["state"]})
        return web.Response(status=302, headers={"Location": f"{query['redirect_uri']}?{back}"})


def _authorize_problem(query: dict[str, str], app_id: str) -> str | None:
    if missing := _AUTHORIZE_FIELDS - {"disable_auto_auth"} - query.keys():
        return f"{min(missing)} is required"
    if unknown := query.keys() - _AUTHORIZE_FIELDS:
        return f"{min(unknown)} is not a parameter of the consent page"
    if query["client_key"] != app_id:
        return "client_key is not this app"
    if query["response_type"] != "code":
        return "response_type must be code"
    if not set(query["scope"].split(",")) <= {*DEFAULT_SCOPE, "user.info.stats", "user.insights"}:
        return "scope asks for something the app is not approved for"
    return redirect_problem(query["redirect_uri"])


def redirect_problem(uri: str) -> str | None:
    """Why a redirect URI could not be registered, None when it could."""
    parts = urlsplit(uri)
    if not 10 <= len(uri) <= 512 or not parts.path.endswith("/") or parts.query or parts.fragment:
        return "redirect_uri must have 10 to 512 characters, end with / and have neither query nor fragment"
    if parts.hostname not in _LOOPBACK and (parts.scheme != "https" or parts.port is not None):
        return "redirect_uri must be https without a port"
    return None


def _check_client(call: ApiCall, id_field: str, secret_field: str | None = None) -> None:
    options = call.platform.options
    if call.params[id_field] != options.app_id:
        raise Rejected(Code.NO_PERMISSION, f"Param {id_field} is not a known app.")
    if secret_field is not None and call.params[secret_field] != options.app_secret:
        raise Rejected(Code.NO_PERMISSION, f"Param {secret_field} is wrong.")


def _pair(pair: TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "scope": pair.scope,
        "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token,
        "refresh_token_expires_in": pair.refresh_token_expires_in,
        "open_id": pair.open_id,
    }


async def exchange(call: ApiCall) -> dict[str, Any]:
    _check_client(call, "client_id", "client_secret")
    pair = call.platform.tokens.exchange(call.params["auth_code"], call.params["redirect_uri"])
    return _pair(pair)


async def refresh(call: ApiCall) -> dict[str, Any]:
    _check_client(call, "client_id", "client_secret")
    return _pair(call.platform.tokens.refresh(call.params["refresh_token"]))


async def revoke(call: ApiCall) -> dict[str, Any]:
    _check_client(call, "client_id", "client_secret")
    call.platform.tokens.revoke(call.params["access_token"])
    return {}


async def token_info(call: ApiCall) -> dict[str, Any]:
    _check_client(call, "app_id")
    grant = call.platform.tokens.check(call.params["access_token"])
    return {
        "app_id": call.params["app_id"],
        "creator_id": grant.business_id,
        "scope": ",".join(grant.scope),
    }


async def webhook_update(call: ApiCall) -> dict[str, Any]:
    _check_client(call, "app_id", "secret")
    url = call.params["callback_url"]
    if not re.match(r"https?://[^\s/]+", url):
        raise Malformed("callback_url must be a URL")
    call.platform.webhooks.callback_url = url
    return await webhook_list(call)


async def webhook_list(call: ApiCall) -> dict[str, Any]:
    _check_client(call, "app_id", "secret")
    data = {"app_id": call.params["app_id"], "event_type": call.params["event_type"]}
    url = call.platform.webhooks.callback_url
    return data if url is None else data | {"callback_url": url}


async def webhook_delete(call: ApiCall) -> dict[str, Any]:
    _check_client(call, "app_id", "secret")
    call.platform.webhooks.callback_url = None
    return {"app_id": call.params["app_id"], "event_type": call.params["event_type"]}


HANDLERS: dict[str, Handler] = {
    "exchange": exchange,
    "refresh": refresh,
    "revoke": revoke,
    "token_info": token_info,
    "webhook_update": webhook_update,
    "webhook_list": webhook_list,
    "webhook_delete": webhook_delete,
}
