"""The only file that sends: one mail of one call, through the account's server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from services.email.api import dkim, errors
from services.email.api.mail import FileChanged, Mail, compose, too_large
from services.email.api.oauth import AccessTokens
from services.email.api.pool import Pool
from services.email.api.session import Envelope, Login, LoginRefused, Session, Stale
from services.email.mailbox import Mailbox, Server
from services.email.settings import Settings
from shared.channel import Account, Call, Failure, Files, OpenFile, ProviderError, Receipt
from shared.contract.commands import File
from shared.contract.errors import ErrorCode
from shared.contract.statuses import Warning, WarningCode


class Client:
    """Sends mail. `start` before the first call, `stop` after the last."""

    def __init__(self, settings: Settings, tokens: AccessTokens, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._tokens = tokens
        self._now = now
        self._pool = Pool(settings, self.connect)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def start(self) -> None:
        # One for all connections: reading the certificates of the authorities takes time and memory.
        self.tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file or None)
        await self._pool.start()

    async def stop(self) -> None:
        await self._pool.stop()

    async def send(self, call: Call, account: Account, files: Files) -> Receipt:
        """Send the mail of a call. Raises ProviderError; FileUnavailable, with nothing sent."""
        mail = _composed(call.params, self._now())
        sizes = {name: await _size(call.files[name], files) for name in mail.files}

        async def open_file(name: str) -> OpenFile:
            return await files.open(call.files[name])

        mail = await self._signed(mail, account, open_file)
        envelope = _envelope(call.params, mail.size(sizes))
        try:
            outcomes = await self._hand_over(account, envelope, mail, open_file)
        except FileChanged:
            detail = "A file changed while it was sent; nothing has been delivered."
            raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE, detail=detail)) from None
        return Receipt((call.params["message_id"],), warnings=tuple(_refused(call.params, outcomes)))

    async def _hand_over(
        self, account: Account, envelope: Envelope, mail: Mail, open_file: Callable[[str], Awaitable[OpenFile]]
    ) -> list[Failure | None]:
        """Send over a connection that is there; over a new one where that has ended before anything was said."""
        for fresh in (False, True):
            try:
                async with self._pool.session(account, fresh=fresh) as session:
                    _check_size(envelope.size, session)
                    return await session.send(envelope, mail.octets(open_file))
            except Stale:
                continue
        raise ProviderError(errors.unreachable(errors.Stage.MAIL))

    async def _signed(self, mail: Mail, account: Account, open_file: Callable[[str], Awaitable[OpenFile]]) -> Mail:
        signing, key = Mailbox.of(account.record).dkim, account.credentials.get("dkim_key")
        if signing is None or not key:
            return mail
        try:
            header, hashed = await dkim.body_hash(mail.octets(open_file))
            field = await dkim.signature(header, hashed, signing.domain, signing.selector, key)
        except dkim.KeyUnusable:
            raise ProviderError(errors.misconfigured("The account's DKIM key cannot be used.")) from None
        first, *others = mail.segments
        assert isinstance(first, bytes)
        return Mail((field + first, *others))

    async def check(self, account: Account) -> None:
        """Go the way of a mail up to its sender's address. Raises ProviderError."""
        for fresh in (False, True):
            try:
                async with self._pool.session(account, fresh=fresh) as session:
                    return await session.try_way(Mailbox.of(account.record).address or "")
            except Stale:
                continue
        raise ProviderError(errors.unreachable(errors.Stage.MAIL))

    # ------------------------------------------------------------------------------------------------ connections

    async def connect(self, account: Account) -> Session:
        """A new connection, logged in; with a fresh token where the one we have is refused. Raises ProviderError."""
        mailbox, server = Mailbox.of(account.record), server_of(account)
        refused = None
        for _ in range(2):
            login = await self.login(account, server, "smtp_password", refused=refused)
            session = Session(server, self._settings, self.tls, mailbox.domain)
            try:
                await session.open(login)
            except LoginRefused as failed:
                failure = failed.failure
                renewable = login is not None and login.token and failure.code is ErrorCode.ACCOUNT_REAUTH_REQUIRED
                if not renewable or refused is not None:
                    raise ProviderError(failure) from None
                assert login is not None
                refused = login.token
            else:
                return session
        raise AssertionError("unreachable")

    async def login(self, account: Account, server: Server, password: str, refused: str | None = None) -> Login | None:
        """How the account logs in to one of its servers: by token, by password, or not at all (a relay that knows us
        by where we are). `password` names the credential that goes before the common one; `refused` is a token that is
        no longer good. Raises ProviderError."""
        user = server.user or Mailbox.of(account.record).address or ""
        if self._tokens.has(account):
            return Login(user, token=await self._tokens.access(account, refused))
        secret = account.credentials.get(password) or account.credentials.get("password")
        if not secret:
            return None
        if server.security == "none" and not server.is_local:
            detail = "The password would go over an open connection: set the server's security to tls or starttls."
            raise ProviderError(errors.misconfigured(detail))
        return Login(user, password=secret)


def server_of(account: Account) -> Server:
    """The server that takes the account's mail. Raises ProviderError where the settings do not suffice."""
    mailbox = Mailbox.of(account.record)
    if mailbox.wrong:
        raise ProviderError(errors.misconfigured(f"The account's settings cannot be read: {', '.join(mailbox.wrong)}."))
    if mailbox.address is None:
        raise ProviderError(errors.misconfigured("The account has no address: its external_id."))
    if mailbox.smtp is None:
        raise ProviderError(errors.misconfigured("The account has no mail server: settings.smtp."))
    return mailbox.smtp


def _composed(params: Mapping[str, Any], date: datetime) -> Mail:
    try:
        return compose(params, date)
    except ValueError:
        raise ProviderError(Failure(ErrorCode.INVALID_COMMAND, detail="The mail's header cannot be written.")) from None


async def _size(file: File, files: Files) -> int:
    if file.size is not None:
        return file.size
    opened = await files.open(file)
    await opened.close()
    return opened.size


def _envelope(params: Mapping[str, Any], size: int) -> Envelope:
    told = params["envelope"]
    sender = told.get("sender") or params["from"]["address"]
    recipients = (params["to"], *params.get("cc", ()), *params.get("bcc", ()))
    return Envelope(sender, recipients, told["id"], size, receipts=told.get("receipts", False))


def _check_size(size: int, session: Session) -> None:
    limit = session.size_limit
    if limit is not None and size > limit:
        facts = {"limit": limit, "actual": size, "field": "content.attachments"}
        raise ProviderError(Failure(ErrorCode.FILE_TOO_LARGE, detail=too_large(size, limit), facts=facts))


def _refused(params: Mapping[str, Any], outcomes: list[Failure | None]) -> list[Warning]:
    """A warning for each copy that was not taken: which one, and not whose."""
    places = [f"{name} {index}" for name in ("cc", "bcc") for index in range(1, len(params.get(name, ())) + 1)]
    return [
        Warning(
            code=WarningCode.RECIPIENT_REFUSED,
            detail=f"{place}: not taken ({failure.provider_code}).",
            field=f"content.{place.split()[0]}",
        )
        for place, failure in zip(places, outcomes[1:], strict=True)
        if failure is not None
    ]
