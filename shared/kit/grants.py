"""Access tokens that rotate: one refresh at a time for an account, whatever the number of callers and replicas.

A refresh token is good for one refresh. Two replicas that use it at once would lose the account, so the pair is kept
in a store they share, and is changed only by the one that holds the account's lease.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson

from shared.channel import Account, Failure, ProviderError, TokenStore
from shared.contract.errors import ErrorCode
from shared.contract.events import Health

_RETRY_EARLY_REFRESH = 30.0  # seconds until a refresh that could still wait is tried again
_LEASE_WAIT = 45.0  # seconds to wait for another replica's refresh: longer than one can take
_LEASE_POLL = 0.05
_SAVE_ATTEMPTS = 5


class ProcessTokens:
    """A store for one process: the command line, tests, a deployment of one replica."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._held: set[str] = set()

    async def get(self, account_id: str) -> str | None:
        return self._values.get(account_id)

    async def replace(self, account_id: str, expected: str | None, value: str) -> bool:
        if self._values.get(account_id) != expected:
            return False
        self._values[account_id] = value
        return True

    @asynccontextmanager
    async def exclusive(self, account_id: str) -> AsyncIterator[bool]:
        if account_id in self._held:
            yield False
            return
        self._held.add(account_id)
        try:
            yield True
        finally:
            self._held.discard(account_id)


@dataclass(frozen=True, slots=True)
class Grant:
    """A token pair. Times are Unix seconds; `seed` names the authorization the pair descends from."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: float | None = None
    refresh_expires_at: float | None = None
    scopes: tuple[str, ...] = ()
    seed: str = ""
    issued_at: float = 0.0

    @classmethod
    def of_answer(cls, data: Mapping[str, Any], now: float, old: Grant | None = None) -> Grant:
        """The pair in an answer of a token endpoint (RFC 6749 §5.1); lifetimes are seconds from `now`.

        Where the answer has no refresh token, the `old` one is still good.
        """
        lifetime, refresh_lifetime = data.get("expires_in"), data.get("refresh_token_expires_in")
        return cls(
            str(data.get("access_token") or ""),
            str(data.get("refresh_token") or (old.refresh_token if old else "")),
            now + float(lifetime) if isinstance(lifetime, int | float) else None,
            now + float(refresh_lifetime) if isinstance(refresh_lifetime, int | float) else None,
            tuple(name for name in str(data.get("scope") or "").replace(" ", ",").split(",") if name),
            old.seed if old else "",
            now,
        )

    @classmethod
    def of_credentials(cls, credentials: Mapping[str, str]) -> Grant:
        """The pair an account was connected with."""
        return cls(
            credentials.get("access_token", ""),
            credentials.get("refresh_token", ""),
            _unix(credentials.get("expires_at")),
            _unix(credentials.get("refresh_expires_at")),
            tuple(credentials.get("scope", "").split(",")) if credentials.get("scope") else (),
            seed_of(credentials),
        )

    @classmethod
    def of_stored(cls, value: str | None) -> Grant | None:
        """A stored pair, or None for what is not one."""
        try:
            stored = orjson.loads(value or "")
            return cls(**{**stored, "scopes": tuple(stored["scopes"])})
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return None

    def stored(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    def lasts_until(self, moment: float) -> bool:
        return bool(self.access_token) and (self.expires_at is None or self.expires_at > moment)


def seed_of(credentials: Mapping[str, str]) -> str:
    """Changes when the owner authorizes anew: then what is stored belongs to the past."""
    origin = credentials.get("refresh_token") or credentials.get("access_token", "")
    return hashlib.sha256(origin.encode()).hexdigest()[:16]


def _unix(value: str | None) -> float | None:
    """Unix seconds of a number or an RFC 3339 time."""
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None


class GrantKeeper:
    """Hands out access tokens. `refresh` spends a pair on the next one; `early` in seconds. `single_use`: a refresh
    token is worthless once it has been spent."""

    def __init__(
        self,
        store: TokenStore,
        refresh: Callable[[Account, Grant], Awaitable[Grant]],
        early: float,
        clock: Callable[[], float],
        *,
        single_use: bool = False,
    ) -> None:
        self.store = store
        self._single_use = single_use
        self._refresh = refresh
        self._early = early
        self._clock = clock
        self._known: dict[str, Grant] = {}  # one per account of this process
        self._renewals: dict[str, asyncio.Task[Grant]] = {}
        self._not_before: dict[str, float] = {}

    async def grant(self, account: Account, refused: str | None = None) -> Grant:
        """The account's pair, refreshed where it has to be. `refused` is an access token that is no longer taken.

        Raises ProviderError: `account_reauth_required` when only the owner can help.
        """
        if account.trial:
            return await self._tried(account, refused)
        account_id, seed = account.account_id, seed_of(account.credentials)
        grant = self._known.get(account_id)
        if grant is None or grant.seed != seed:
            grant, _ = await self._load(account)
        if grant.access_token == refused or not grant.lasts_until(self._clock() + self._early):
            grant = await self._renewed(account, grant, refused)
        self._known[account_id] = grant
        return grant

    async def _tried(self, account: Account, refused: str | None) -> Grant:
        """The pair as it was given. Spent on another one, which nobody keeps, it would be lost."""
        grant = Grant.of_credentials(account.credentials)
        if not grant.access_token and not self._single_use:
            return await self._refresh(account, grant)
        if grant.access_token == refused or not grant.lasts_until(self._clock()):
            detail = "The access token has ended, or there is none."
            raise ProviderError(
                Failure(
                    ErrorCode.ACCOUNT_REAUTH_REQUIRED, detail=detail, scope="account", health=Health.REAUTH_REQUIRED
                )
            )
        return grant

    async def close(self) -> None:
        """Wait for refreshes under way: a pair that is not stored is lost."""
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    async def _load(self, account: Account) -> tuple[Grant, str | None]:
        """The newest pair of this authorization, and what the store has."""
        value = await self.store.get(account.account_id)
        candidates = (Grant.of_stored(value), self._known.get(account.account_id))
        seed = seed_of(account.credentials)
        grants = [grant for grant in candidates if grant is not None and grant.seed == seed]
        return max(grants, key=lambda g: g.issued_at, default=Grant.of_credentials(account.credentials)), value

    async def _renewed(self, account: Account, grant: Grant, refused: str | None) -> Grant:
        still_good = grant.access_token != refused and grant.lasts_until(self._clock())
        if still_good and self._clock() < self._not_before.get(account.account_id, 0.0):
            return grant
        try:
            return await self._renew_once(account, refused)
        except ProviderError as failed:
            if not still_good or failed.failure.code is ErrorCode.ACCOUNT_REAUTH_REQUIRED:
                raise
            self._not_before[account.account_id] = self._clock() + _RETRY_EARLY_REFRESH
            return grant

    async def _renew_once(self, account: Account, refused: str | None) -> Grant:
        """All callers of this process wait for one renewal, which a caller that gives up does not stop."""
        while True:
            task = self._renewals.get(account.account_id)
            joined = task is not None and not task.done()
            if task is None or not joined:
                task = asyncio.create_task(self._renew(account, refused), name="token-refresh")
                self._renewals[account.account_id] = task
            grant = await asyncio.shield(task)
            if not joined or grant.access_token != refused:
                return grant

    async def _renew(self, account: Account, refused: str | None) -> Grant:
        deadline = self._clock() + _LEASE_WAIT
        while True:
            async with self.store.exclusive(account.account_id) as held:
                grant, value = await self._load(account)
                if grant.access_token != refused and grant.lasts_until(self._clock() + self._early):
                    return grant  # another replica was here before
                if held:
                    return await self._spend(account, grant, value)
            if self._clock() > deadline:
                raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code="refresh", scope="account"))
            await asyncio.sleep(_LEASE_POLL)

    async def _spend(self, account: Account, grant: Grant, value: str | None) -> Grant:
        fresh = await self._refresh(account, grant)
        # From here on the old pair is worthless: whatever happens to the store, this process goes on with the new.
        self._known[account.account_id] = fresh
        for attempt in range(_SAVE_ATTEMPTS):
            try:
                if not await self.store.replace(account.account_id, value, fresh.stored()):
                    return (await self._load(account))[0]
                break
            except Exception:
                if attempt == _SAVE_ATTEMPTS - 1:
                    break
                await asyncio.sleep(_LEASE_POLL * 2**attempt)
        return fresh
