"""Ingress: a webhook is authentic, split, and on the raw topic before it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import structlog
from aiohttp import web

from shared.channel import (
    AnswersWebhook,
    AuthenticatesByHead,
    Channel,
    Forbidden,
    HasApps,
    NotTaken,
    RawItem,
    RawStore,
    UnknownRoute,
    WebhookRequest,
)
from shared.contract.base import is_text
from shared.runtime import metrics, tracing
from shared.runtime.accounts.apps import may_all_be_told
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.http.bodies import Bodies, BodyRefused
from shared.runtime.http.listener import Connection
from shared.runtime.http.server import RETRY_AFTER_SECONDS
from shared.runtime.inbound.raw import RawWriter, reason_of
from shared.stream.errors import LogUnavailable

log = structlog.get_logger()


# Bodies from this size are proven and split beside the event loop, one after the other.
LARGE = 128 * 1024
# Commas and brackets of the largest body that is split: one of 4 MiB in which every member has 10 bytes.
MOST_MEMBERS = 400_000
# Items that are put on the topic in one go.
SLICE = 500

T = TypeVar("T")


class Ingress:
    """The webhook endpoint of one channel: `/webhooks/<channel>[/<route>]`."""

    def __init__(
        self, channel: Channel, accounts: AccountRegistry, writer: RawWriter, bodies: Bodies, raw: RawStore
    ) -> None:
        self._channel = channel
        self._accounts = accounts
        self._writer = writer
        self._bodies = bodies
        self._raw = raw
        self._apps = channel if isinstance(channel, HasApps) else None
        self._by_head = channel if isinstance(channel, AuthenticatesByHead) else None
        self._beside = ThreadPoolExecutor(1, "large-bodies")
        self._name = name = channel.capabilities.channel
        self._answers = {
            status: metrics.WEBHOOKS.labels(name, str(status)) for status in (200, 400, 401, 404, 408, 413, 415, 503)
        }
        self._seconds = metrics.WEBHOOK_SECONDS.labels(name)
        self._unreadable = metrics.UNREADABLE.labels(name)
        self.path = f"/webhooks/{name}"

    def routes(self) -> list[web.RouteDef]:
        routes = []
        for path in (self.path, self.path + "/{route:.*}"):
            routes.append(web.post(path, self._post))
            if isinstance(self._channel, AnswersWebhook):
                routes.append(web.get(path, self._get, allow_head=False))
        return routes

    async def _post(self, request: web.Request) -> web.Response:
        with tracing.span("webhook", "server", request.headers.get("traceparent")):
            return await self._answered(request)

    async def _answered(self, request: web.Request) -> web.Response:
        try:
            status = await (self._take(request) if self._by_head is None else self._stream(request, self._by_head))
            if isinstance(request.protocol, Connection):
                request.protocol.proven = True
        except BodyRefused as refused:
            return self._answer(refused.status)
        except Forbidden:
            return self._answer(401)
        except UnknownRoute:
            return self._answer(404)
        except AccountSealed:  # the secret is in a record that we cannot open: others can, or we later
            return self._answer(503)
        return self._answer(status)

    async def _take(self, request: web.Request) -> int:
        """The status to answer. Raises BodyRefused, Forbidden, UnknownRoute, AccountSealed."""
        async with self._bodies.of(request) as body:
            started = time.perf_counter()
            status = await self._taken(_webhook(request, body))
            self._seconds.observe(time.perf_counter() - started)
        return status

    async def _stream(self, request: web.Request, channel: AuthenticatesByHead) -> int:
        """As `_take`; the body goes to the raw store while it comes, when its head has been found authentic."""
        head = _webhook(request, b"")
        most = channel.admit(head, self._accounts)
        beginning = bytearray()
        try:
            blob = await self._raw.store(self._bodies.pieces(request, most, beginning))
            items = channel.received(replace(head, body=bytes(beginning)), blob)
            await self._writer.write(items, head.headers.get("traceparent"))
        except (NotTaken, LogUnavailable):
            return 503
        except ValueError:
            return 400
        return 200

    async def _taken(self, webhook: WebhookRequest) -> int:
        """The status to answer. Raises Forbidden, UnknownRoute."""
        await self._run(webhook, lambda: self._channel.authenticate(webhook, self._accounts))
        trace = webhook.headers.get("traceparent")
        try:
            try:
                items = await self._run(webhook, lambda: self._items(webhook))
            except Exception as unreadable:  # a bug of ours, too, must not make the provider hold back what follows
                if not isinstance(unreadable, ValueError):
                    log.error("unbatch_failed", channel=self._name, exc_info=unreadable)
                self._unreadable.inc()
                await self._writer.write_unreadable(webhook.route, webhook.body, reason_of(unreadable))
                return 200
            if not may_all_be_told(self._apps, items, self._accounts):
                return 401
            for first in range(0, len(items), SLICE):
                await self._writer.write(items[first : first + SLICE], trace)
                await asyncio.sleep(0)  # the others' turn
        except LogUnavailable:
            return 503
        return 200

    def _items(self, webhook: WebhookRequest) -> Sequence[RawItem]:
        """The items of a body. Raises ValueError for one that cannot be split, or not without harm to the others."""
        body = webhook.body
        if len(body) >= LARGE and body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_MEMBERS:
            raise ValueError(f"more than {MOST_MEMBERS} members")
        return self._channel.unbatch(webhook)

    async def _run(self, webhook: WebhookRequest, work: Callable[[], T]) -> T:
        """The outcome of something pure about a body, which does not hold the event loop when the body is large."""
        if len(webhook.body) < LARGE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._beside, work)

    def _answer(self, status: int) -> web.Response:
        self._answers[status].inc()
        # No body: a provider might take one for an answer to carry out, and strangers learn nothing.
        if status == 503:
            return web.Response(status=503, headers={"Retry-After": RETRY_AFTER_SECONDS})
        return web.Response(status=status)

    async def _get(self, request: web.Request) -> web.Response:
        assert isinstance(self._channel, AnswersWebhook)
        try:
            return web.Response(text=self._channel.challenge(_webhook(request, b""), self._accounts))
        except Forbidden:
            return self._answer(401)
        except UnknownRoute:
            return self._answer(404)


def _webhook(request: web.Request, body: bytes) -> WebhookRequest:
    """The request as channels read it.

    Raises Forbidden or UnknownRoute for bytes that are no UTF-8, of which aiohttp makes lone surrogates.
    """
    route = request.match_info.get("route", "")
    if not is_text(route):
        raise UnknownRoute
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = request.query
    if not all(is_text(name) and is_text(value) for told in (headers, query) for name, value in told.items()):
        raise Forbidden
    return WebhookRequest(method=request.method, route=route, query=query, headers=headers, body=body)
