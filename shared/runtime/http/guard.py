"""Who may ask `/v1/…`: whoever brings one of the tokens, and each of them only so often."""

from __future__ import annotations

import asyncio
import hashlib
import math

from aiohttp import web
from aiohttp.typedefs import Handler

from shared.runtime.http.listener import Connection
from shared.runtime.settings import ApiSettings, is_loopback

_GUARDED = "/v1/"


class ApiGuard:
    """Without tokens: open to this machine, where we listen for it alone; closed to everybody otherwise."""

    def __init__(self, settings: ApiSettings, host: str) -> None:
        self._settings = settings
        # By their digests: how long a look-up takes says nothing of a token.
        self._buckets = {_digest(token): _Bucket(settings) for token in settings.allowed}
        self.open = not self._buckets and (settings.open or is_loopback(host))

    @property
    def closed(self) -> bool:
        """Nobody can ask."""
        return not self._buckets and not self.open

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """401 without a token that is known, 429 with `Retry-After` when it has asked too often."""
        resource = request.match_info.route.resource
        if self.open or resource is None or not resource.canonical.startswith(_GUARDED):
            return await handler(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        bucket = self._buckets.get(_digest(token.strip())) if scheme.lower() == "bearer" else None
        if bucket is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        if isinstance(request.protocol, Connection):
            request.protocol.proven = True
        if (wait := bucket.draw(asyncio.get_running_loop().time())) > 0:
            return web.Response(status=429, headers={"Retry-After": str(math.ceil(wait))})
        return await handler(request)


class _Bucket:
    """The calls that one token has left."""

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
