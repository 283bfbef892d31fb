"""Accounts by their owner's consent: an address to send the owner to, and the account when the owner comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog
from aiohttp import web
from pydantic import ValidationError

from shared.channel import AsksConsent, Consent, ProviderError
from shared.contract.accounts import AccountRecord
from shared.contract.base import Model
from shared.contract.consent import ConsentBegun, ConsentRefused
from shared.contract.topics import Topics
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.accounts.sealing import public_key, seal_credentials
from shared.runtime.accounts.states import LIFETIME, ConsentState, StateRefused, begun, opened, signed
from shared.runtime.http.guard import CALLBACK
from shared.runtime.http.server import RETRY_AFTER_SECONDS
from shared.state.client import StateUnavailable
from shared.state.store import Store
from shared.stream.errors import LogUnavailable
from shared.stream.log import Log

log = structlog.get_logger()
_LONGEST_RETURN = 512  # characters
# What a browser is shown is plain text: nothing of a request is in it, and the code of a provider stays out of logs.
_SHOWN = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_WORDS = {
    "connected": "The account is connected. You can close this window.",
    "state_refused": "This link has been used, has ended or is not ours. Begin again where you came from.",
    "consent_refused": "The account is not connected: consent was not given.",
    "account_taken": "The account is not connected: it is connected already, as another account.",
    "another_owner": "The account is not connected: somebody else has consented than before.",
    "log_unavailable": "The account is not connected, because it could not be written down. Begin again in a while.",
}
_REFUSED = "The account is not connected: the channel has refused it. Begin again where you came from."


class _Failed(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ConsentRoutes:
    """`GET /v1/<channel>/oauth/start`, for the product, and `…/callback`, for an owner's browser.

    The state between them names workspace and account; it is signed, ends after ten minutes and is good once. The
    browser is sent on only to an address that the start was given, which is one of `return_urls` or below it.
    """

    def __init__(
        self,
        channel: AsksConsent,
        name: str,
        accounts: AccountRegistry,
        store: Store,
        log_: Log,
        topics: Topics,
        *,
        sealing_keys: str | None,
        public_url: str | None,
        return_urls: tuple[str, ...],
    ) -> None:
        self._channel = channel
        self._name = name
        self._accounts = accounts
        self._store = store
        self._log = log_
        self._topic = topics.accounts
        self._keys = sealing_keys
        self._callback = f"/v1/{name}{CALLBACK}/"  # providers (TikTok) want a slash at the end
        self._redirect_uri = None if public_url is None else public_url.rstrip("/") + self._callback
        self._return_urls = return_urls

    def routes(self) -> list[web.RouteDef]:
        return [web.get(f"/v1/{self._name}/oauth/start", self.start), web.get(self._callback, self.callback)]

    async def start(self, request: web.Request) -> web.Response:
        """Where to send the owner."""
        if self._keys is None or self._redirect_uri is None:
            return _answer(400, ConsentRefused(code="not_set_up", detail="SEALING_KEY and HTTP_PUBLIC_URL are needed."))
        query, return_url = request.query, request.query.get("return_url")
        try:
            record = AccountRecord(
                account_id=query.get("account_id", ""),
                workspace_id=query.get("workspace_id", ""),
                channel=self._name,
                display_name=query.get("display_name", "")[:128] or None,
            )
        except ValidationError as invalid:
            where = ".".join(str(step) for step in invalid.errors(include_input=False)[0]["loc"])
            return _answer(400, ConsentRefused(code="invalid_account", detail=f"{where} is missing, or cannot be one."))
        if return_url is not None and not self._may_return(return_url):
            detail = "return_url is none of API_RETURN_URLS, nor below one."
            return _answer(400, ConsentRefused(code="invalid_return_url", detail=detail))
        if not self._accounts.may_be_written(record.account_id, record.workspace_id):
            detail = "account_id is that of another account."
            return _answer(400, ConsentRefused(code="account_taken", detail=detail))
        more = {"return_url": return_url, "display_name": record.display_name}
        state = begun(self._name, record.workspace_id, record.account_id, time(), **more)
        address = self._channel.consent_url(self._redirect_uri, signed(state, self._keys))
        ends = datetime.fromtimestamp(state.expires_at, UTC)
        return _answer(200, ConsentBegun(authorize_url=address, redirect_uri=self._redirect_uri, expires_at=ends))

    def _may_return(self, address: str) -> bool:
        """Whether it is one of ours or below one, whatever a browser might make of it."""
        if len(address) > _LONGEST_RETURN or not address.isascii() or not address.isprintable():
            return False
        if any(odd in address for odd in " \\@#") or "/." in address or "%2e" in address.lower():
            return False
        try:
            given = urlsplit(address)
            wanted = [urlsplit(one) for one in self._return_urls]
        except ValueError:
            return False
        return any(
            (given.scheme, given.netloc.lower()) == (one.scheme, one.netloc.lower())
            and f"{given.path}/".startswith(f"{one.path.rstrip('/')}/")
            for one in wanted
        )

    async def callback(self, request: web.Request) -> web.Response:
        """The owner is back. Without a state of ours nothing is done, and nobody is sent anywhere."""
        if self._keys is None or self._redirect_uri is None:
            return _shown(400, "state_refused")
        try:
            state = opened(request.query.get("state", ""), self._keys, self._name, time())
            if not await self._store.first_in(2 * LIFETIME, "consent", self._name, state.nonce):
                raise StateRefused("used")
        except StateRefused as refused:
            log.info("consent_state_refused", channel=self._name, why=str(refused))
            return _shown(400, "state_refused")
        except StateUnavailable:
            return web.Response(status=503, headers={**_SHOWN, "Retry-After": RETRY_AFTER_SECONDS})
        try:
            await self._connect(state, request.query.get("code", ""), self._redirect_uri, self._keys)
        except _Failed as failed:
            log.info("consent_failed", channel=self._name, account_id=state.account_id, code=failed.code)
            return _back(state, failed.code)
        log.info("account_consented", channel=self._name, account_id=state.account_id)
        return _back(state, "connected")

    async def _connect(self, state: ConsentState, code: str, redirect_uri: str, keys: str) -> None:
        """Raises _Failed."""
        if not code:
            raise _Failed("consent_refused")
        if not self._accounts.may_be_written(state.account_id, state.workspace_id):
            raise _Failed("account_taken")  # since the start
        try:
            consent = await self._channel.consented(code, redirect_uri)
        except ProviderError as refused:
            raise _Failed(refused.failure.code) from None
        record = seal_credentials(consent.credentials, self._record(state, consent), public_key(keys))
        try:
            await self._log.send(self._topic, record.account_id.encode(), record.to_json())
        except LogUnavailable:
            raise _Failed("log_unavailable") from None

    def _record(self, state: ConsentState, consent: Consent) -> AccountRecord:
        """The account's record: what it had stays, but for the credentials. Raises _Failed."""
        known = self._accounts.record_of(state.account_id)
        if known is not None and known.external_id not in (None, consent.external_id):
            raise _Failed("another_owner")
        try:
            taken = self._accounts.is_anothers(consent.external_id, state.account_id)
        except AccountSealed:
            taken = True
        if taken:
            raise _Failed("account_taken")
        fresh = known or AccountRecord(account_id=state.account_id, workspace_id=state.workspace_id, channel=self._name)
        display_name = state.display_name or fresh.display_name
        return fresh.model_copy(update={"external_id": consent.external_id, "display_name": display_name})


def _back(state: ConsentState, code: str) -> web.Response:
    """On to the product, where it has said where; else a sentence."""
    if state.return_url is None:
        return _shown(200 if code == "connected" else 400, code)
    outcome = {"connected": "true"} if code == "connected" else {"connected": "false", "error": code}
    parts = urlsplit(state.return_url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("account_id", state.account_id), *outcome.items()]
    address = urlunsplit(parts._replace(query=urlencode(query)))
    return web.Response(status=302, headers={**_SHOWN, "Location": address})


def _shown(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=_WORDS.get(code, _REFUSED), headers=_SHOWN)


def _answer(status: int, answer: Model) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(status=status, body=answer.to_json(), content_type="application/json", headers=headers)
