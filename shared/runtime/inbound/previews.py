"""Previews: what an inbox shows of a file before anybody opens it, made between storing it and telling of it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from shared.contract.content import Attachment, AttachmentKind
from shared.media.blobs import BlobMissing, Blobs, BlobsUnavailable
from shared.media.facts import Unfit
from shared.media.processing import LOOKED_AT, Preview, Processor
from shared.runtime import metrics
from shared.workers import Busy

# A file is told of after so many seconds, with or without a preview. A worker that is not free soon will not be done in
# time; one that has begun is killed at its deadline.
LATEST, PATIENCE, DEADLINE = 2.5, 0.8, 1.6
_SHOWN = ("width", "height", "duration", "animated")


class Previews:
    """Adds to stored attachments what is in them. Never fails, and never takes longer than `LATEST`."""

    def __init__(self, channel: str, blobs: Blobs, processor: Processor) -> None:
        self._channel = channel
        self._blobs = blobs
        self._processor = processor

    async def added(self, attachment: Attachment) -> Attachment:
        """The attachment with its measures, and a thumbnail or a waveform, as far as they could be had."""
        if attachment.blob is None or attachment.mime_type not in LOOKED_AT:
            return attachment
        try:
            async with asyncio.timeout(LATEST):
                preview = await self._processor.preview(
                    attachment.blob,
                    attachment.mime_type,
                    waveform=attachment.kind is AttachmentKind.VOICE,
                    patience=PATIENCE,
                    deadline=DEADLINE,
                )
                found = await self._found(attachment.blob, attachment.mime_type, preview)
            outcome = "made"
        except (TimeoutError, Busy):
            found, outcome = {}, "late"
        except Unfit:
            found, outcome = {}, "unfit"
        except (BlobMissing, BlobsUnavailable):
            found, outcome = {}, "files_unavailable"
        metrics.PREVIEWS.labels(self._channel, outcome).inc()
        return attachment.model_copy(update=found)

    async def _found(self, blob: str, mime_type: str, preview: Preview) -> dict[str, Any]:
        facts = asdict(preview.facts)
        found = {name: facts[name] for name in _SHOWN if facts[name] is not None}
        if preview.facts.video is None and preview.facts.audio is not None:
            found["mime_type"] = mime_type.replace("video/", "audio/")  # the same container, and no picture in it
        if preview.waveform:
            found["waveform"] = preview.waveform
        if preview.thumbnail is not None:
            found["thumbnail"] = f"{blob}.thumbnail.jpg"
            await self._blobs.put_small(found["thumbnail"], preview.thumbnail, content_type="image/jpeg")
        return found
