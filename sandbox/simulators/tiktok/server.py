"""The simulator's HTTP surface: TikTok's API, its consent page and files, and the control interface, on one port."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from sandbox.simulators.common import Clock, Fault, leave_unread, trickle
from sandbox.simulators.feed import Feed
from sandbox.simulators.process import listen

from . import control, oauth, reading, sending
from .api import ApiCall, Handler
from .checks import RequestCheck
from .errors import Code, Malformed, Rejected
from .faults import ON_CALLS, strike
from .ledger import Sent, Violation
from .media import PIXEL, Blob
from .oauth import AUTHORIZE_PATH, Consent
from .options import Options
from .people import People
from .platform import KEPT_CHANGES, Platform
from .tables import ENDPOINTS, Credentials, Endpoint
from .tokens import DEFAULT_SCOPE, TokenPair
from .world import Account

HANDLERS: dict[str, Handler] = {**oauth.HANDLERS, **sending.HANDLERS, **reading.HANDLERS}


class TikTokSimulator:
    """TikTok Business Messaging on localhost.

    `platform` is its state, `people` plays customers and owners, `options` and `platform.faults` change its
    behaviour while it runs. The same over HTTP is under `/_sim/`. Stopping keeps everything but files and webhooks
    under way, so that a second `start` on the same port is an outage that ended.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        clock: Clock | None = None,
        media_directory: Path | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.options = options or Options()
        self.clock = clock or Clock()
        self.platform = Platform(self.options, self.clock, media_directory=media_directory, wall=wall)
        self.people = People(self.platform)
        self.consent = Consent(self.platform)
        self._control = control.build(self.platform, self.people, self.consent)
        self._routes = {(e.method, e.url): (e, RequestCheck(e), HANDLERS[e.name]) for e in ENDPOINTS}
        self._recent: deque[float] = deque()
        self._request_ids = 0
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; with port 0 on a free one."""
        self._closing.clear()
        self.platform.media.start()
        await self.platform.webhooks.start()
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        self.platform.base_url = await listen(self._runner, port, host)

    async def stop(self) -> None:
        """Stop listening, let hung calls go, drop the webhooks under way and delete the files."""
        self._closing.set()
        self.platform.feed.close()
        self.platform.feed = Feed(self.platform.clock, KEPT_CHANGES)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self.platform.webhooks.stop()
        self.platform.media.stop()

    @property
    def url(self) -> str:
        """Scheme, host and port; the API is under `/open_api/v1.3`."""
        return self.platform.base_url

    @property
    def violations(self) -> list[Violation]:
        """Requests that broke the contract; a correct client leaves this empty."""
        return list(self.platform.ledger.violations)

    def sent(self, conversation_id: str) -> list[Sent]:
        """Messages the API accepted for a conversation, oldest first."""
        return self.platform.ledger.sent(conversation_id)

    def add_account(
        self, business_id: str, username: str, *, scope: tuple[str, ...] = DEFAULT_SCOPE, **traits: Any
    ) -> TokenPair:
        """Add a business account and grant the app access to it; `traits` are fields of `Account`."""
        traits.setdefault("display_name", username)
        self.platform.world.add_account(Account(business_id, username, **traits))
        return self.platform.tokens.issue(business_id, scope)

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        path, mark, _ = http.raw_path.partition("?")
        route = self._routes.get((http.method, path))
        if route is not None:
            return await self._answer(*route, http, has_query=bool(mark))
        if path.startswith("/_sim/"):
            return await self._control.handle(http)
        if path.startswith("/media/v1/"):
            return await self._file(http)
        if path.startswith("/static/"):
            return self._static(http)
        if path == AUTHORIZE_PATH:
            return await self.consent.page(http)
        return self._unknown(http.method, path)

    def _unknown(self, method: str, path: str) -> web.Response:
        """A wrong method, a forgotten trailing slash, or a path nobody serves."""
        urls = {url for _, url in self._routes}
        problem = "no such path"
        if path in urls:
            problem = "wrong method"
        elif path + "/" in urls:
            problem = "the path lacks its trailing slash"
        self.platform.ledger.record_violation(self.platform.now_ms(), f"{method} {path[:200]}", problem)
        return web.Response(status=405 if problem == "wrong method" else 404, text="404 page not found")

    async def _answer(
        self, endpoint: Endpoint, check: RequestCheck, handler: Handler, http: web.BaseRequest, *, has_query: bool
    ) -> web.StreamResponse:
        platform = self.platform
        self._request_ids += 1
        request_id = f"{self._request_ids:032x}"
        code, message, status = int(Code.OK), "OK", 200
        data: dict[str, Any] = {}
        params: dict[str, Any] = {}
        upload: Blob | None = None
        try:
            token = check.headers(http.headers, has_query=has_query)
            if endpoint.multipart and (unread := self._unread(endpoint, token)) is not None:
                return await leave_unread(http, platform.faults, unread)
            if endpoint.method == "GET":
                params = check.query(http.query.items())
            elif endpoint.multipart:
                params, upload = await reading.read_form(http, check, platform.media)
            else:
                params = check.body(await http.read())
            call = ApiCall(platform, params, self._authorised(endpoint, token, params), upload)
            fault = self._fault(endpoint, params)
            if fault is not None and (page := await strike(fault, platform.clock, self._closing)) is not None:
                platform.ledger.record_call(platform.now_ms(), endpoint, params, page.status, None, request_id)
                return page
            self._take_turn(endpoint)
            data = await handler(call)
            if fault is not None and fault.kind == "drop_answer":
                raise ConnectionAbortedError
        except Rejected as refusal:
            code, message, status = refusal.code, refusal.message, refusal.status
            if upload is not None:
                platform.media.discard(upload)
            if isinstance(refusal, Malformed):
                platform.ledger.record_violation(platform.now_ms(), endpoint.name, message)
        except ConnectionAbortedError:
            platform.ledger.record_call(platform.now_ms(), endpoint, params, 0, None, request_id)
            if http.transport is not None:
                http.transport.abort()
            return web.Response()
        platform.ledger.record_call(platform.now_ms(), endpoint, params, status, code, request_id)
        body = {"code": code, "message": message, "request_id": request_id, "data": data}
        return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")

    def _authorised(self, endpoint: Endpoint, token: str | None, params: dict[str, Any]) -> Account | None:
        if token is None:
            return None
        grant = self.platform.tokens.check(token)
        if params["business_id"] != grant.business_id or endpoint.scope not in grant.scope:
            raise Rejected(Code.NO_PERMISSION, "No permission to operate this account or endpoint.")
        return self.platform.world.account(grant.business_id)

    def _fault(self, endpoint: Endpoint, params: dict[str, Any]) -> Fault | None:
        if not self.platform.faults.active:
            return None
        facts = _facts(
            endpoint.name, params.get("business_id"), params.get("recipient") or params.get("conversation_id")
        )
        return self.platform.faults.take(ON_CALLS, facts)

    def _unread(self, endpoint: Endpoint, token: str | None) -> Fault | None:
        if not self.platform.faults.active or token is None:
            return None
        facts = _facts(endpoint.name, self.platform.tokens.check(token).business_id)
        return self.platform.faults.take(frozenset({"unread"}), facts)

    def _take_turn(self, endpoint: Endpoint) -> None:
        """The app's rate, all accounts and endpoints together, over the last real second."""
        limit = self.options.queries_per_second
        if not limit or endpoint.credentials is not Credentials.ACCESS_TOKEN:
            return
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        if len(self._recent) >= limit:
            raise Rejected(Code.TOO_FREQUENT, "Too many requests, please try again later.")
        self._recent.append(now)

    async def _file(self, http: web.BaseRequest) -> web.StreamResponse:
        """A download link: the token travels in `x-user`, and nowhere else."""
        token = http.headers.get("x-user")
        try:
            if token is None or "Access-Token" in http.headers or "Authorization" in http.headers:
                raise Malformed("a download takes its token in x-user alone", status=403)
            business_id = self.platform.tokens.check(token).business_id
            query = http.query
            blob = self.platform.media.open_link(
                http.path.rpartition("/")[2],
                query.get("x-expires", ""),
                query.get("x-signature", ""),
                business_id,
            )
        except Rejected as refusal:
            if isinstance(refusal, Malformed):
                self.platform.ledger.record_violation(self.platform.now_ms(), "GET download_url", refusal.message)
            return web.Response(status=403, text=refusal.message)
        slow = self.platform.faults.take(frozenset({"trickle"}), _facts("file", business_id))
        if slow is not None:
            content, faults = blob.path.read_bytes(), self.platform.faults
            return await trickle(http, content, blob.content_type, self.platform.clock, faults, slow)
        return web.FileResponse(blob.path, headers={"Content-Type": blob.content_type})

    def _static(self, http: web.BaseRequest) -> web.Response:
        """Avatars, stickers and emojis: one pixel, no token, gone once `x-expires` has passed."""
        expires = http.query.get("x-expires", "")
        if expires and (not expires.isdecimal() or int(expires) <= self.platform.clock.now()):
            return web.Response(status=403)
        return web.Response(body=PIXEL, content_type="image/png")


def _facts(call: str, account: object, to: object = None) -> dict[str, object]:
    """What faults match against, under the names all simulators have and under this platform's."""
    own = {"endpoint": call, "business_id": account, "conversation_id": to}
    return {"call": call, "account": account, "to": to, **own}
