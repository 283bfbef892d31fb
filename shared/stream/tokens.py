"""Tokens that prove this service to Kafka (SASL OAUTHBEARER), each kept until shortly before it ends."""

from __future__ import annotations

import asyncio
import importlib
from abc import abstractmethod
from collections.abc import Callable
from time import monotonic, time

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

FETCH_SECONDS = 5.0
# A token is not used in the last fifth of its life, and of a long one not in the last minute.
_KEPT = 0.8
_LAST_SECONDS = 60.0
_LIFE_SECONDS = 300.0  # of a token whose issuer does not say (RFC 6749, 5.1: it should)


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """One token for all connections of the process. A broker that closes a connection when its token ends
    (`connections.max.reauth.ms`) gets the next one with the new connection.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._token = ""
        self._fresh_until = 0.0
        self._ends = 0.0
        self._fetching = asyncio.Lock()

    async def token(self) -> str:
        """Raises KafkaConnectionError when there is none to be had; one that has not ended yet is good meanwhile."""
        async with self._fetching:
            if self._clock() >= self._fresh_until:
                try:
                    async with asyncio.timeout(FETCH_SECONDS):
                        token, life = await self._fetch()
                except Exception as failure:  # whatever it was: without a token the broker is away
                    if self._clock() < self._ends:
                        return self._token
                    raise KafkaConnectionError(f"no token: {_said(failure)}") from None
                now = self._clock()
                self._token, self._ends = token, now + life
                self._fresh_until = now + max(life * _KEPT, life - _LAST_SECONDS)
            return self._token

    @abstractmethod
    async def _fetch(self) -> tuple[str, float]:
        """A token and the seconds it lives."""


def _said(failure: BaseException) -> str:
    """What is known of it without a word of the issuer, who may repeat what it was sent."""
    return str(failure.args[0]) if isinstance(failure, KafkaConnectionError) else type(failure).__name__


class ClientCredentials(Tokens):
    """Tokens of an OAuth 2 issuer for this client itself (RFC 6749, 4.4)."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(clock)
        self._url = url
        self._headers = {"Authorization": aiohttp.encode_basic_auth(client_id, client_secret)}
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})

    async def _fetch(self) -> tuple[str, float]:
        # Seldom enough for a session of its own, which leaves nothing to close.
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.post(self._url, data=self._form, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise KafkaConnectionError(f"the issuer answers {answer.status}")
            body = await answer.json(content_type=None)
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            raise KafkaConnectionError("the issuer's answer has no access_token")
        life = body.get("expires_in")
        return token, float(life) if isinstance(life, int | float) and life > 0 else _LIFE_SECONDS


class MskTokens(Tokens):
    """Tokens that Amazon MSK takes for an IAM identity: signed here, by the credentials that AWS's SDK finds."""

    def __init__(self, region: str, clock: Callable[[], float] = monotonic, now: Callable[[], float] = time) -> None:
        """`now` is the time of day. Raises ImportError where the extra `msk` is not installed."""
        super().__init__(clock)
        self._now = now
        self._region = region
        self._signer = importlib.import_module("aws_msk_iam_sasl_signer.MSKAuthTokenProvider")

    async def _fetch(self) -> tuple[str, float]:
        token, ends_ms = await asyncio.to_thread(self._signer.generate_auth_token, self._region)
        return token, ends_ms / 1000 - self._now()
