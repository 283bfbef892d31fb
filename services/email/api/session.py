"""One connection to a mail server: greeting, TLS, login, and mail after mail.

A mail goes step by step, because that alone says what is certain: aiosmtplib raises the same error for a connection
that ends before the mail and after its final dot. Until the dot is handed over nothing has been sent, whatever happens;
after it only a reply tells. The mail is written as a stream, with as much in memory as the socket takes.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from services.email.api import errors
from services.email.api.errors import Stage
from services.email.mailbox import Server
from services.email.settings import Settings
from shared.channel import Failure, ProviderError
from shared.contract.errors import ErrorCode

_BLOCK_SECONDS = 180.0  # in which the server takes another piece (RFC 5321 §4.5.3.2.5)
_DOT_AT_LINE = re.compile(rb"(?m)^\.")
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")  # RFC 3461 §4: not as it is
Answer = asyncio.Future[aiosmtplib.SMTPResponse]
_CLOSED = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Login:
    """How the account proves itself: a password, or an access token."""

    user: str
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return "Login(…)"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the server is told beside the mail. The first recipient is the contact, the others have a copy.

    `id` comes back in reports of failure; `receipts` asks for reports of delivery, too. `size` in octets.
    """

    sender: str
    recipients: Sequence[str]
    id: str
    size: int
    receipts: bool = False


class LoginRefused(Exception):
    """The server does not take the password or token."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class Stale(Exception):
    """The connection had ended before anything of this mail was said."""


class Session:
    """A connection that is logged in. Every method raises ProviderError; `usable` says whether it can go on."""

    def __init__(self, server: Server, settings: Settings, tls: ssl.SSLContext, helo: str) -> None:
        self._server = server
        self._settings = settings
        self._smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=False,
            tls_context=tls,
            local_hostname=helo,
            timeout=settings.connect_timeout,
        )
        self.opened = self.used = asyncio.get_running_loop().time()
        self.mails = 0
        self._reused = False

    @property
    def usable(self) -> bool:
        return self._smtp.is_connected

    @property
    def size_limit(self) -> int | None:
        """The largest mail that the server says it takes (RFC 1870)."""
        said = self._smtp.esmtp_extensions.get("size", "").strip()
        return int(said) if said.isdecimal() and len(said) < 16 and int(said) > 0 else None

    async def open(self, login: Login | None) -> None:
        """Connect and log in. Raises LoginRefused."""
        try:
            await self._smtp.connect()
            self._smtp.timeout = self._settings.command_timeout
            await self._smtp.ehlo()
            if self._server.security == "starttls":
                await self._start_tls()
        except aiosmtplib.SMTPResponseException as refused:
            raise self._refused(Stage.CONNECT, refused) from None
        except ssl.SSLError:
            raise self._lost(Stage.TLS) from None
        except (aiosmtplib.SMTPException, OSError) as failed:
            # A certificate that does not fit arrives as the cause of a connection that failed.
            stage = Stage.TLS if isinstance(failed.__cause__, ssl.SSLError) else Stage.CONNECT
            raise self._lost(stage) from None
        if login is not None:
            await self._login(login)

    async def _start_tls(self) -> None:
        if not self._smtp.supports_extension("starttls"):
            self._smtp.close()
            raise ProviderError(errors.misconfigured("The mail server offers no STARTTLS."))
        await self._smtp.starttls()
        await self._smtp.ehlo()

    async def _login(self, login: Login) -> None:
        smtp, methods = self._smtp, self._smtp.server_auth_methods
        try:
            if login.token:
                if "xoauth2" in methods or "oauthbearer" not in methods:
                    await smtp.auth_xoauth2(login.user, login.token)
                else:
                    await self._oauthbearer(login)
            elif "plain" in methods or "login" not in methods:
                await smtp.auth_plain(login.user, login.password)
            else:
                await smtp.auth_login(login.user, login.password)
        except aiosmtplib.SMTPResponseException as refused:
            raise LoginRefused(self._refused(Stage.AUTH, refused).failure) from None
        except _CLOSED:
            raise self._lost(Stage.AUTH) from None

    async def _oauthbearer(self, login: Login) -> None:
        """RFC 7628 §3.1; on a refusal the server says why first, and waits for a line."""
        where = f"host={self._server.host}\x01port={self._server.port}"
        said = f"n,a={login.user},\x01{where}\x01auth=Bearer {login.token}\x01\x01"
        reply = await self._smtp.execute_command(b"AUTH", b"OAUTHBEARER", base64.b64encode(said.encode()))
        if reply.code == 334:
            reply = await self._smtp.execute_command(base64.b64encode(b"\x01"))
        if reply.code != 235:
            raise aiosmtplib.SMTPAuthenticationError(reply.code, reply.message)

    # ----------------------------------------------------------------------------------------------------- mail

    async def send(self, envelope: Envelope, octets: AsyncGenerator[bytes, None]) -> list[Failure | None]:
        """Send one mail: what became of each recipient, in their order; of the contact always None.

        Raises Stale where it may be tried on another connection, ProviderError otherwise; and what `octets` raises,
        which is certain: the mail has no end then.
        """
        await self._mail(envelope)
        outcomes = [await self._rcpt(address, envelope) for address in envelope.recipients]
        if outcomes[0] is not None:
            await self.reset()
            raise ProviderError(outcomes[0])
        await self._data(octets)
        self.mails += 1
        self.used = asyncio.get_running_loop().time()
        return outcomes

    async def _mail(self, envelope: Envelope) -> None:
        options = []
        utf8 = not all(address.isascii() for address in (envelope.sender, *envelope.recipients))
        if utf8:
            if not self._smtp.supports_extension("smtputf8"):
                detail = "The mail server cannot write to addresses in other scripts."
                raise ProviderError(Failure(ErrorCode.RECIPIENT_UNKNOWN, detail=detail, provider_code="smtputf8"))
            options.append("SMTPUTF8")
        if self._smtp.supports_extension("size"):
            options.append(f"SIZE={envelope.size}")
        if self._smtp.supports_extension("dsn"):
            options += ["RET=HDRS", f"ENVID={_xtext(envelope.id)}"]
        reused, self._reused = self._reused, True
        try:
            await self._smtp.mail(envelope.sender, options=options, encoding="utf-8")
        except aiosmtplib.SMTPResponseException as refused:
            if refused.code == 421 and reused:
                self._smtp.close()
                raise Stale from None
            if self.usable:
                await self.reset()
            raise self._refused(Stage.MAIL, refused) from None
        except _CLOSED:
            lost = self._lost(Stage.MAIL)
            raise (Stale() if reused else lost) from None

    async def _rcpt(self, address: str, envelope: Envelope) -> Failure | None:
        options = []
        if self._smtp.supports_extension("dsn"):
            wanted = "SUCCESS,FAILURE,DELAY" if envelope.receipts else "FAILURE,DELAY"
            options = [f"NOTIFY={wanted}", f"ORCPT={_original(address)}"]
        try:
            await self._smtp.rcpt(address, options=options, encoding="utf-8")
        except aiosmtplib.SMTPResponseException as refused:
            if not self.usable:  # 421: it has hung up
                raise self._refused(Stage.RCPT, refused) from None
            return errors.refusal(Stage.RCPT, refused.code, refused.message)
        except _CLOSED:
            raise self._lost(Stage.RCPT) from None
        return None

    async def _data(self, octets: AsyncGenerator[bytes, None]) -> None:
        try:
            reply = await self._smtp.execute_command(b"DATA")
        except _CLOSED:
            raise self._lost(Stage.DATA) from None
        if reply.code != 354:
            await self.reset()
            raise ProviderError(errors.refusal(Stage.DATA, reply.code, reply.message))
        protocol = self._smtp.protocol
        assert protocol is not None
        # Listening from now on: a server may refuse in the middle, and hang up.
        answer = asyncio.ensure_future(protocol.read_response())
        try:
            await self._write(protocol, octets, answer)
            reply = await self._answer(protocol, answer)
        except BaseException:
            self._smtp.close()
            raise
        finally:
            if not answer.done():
                answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
        if not 200 <= reply.code < 300:
            if reply.code == 421:
                self._smtp.close()
            raise ProviderError(errors.refusal(Stage.DOT, reply.code, reply.message))

    async def _write(
        self,
        protocol: SMTPProtocol,
        octets: AsyncGenerator[bytes, None],
        answer: Answer,
    ) -> None:
        """Everything but the dot. Raises ProviderError, certain, where the server refuses or is gone."""
        async with aclosing(octets):
            async for piece in octets:
                if answer.done():
                    break
                try:
                    protocol.write(_DOT_AT_LINE.sub(b"..", piece))
                    await asyncio.wait_for(protocol._drain_helper(), _BLOCK_SECONDS)
                except TimeoutError:
                    raise ProviderError(errors.unreachable(Stage.DATA)) from None
                except _CLOSED:
                    break
            else:
                if not answer.done():
                    return
        await asyncio.wait((answer,), timeout=1.0)
        if not answer.done() or answer.exception() is not None:
            raise ProviderError(errors.unreachable(Stage.DATA))
        reply = answer.result()
        raise ProviderError(errors.refusal(Stage.DATA, reply.code, reply.message))

    async def _answer(self, protocol: SMTPProtocol, answer: Answer) -> aiosmtplib.SMTPResponse:
        """Hand over the dot, and wait for what comes of it."""
        try:
            protocol.write(b".\r\n")
        except _CLOSED:
            raise ProviderError(errors.unreachable(Stage.DATA)) from None
        await asyncio.wait((answer,), timeout=self._settings.answer_timeout)
        if not answer.done() or answer.exception() is not None:
            raise ProviderError(errors.no_answer())
        return answer.result()

    # ------------------------------------------------------------------------------------------------ between them

    async def check(self) -> bool:
        """Whether the connection still works. Raises nothing."""
        try:
            await self._smtp.noop(timeout=self._settings.connect_timeout)
        except (aiosmtplib.SMTPException, OSError):
            self._smtp.close()
        return self.usable

    async def try_way(self, sender: str) -> None:
        """As far as a mail's beginning, and back: reaches nobody."""
        await self._mail(Envelope(sender, (), "check", 0))
        await self.reset()

    async def reset(self) -> None:
        """Forget the mail that was begun. A connection that cannot is closed."""
        try:
            await self._smtp.rset()
        except (aiosmtplib.SMTPException, OSError):
            self._smtp.close()

    async def close(self) -> None:
        """Say goodbye, and do not wait long for the answer."""
        if self.usable:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self._smtp.quit(timeout=1.0)
        self._smtp.close()

    def abort(self) -> None:
        """Hang up."""
        self._smtp.close()

    def _refused(self, stage: Stage, refused: aiosmtplib.SMTPResponseException) -> ProviderError:
        if stage in (Stage.CONNECT, Stage.AUTH):
            self._smtp.close()
        if refused.code < 0:  # what came was no reply
            self._smtp.close()
            return ProviderError(errors.unreachable(stage))
        return ProviderError(errors.refusal(stage, refused.code, refused.message))

    def _lost(self, stage: Stage) -> ProviderError:
        self._smtp.close()
        return ProviderError(errors.unreachable(stage))


def _xtext(value: str) -> str:
    return "".join(f"+{byte:02X}" if _NOT_XTEXT.match(chr(byte)) else chr(byte) for byte in value.encode())


def _original(address: str) -> str:
    """ORCPT (RFC 3461 §4.2; RFC 6533 §3 for other scripts)."""
    if address.isascii():
        return f"rfc822;{_xtext(address)}"
    return "utf-8;" + "".join(c if c.isascii() and not _NOT_XTEXT.match(c) else f"\\x{{{ord(c):X}}}" for c in address)
