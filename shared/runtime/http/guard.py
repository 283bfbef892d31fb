"""Who may ask `/v1/…`: whoever brings one of the tokens, or one of Kubernetes, and each of them only so often."""

from __future__ import annotations

import asyncio
import hashlib
import math
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from shared.runtime.http.listener import Connection
from shared.runtime.http.reviews import ReviewUnavailable, TokenReviews
from shared.runtime.settings import ApiSettings, is_loopback

_GUARDED = "/v1/"
_RETRY_AFTER_SECONDS = "2"
CALLBACK = "/oauth/callback"  # whoever comes back from a provider brings a state of ours instead of a token


class ApiGuard:
    """Without tokens: open to this machine, where we listen for it alone; closed to everybody otherwise.

    A browser on this machine is led by the pages of others: what it asks for them is refused (403).
    """

    def __init__(self, settings: ApiSettings, host: str) -> None:
        self._settings = settings
        # By their digests: how long a look-up takes says nothing of a token.
        self._buckets = {_digest(token): _Bucket(settings) for token in settings.allowed}
        self._reviews = TokenReviews(settings) if settings.review_audience else None
        self._users = {user: _Bucket(settings) for user in settings.reviewed}
        keys = self._buckets or self._users
        self.open = not keys and (settings.open or is_loopback(host))
        self.closed = not keys and not self.open
        """Nobody can ask."""
        self._here = self.open and not settings.open

    async def close(self) -> None:
        if self._reviews is not None:
            await self._reviews.close()

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """401 without a token that is known, 429 with `Retry-After` when it has asked too often, 503 while Kubernetes
        does not say whose a token is."""
        resource = request.match_info.route.resource
        path = "" if resource is None else resource.canonical.rstrip("/")
        if not path.startswith(_GUARDED) or path.endswith(CALLBACK):
            return await handler(request)
        if self._here and _is_led(request):
            return web.Response(status=403, text="Another site may not ask.")
        if self.open:
            return await handler(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            bucket = await self._bucket(token.strip()) if scheme.lower() == "bearer" else None
        except ReviewUnavailable:
            return web.Response(status=503, headers={"Retry-After": _RETRY_AFTER_SECONDS})
        if bucket is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        if isinstance(request.protocol, Connection):
            request.protocol.proven = True
        if (wait := bucket.draw(asyncio.get_running_loop().time())) > 0:
            return web.Response(status=429, headers={"Retry-After": str(math.ceil(wait))})
        return await handler(request)

    async def _bucket(self, token: str) -> _Bucket | None:
        """Whose calls those with this token are; None for nobody's. Raises ReviewUnavailable."""
        bucket = self._buckets.get(_digest(token))
        if bucket is not None or self._reviews is None:
            return bucket
        return self._users.get(await self._reviews.user(token) or "")


def _is_led(request: web.Request) -> bool:
    """Whether a page of another site asks, or one that has had its name lead to this machine."""
    headers = request.headers
    asked, origin = _host_of(f"//{headers.get('Host', '')}"), headers.get("Origin")
    elsewhere = origin is not None and not is_loopback(_host_of(origin))
    return not is_loopback(asked) or elsewhere or headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Bucket:
    """The calls that one token, or one service account, has left."""

    def __init__(self, settings: ApiSettings) -> None:
        self._rate = settings.rate
        self._burst = settings.burst
        self._left = float(settings.burst)
        self._at = -math.inf

    def draw(self, now: float) -> float:
        """Take one call; 0, or the seconds until there is one again."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
