"""Opens the files of commands for a channel: from the blob store, streamed; what is only linked is fetched first."""

from __future__ import annotations

from pathlib import PurePosixPath
from uuid import uuid4

from shared.channel import FileUnavailable, OpenFile
from shared.contract.capabilities import LARGEST_FILE
from shared.contract.commands import File
from shared.media.blobs import BlobMissing, Blobs
from shared.media.fetch import FetchRefused, FetchTooLarge, UrlFetcher
from shared.media.sniff import HEAD, sniff
from shared.media.types import claim, upload_name

_FALLBACK_TYPE = "application/octet-stream"


class BlobFiles:
    """Implements `Files` of the port over the blob store."""

    def __init__(self, blobs: Blobs, fetcher: UrlFetcher) -> None:
        self._blobs = blobs
        self._fetcher = fetcher

    async def open(self, file: File) -> OpenFile:
        """The file's bytes. Raises FileUnavailable when they cannot be had."""
        try:
            blob = await self._fetched(file.url) if file.url else file.blob
            if blob is None:
                raise FileUnavailable
            size = await self._blobs.size(blob)
            told = file.mime_type if claim(file.mime_type) else None
            mime = told or sniff(await self._blobs.head(blob, HEAD), file.filename) or _FALLBACK_TYPE
        except (BlobMissing, FetchRefused, FetchTooLarge):
            raise FileUnavailable from None
        return OpenFile(
            filename=file.filename or _name(blob, mime),
            mime_type=mime,
            size=size,
            chunks=self._blobs.stream(blob),
        )

    async def _fetched(self, url: str) -> str:
        """The blob that a link was copied to, which the provider was given and could not follow. Raises FetchRefused,
        FetchTooLarge."""
        blob = f"fetched/links/{uuid4().hex}"
        await self._blobs.put(blob, self._fetcher.fetch(url, max_bytes=LARGEST_FILE))
        return blob


class NoFiles:
    """For calls that have none."""

    async def open(self, file: File) -> OpenFile:
        raise FileUnavailable


def _name(blob: str, mime: str) -> str:
    """A name with an extension: providers judge by it."""
    return upload_name(PurePosixPath(blob).name[:40], mime)
