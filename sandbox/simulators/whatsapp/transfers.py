"""Media over HTTP: multipart uploads streamed to the store, downloads behind signed five-minute URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
from aiohttp import BodyPartReader, web
from aiohttp.multipart import MultipartReader

from sandbox.simulators.common import Fault, trickle
from sandbox.simulators.whatsapp.core import Core
from sandbox.simulators.whatsapp.errors import GraphError
from sandbox.simulators.whatsapp.media import LARGEST, Media

_CHUNK = 256 * 1024


async def chunks_of(part: BodyPartReader) -> AsyncIterator[bytes]:
    """The bytes of one multipart part, a chunk at a time."""
    while chunk := await part.read_chunk(_CHUNK):
        yield bytes(chunk)


def parts_of(reader: MultipartReader) -> AsyncIterator[BodyPartReader]:
    """The plain parts of a form; nested multiparts are skipped."""

    async def walk() -> AsyncIterator[BodyPartReader]:
        async for part in reader:
            if isinstance(part, BodyPartReader):
                yield part

    return walk()


class Transfers:
    """`POST /{phone_number_id}/media` and the attachment URLs."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def upload(self, request: web.Request) -> web.Response:
        """Answer `{"id": ...}`; GraphError 100 and 131053 as `MediaStore.upload`, 131008 for missing parts."""
        number = self._core.world.number(request.match_info["id"])
        if request.content_type != "multipart/form-data":
            raise GraphError(100, "The parameter file is required.")
        if (request.content_length or 0) > LARGEST + _CHUNK:
            raise GraphError(131053, f"File size exceeds the limit of {LARGEST} bytes.")
        media: Media | None = None
        refusal: GraphError | None = None
        fields: dict[str, str] = {}
        async for part in parts_of(await request.multipart()):
            if part.name != "file":
                fields[part.name or ""] = (await part.text())[:200]
                continue
            try:
                media = await self._core.media.upload(
                    chunks_of(part),
                    owner=number.phone_number_id,
                    mime_type=part.headers.get("Content-Type", "application/octet-stream"),
                    filename=part.filename,
                )
            except GraphError as error:
                refusal = error  # read on: a client still sending would never see the answer
        if refusal is None and fields.get("messaging_product") != "whatsapp":
            refusal = GraphError(100, "The parameter messaging_product is required.")
        if refusal is None and media is None:
            refusal = GraphError(100, "The parameter file is required.")
        if refusal is not None or media is None:
            if media is not None:
                self._core.media.delete(media.id)
            raise refusal or GraphError(100, "The parameter file is required.")
        return web.Response(body=orjson.dumps({"id": media.id}), content_type="application/json")

    async def trickle(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """A download of which a byte comes now and then."""
        query = request.query
        media = self._core.media.resolve(query.get("mid", ""), query.get("ext", ""), query.get("hash", ""))
        if media is None:
            return web.Response(status=404, text="Not Found")
        return await trickle(
            request, media.path.read_bytes(), media.mime_type, self._core.clock, self._core.faults, fault
        )

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The bytes; 404 once the five minutes or the file are gone (401 without a token comes before)."""
        query = request.query
        media = self._core.media.resolve(query.get("mid", ""), query.get("ext", ""), query.get("hash", ""))
        if media is None:
            return web.Response(status=404, text="Not Found")
        headers = {"Content-Type": media.mime_type}
        if media.filename and media.filename.isascii() and media.filename.isprintable():
            headers["Content-Disposition"] = f'attachment; filename="{media.filename.replace(chr(34), "")}"'
        return web.FileResponse(media.path, headers=headers)
