"""Keeps the console to the person at this machine: loopback names only, no other site's requests, a strict page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """403 for a Host that is not loopback (a rebound DNS name) and for a request that another site makes."""
    host = request.headers.get("Host", "")
    if _hostname(f"//{host}") not in _LOOPBACK:
        raise web.HTTPForbidden(text="The console answers on loopback only.")
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin != f"http://{host}"
    if foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise web.HTTPForbidden(text="Another site may not use the console.")
    return await handler(request)


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: the page runs its own scripts and nothing else."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
