"""Whose a token of Kubernetes is, by its TokenReview API (`authentication.k8s.io/v1`).

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import aiohttp
import structlog
from cachetools import TLRUCache

from shared.runtime.settings import ApiSettings

log = structlog.get_logger()

KNOWN_SECONDS = 60.0
"""How long an answer is good for: a token that was taken back is refused after that at the latest."""
_REFUSED_SECONDS = 10.0
_MOST = 1000  # answers that are kept
_AT_ONCE = 8  # questions under way; strangers with ever new tokens get no more of the Kubernetes API
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_LONGEST = 8192  # characters of a token
_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


class ReviewUnavailable(Exception):
    """Kubernetes has not said whose the token is: nobody is let in on it."""


class TokenReviews:
    """Asks Kubernetes about tokens that look like its own. `clock` is monotonic, in seconds."""

    def __init__(self, settings: ApiSettings, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        # By a token's digest: whose it is, None for one that is refused.
        self._known: TLRUCache[bytes, str | None] = TLRUCache(
            _MOST, lambda _, user, now: now + (KNOWN_SECONDS if user else _REFUSED_SECONDS), timer=clock
        )
        self._asking = 0
        self._session: aiohttp.ClientSession | None = None
        self._away = False

    async def user(self, token: str) -> str | None:
        """The service account, `system:serviceaccount:<namespace>:<name>`; None for a token that opens nothing here.

        Raises ReviewUnavailable.
        """
        if token.count(".") != 2 or len(token) > _LONGEST or not token.isascii():  # a JWT has three parts
            return None
        digest = hashlib.sha256(token.encode()).digest()
        with suppress(KeyError):
            return self._known[digest]
        user = self._known[digest] = await self._ask(token)
        return user

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(self, token: str) -> str | None:
        if self._asking >= _AT_ONCE:
            raise ReviewUnavailable
        self._asking += 1
        try:
            answer = await self._review(token)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if not self._away:
                log.warning("token_review_unavailable", reason=type(error).__name__)
            self._away = True
            raise ReviewUnavailable from error
        finally:
            self._asking -= 1
        if self._away:
            log.info("token_review_back")
        self._away = False
        return self._of(answer)

    async def _review(self, token: str) -> Any:
        if self._session is None:
            tls = None
            if self._settings.review_url.startswith("https:"):
                tls = ssl.create_default_context(cafile=self._settings.review_directory / "ca.crt")
            connector = aiohttp.TCPConnector(ssl=tls if tls is not None else True, limit=_AT_ONCE)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        # Read anew: Kubernetes replaces it before it ends.
        own = await asyncio.to_thread((self._settings.review_directory / "token").read_text)
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._settings.review_audience]},
        }
        async with self._session.post(
            self._settings.review_url.rstrip("/") + _PATH,
            json=review,
            headers={"Authorization": f"Bearer {own.strip()}"},
            allow_redirects=False,
        ) as answer:
            answer.raise_for_status()
            return await answer.json()

    def _of(self, answer: Any) -> str | None:
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict) or status.get("authenticated") is not True:
            return None
        # A server that does not know audiences names none: its word is not about us.
        if self._settings.review_audience not in (status.get("audiences") or ()):
            return None
        user = (status.get("user") or {}).get("username")
        return user if user in self._settings.reviewed else None
