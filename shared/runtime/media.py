"""Media: the files of published messages are fetched, looked at and stored, then told of."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from time import time

import structlog
from pydantic import ValidationError

from shared.channel import Account, Channel, Event, OpenFile, OpensMedia, ProviderError
from shared.contract.content import Attachment, AttachmentStatus
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode, error
from shared.contract.events import AttachmentChanged, EventType, Message
from shared.contract.topics import Topics
from shared.media.blobs import Blobs, BlobsUnavailable
from shared.media.sniff import HEAD, sniff
from shared.runtime import metrics
from shared.runtime.accounts import AccountRegistry
from shared.runtime.publish import event_envelope
from shared.runtime.statuses import contract_error
from shared.stream.errors import LogUnavailable, NotNow
from shared.stream.log import Log
from shared.stream.records import Record, header

log = structlog.get_logger()

RETRY_SECONDS = 2.0
LONGEST_WAIT = 120.0
GIVE_UP_AFTER = timedelta(hours=1)
_WITH_FILES = frozenset(
    f"channels.{kind}.v1".encode()
    for kind in (EventType.MESSAGE_RECEIVED, EventType.MESSAGE_ECHOED, EventType.MESSAGE_EDITED)
)


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
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise _TooLarge(self.size)
            if len(self.head) < HEAD:
                self.head += chunk[: HEAD - len(self.head)]
            self._digest.update(chunk)
            yield chunk


def message_lane(record: Record) -> bytes:
    """Files of one message come in order; messages do not wait for each other."""
    return header(record, "ce_id") or record.key or b""


class MediaFetcher:
    """The handler of the inbound topic for the `media` role."""

    def __init__(
        self, channel: Channel, accounts: AccountRegistry, log_: Log, blobs: Blobs, topics: Topics, max_bytes: int
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._accounts = accounts
        self._log = log_
        self._blobs = blobs
        self._topic = topics.inbound(self._name)
        self._max_bytes = max_bytes

    async def handle(self, record: Record) -> None:
        """Store what a message's pending attachments point at. Raises NotNow while the provider is away."""
        if header(record, "ce_type") not in _WITH_FILES or record.value is None:
            return
        if b'"pending"' not in record.value:
            return
        try:
            message = Message.model_validate_json(record.value)
        except ValidationError:
            return
        account = self._accounts.get(message.account_id)
        for attachment in getattr(message.content, "attachments", ()):
            if attachment.status is AttachmentStatus.PENDING and attachment.provider_ref:
                await self._fetch(account, message, attachment)

    async def _fetch(self, account: Account | None, message: Message, attachment: Attachment) -> None:
        started = time()
        done = await self._stored(account, message, attachment)
        kind = EventType.ATTACHMENT_STORED if done.status is AttachmentStatus.STORED else EventType.ATTACHMENT_FAILED
        now = datetime.now(UTC)
        data = AttachmentChanged(
            channel=self._name,
            workspace_id=message.workspace_id,
            account_id=message.account_id,
            conversation_id=message.conversation_id,
            occurred_at=message.occurred_at,
            received_at=now,
            sequence=message.sequence,
            backfill=message.backfill,
            observed=message.observed,
            message_id=message.message_id,
            attachment=done,
        )
        envelope = event_envelope(self._name, Event(kind, data, provider_id=attachment.attachment_id))
        try:
            await self._log.send(self._topic, envelope.key, envelope.data.to_json(), envelope.headers())
        except LogUnavailable:
            raise NotNow(RETRY_SECONDS, "log_unavailable") from None
        outcome = "stored" if done.error is None else str(done.error.code)
        metrics.FILES.labels(self._name, outcome).inc()
        metrics.FILE_SECONDS.labels(self._name).observe(time() - started)

    async def _stored(self, account: Account | None, message: Message, attachment: Attachment) -> Attachment:
        if account is None or not isinstance(self._channel, OpensMedia):
            return _failed(attachment, ErrorCode.FILE_UNAVAILABLE)
        try:
            opened = await self._channel.open_media(attachment, message, account)
            reader = _Reader(opened, self._max_bytes)
            await self._blobs.put(attachment.blob or attachment.attachment_id, reader.chunks())
        except ProviderError as refused:
            return self._refused(message, attachment, refused)
        except _TooLarge as large:
            facts = {"limit": self._max_bytes, "actual": large.size}
            return attachment.model_copy(
                update={
                    "status": AttachmentStatus.FAILED,
                    "error": error(ErrorCode.FILE_TOO_LARGE, None, **facts),
                }
            )
        except Exception as broken:  # the download, the store or the channel: what comes next is the same
            if not isinstance(broken, (BlobsUnavailable, OSError, TimeoutError)):
                log.warning("file_failed", channel=self._name, exc_info=broken)
            if _age(message) < GIVE_UP_AFTER:
                raise NotNow(_patience(message), "files_unavailable") from broken
            return _failed(attachment, ErrorCode.FILE_UNAVAILABLE)
        return attachment.model_copy(
            update={
                "status": AttachmentStatus.STORED,
                "mime_type": sniff(reader.head, attachment.filename or opened.filename) or opened.mime_type,
                "size": reader.size,
                "sha256": reader.sha256,
                "filename": attachment.filename or opened.filename,
            }
        )

    def _refused(self, message: Message, attachment: Attachment, refused: ProviderError) -> Attachment:
        failure = refused.failure
        passing = ERRORS[failure.code].error_class in (
            ErrorClass.TRANSIENT,
            ErrorClass.RATE,
            ErrorClass.ACCOUNT,
            ErrorClass.UNCERTAIN,
        )
        if passing and _age(message) < GIVE_UP_AFTER:
            raise NotNow(max(failure.retry_after or 0.0, _patience(message)), "provider_unavailable")
        return attachment.model_copy(update={"status": AttachmentStatus.FAILED, "error": contract_error(failure)})


def _failed(attachment: Attachment, code: ErrorCode) -> Attachment:
    return attachment.model_copy(update={"status": AttachmentStatus.FAILED, "error": error(code)})


def _patience(message: Message) -> float:
    """Seconds until the next try: a quarter of the time it has taken so far, within bounds."""
    return min(max(RETRY_SECONDS, _age(message).total_seconds() / 4), LONGEST_WAIT)


def _age(message: Message) -> timedelta:
    return datetime.now(UTC) - message.received_at
