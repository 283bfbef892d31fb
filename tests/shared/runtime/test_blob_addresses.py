"""Files of an inbox from a directory: whole, in ranges, safe to open, and only those of the workspace that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from shared.media.blobs import Blobs
from shared.runtime.http.blobs import BlobAddresses
from tests.shared.media import samples

TEXT = bytes(range(256)) * 2000


@pytest.fixture
async def blobs(tmp_path: Path) -> Blobs:
    store = Blobs(f"file://{tmp_path}/blobs")
    for key, content in {
        "ws/acc/file": TEXT,
        "ws/acc/photo": samples.picture("JPEG"),
        "ws/acc/page": b"<!doctype html><script>alert(1)</script>",
        "ws/acc/drawing": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "ws/acc/empty": b"",
        "ws/acc/50% März.pdf": b"%PDF-1.7\n",
        "other/acc/file": b"secret",
        "raw-blob/x": b"secret",
    }.items():
        await store.put_small(key, content, content_type="x/x")
    return store


@pytest.fixture
async def client(blobs: Blobs) -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application()
    app.add_routes(BlobAddresses(blobs).routes())
    async with TestClient(TestServer(app)) as made:
        yield made


async def asked(client: TestClient[Any, Any], key: str, workspace: str = "ws", **headers: str) -> tuple[Any, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = aiohttp.client.URL.build(path=f"/v1/blobs/{key}", query={"workspace_id": workspace})
    async with client.get(path, headers=named) as answer:
        return answer, await answer.read()


async def test_all_of_a_file(client: TestClient[Any, Any]) -> None:
    answer, body = await asked(client, "ws/acc/file")
    assert (answer.status, body) == (200, TEXT)
    assert answer.headers["Accept-Ranges"] == "bytes"
    again, nothing = await asked(client, "ws/acc/file", If_None_Match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, b"")
    assert (await asked(client, "ws/acc/empty"))[1] == b""
    assert (await asked(client, "ws/acc/50% März.pdf"))[1] == b"%PDF-1.7\n"


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=1000-", slice(1000, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=511990-999999999", slice(511990, None)),
    ],
)
async def test_a_range_of_it(client: TestClient[Any, Any], wanted: str, part: slice) -> None:
    answer, body = await asked(client, "ws/acc/file", Range=wanted)
    assert (answer.status, body) == (206, TEXT[part])
    start, stop, _ = part.indices(len(TEXT))
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(TEXT)}"


@pytest.mark.parametrize("wanted", ["bytes=512000-", "bytes=-0"])
async def test_a_range_beyond_it(client: TestClient[Any, Any], wanted: str) -> None:
    answer, _ = await asked(client, "ws/acc/file", Range=wanted)
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */512000")


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "pages=1", "bytes=5-1", "bytes=-", "bytes=a-b"])
async def test_what_is_no_single_range_gives_all(client: TestClient[Any, Any], wanted: str) -> None:
    answer, body = await asked(client, "ws/acc/file", Range=wanted)
    assert (answer.status, body) == (200, TEXT)


async def test_a_range_of_another_version_gives_all(client: TestClient[Any, Any]) -> None:
    answer, body = await asked(client, "ws/acc/file", Range="bytes=0-1", If_Range='"old"')
    assert (answer.status, body) == (200, TEXT)


async def test_nothing_in_a_file_can_run(client: TestClient[Any, Any]) -> None:
    for key, kind, shown in (
        ("ws/acc/photo", "image/jpeg", "inline"),
        ("ws/acc/page", "application/octet-stream", "attachment"),
        ("ws/acc/drawing", "application/octet-stream", "attachment"),
    ):
        answer, _ = await asked(client, key)
        assert (answer.content_type, answer.headers["Content-Disposition"]) == (kind, shown)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")


@pytest.mark.parametrize(
    ("key", "workspace"),
    [
        ("ws/acc/none", "ws"),
        ("other/acc/file", "ws"),
        ("ws/acc/file", "other"),
        ("ws/acc/file", ""),
        ("raw-blob/x", "raw-blob"),
        ("ws/../other/acc/file", "ws"),
        ("ws/%2e%2e/other/acc/file", "ws"),
        ("ws//acc/file", "ws"),
    ],
)
async def test_what_is_not_the_workspaces_is_not_there(client: TestClient[Any, Any], key: str, workspace: str) -> None:
    answer, body = await asked(client, key, workspace)
    assert answer.status == 404 and b"secret" not in body
