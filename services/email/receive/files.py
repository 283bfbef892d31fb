"""The files of a mail, read out of its raw form: a range of it, decoded while it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from services.email.receive.transfer import Step, file_chunks, open_reference
from shared.channel import Failure, FileUnavailable, OpenFile, ProviderError, RawStore
from shared.contract.content import Attachment
from shared.contract.errors import ErrorCode

_BETWEEN = "#"


def reference_in(blob: str | None, reference: str) -> str:
    """How an attachment names its file: by the mail in the raw store, and by where in it the file stands."""
    return reference if blob is None else f"{blob}{_BETWEEN}{reference}"


async def open_file(raw: RawStore, attachment: Attachment) -> OpenFile:
    """Raises ProviderError where the reference names no file."""
    blob, _, reference = (attachment.provider_ref or "").rpartition(_BETWEEN)
    try:
        steps = open_reference(reference)
    except ValueError:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE)) from None
    chunks = raw.read(blob, steps[0].start, steps[0].end)
    return OpenFile(
        attachment.filename or "",
        attachment.mime_type or "application/octet-stream",
        attachment.size or 0,
        _decoded(chunks, steps),
    )


async def _decoded(chunks: AsyncIterator[bytes], steps: tuple[Step, ...]) -> AsyncIterator[bytes]:
    """Decoding is done beside the event loop, piece by piece. Raises ProviderError when the mail is gone."""
    loop = asyncio.get_running_loop()

    def pulled() -> Iterator[bytes]:
        while (chunk := asyncio.run_coroutine_threadsafe(_next(chunks), loop).result()) is not None:
            yield chunk

    decoded = file_chunks(pulled(), steps)
    try:
        while (piece := await asyncio.to_thread(next, decoded, None)) is not None:
            if piece:
                yield piece
    except FileUnavailable:
        raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE)) from None


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)
