"""Opens the files of commands for a channel: from the blob store, streamed."""

from __future__ import annotations

from pathlib import PurePosixPath

from shared.channel import FileUnavailable, OpenFile
from shared.contract.commands import File
from shared.media.blobs import BlobMissing, Blobs
from shared.media.sniff import HEAD, sniff
from shared.media.types import claim, upload_name

_FALLBACK_TYPE = "application/octet-stream"


class BlobFiles:
    """Implements `Files` of the port over the blob store."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def open(self, file: File) -> OpenFile:
        """The file's bytes. Raises FileUnavailable when they are not in the store."""
        if file.blob is None:
            raise FileUnavailable
        try:
            size = await self._blobs.size(file.blob)
            told = file.mime_type if claim(file.mime_type) else None
            mime = told or sniff(await self._blobs.head(file.blob, HEAD), file.filename) or _FALLBACK_TYPE
        except BlobMissing:
            raise FileUnavailable from None
        return OpenFile(
            filename=file.filename or _name(file.blob, mime),
            mime_type=mime,
            size=size,
            chunks=self._blobs.stream(file.blob),
        )


class NoFiles:
    """For calls that have none."""

    async def open(self, file: File) -> OpenFile:
        raise FileUnavailable


def _name(blob: str, mime: str) -> str:
    """A name with an extension: providers judge by it."""
    return upload_name(PurePosixPath(blob).name[:40], mime)
