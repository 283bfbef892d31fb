"""An S3 of one bucket in memory, which can be told to misbehave as S3 and the way to it do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from sandbox.broker import HOST, free_port

_XML = "<?xml version='1.0'?>"
_DENIED = f"{_XML}<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_BROKEN = f"{_XML}<Error><Code>ServiceUnavailable</Code><Message>Reduce your request rate.</Message></Error>"


class S3:
    """Objects by path. `mode`: `works`, `denies` (403), `fails` (503), `hangs`; `away` refuses connections."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.mode = "works"
        self.port = free_port()
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None

    def environment(self) -> dict[str, str]:
        """Settings of whoever keeps blobs here."""
        return {
            "BLOB_URL": "s3://bucket/files",
            "AWS_ENDPOINT": f"http://{HOST}:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "key",
            "AWS_REGION": "eu-central-1",
        }

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, reuse_address=True).start()

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @asynccontextmanager
    async def misbehaving(self, mode: str) -> AsyncIterator[None]:
        """In this way until the end of the block."""
        self.mode = mode
        self._released.clear()
        if mode == "away":
            await self.stop()
        try:
            yield
        finally:
            self.mode = "works"
            self._released.set()
            if mode == "away":
                await self.start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        match self.mode:
            case "denies":
                return web.Response(status=403, text="" if request.method == "HEAD" else _DENIED)
            case "fails":
                return web.Response(status=503, text="" if request.method == "HEAD" else _BROKEN)
            case "hangs":
                await self._released.wait()
        return self._done(request, body)

    def _done(self, request: web.Request, body: bytes) -> web.Response:
        upload = request.query.get("uploadId", "")
        match request.method:
            case "PUT" if upload:
                self._uploads[upload][int(request.query["partNumber"])] = body
                return web.Response(headers={"ETag": '"part"'})
            case "PUT":
                return self._kept(request.path, body)
            case "POST" if "uploads" in request.query:
                upload = str(len(self._uploads))
                self._uploads[upload] = {}
                inside = f"<UploadId>{upload}</UploadId>"
                return web.Response(
                    text=f"{_XML}<InitiateMultipartUploadResult>{inside}</InitiateMultipartUploadResult>"
                )
            case "POST":
                parts = self._uploads[upload]
                self._kept(request.path, b"".join(parts[number] for number in sorted(parts)))
                inside = "<ETag>x</ETag>"
                return web.Response(
                    text=f"{_XML}<CompleteMultipartUploadResult>{inside}</CompleteMultipartUploadResult>"
                )
            case "GET" | "HEAD":
                return self._found(request)
        return web.Response(status=204)

    def _kept(self, path: str, body: bytes) -> web.Response:
        self.objects[path] = body
        return web.Response(headers={"ETag": f'"{hashlib.sha256(body).hexdigest()}"'})

    def _found(self, request: web.Request) -> web.Response:
        if request.path not in self.objects:
            return web.Response(status=404)
        content = self.objects[request.path]
        headers = {"Last-Modified": "Tue, 01 Jan 2030 00:00:00 GMT", "ETag": '"x"'}
        wanted, whole = request.http_range, len(content)
        if wanted.start is not None:
            content = content[wanted]
            end = wanted.start + len(content) - 1
            headers["Content-Range"] = f"bytes {wanted.start}-{end}/{whole}"
            return web.Response(status=206, body=content, headers=headers)
        return web.Response(body=content, headers=headers)
