"""The server that takes the accounts' mail: it checks who sends, what it gets, and fails when it is told to."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import warnings
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.simulators.common import Fault

from .mails import Mail, problems
from .world import World

ON_CALLS = frozenset({"error", "refuse", "drop_answer", "hang", "slow"})
LINE_LIMIT = 64 * 1024
_DSN = frozenset({"RET", "ENVID", "NOTIFY", "ORCPT"})
logging.getLogger("mail.log").setLevel(logging.ERROR)  # it would show addresses and all of the mail
warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS", UserWarning)  # nothing leaves the machine


class _Server(SMTP):
    """Knows the parameters of RFC 3461 besides, which aiosmtpd refuses; `asked` are those of the last command."""

    line_length_limit = LINE_LIMIT
    dsn = False
    asked: tuple[str, ...] = ()

    async def smtp_MAIL(self, arg: str | None) -> None:
        await super().smtp_MAIL(self._without_dsn(arg))

    async def smtp_RCPT(self, arg: str | None) -> None:
        await super().smtp_RCPT(self._without_dsn(arg))

    def _without_dsn(self, arg: str | None) -> str | None:
        words = (arg or "").split(" ")
        self.asked = tuple(word for word in words[1:] if self.dsn and word.partition("=")[0].upper() in _DSN)
        return " ".join(word for word in words if word not in self.asked) if arg else arg

    def hang_up(self) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.abort()


class Sink:
    """Handles the commands of one connection after the other; `world` has what comes of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._server: asyncio.Server | None = None
        self._closing = asyncio.Event()
        self.port = 0

    async def start(self, port: int, host: str) -> None:
        """Listen; port 0 takes a free one, and keeps it over a stop."""
        self._closing.clear()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._closing.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _connection(self) -> _Server:
        options = self._world.options
        server = _Server(
            self,
            data_size_limit=options.max_size,
            enable_SMTPUTF8=True,
            hostname="mx.people.example",
            ident="ESMTP",
            auth_required=options.login,
            auth_require_tls=False,
            authenticator=self._log_in,
            auth_exclude_mechanism=["LOGIN"],
        )
        server.dsn = options.dsn
        return server

    def _log_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        user = data.login.decode(errors="replace").lower()
        account = self._world.accounts.get(user)
        good = account is not None and account.password is not None and account.password.encode() == data.password
        self._world.called("AUTH", {"user": user}, 235 if good else 535)
        return AuthResult(success=good, handled=False, auth_data=user if good else None)

    # aiosmtpd finds these by their names.

    async def handle_EHLO(
        self, server: _Server, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if self._world.options.dsn:
            responses.insert(-1, "250-DSN")
        return responses

    async def handle_MAIL(
        self, server: _Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from, envelope.mail_options = address, [*options, *server.asked]
        told = {"from": address, "options": envelope.mail_options}
        reply = await self._reply(server, "MAIL", told, account=session.auth_data)
        return reply or "250 2.1.0 Sender ok"

    async def handle_RCPT(
        self, server: _Server, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        told = {"to": address, "options": [*options, *server.asked]}
        reply = await self._reply(server, "RCPT", told, account=session.auth_data, to=address.lower())
        known = address.lower() in self._world.people or address.lower() in self._world.accounts
        if reply is None and not known:
            self._world.called("RCPT", {"to": address}, 550)
            return "550 5.1.1 The mailbox you tried to reach does not exist"
        if reply is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return reply or "250 2.1.5 Recipient ok"

    async def handle_DATA(self, server: _Server, session: Session, envelope: Envelope) -> str:
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        first = envelope.rcpt_tos[0].lower()
        fault = self._fault("DATA", session.auth_data, first)
        if fault is not None and fault.kind != "drop_answer":
            reply = await self._struck(server, fault)
            if reply is not None:
                self._world.called("DATA", {"size": len(raw)}, fault.status if fault.kind == "error" else 0)
                return reply
        mail_id = self._world.next_id()
        self._take_in(mail_id, session, envelope, raw)
        self._world.called("DATA", {"size": len(raw), "to": envelope.rcpt_tos}, 250)
        if fault is not None and fault.kind == "drop_answer":
            server.hang_up()
        return f"250 2.0.0 Ok: queued as {mail_id}"

    def _take_in(self, mail_id: str, session: Session, envelope: Envelope, raw: bytes) -> None:
        for problem in problems(raw):
            self._world.violated("DATA", problem)
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        account = session.auth_data or envelope.mail_from or ""
        told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "options": envelope.mail_options}
        for address in envelope.rcpt_tos:
            if (person := self._world.people.get(address.lower())) is not None:
                mail = Mail(mail_id, account, person.address, True, self._world.clock.now(), raw, told)
                self._world.keep(person, mail)

    def _fault(self, call: str, account: object, to: object = None) -> Fault | None:
        if not self._world.faults.active:
            return None
        return self._world.faults.take(ON_CALLS, {"call": call, "account": account, "to": to})

    async def _reply(
        self, server: _Server, call: str, arguments: dict[str, Any], account: object, to: object = None
    ) -> str | None:
        """What a fault makes of a command; None where it goes well."""
        fault = self._fault(call, account, to)
        reply = await self._struck(server, fault) if fault is not None else None
        self._world.called(call, arguments, int(reply[:3]) if reply else 250)
        return reply

    async def _struck(self, server: _Server, fault: Fault) -> str | None:
        if fault.kind == "error":
            return f"{fault.status} {fault.description or '4.3.0 Try again later'}"
        if fault.kind == "slow":
            await self._world.clock.sleep(fault.seconds)
            return None
        if fault.kind == "hang":
            await self._closing.wait()
        server.hang_up()
        return "421 4.3.2 Closing"
