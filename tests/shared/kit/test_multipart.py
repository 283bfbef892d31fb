"""Uploads: forms as a server reads them, files that break or lie about their length, names that stay in place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestServer

from shared.channel import FileUnavailable, OpenFile, ProviderError
from shared.contract.commands import File
from shared.contract.errors import ErrorCode
from shared.kit.http import open_session
from shared.kit.multipart import FilePart, form, open_file, uploading


@dataclass
class Reader:
    """A server that reads forms: name → (file name, content type, bytes)."""

    forms: list[dict[str, tuple[str | None, str | None, bytes]]] = field(default_factory=list)
    lengths: list[int | None] = field(default_factory=list)

    async def read(self, request: web.Request) -> web.Response:
        found = {}
        async for part in await request.multipart():
            found[part.name] = (part.filename, part.headers.get("Content-Type"), bytes(await part.read()))
        self.forms.append(found)
        self.lengths.append(request.content_length)
        return web.Response()


@pytest.fixture
async def reader() -> AsyncIterator[tuple[Reader, str]]:
    reading = Reader()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/", reading.read)
    async with TestServer(app) as server:
        yield reading, str(server.make_url("/"))


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def post(url: str, part: FilePart) -> None:
    body = form({"kind": "größer"}, {"file": part})
    async with open_session(1) as session, uploading([part], 5.0), session.post(url, data=body) as response:
        assert response.status == 200


async def test_fields_and_a_file_arrive_and_the_length_is_told(reader: tuple[Reader, str]) -> None:
    server, url = reader
    closed = []

    async def close() -> None:
        closed.append(True)

    part = FilePart(OpenFile("März.pdf", "application/pdf", 6, pieces(b"abc", b"def"), close))
    await post(url, part)
    assert server.forms == [
        {
            "kind": (None, "text/plain; charset=utf-8", "größer".encode()),
            "file": ("März.pdf", "application/pdf", b"abcdef"),
        }
    ]
    assert server.lengths[0] is not None
    assert (part.written, part.unreadable, closed) == (True, False, [True])


@pytest.mark.parametrize(
    ("name", "mime_type", "arrives"),
    [
        ("IMG 0042", "image/jpeg", "IMG 0042.jpg"),
        ("a.exe", "image/png", "a.png"),
        ('x".pdf\r\nX-Evil: 1', "application/pdf", "x_.pdf__X-Evil: 1.pdf"),
        ("", "application/x-unheard-of", "file"),
        ("y" * 300 + ".pdf", "application/pdf", "y" * 251 + ".pdf"),
    ],
)
async def test_a_name_stays_in_its_header_and_ends_as_its_type_says(
    reader: tuple[Reader, str], name: str, mime_type: str, arrives: str
) -> None:
    server, url = reader
    await post(url, FilePart(OpenFile(name, mime_type, 1, pieces(b"a"))))
    assert server.forms[0]["file"][0] == arrives


async def broken() -> AsyncIterator[bytes]:
    yield b"abc"
    raise RuntimeError("disk gone")


@pytest.mark.parametrize("case", ["breaks", "shorter", "longer"])
async def test_a_file_that_breaks_or_lies_about_its_length_never_looks_complete(
    reader: tuple[Reader, str], case: str
) -> None:
    server, url = reader
    chunks = {"breaks": broken(), "shorter": pieces(b"ab"), "longer": pieces(b"abc", b"defgh")}[case]
    part = FilePart(OpenFile("a.txt", "text/plain", 6, chunks))
    with pytest.raises(ClientError):
        await post(url, part)
    assert (part.written, part.unreadable) == (False, True)
    assert server.forms == []


async def test_a_file_that_is_gone_is_a_certain_failure() -> None:
    class Empty:
        async def open(self, file: File) -> OpenFile:
            raise FileUnavailable

    with pytest.raises(ProviderError) as refused:
        await open_file(Empty(), File(blob="b"))
    assert (refused.value.failure.code, refused.value.failure.certain) == (ErrorCode.FILE_UNAVAILABLE, True)
