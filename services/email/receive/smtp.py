"""The SMTP and LMTP listener: a mail is answered with 250 once it is durable, and stays with its sender otherwise.

It stands behind a mail server, which checks, filters and queues. Of a mail no more is held in memory than a piece; what
comes goes to the raw store while it comes.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.email.receive.data import Content, TooLarge
from services.email.receive.inbound import order_key
from services.email.receive.recipients import Recipients
from services.email.settings import Settings
from services.email.tokens import Tokens
from shared.channel import Door, NotTaken, RawItem, RawStore

# It tells addresses and contents of every session.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
log = logging.getLogger(__name__)

BEGINNING = 64 * 1024  # bytes of a mail that are looked at; mails as small as this need no place
MOST_LARGE = 8  # larger ones that come at once: each has a buffer in the raw store
MOST_RECIPIENTS = 100  # RFC 5321 §4.5.3.1.8
MOST_HOPS = 100  # RFC 5321 §6.3: a mail with more Received fields goes in circles
# A sender waits ten minutes, and sends again what was answered too late (RFC 1047).
ACK_SECONDS = 30.0
TRANSFER_SECONDS = 600.0  # for all of a mail, however slowly it comes
STOP_SECONDS = 5.0  # for what is under way when the listener closes

_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_PLAIN = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e\u00a1-\U0010ffff]{1,320}")

_TAKEN = "250 2.6.0 Taken"
_LATER = "451 4.3.0 Cannot be kept now, try again"
_CLOSING = "421 4.3.2 Not now, try again"
_NOBODY = "550 5.1.1 No such mailbox here"
_TOO_MANY = "452 4.5.3 Too many recipients"
_TOO_LARGE = "552 5.3.4 The message is too large"
_LOOP = "554 5.4.6 Too many hops"


class MailListener:
    """Both listeners of a service, and what their sessions share."""

    def __init__(
        self,
        settings: Settings,
        tokens: Tokens,
        raw: RawStore,
        door: Door,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.recipients = Recipients(tokens, door.owners)
        self.settings = settings
        self.door = door
        self._raw = raw
        self._now = now
        self._large = asyncio.Semaphore(MOST_LARGE)
        self._sessions: set[_Session] = set()
        self._alone = asyncio.Event()  # nobody is connected
        self._alone.set()
        self._servers: list[asyncio.Server] = []
        self._tls = _tls_context(settings)
        door.follow(self.recipients.changed)

    @property
    def ports(self) -> list[int]:
        """Where it listens: SMTP before LMTP."""
        return [server.sockets[0].getsockname()[1] for server in self._servers]

    async def start(self) -> None:
        """Listen. Raises OSError."""
        for address, kind in ((self.settings.smtp_listen, _Smtp), (self.settings.lmtp_listen, _Lmtp)):
            if address:
                host, _, port = address.rpartition(":")
                server = await asyncio.get_running_loop().create_server(
                    partial(kind, self, self._tls), host.strip("[]"), int(port)
                )
                self._servers.append(server)

    async def stop(self) -> None:
        """Take no more; what is under way has `STOP_SECONDS` to be answered."""
        for server in self._servers:
            server.close()
        for session in list(self._sessions):
            session.dismiss()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._alone.wait()
        for session in list(self._sessions):
            session.cut()

    def enters(self, session: _Session) -> bool:
        """Whether there is room for one more."""
        if not self.door.accepting or len(self._sessions) >= self.settings.smtp_connections:
            return False
        self._sessions.add(session)
        self._alone.clear()
        return True

    def leaves(self, session: _Session) -> None:
        self._sessions.discard(session)
        if not self._sessions:
            self._alone.set()

    # --- one mail

    async def take(self, content: Content, envelope: Envelope, *, protocol: str) -> dict[str, str]:
        """The answer for each account that the mail is for. Raises TimeoutError and ConnectionError: no answer helps.

        One blob, and an item per account. What could not be kept is read to its end, so that the answer is read.
        """
        accounts = self._accounts_of(envelope.rcpt_tos)
        try:
            async with asyncio.timeout(TRANSFER_SECONDS) as patience:
                beginning, blob = await self._store(content, self._trace(envelope, protocol), patience)
                key = order_key(beginning)
                items = [RawItem(f"{one}:{key}", b"", account_id=one, blob=blob) for one in accounts]
                return dict(zip(accounts, await self._write(items, apart=protocol == "LMTP"), strict=True))
        except TooLarge:
            answer = _TOO_LARGE
        except _Looping:
            answer = _LOOP
        except NotTaken:
            answer = _LATER
        except TimeoutError:
            if not content.ended:
                raise
            answer = _LATER
        async with asyncio.timeout(TRANSFER_SECONDS):
            if not await content.discard(self.settings.max_size):
                raise ConnectionResetError("the mail has no end")
        return dict.fromkeys(accounts, answer)

    def _accounts_of(self, recipients: Sequence[str]) -> list[str]:
        found = [self.recipients.account_of(address) for address in recipients]
        return list(dict.fromkeys(account.account_id for account in found if account is not None))

    async def _store(self, content: Content, trace: bytes, patience: asyncio.Timeout) -> tuple[bytes, str]:
        """The beginning of the mail, and the name of all of it in the raw store."""
        beginning = bytearray(trace)
        while len(beginning) < BEGINNING and (piece := await content.read()):
            beginning += piece
        if len(_RECEIVED.findall(_END_OF_HEAD.split(beginning, 1)[0])) > MOST_HOPS:
            raise _Looping

        async def all_of_it() -> AsyncIterator[bytes]:
            yield bytes(beginning)
            while piece := await content.read():
                yield piece
            patience.reschedule(asyncio.get_running_loop().time() + ACK_SECONDS)

        if content.ended:
            return bytes(beginning), await self._raw.store(all_of_it())
        async with self._large:
            return bytes(beginning), await self._raw.store(all_of_it())

    def _trace(self, envelope: Envelope, protocol: str) -> bytes:
        """What the last mail system on the way writes on top (RFC 5321 §4.4): the envelope is known nowhere else."""
        sender = "" if envelope.mail_from in (None, "", "<>") else str(envelope.mail_from)
        lines = [f"Return-Path: <{sender}>"] if not sender or _PLAIN.fullmatch(sender) else []
        lines += [f"Delivered-To: {one}" for one in dict.fromkeys(envelope.rcpt_tos) if _PLAIN.fullmatch(one)]
        now = format_datetime(self._now())
        lines.append(f"Received: by {self.settings.smtp_hostname} with {protocol}; {now}")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")

    async def _write(self, items: Sequence[RawItem], *, apart: bool) -> list[str]:
        """The answers for the items: for all the same, unless they are written `apart`."""
        batches = [[item] for item in items] if apart else [list(items)]
        written = await asyncio.gather(*(self._written(batch) for batch in batches))
        return written if apart else written * len(items)

    async def _written(self, batch: Sequence[RawItem]) -> str:
        try:
            await self.door.write(batch)
        except NotTaken:
            return _LATER
        return _TAKEN


class _Looping(Exception):
    """The mail has passed more servers than there are on any way."""


class _Session(SMTP):
    """One connection. STARTTLS makes it anew on the same object."""

    protocol = "ESMTP"
    line_length_limit = BEGINNING  # of what the reader holds; commands have limits of their own

    def __init__(self, listener: MailListener, tls: ssl.SSLContext | None) -> None:
        settings = listener.settings
        self._listener = listener
        self._refused = False
        self._busy = False
        self._leaving = False
        super().__init__(
            self,
            data_size_limit=settings.max_size,
            enable_SMTPUTF8=True,
            hostname=settings.smtp_hostname,
            ident="ESMTP",
            tls_context=tls,
            require_starttls=settings.smtp_require_tls,
            timeout=settings.smtp_timeout,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )

    # --- life

    def connection_made(self, transport: Any) -> None:
        if self._original_transport is None and not self._listener.enters(self):
            self._refused = True
            transport.write(f"{_CLOSING}\r\n".encode())
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._refused:
            self._listener.leaves(self)
            super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return False if self._refused else super().eof_received()

    def dismiss(self) -> None:
        """The listener closes: a session that is not in the middle of a mail ends now, the others after it."""
        self._leaving = True
        if not self._busy:
            self._writer.write(f"{_CLOSING}\r\n".encode())
            self.cut()

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.close()

    # --- what aiosmtpd asks

    async def handle_exception(self, error: Exception) -> str:
        """A bug, or an account whose record cannot be opened here: its words may be somebody's, and stay here."""
        log.warning("smtp_session_failed: %s", type(error).__name__)
        return _LATER

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self._listener.door.accepting:
            return _CLOSING
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return _TOO_MANY
        if self._listener.recipients.account_of(address) is None:
            return _NOBODY
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        self._busy = True
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            limit = self._listener.settings.max_size
            content = Content(self._reader, limit, self._reset_timeout)
            answers = await self._listener.take(content, self.envelope, protocol=self.protocol)
            await self.push("\r\n".join(self._answers(answers)))
        except (TimeoutError, ConnectionError):
            self.cut()
        finally:
            self._busy = False
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        if self._leaving:
            await self.push(_CLOSING)
            self.cut()

    def _answers(self, answers: dict[str, str]) -> list[str]:
        """One for the mail: a sender that is told to come again brings it to all, and those who have it get nothing."""
        return [next((answer for answer in answers.values() if answer != _TAKEN), _TAKEN)]


class _Smtp(_Session):
    """SMTP."""


class _Lmtp(_Session, LMTP):
    """LMTP (RFC 2033): one answer for each recipient."""

    protocol = "LMTP"

    def _answers(self, answers: dict[str, str]) -> list[str]:
        assert self.envelope is not None
        found = (self._listener.recipients.account_of(address) for address in self.envelope.rcpt_tos)
        return [_LATER if one is None else answers.get(one.account_id, _LATER) for one in found]


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.smtp_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.smtp_certificate, settings.smtp_certificate_key or None)
    return context
