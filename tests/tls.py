"""Certificates of an authority of our own, and a listener that puts TLS in front of a server that has none."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.broker import HOST

MISSING = None if shutil.which("openssl") else "no openssl"


@dataclass(frozen=True)
class Pair:
    """A certificate with its private key in one PEM file, and each in a file of its own."""

    both: Path
    certificate: Path
    key: Path


class Authority:
    """Signs certificates for `localhost` and 127.0.0.1; `certificate` is what proves them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self.certificate, self._key = directory / "ca.pem", directory / "ca.key"
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=an authority"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def sign(self, name: str, *, addresses: str = "DNS:localhost,IP:127.0.0.1") -> Pair:
        made = Pair(*(self._directory / f"{name}.{kind}" for kind in ("both.pem", "pem", "key")))
        request = self._directory / f"{name}.csr"
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={addresses}\n")
        self._openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", str(made.key), "-out", str(request)),
        )
        self._openssl(
            *("x509", "-req", "-in", str(request), "-days", "2", "-extfile", str(extensions), "-CAcreateserial"),
            *("-CA", str(self.certificate), "-CAkey", str(self._key), "-out", str(made.certificate)),
        )
        made.both.write_text(made.certificate.read_text() + made.key.read_text())
        return made

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@asynccontextmanager
async def tls_in_front(port: int, pair: Pair, asks_for: Path | None = None) -> AsyncIterator[int]:
    """The port of a listener with TLS before `port`; clients have to prove themselves to the authority `asks_for`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for)
    running: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection(HOST, port)
        for ways in ((reader, behind[1]), (behind[0], writer)):
            task = asyncio.create_task(copy(*ways))
            running.add(task)
            task.add_done_callback(running.discard)

    server = await asyncio.start_server(relay, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
