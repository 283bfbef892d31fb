"""Ingress: a webhook is authentic, split, and on the raw topic before it is answered."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiohttp import web

from shared.channel import AnswersWebhook, Channel, Forbidden, UnknownRoute, WebhookRequest
from shared.runtime import metrics
from shared.runtime.accounts import AccountRegistry
from shared.runtime.raw import RawWriter, reason_of
from shared.runtime.server import RETRY_AFTER_SECONDS
from shared.runtime.settings import HttpSettings
from shared.stream.errors import LogUnavailable

log = structlog.get_logger()


class Ingress:
    """The webhook endpoint of one channel: `/webhooks/<channel>[/<route>]`."""

    def __init__(self, channel: Channel, accounts: AccountRegistry, writer: RawWriter, http: HttpSettings) -> None:
        self._channel = channel
        self._accounts = accounts
        self._writer = writer
        self._body_timeout = http.body_timeout
        self._max_body = http.max_body
        self._name = name = channel.capabilities.channel
        self._answers = {
            status: metrics.WEBHOOKS.labels(name, str(status)) for status in (200, 401, 404, 408, 413, 503)
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
        body = await self._body(request)
        if isinstance(body, int):
            return self._answer(body)
        started = time.perf_counter()
        webhook = _webhook(request, body)
        try:
            self._channel.authenticate(webhook, self._accounts)
        except Forbidden:
            return self._answer(401)
        except UnknownRoute:
            return self._answer(404)
        status = await self._keep(webhook)
        self._seconds.observe(time.perf_counter() - started)
        return self._answer(status)

    async def _keep(self, webhook: WebhookRequest) -> int:
        trace = webhook.headers.get("traceparent")
        try:
            try:
                items = self._channel.unbatch(webhook)
            except Exception as unreadable:  # a bug of ours, too, must not make the provider hold back what follows
                if not isinstance(unreadable, ValueError):
                    log.error("unbatch_failed", channel=self._name, exc_info=unreadable)
                self._unreadable.inc()
                await self._writer.write_unreadable(webhook.route, webhook.body, reason_of(unreadable))
                return 200
            await self._writer.write(items, trace)
        except LogUnavailable:
            return 503
        return 200

    async def _body(self, request: web.Request) -> bytes | int:
        """The body, or the status to answer instead."""
        length = request.content_length
        if length is not None and length > self._max_body:
            return 413
        try:
            if request.content.is_eof():  # it came with the head, as most do: nothing to wait for
                return await request.read()
            async with asyncio.timeout(self._body_timeout):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            return 413
        except TimeoutError:
            return 408

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
    return WebhookRequest(
        method=request.method,
        route=request.match_info.get("route", ""),
        query=request.query,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
    )
