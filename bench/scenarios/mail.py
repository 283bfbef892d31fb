"""Mail: SMTP → 250, raw → event with the workers that parse, and memory over many mails."""

from __future__ import annotations

import asyncio
import time
from email.message import EmailMessage
from typing import Any

from aiokafka import AIOKafkaConsumer

from bench.channels import TEXT, WORKSPACE
from bench.figures import Aim, Figure, Result, series
from bench.scenarios import Options
from bench.stage import BenchFailed, Side
from sandbox.broker import HOST, free_port

ADDRESS = "support@acme.example"
PEOPLE = 1_000
CONNECTIONS = 10
MAILS = 20_000
TAKEN_A_SECOND, READ_A_SECOND = 500, 200
PATIENCE = 60.0  # seconds without an event
_MIB = 2**20
_QUOTED = "> Hello Ida, your order is on its way and will be with you soon.\n" * 15


class Email:
    """The service of a mailbox that mail servers deliver to."""

    name = "email"

    def __init__(self, port: int) -> None:
        self.port = port

    def settings(self, provider_url: str) -> dict[str, str]:
        return {"smtp_listen": f"{HOST}:{self.port}", "token_key": "bench"}

    def account(self, number: int) -> dict[str, Any]:
        return {
            "account_id": f"mail{number}",
            "workspace_id": WORKSPACE,
            "channel": self.name,
            "external_id": ADDRESS,
            "credentials": {"password": "bench"},
        }


def mail(number: int) -> bytes:
    """A reply in text and html with a quoted part, 4 KB, as it goes over the wire."""
    made = EmailMessage()
    made["From"] = f"Ida Lund <ida{number % PEOPLE}@example.net>"
    made["To"] = ADDRESS
    made["Subject"] = f"Re: Your order {number}"
    made["Message-ID"] = f"<{number}.bench@example.net>"
    made["In-Reply-To"] = made["References"] = "<order@acme.example>"
    for hop in range(3):
        made["Received"] = f"from mx{hop}.example.net by mx.acme.example with ESMTPS id {number}{hop}"
    wrote = "On Mon, Nov 16, 2026 at 9:12 AM Acme"
    made.set_content(f"{TEXT}\n\n{wrote} <{ADDRESS}> wrote:\n\n{_QUOTED}")
    quoted = "<p>Hello Ida, your order is on its way and will be with you soon.</p>" * 15
    made.add_alternative(
        f"<div dir=ltr>{TEXT}</div><br><div class=gmail_quote><div class=gmail_attr>{wrote} wrote:<br></div>"
        f"<blockquote class=gmail_quote>{quoted}</blockquote></div>",
        subtype="html",
    )
    return made.as_bytes().replace(b"\n", b"\r\n")


async def run(options: Options) -> list[Result]:
    of, listening = Email(free_port()), Email(free_port())
    count, early = options.size(MAILS), options.size(MAILS) // 10
    mails = [mail(number) for number in range(count)]
    async with (
        options.stage() as stage,
        stage.service(of, "ingress") as ingress,
        # Roles that take nothing in listen to nobody.
        stage.service(listening, "normalise") as normalise,
        stage.reader(normalise.topics.inbound(of.name)) as reader,
    ):
        await _deliver(of.port, mails[:early])  # connections, caches, first allocations
        await _events(reader, early)
        before = ingress.process.memory(), normalise.process.memory() + normalise.process.workers()[1]
        normalise.process.pause()
        took, cpu = await _timed(ingress, _deliver(of.port, mails[early:]))
        began, used = time.monotonic(), _cpu(normalise)
        normalise.process.resume()
        await _events(reader, count - early)
        read_in, ended = time.monotonic() - began, _cpu(normalise)
        after = ingress.process.memory(), normalise.process.memory() + normalise.process.workers()[1]
    done = count - early
    parsing = ended[1] - used[1]
    reading = ended[0] - used[0] + parsing
    figures = (
        Figure("SMTP → 250", "mails/s", series([done / took]), aims=(Aim(TAKEN_A_SECOND),)),
        Figure("SMTP → 250, processor time", "ms/mail", series([cpu / done * 1e3]), aims=(Aim(2, "at most"),)),
        Figure("raw → event", "mails/s", series([done / read_in]), aims=(Aim(READ_A_SECOND),)),
        Figure("raw → event, processor time", "ms/mail", series([reading / done * 1e3]), aims=(Aim(5, "at most"),)),
        Figure("of it in the workers that parse", "ms/mail", series([parsing / done * 1e3])),
        Figure(f"ingress, memory after {early:,} mails", "MiB", series([before[0] / _MIB])),
        Figure(f"ingress, memory after {count:,} mails", "MiB", series([after[0] / _MIB])),
        Figure(f"normalise and its workers, memory after {early:,} mails", "MiB", series([before[1] / _MIB])),
        Figure(f"normalise and its workers, memory after {count:,} mails", "MiB", series([after[1] / _MIB])),
    )
    kilobytes = len(mails[0]) / 1000
    setting = (
        f"A process with `ROLES=ingress` and one with `ROLES=normalise`; {done:,} replies of {kilobytes:.1f} "
        f"KB in text and html from {PEOPLE:,} people, over {CONNECTIONS} SMTP connections from another process, each "
        "answered when the broker has acknowledged it; then the backlog is worked off. Raw mail lies in a directory."
    )
    return [Result("Mail, email", setting, figures)]


def _cpu(side: Side) -> tuple[float, float]:
    return side.process.cpu_seconds(), side.process.workers()[0]


async def _timed(side: Side, work: Any) -> tuple[float, float]:
    """Seconds that something took, and seconds of processor time that it cost a process."""
    began, used = time.monotonic(), side.process.cpu_seconds()
    await work
    return time.monotonic() - began, side.process.cpu_seconds() - used


async def _deliver(port: int, mails: list[bytes]) -> None:
    """Hand mails over by SMTP. Raises BenchFailed for one that is not taken."""
    waiting = iter(mails)
    await asyncio.gather(*(_connection(port, waiting) for _ in range(CONNECTIONS)))


async def _connection(port: int, mails: Any) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)

    async def answered(line: bytes, expected: bytes) -> None:
        if line:
            writer.write(line)
        while (said := await reader.readline())[3:4] == b"-":
            pass
        if not said.startswith(expected):
            raise BenchFailed(f"{line[:20]!r} was answered {said!r}")

    await answered(b"", b"220")
    await answered(b"EHLO bench.example\r\n", b"250")
    for one in mails:
        await answered(b"MAIL FROM:<ida@example.net>\r\n", b"250")
        await answered(b"RCPT TO:<" + ADDRESS.encode() + b">\r\n", b"250")
        await answered(b"DATA\r\n", b"354")
        await answered(one + b"\r\n.\r\n", b"250")
    await answered(b"QUIT\r\n", b"221")
    writer.close()


async def _events(reader: AIOKafkaConsumer, count: int) -> None:
    """Wait for so many events. Raises BenchFailed where none come any more."""
    found, last = 0, time.monotonic()
    while found < count:
        batches = await reader.getmany(timeout_ms=200)
        if batches:
            found, last = found + sum(map(len, batches.values())), time.monotonic()
        elif time.monotonic() - last > PATIENCE:
            raise BenchFailed(f"{count - found} of {count} mails did not become events")
