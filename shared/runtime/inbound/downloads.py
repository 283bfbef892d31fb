"""Fetching: one inbound file from the provider into the blob store, and what keeps it from getting there."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import structlog

from shared.channel import Account, Channel, Failure, OpenFile, OpensMedia, ProviderError
from shared.contract.content import Attachment, AttachmentStatus
from shared.contract.errors import Error, ErrorClass, ErrorCode, error
from shared.contract.events import Message, MessageEdited
from shared.media.blobs import Blobs, BlobsUnavailable
from shared.media.sniff import HEAD, sniff
from shared.media.transfers import TooSlow, steady
from shared.media.types import claim
from shared.runtime.inbound.previews import Previews
from shared.runtime.reporting.statuses import contract_error

log = structlog.get_logger()

_PASSING = frozenset({ErrorClass.TRANSIENT, ErrorClass.RATE, ErrorClass.ACCOUNT, ErrorClass.UNCERTAIN})


class Unfetched(Exception):
    """The file cannot be had now, and may be later.

    `error` is what to tell of it when nobody waits any longer, `failure` what the provider said, if it was asked.
    """

    def __init__(self, why: str, error_: Error, failure: Failure | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.error = error_
        self.failure = failure

    @property
    def of_account(self) -> bool:
        """It is the account's trouble: all its files wait for the same."""
        return self.error.error_class is ErrorClass.ACCOUNT

    @property
    def retry_after(self) -> float:
        """Seconds the provider asks us to wait; 0 when it asks for none."""
        return (self.failure.retry_after or 0.0) if self.failure is not None else 0.0


class _TooLarge(Exception):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class _Reader:
    """Reads a download once: keeps its head, its size and its digest, and stops it at the limit."""

    def __init__(self, opened: OpenFile, limit: int) -> None:
        self._chunks = opened.chunks
        self._limit = limit
        self._digest = hashlib.sha256()
        self.head = b""
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in steady(self._chunks):
            self.size += len(chunk)
            if self.size > self._limit:
                raise _TooLarge(self.size)
            if len(self.head) < HEAD:
                self.head += chunk[: HEAD - len(self.head)]
            self._digest.update(chunk)
            yield chunk


class Downloads:
    """Fetches files of one channel; `max_bytes` is the largest one that is kept."""

    def __init__(self, channel: Channel, blobs: Blobs, previews: Previews, max_bytes: int) -> None:
        self._channel = channel
        self._blobs = blobs
        self._previews = previews
        self._max_bytes = max_bytes

    async def fetch(self, account: Account, message: Message | MessageEdited, attachment: Attachment) -> Attachment:
        """The attachment as it is now: stored, or failed for good. Raises Unfetched."""
        if not isinstance(self._channel, OpensMedia):
            return failed(attachment, error(ErrorCode.FILE_UNAVAILABLE))
        try:
            opened = await self._channel.open_media(attachment, message, account)
            reader = _Reader(opened, self._max_bytes)
            try:
                await self._blobs.put(attachment.blob or attachment.attachment_id, reader.chunks())
            finally:
                await opened.close()
        except ProviderError as refused:
            told = contract_error(refused.failure)
            if told.error_class in _PASSING:
                raise Unfetched("provider_unavailable", told, refused.failure) from refused
            return failed(attachment, told)
        except _TooLarge as large:
            facts = {"limit": self._max_bytes, "actual": large.size}
            return failed(attachment, error(ErrorCode.FILE_TOO_LARGE, None, **facts))
        except TooSlow as slow:
            raise Unfetched("provider_too_slow", error(ErrorCode.FILE_UNAVAILABLE)) from slow
        except Exception as broken:  # the download, the store or the channel: what comes next is the same
            if not isinstance(broken, (BlobsUnavailable, OSError, TimeoutError)):
                log.warning("file_failed", channel=self._channel.capabilities.channel, exc_info=broken)
            raise Unfetched("files_unavailable", error(ErrorCode.FILE_UNAVAILABLE)) from broken
        name = attachment.filename or opened.filename
        stored = attachment.model_copy(
            update={
                "status": AttachmentStatus.STORED,
                "mime_type": sniff(reader.head, name) or opened.mime_type,
                "claimed_mime_type": attachment.claimed_mime_type or claim(opened.mime_type),
                "size": reader.size,
                "sha256": reader.sha256,
                "filename": name,
            }
        )
        return await self._previews.added(stored)


def failed(attachment: Attachment, why: Error) -> Attachment:
    """The attachment as one that will not come."""
    return attachment.model_copy(update={"status": AttachmentStatus.FAILED, "error": why})
