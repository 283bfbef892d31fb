"""Access and refresh tokens: exchange, single-use rotation within a fixed year, expiry and revocation."""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from sandbox.simulators.common import Clock

from .errors import Code, Rejected
from .options import Options

AUTH_CODE_LIFETIME_S = 600
KEPT_AUTH_CODES = 1_000
KEPT_ACCESS_TOKENS = 8

DEFAULT_SCOPE = (
    "message.list.read",
    "message.list.send",
    "message.list.manage",
    "user.info.basic",
    "user.info.username",
    "user.account.type",
    "user.info.profile",
)


@dataclass(slots=True)
class Grant:
    """One consent of one account's owner; refreshing rotates its tokens and leaves its end where it was."""

    business_id: str
    scope: tuple[str, ...]
    ends_at: float
    refresh_token: str = ""
    # Access token → when it expires, unix seconds; the newest last.
    access: OrderedDict[str, float] = field(default_factory=OrderedDict)
    spent: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_ACCESS_TOKENS))


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What exchange and refresh answer; lifetimes are the seconds that remain."""

    access_token: str
    refresh_token: str
    expires_in: int
    refresh_token_expires_in: int
    open_id: str
    scope: str


@dataclass(frozen=True, slots=True)
class _AuthCode:
    business_id: str
    scope: tuple[str, ...]
    redirect_uri: str | None
    expires_at: float


class Tokens:
    """The platform's token store. Every method that finds a token unusable raises `Rejected`."""

    def __init__(self, clock: Clock, options: Options) -> None:
        self.refreshes: Counter[str] = Counter()
        self._clock = clock
        self._options = options
        self._codes: OrderedDict[str, _AuthCode] = OrderedDict()
        self._by_access: dict[str, Grant] = {}
        self._by_refresh: dict[str, Grant] = {}

    def consent(self, business_id: str, scope: tuple[str, ...] = DEFAULT_SCOPE, redirect_uri: str | None = None) -> str:
        """An owner agrees: returns an `auth_code`, good once and for ten minutes."""
        code = secrets.token_urlsafe(24)
        expires_at = self._clock.now() + AUTH_CODE_LIFETIME_S
        self._codes[code] = _AuthCode(business_id, scope, redirect_uri, expires_at)
        if len(self._codes) > KEPT_AUTH_CODES:
            self._codes.popitem(last=False)
        return code

    def exchange(self, auth_code: str, redirect_uri: str) -> TokenPair:
        """Spend an auth code on a new grant."""
        code = self._codes.pop(auth_code, None)
        if code is None or code.expires_at <= self._clock.now():
            raise Rejected(Code.INVALID_PARAMETER, "auth_code is invalid, used or expired.")
        if code.redirect_uri not in (None, redirect_uri):
            raise Rejected(Code.INVALID_PARAMETER, "redirect_uri differs from the authorization request.")
        return self.issue(code.business_id, code.scope)

    def issue(
        self,
        business_id: str,
        scope: tuple[str, ...] = DEFAULT_SCOPE,
        *,
        access_token: str | None = None,
        refresh_token: str | None = None,
    ) -> TokenPair:
        """Make a grant without the browser; tokens may be given, so that a deployment can know them first."""
        grant = Grant(business_id, scope, self._clock.now() + self._options.refresh_token_lifetime)
        return self._rotate(grant, access_token, refresh_token)

    def refresh(self, refresh_token: str) -> TokenPair:
        """Spend a refresh token on the next pair."""
        grant = self._by_refresh.get(refresh_token)
        if grant is None:
            raise Rejected(Code.TOKEN_INVALID, "Refresh token is invalid.")
        if refresh_token in grant.spent:
            raise Rejected(Code.TOKEN_INVALID, "Refresh token has been used.")
        if grant.ends_at <= self._clock.now():
            raise Rejected(Code.REFRESH_TOKEN_EXPIRED, "Refresh token has expired.")
        self.refreshes[grant.business_id] += 1
        if self._options.refresh_ends_old_access:
            for token in grant.access:
                del self._by_access[token]
            grant.access.clear()
        return self._rotate(grant)

    def check(self, access_token: str) -> Grant:
        """The grant a usable access token belongs to."""
        grant = self._by_access.get(access_token)
        if grant is None:
            raise Rejected(Code.TOKEN_INVALID, "Access token is incorrect or has been revoked.")
        if grant.access[access_token] <= self._clock.now():
            raise Rejected(Code.TOKEN_EXPIRED, "Access token has expired.")
        return grant

    def revoke(self, access_token: str) -> None:
        """End the whole grant of an access token, its refresh token included."""
        self._end(self.check(access_token))

    def remove(self, business_id: str) -> None:
        """The owner removed the app: end every grant of the account."""
        for grant in {id(g): g for g in self._by_access.values() if g.business_id == business_id}.values():
            self._end(grant)

    def expire(self, business_id: str, *, refresh: bool = False) -> None:
        """Let an account's access tokens expire now; with `refresh`, its year as well."""
        for token, grant in self._by_access.items():
            if grant.business_id == business_id:
                grant.access[token] = 0.0
                if refresh:
                    grant.ends_at = 0.0

    def _rotate(self, grant: Grant, access_token: str | None = None, refresh_token: str | None = None) -> TokenPair:
        if grant.refresh_token:
            if len(grant.spent) == grant.spent.maxlen:
                del self._by_refresh[grant.spent[0]]
            grant.spent.append(grant.refresh_token)
        access = access_token or "act." + secrets.token_urlsafe(32)
        grant.refresh_token = refresh_token or "rft." + secrets.token_urlsafe(32)
        grant.access[access] = self._clock.now() + self._options.access_token_lifetime
        self._by_access[access] = self._by_refresh[grant.refresh_token] = grant
        if len(grant.access) > KEPT_ACCESS_TOKENS:
            self._by_access.pop(grant.access.popitem(last=False)[0], None)
        return TokenPair(
            access_token=access,
            refresh_token=grant.refresh_token,
            expires_in=int(self._options.access_token_lifetime),
            refresh_token_expires_in=int(grant.ends_at - self._clock.now()),
            open_id=grant.business_id,
            scope=",".join(grant.scope),
        )

    def _end(self, grant: Grant) -> None:
        for token in grant.access:
            self._by_access.pop(token, None)
        for token in (*grant.spent, grant.refresh_token):
            self._by_refresh.pop(token, None)
        grant.access.clear()
