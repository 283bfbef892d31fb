"""Whether an account can be connected: what the provider says of its credentials, their rights and its webhooks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import orjson
import structlog
from aiohttp import web
from pydantic import ValidationError

from shared.channel import (
    Account,
    Channel,
    ChecksSubscription,
    Identifies,
    Identity,
    Probes,
    ProviderError,
    RegistersWebhook,
)
from shared.contract.account_check import AccountChecked, AccountRefused, AccountToCheck
from shared.contract.accounts import AccountRecord
from shared.contract.base import Model
from shared.contract.errors import Error, ErrorCode, error
from shared.contract.events import Health
from shared.runtime.accounts.health import PAUSED
from shared.runtime.accounts.registry import AccountRegistry, AccountSealed
from shared.runtime.accounts.rules import InvalidAccount, Rules
from shared.runtime.accounts.sealing import public_key, seal_credentials
from shared.runtime.http.bodies import Bodies, BodyRefused
from shared.runtime.http.server import RETRY_AFTER_SECONDS, body_refused
from shared.state.client import StateUnavailable

log = structlog.get_logger()
_SECONDS = 30.0  # for all that the provider is asked
_AT_ONCE = 16
_SILENT = "the provider does not say why"


@dataclass
class Checked:
    """What was found. `problem` is what ends the check, as a sentence, and `error` the same for machines; `webhooks` is
    None where the provider calls nobody, or nobody knows."""

    identity: Identity | None = None
    problem: str | None = None
    error: Error | None = None
    missing: list[str] = field(default_factory=list)
    webhooks: list[str] | None = None

    @property
    def problems(self) -> list[str]:
        """All of it, as sentences."""
        return [*([self.problem] if self.problem else []), *self.missing, *(self.webhooks or [])]


async def check(channel: Channel, account: Account, base_url: str | None) -> Checked:
    """Ask the provider; `base_url` is where it should call. Raises StateUnavailable."""
    found = Checked()
    try:
        if isinstance(channel, Identifies) and account.trial:
            account = await _identified(channel, account, found)
        if found.error is None and isinstance(channel, Probes):
            await _probed(channel, account, found)
        if found.error is None and not found.missing and isinstance(channel, ChecksSubscription):
            subscription = await channel.check_subscription(account, base_url)
            found.missing += subscription.rights
            found.webhooks = None if subscription.webhooks is None else list(subscription.webhooks)
        if isinstance(channel, RegistersWebhook) and base_url is not None and account.record.mode == "webhook":
            problem = await channel.check_webhook(account, base_url)
            found.webhooks = [problem] if problem else []
    except ProviderError as refused:
        if found.error is None:  # else it is the same again
            told = refused.failure
            found.problem = f"{told.code}: {told.detail or _SILENT}"
            found.error = error(told.code, told.detail, provider_code=told.provider_code, **told.facts)
    return found


async def _identified(channel: Identifies, account: Account, found: Checked) -> Account:
    """The account with the id that the provider gives it; not where its record names another one."""
    found.identity = identity = await channel.identify(account)
    given = account.record.external_id
    if given is not None and given != identity.external_id:
        detail = "The credentials belong to another account than external_id names."
        found.problem, found.error = detail, error(ErrorCode.ACCOUNT_REAUTH_REQUIRED, detail)
    return replace(account, record=account.record.model_copy(update={"external_id": given or identity.external_id}))


async def _probed(channel: Probes, account: Account, found: Checked) -> None:
    told = await channel.probe(account)
    if told.health in (Health.CONNECTED, None):
        return
    sentence = f"{told.health}: {told.detail or told.code or _SILENT}"
    if told.health in PAUSED:
        found.problem = sentence
        found.error = error(told.code or ErrorCode.ACCOUNT_DISCONNECTED, told.detail)
    else:
        found.missing.append(sentence)


class _Refused(Exception):
    def __init__(self, refused: AccountRefused) -> None:
        super().__init__(refused.code)
        self.refused = refused


class AccountCheck:
    """`POST /v1/accounts/check`. Credentials go to the provider alone: they are logged nowhere and stored nowhere."""

    def __init__(
        self,
        channel: Channel,
        accounts: AccountRegistry,
        bodies: Bodies,
        sealing_key: str | None,
        base_url: str | None,
    ) -> None:
        self._channel = channel
        self._rules = Rules.of(channel)
        self._accounts = accounts
        self._bodies = bodies
        self._key = sealing_key
        self._base_url = base_url
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/accounts/check", self.post)]

    async def post(self, request: web.Request) -> web.Response:
        try:
            async with self._bodies.of(request) as body:
                return _answer(200, await self._answered(body))
        except _Refused as refused:
            return _answer(400, refused.refused)
        except StateUnavailable:
            return web.Response(status=503, headers={"Retry-After": RETRY_AFTER_SECONDS})
        except BodyRefused as refused:
            return body_refused(refused)

    async def _answered(self, body: bytes) -> AccountChecked:
        asked, record = self._read(body)
        if asked.seal and self._key is None:
            raise _Refused(AccountRefused(code="no_sealing_key", detail="The service has no SEALING_KEY to seal to."))
        self._check_free(record)
        try:
            async with asyncio.timeout(_SECONDS), self._slots:
                found = await check(self._channel, Account(record, asked.credentials, trial=True), self._base_url)
        except TimeoutError:
            detail = "The provider did not answer in time."
            found = Checked(error=error(ErrorCode.PROVIDER_UNAVAILABLE, detail))
        if found.identity is not None and record.external_id is None:
            record = record.model_copy(update={"external_id": found.identity.external_id})
            self._check_free(record)
        ok = found.error is None and not found.missing
        log.info("account_checked", channel=record.channel, account_id=record.account_id, ok=ok)
        sealed = seal_credentials(asked.credentials, record, public_key(self._key)) if self._key else None
        return AccountChecked(
            ok=ok,
            missing=tuple(found.missing),
            webhook=tuple(found.webhooks or ()),
            name=found.identity.name if found.identity else None,
            external_id=found.identity.external_id if found.identity else record.external_id,
            webhook_subscribed=None if found.webhooks is None else not found.webhooks,
            error=found.error,
            record=sealed if ok and asked.seal else None,
        )

    def _read(self, body: bytes) -> tuple[AccountToCheck, AccountRecord]:
        """Raises _Refused with words that name a field, never a value."""
        try:
            given = orjson.loads(body)
            if not isinstance(given, dict):
                raise InvalidAccount("a JSON object is expected")
            given = {"channel": self._channel.capabilities.channel, **given}
            asked = AccountToCheck.model_validate(given)
            entry = {name: value for name, value in given.items() if name != "seal"}
            record = AccountRecord.model_validate(
                {n: v for n, v in entry.items() if n not in ("credentials", "sealed")}
            )
            self._rules.check(entry, record)
        except orjson.JSONDecodeError:
            detail = "The body is not JSON."
        except ValidationError as invalid:
            first = invalid.errors(include_input=False, include_context=False, include_url=False)[0]
            detail = f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
        except InvalidAccount as invalid:
            detail = str(invalid)
        else:
            return asked, record
        raise _Refused(AccountRefused(code="invalid_account", detail=detail))

    def _check_free(self, record: AccountRecord) -> None:
        """Raises _Refused where another account has the `external_id`: its record would not be served."""
        if not record.external_id:
            return
        try:
            taken = self._accounts.is_anothers(record.external_id, record.account_id)
        except AccountSealed:
            return
        if taken:
            detail = "external_id: another account has it."
            raise _Refused(AccountRefused(code="account_taken", detail=detail))


def _answer(status: int, answer: Model) -> web.Response:
    return web.Response(status=status, body=answer.to_json(), content_type="application/json")
