"""`GET /v1/blobs/{key}`: a stored file of a workspace, by an address that is good for a moment, or its bytes."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

from aiohttp import web

from shared.contract import ids
from shared.media.blobs import BlobMissing, Blobs, BlobsUnavailable, Stat
from shared.media.sniff import HEAD, sniff
from shared.runtime.http.server import RETRY_AFTER_SECONDS

SIGNED_FOR = timedelta(seconds=300)
_SLOWEST = 30.0  # seconds that a reader may take for a chunk
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
# Shown or played where they are; everything else is only saved. None of them can run anything.
_SHOWN = ("image/jpeg", "image/png", "image/gif", "image/webp", "audio/", "video/")
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-cache",
    "Accept-Ranges": "bytes",
}


class BlobAddresses:
    """Files by their keys. A key of another workspace is one that is not there: nothing tells them apart."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/blobs/{key:.+}", self.get)]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """A redirect to the store, where it signs addresses; else the bytes, whole or one range of them."""
        key = request.match_info["key"]
        if not ids.is_blob_of(request.query.get("workspace_id", ""), key):
            raise web.HTTPNotFound
        try:
            stat = await self._blobs.stat(key)
            if (address := await self._blobs.signed(key, SIGNED_FOR)) is not None:
                raise web.HTTPFound(address, headers={"Cache-Control": "private, no-store"})
            return await self._answered(request, key, stat)
        except BlobMissing:
            raise web.HTTPNotFound from None
        except BlobsUnavailable:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": RETRY_AFTER_SECONDS}) from None

    async def _answered(self, request: web.Request, key: str, stat: Stat) -> web.StreamResponse:
        etag = f'"{stat.version.strip(chr(34))}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        whole = range(stat.size)
        wanted = _wanted(request, stat.size, etag)
        if wanted is None:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{stat.size}"})
        response = web.StreamResponse(status=200 if wanted == whole else 206, headers={**_SAFE, "ETag": etag})
        if wanted != whole:
            response.headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{stat.size}"
        kind = sniff(await self._blobs.head(key, HEAD)) or "application/octet-stream"
        shown = kind.startswith(_SHOWN)
        response.content_type = kind if shown else "application/octet-stream"
        response.headers["Content-Disposition"] = "inline" if shown else "attachment"
        response.content_length = len(wanted)
        await response.prepare(request)
        if request.method != "HEAD" and wanted:
            await self._written(response, key, wanted)
        return response

    async def _written(self, response: web.StreamResponse, key: str, wanted: range) -> None:
        """What is wrong from here on can only be said by breaking off."""
        async for chunk in self._blobs.stream(key, wanted):
            async with asyncio.timeout(_SLOWEST):
                await response.write(chunk)
        await response.write_eof()


def _wanted(request: web.Request, size: int, etag: str) -> range | None:
    """The bytes that were asked for: all of them, unless it is one range of this very file. None for one beyond it."""
    asked = _RANGE.match(request.headers.get("Range", ""))
    if asked is None or not any(asked.groups()) or request.headers.get("If-Range", etag) != etag:
        return range(size)
    first, last = asked.groups()
    if not first:
        return range(max(0, size - int(last)), size) if int(last) and size else None
    if last and int(last) < int(first):
        return range(size)
    end = min(int(last) + 1, size) if last else size
    return range(int(first), end) if int(first) < size else None
