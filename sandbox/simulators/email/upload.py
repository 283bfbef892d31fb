"""A file that somebody sends, held until the mail is written."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import BodyPartReader

from sandbox.simulators.common import ControlError

MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    filename: str
    mime_type: str
    content: bytes


class Uploads:
    """Takes in the files of a form."""

    async def store(self, part: BodyPartReader) -> Upload:
        content = bytearray()
        while chunk := await part.read_chunk():
            content += chunk
            if len(content) > MAX_BYTES:
                raise ControlError(400, f"the file is larger than {MAX_BYTES // 1024 // 1024} MB")
        kind = part.headers.get("Content-Type", "application/octet-stream")
        return Upload(part.filename or "file", kind.partition(";")[0], bytes(content))

    def discard(self, stored: Upload) -> None:
        """It is in memory only."""
