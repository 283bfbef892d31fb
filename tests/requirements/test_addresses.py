"""A command's file comes from the internet or not at all: none of its addresses reaches into our own network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shared.media import fetch
from tests.requirements.inside import Channel

pytestmark = pytest.mark.asyncio(loop_scope="session")

# One of each sort; every spelling there is: tests/shared/media/test_fetch.py.
ADDRESSES = [
    "https://127.0.0.1:{port}/file",
    "https://2130706433:{port}/file",
    "https://0x7f.1:{port}/file",
    "https://0177.0.0.1:{port}/file",
    "https://127。0。0。1:{port}/file",
    "https://localhost:{port}/file",
    "https://[::1]:{port}/file",
    "https://[::ffff:127.0.0.1]:{port}/file",
    "https://[64:ff9b::127.0.0.1]:{port}/file",
    "https://[2002:7f00:1::1]:{port}/file",
    "https://[::1%25lo]:{port}/file",
    "https://files.example.com@127.0.0.1:{port}/file",
    "http://127.0.0.1:{port}/file",
    "file://127.0.0.1:{port}/etc/passwd",
    "https://169.254.169.254:{port}/latest/meta-data/",
    "https://rebound.example.com:{port}/file",  # a name that has come to be ours
]


@pytest_asyncio.fixture(loop_scope="session")
async def knocks(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, list[Any]]]:
    """A port of this machine that counts as that of https, and who has connected to it."""
    found: list[Any] = []

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(writer.get_extra_info("peername"))
        writer.close()

    loop = asyncio.get_running_loop()
    usual = loop.getaddrinfo

    async def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        return await usual("127.0.0.1" if host == "rebound.example.com" else host, *arguments, **named)

    async with await asyncio.start_server(connected, "0.0.0.0", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setattr(fetch, "_PORT", port)
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        yield port, found


async def test_no_address_of_a_command_leads_into_our_own_network(
    telegram: Channel, knocks: tuple[int, list[Any]]
) -> None:
    port, found = knocks
    person = await telegram.person(await telegram.account())
    for address in ADDRESSES:
        attachment = {"url": address.format(port=port), "kind": "document"}
        error = await telegram.refused(person, content={"kind": "media", "attachments": [attachment]})
        assert (error["code"], error["field"]) == ("file_unavailable", "content.attachments.0"), address
    assert found == []
