"""Access tokens for IMAP and SMTP (RFC 6749), as Google and Microsoft want them in the place of passwords.

Microsoft gives a new refresh token with every answer and forgets the old one after 90 days: each is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import orjson
from yarl import URL

from services.email.api import errors
from services.email.settings import Settings
from shared.channel import Account, Failure, ProviderError, TokenStore
from shared.contract.errors import ErrorCode
from shared.kit.grants import Grant, GrantKeeper, ProcessTokens
from shared.kit.http import BROKEN, open_session

_CONNECTIONS = 20  # a token lasts an hour
_MAX_ANSWER = 64 * 1024
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
# RFC 6749 §5.2: what only the owner, or who has set the application up, can put right.
_FINAL = frozenset(
    {
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
    }
)


class AccessTokens:
    """The access tokens of all accounts. `start` before the first is asked for."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=settings.connect_timeout)
        self._http: aiohttp.ClientSession | None = None
        self._keeper = GrantKeeper(ProcessTokens(), self._refresh, settings.refresh_before, clock)

    def use(self, store: TokenStore) -> None:
        """Keep rotating tokens there instead of in this process."""
        self._keeper.store = store

    async def start(self) -> None:
        self._http = open_session(connections=_CONNECTIONS)

    async def stop(self) -> None:
        await self._keeper.close()
        if self._http is not None:
            await self._http.close()

    def has(self, account: Account) -> bool:
        """Whether the account logs in by token."""
        return bool(account.credentials.get("token_url"))

    async def access(self, account: Account, refused: str | None = None) -> str:
        """The account's access token, refreshed where it has to be; `refused` is one that is no longer taken.

        Raises ProviderError: `account_reauth_required` when only the owner can help.
        """
        return (await self._keeper.grant(account, refused)).access_token

    async def _refresh(self, account: Account, grant: Grant) -> Grant:
        given = account.credentials
        form = {"client_id": given.get("client_id", "")}
        if secret := given.get("client_secret"):
            form["client_secret"] = secret
        if scopes := given.get("scopes"):
            form["scope"] = scopes
        if grant.refresh_token:
            form |= {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
        elif secret:  # an application that acts for itself (Microsoft: IMAP.AccessAsApp, SMTP.SendAsApp)
            form["grant_type"] = "client_credentials"
        else:
            raise ProviderError(errors.reauthorise("The access token has expired and there is no refresh token."))
        answer = await self._ask(given.get("token_url", ""), form)
        fresh = Grant.of_answer(answer, self._clock(), grant)
        if not fresh.access_token:
            raise ProviderError(_unavailable("token"))
        return fresh

    async def _ask(self, address: str, form: dict[str, str]) -> dict[str, object]:
        url = _token_url(address)
        assert self._http is not None
        try:
            async with self._http.post(url, data=form, allow_redirects=False, timeout=self._timeout) as response:
                body, status = await response.content.read(_MAX_ANSWER), response.status
        except BROKEN:
            raise ProviderError(_unavailable("token")) from None
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = {}
        if status == 200 and isinstance(answer, dict):
            return answer
        why = answer.get("error") if isinstance(answer, dict) else None
        if why in _FINAL:
            raise ProviderError(errors.reauthorise(f"The token server refuses the account: {why}."))
        if status == 429:
            raise ProviderError(Failure(ErrorCode.RATE_LIMITED, provider_code="token", scope="account"))
        raise ProviderError(_unavailable("token"))


def _token_url(address: str) -> URL:
    try:
        url = URL(address)
    except ValueError:
        url = URL()
    if url.scheme == "https" or (url.scheme == "http" and url.host in _LOCAL):
        return url
    raise ProviderError(errors.misconfigured("The token server's address (token_url) must begin with https://."))


def _unavailable(code: str) -> Failure:
    return Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code=code, scope="account")
