"""Request bodies of the Bot API: query, JSON, form and multipart, whose files stream to disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import aiohttp
import orjson
from aiohttp import BodyPartReader, web

from sandbox.simulators.telegram.errors import bad_request

MAX_UPLOAD = 50_000_000  # bytes of one file (core.telegram.org/bots/api#sending-files)
_CHUNK = 65_536
_MAX_FIELD = 1_048_576


@dataclass(slots=True, eq=False)
class Upload:
    """A file received, on disk at `path`; `size` in bytes, `sha256` in hex."""

    filename: str
    mime_type: str
    path: Path
    size: int
    sha256: str

    def discard(self) -> None:
        """Delete the bytes."""
        self.path.unlink(missing_ok=True)


class TooLarge(Exception):
    """The body is more than the front proxy lets through."""


class Spool:
    """Writes incoming bytes to files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def store(
        self, chunks: BodyPartReader | aiohttp.StreamReader, filename: str, mime_type: str, limit: int
    ) -> Upload:
        """Stream to disk; raises `TooLarge` (and deletes what was written) above `limit` bytes."""
        path = self._directory / uuid4().hex
        digest = hashlib.sha256()
        size = 0
        with path.open("wb") as file:
            while chunk := await _read(chunks):
                size += len(chunk)
                if size > limit:
                    path.unlink()
                    raise TooLarge
                digest.update(chunk)
                file.write(chunk)
        return Upload(filename, mime_type, path, size, digest.hexdigest())

    def store_bytes(self, data: bytes, filename: str, mime_type: str) -> Upload:
        """The same for bytes at hand."""
        path = self._directory / uuid4().hex
        path.write_bytes(data)
        return Upload(filename, mime_type, path, len(data), hashlib.sha256(data).hexdigest())


async def _read(chunks: BodyPartReader | aiohttp.StreamReader) -> bytes:
    if isinstance(chunks, BodyPartReader):
        return await chunks.read_chunk(_CHUNK)
    return await chunks.read(_CHUNK)


async def read_parameters(request: web.BaseRequest, spool: Spool, max_file: int = MAX_UPLOAD) -> dict[str, Any]:
    """Parameters by name: text or JSON values as sent, files as `Upload`.

    Raises `ApiError` for a body that cannot be read and `TooLarge`.
    """
    parameters: dict[str, Any] = dict(request.query) if request.query_string else {}
    kind = request.content_type
    if kind == "multipart/form-data":
        await _read_multipart(request, spool, max_file, parameters)
    elif request.can_read_body:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge from None
        if kind == "application/json":
            parameters.update(_json_object(body))
        elif kind == "application/x-www-form-urlencoded":
            parameters.update(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return parameters


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        raise bad_request("can't parse request JSON object") from None
    if not isinstance(value, dict):
        raise bad_request("can't parse request JSON object")
    return {name: item for name, item in value.items() if item is not None}


async def _read_multipart(request: web.BaseRequest, spool: Spool, max_file: int, parameters: dict[str, Any]) -> None:
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            if part.filename is not None:
                mime_type = part.headers.get("Content-Type", "application/octet-stream")
                parameters[part.name] = await spool.store(part, part.filename, mime_type, max_file)
            else:
                parameters[part.name] = await _field(part)
    except BaseException as error:
        discard_uploads(parameters)
        if isinstance(error, ValueError | AssertionError):
            raise bad_request("can't parse multipart form data") from error
        raise


async def _field(part: BodyPartReader) -> str:
    text = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        text += chunk
        if len(text) > _MAX_FIELD:
            raise TooLarge
    return text.decode("utf-8", "replace")


def discard_uploads(parameters: dict[str, Any]) -> None:
    """Delete the files among the parameters."""
    for value in parameters.values():
        if isinstance(value, Upload):
            value.discard()
