"""One call of TikTok's API: how it is authorized, what counts as success, what an error means.

Every path ends with a slash; `code == 0` in the answer is the only success, whatever the HTTP status says. Queries are
built by aiohttp, which writes the `+` of a conversation id as `%2B`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import aiohttp

from services.tiktok.api import errors
from services.tiktok.settings import Settings
from shared.channel import Account, Failure, Pace, Priority, ProviderError
from shared.contract.errors import ErrorCode
from shared.kit.failures import reauthorise, unanswered, unreachable
from shared.kit.grants import Grant, GrantKeeper
from shared.kit.http import Answer, Pool, Unanswered, Waits, ask, fetch
from shared.kit.multipart import FilePart


class Endpoint(NamedTuple):
    """`sends`: a message may have gone out although no answer came, and the runtime has drawn the call."""

    method: str
    path: str
    priority: Priority
    sends: bool = False


async def unpaced(priority: Priority, account: Account | None = None) -> None:
    """The pace of a channel that was given none."""


class Transport:
    """The connection pool and the calls over it. Every method raises ProviderError; nothing is retried.

    The one exception: a call refused for its access token is made again with a refreshed one, because a refused call
    has certainly done nothing. `tokens` is set by the owner, whose refresh is itself a call.
    """

    tokens: GrantKeeper
    pace: Pace

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.base = settings.api_url.rstrip("/")
        self.pace = unpaced
        self._pool = Pool(settings.connections)
        self._waits = Waits(settings.connect_timeout, settings.timeout)
        self._media_hosts = (settings.api_url, *settings.media_hosts)

    async def start(self) -> None:
        """Open the connection pool."""
        self._pool.open()

    async def stop(self) -> None:
        """Close it, once refreshes under way are stored."""
        await self.tokens.close()
        await self._pool.close()

    async def fetch(self, address: str, headers: Mapping[str, str] | None) -> aiohttp.ClientResponse:
        """The head of a file's answer, from one of TikTok's media hosts."""
        return await fetch(self._pool.session, address, self._media_hosts, self._waits, headers)

    async def as_account(
        self,
        account: Account,
        endpoint: Endpoint,
        *,
        priority: Priority | None = None,
        json: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        image: Callable[[], Awaitable[FilePart]] | None = None,
    ) -> dict[str, Any]:
        """A call with the account's access token and its `business_id`; the answer's `data`.

        `priority` replaces the endpoint's own; `image` is opened anew for each attempt.
        """
        ours = {"business_id": business_id(account)}
        drawn = endpoint.sends

        async def call(grant: Grant) -> dict[str, Any]:
            nonlocal drawn
            paid, drawn = drawn, False  # with another token it is another call
            return await self.request(
                endpoint,
                account=account,
                priority=priority,
                drawn=paid,
                headers={"Access-Token": grant.access_token},
                json=None if json is None else {**ours, **json},
                query=None if query is None else {**ours, **query},
                fields={**ours, "media_type": "IMAGE"},
                file=None if image is None else await image(),
            )

        return await self.with_token(account, call)

    async def with_token(self, account: Account, call: Callable[[Grant], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        grant = await self.tokens.grant(account)
        try:
            return await call(grant)
        except ProviderError as failed:
            if failed.failure.provider_code not in errors.TOKEN_REFUSED:
                raise
        return await call(await self.tokens.grant(account, refused=grant.access_token))

    async def request(
        self,
        endpoint: Endpoint,
        *,
        account: Account | None = None,
        priority: Priority | None = None,
        drawn: bool = False,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        file: FilePart | None = None,
    ) -> dict[str, Any]:
        """One call, drawn from the app's rate unless it has been; the answer's `data`.

        Errors name neither address nor credentials: hence `from None`.
        """
        if not drawn:
            await self.pace(priority or endpoint.priority, account)
        try:
            answer = await ask(
                self._pool.session,
                endpoint.method,
                self.base + endpoint.path,
                self._waits.whole if file is None else self._waits.streamed,
                headers=headers,
                params=query,
                json=json,
                fields=fields,
                files={} if file is None else {"file": file},
                patience=self._settings.timeout,
            )
        except Unanswered as broken:
            if broken.unreadable:
                raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE)) from None
            raise ProviderError(unreachable() if broken.certain else unanswered(sends=endpoint.sends)) from None
        return _data(answer, sends=endpoint.sends)


def _data(answer: Answer, *, sends: bool) -> dict[str, Any]:
    envelope = answer.json
    trace_id = answer.headers.get("X-Tt-Logid")
    code = envelope.get("code")
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    if not isinstance(code, int) or isinstance(code, bool) or (code == 0 and answer.status >= 300):
        raise ProviderError(errors.no_envelope(answer.status, answer.retry_after, sends=sends, trace_id=trace_id))
    if code != 0:
        message, trace = str(envelope.get("message") or ""), envelope.get("request_id") or trace_id
        raise ProviderError(errors.refusal(code, message, sends=sends, trace_id=str(trace) if trace else None))
    data = envelope.get("data")
    return data if isinstance(data, dict) else {}


def business_id(account: Account) -> str:
    """TikTok's id of the account, which is the `open_id` of its tokens. Raises ProviderError without one."""
    found = account.record.external_id or account.credentials.get("open_id")
    if not found:
        raise ProviderError(reauthorise("The account has no business id."))
    return found
