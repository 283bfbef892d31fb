"""A mail server that does what a test says, at any step: refuse, hang up, say nothing."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field

CLOSE = "close"  # hang up in the place of an answer
SILENT = "silent"  # say nothing, for ever
_EHLO = (
    "PIPELINING",
    "SIZE 52428800",
    "8BITMIME",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "SMTPUTF8",
    "AUTH PLAIN LOGIN XOAUTH2",
)
_ADDRESS = re.compile(r"<([^>]*)>")


@dataclass
class Received:
    """One mail as it came over the wire, dots taken out again."""

    sender: str
    recipients: list[str]
    data: bytes
    mail: str  # the whole MAIL command
    rcpt: list[str]
    greeting: str = ""


@dataclass
class ScriptedServer:
    """`replies` are by step: `greeting`, `EHLO`, `AUTH`, `MAIL`, `RCPT`, `RCPT <address>`, `DATA`, `piece`, `dot`,
    `NOOP`, `RSET`. Each is used as often as it is asked for; a list is used up one after the other."""

    replies: dict[str, str | list[str]] = field(default_factory=dict)
    extensions: tuple[str, ...] = _EHLO
    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    keep_data: bool = True

    async def __aenter__(self) -> ScriptedServer:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 20, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _said(self, step: str, otherwise: str) -> str:
        known = self.replies.get(step, otherwise)
        if isinstance(known, list):
            return known.pop(0) if known else otherwise
        return known

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(self, writer: asyncio.StreamWriter, reply: str) -> bool:
        """Whether the talk goes on."""
        if reply == CLOSE:
            return False
        if reply == SILENT:
            await asyncio.Event().wait()
        writer.write(reply.encode() + b"\r\n")
        await writer.drain()
        return not reply.startswith("421")

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._answer(writer, self._said("greeting", "220 mx.example ESMTP")):
            return
        greeting, sender, mail, recipients, rcpt = "", "", "", [], []
        while line := await reader.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            verb = command.partition(" ")[0].upper()
            address = (_ADDRESS.findall(command) or [""])[0]
            if verb == "EHLO":
                greeting = command
                lines = ["250-mx.example", *(f"250-{one}" for one in self.extensions), "250 HELP"]
                reply = self._said("EHLO", "\r\n".join(lines))
            elif verb == "AUTH":
                reply = self._said("AUTH", "235 2.7.0 Accepted")
            elif verb == "MAIL":
                reply, sender, mail, recipients, rcpt = self._said("MAIL", "250 2.1.0 Ok"), address, command, [], []
            elif verb == "RCPT":
                reply = self._said(f"RCPT {address}", self._said("RCPT", "250 2.1.5 Ok"))
                if reply.startswith("25"):
                    recipients.append(address)
                    rcpt.append(command)
            elif verb == "DATA":
                reply = self._said("DATA", "354 Go ahead")
                if not await self._answer(writer, reply):
                    return
                if reply.startswith("354"):
                    data = await self._data(reader, writer)
                    if data is None:
                        return
                    self.received.append(Received(sender, recipients, data, mail, rcpt, greeting))
                    if not await self._answer(writer, self._said("dot", "250 2.0.0 Ok: queued as 42")):
                        return
                continue
            elif verb == "QUIT":
                await self._answer(writer, "221 2.0.0 Bye")
                return
            else:
                reply = self._said(verb, "250 2.0.0 Ok")
            if not await self._answer(writer, reply):
                return

    async def _data(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        kept: list[bytes] = []
        lines = 0
        while True:
            line = await reader.readline()
            if not line:
                return None
            if line == b".\r\n":
                return b"".join(kept)
            lines += 1
            if lines == 3 and "piece" in self.replies:
                await self._answer(writer, self._said("piece", ""))
                return None
            if self.keep_data:
                kept.append(line[1:] if line.startswith(b".") else line)
