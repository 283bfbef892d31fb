"""`/_sim/`: plays the people, plans faults and shows what happened, over plain JSON without credentials."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, validate_call

from sandbox.simulators.common import json_response

from .errors import Rejected
from .faults import CallFault
from .media import FORMATS, MAX_CUSTOMER_BYTES
from .oauth import Consent
from .options import Options
from .people import People
from .platform import Platform
from .tokens import DEFAULT_SCOPE
from .views import View, Views
from .webhooks import sign
from .world import Account

MAX_FAULTS = 1_000

_DEEDS = (
    "writes",
    "reacts",
    "reads",
    "taps",
    "arrives",
    "comments",
    "owner_writes",
    "owner_removes_app",
    "owner_configures",
)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewAccount(_Body):
    """A business account to add, with a token pair; given tokens let a deployment know them beforehand."""

    business_id: str
    username: str
    display_name: str = ""
    country: str = "SG"
    images: bool = True
    comment_to_message: bool = False
    is_business: bool = True
    posts: set[str] = {"7301234567890123456"}
    scope: list[str] = list(DEFAULT_SCOPE)
    access_token: str | None = None
    refresh_token: str | None = None


class RawWebhook(_Body):
    """A webhook as bytes of one's own (`body`), or an event the platform does not document."""

    business_id: str = ""
    event: str = "im_receive_msg"
    content: dict[str, Any] | str = ""
    body: str | None = None
    signature: str | None = None
    timestamp: int | None = None


class ConsentChoice(_Body):
    """Who sits in front of the consent page and what they agree to; without `scope`, everything asked for."""

    business_id: str
    scope: list[str] | None = None


class TokenExpiry(_Body):
    """Whose access tokens expire now, and whether the refresh token does too."""

    business_id: str
    refresh: bool = False


class Advance(_Body):
    """How many seconds the platform's clock jumps ahead."""

    seconds: float


class Control:
    """The control interface of one simulator. Paths are in `routes`; a bad request is HTTP 400 with `error`."""

    def __init__(self, platform: Platform, people: People, consent: Consent) -> None:
        self._platform = platform
        self._consent = consent
        self._options = TypeAdapter(Options)
        self.people = people
        self.routes: dict[tuple[str, str], View] = {
            ("POST", "/_sim/accounts"): self._add_account,
            ("POST", "/_sim/consent"): self._set_consent,
            ("POST", "/_sim/tokens/expire"): self._expire,
            ("POST", "/_sim/media"): self._media,
            ("POST", "/_sim/webhooks/raw"): self._raw,
            ("POST", "/_sim/options"): self._set_options,
            ("POST", "/_sim/clock"): self._advance,
            ("POST", "/_sim/faults"): self._add_fault,
            ("DELETE", "/_sim/faults"): self._clear_faults,
            **{("GET", path): view for path, view in Views(platform).routes.items()},
            **{("POST", f"/_sim/people/{name}"): self._plays(name) for name in _DEEDS},
        }

    async def serve(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one control request."""
        if http.path == "/_sim/events":
            return await self._platform.feed.serve(http)
        handler = self.routes.get((http.method, http.path))
        if handler is None:
            return json_response({"error": "no such path", "paths": sorted({p for _, p in self.routes})}, 404)
        try:
            return json_response(await handler(http))
        except ValidationError as problem:
            return json_response({"error": problem.errors(include_url=False, include_input=False)}, 400)
        except (LookupError, ValueError, TypeError, Rejected) as problem:
            return json_response({"error": str(problem)}, 400)

    def _plays(self, name: str) -> View:
        """`POST /_sim/people/<deed>`: the JSON object's fields are the arguments of `People.<deed>`."""
        deed = validate_call(getattr(self.people, name))

        async def play(http: web.BaseRequest) -> Any:
            arguments = orjson.loads(await http.read())
            if not isinstance(arguments, dict):
                raise ValueError("a JSON object of arguments is required")
            return {"result": await deed(**arguments)}

        return play

    async def _add_account(self, http: web.BaseRequest) -> Any:
        wanted = NewAccount.model_validate_json(await http.read())
        traits = wanted.model_dump(exclude={"scope", "access_token", "refresh_token"})
        account = Account(**traits | {"display_name": wanted.display_name or wanted.username})
        self._platform.world.add_account(account)
        pair = self._platform.tokens.issue(
            account.business_id,
            tuple(wanted.scope),
            access_token=wanted.access_token,
            refresh_token=wanted.refresh_token,
        )
        return asdict(pair)

    async def _set_consent(self, http: web.BaseRequest) -> Any:
        choice = ConsentChoice.model_validate_json(await http.read())
        self._platform.world.account(choice.business_id)
        self._consent.business_id = choice.business_id
        self._consent.scope = None if choice.scope is None else tuple(choice.scope)
        return {}

    async def _expire(self, http: web.BaseRequest) -> Any:
        expiry = TokenExpiry.model_validate_json(await http.read())
        self._platform.tokens.expire(expiry.business_id, refresh=expiry.refresh)
        return {}

    async def _media(self, http: web.BaseRequest) -> Any:
        """A customer's file as the raw body, for `writes` with `content.media_id`."""
        blob = await self._platform.media.store(http.content.read, limit=MAX_CUSTOMER_BYTES, formats=FORMATS)
        return {"media_id": blob.media_id, "kind": blob.kind.lower(), "size": blob.size}

    async def _raw(self, http: web.BaseRequest) -> Any:
        raw = RawWebhook.model_validate_json(await http.read())
        webhooks = self._platform.webhooks
        delivery = webhooks.delivery(raw.event, raw.content, raw.business_id)
        if raw.body is not None:
            delivery.body = raw.body.encode()
        delivery.signature = raw.signature
        if raw.timestamp is not None:
            delivery.signature = sign(self._platform.options.app_secret, raw.timestamp, delivery.body)
        await webhooks.post(delivery)
        return {}

    async def _set_options(self, http: web.BaseRequest) -> Any:
        """Change any of `Options`; the whole set is checked before any of it takes effect."""
        options = self._platform.options
        changes = orjson.loads(await http.read())
        if unknown := set(changes) - set(asdict(options)):
            raise ValueError(f"{min(unknown)} is not an option")
        checked = self._options.validate_python({**asdict(options), **changes})
        for name in changes:
            setattr(options, name, getattr(checked, name))
        return asdict(options)

    async def _advance(self, http: web.BaseRequest) -> Any:
        self._platform.clock.advance(Advance.model_validate_json(await http.read()).seconds)
        return {"now_ms": self._platform.now_ms()}

    async def _add_fault(self, http: web.BaseRequest) -> Any:
        if len(self._platform.faults.active) >= MAX_FAULTS:
            raise ValueError("too many faults")
        fault = CallFault.model_validate_json(await http.read())
        self._platform.faults.active.append(fault)
        return fault.model_dump()

    async def _clear_faults(self, http: web.BaseRequest) -> Any:
        self._platform.faults.clear()
        return {}
