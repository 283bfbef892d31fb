"""Media: the files of published messages are fetched, looked at and stored, then told of."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from time import time

from pydantic import ValidationError

from shared.channel import Account, Event, HealthChange
from shared.contract.content import Attachment, AttachmentStatus
from shared.contract.errors import ErrorCode, error
from shared.contract.events import AttachmentChanged, EventType, Health, Message, MessageEdited
from shared.contract.topics import Topics
from shared.runtime import metrics
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.inbound.downloads import Downloads, Unfetched, failed
from shared.runtime.reporting.publish import event_envelope, publish
from shared.runtime.waiting.lanes import account_called, account_group, lane_group
from shared.runtime.waiting.slots import AccountSlots
from shared.stream.errors import LogUnavailable, NotNow, RecordTooLarge
from shared.stream.log import Log
from shared.stream.parking import Parking
from shared.stream.records import INJECTED, Record, header

SHORT_WAIT = 2.0
LONGEST_WAIT = 120.0
ACCOUNT_SLOTS = 4  # files of one account at once, so that hanging ones leave room for the others
QUICK_SLOTS, SLOW_SLOTS = 24, 32  # files at once: on their way to the store each may hold two parts of 5 MiB
SLOTS = QUICK_SLOTS + SLOW_SLOTS + QUICK_SLOTS  # and as many again for what needs no slot: to be read, parked, told
IN_LANE_FOR = timedelta(seconds=8)  # of a message's life: a lane that waits longer fills the window for the others
HANGING_WAIT = timedelta(seconds=15)  # about as long as a download that does not move is let be
GIVE_UP_AFTER = timedelta(hours=1)  # of trouble at the provider
ACCOUNT_PATIENCE = timedelta(hours=24)  # after receipt: providers keep files at least so long
_TOLD = "files_told"
_SINCE = "files_since"
_WITH_FILES: dict[bytes, type[Message] | type[MessageEdited]] = {
    b"channels.message.received.v1": Message,
    b"channels.message.echoed.v1": Message,
    b"channels.message.edited.v1": MessageEdited,
}


def message_lane(record: Record) -> bytes:
    """Files of one message come in order; messages do not wait for each other."""
    return header(record, "ce_id") or record.key or b""


@dataclass(frozen=True, slots=True)
class _Wait:
    """A message's files, of which `told` have come to an end, are parked `until` then.

    `since`: when trouble at the provider began; None where it is the account's, whose recovery ends the wait where it
    is known to be paused, and behind other files of the account.
    """

    trouble: Unfetched
    told: int
    until: datetime
    since: datetime | None


class MediaHandler:
    """The handler of the inbound topic for the `media` role.

    What has to wait long is parked, by the id of its event: it holds up nobody else's files, and survives a restart.
    """

    def __init__(
        self,
        channel: str,
        accounts: AccountRegistry,
        health: AccountsHealth,
        log_: Log,
        files: Downloads,
        topics: Topics,
        parking: Parking,
    ) -> None:
        self._channel = channel
        self._accounts = accounts
        self._health = health
        self._log = log_
        self._files = files
        self._topic = topics.inbound(channel)
        self._parking = parking
        self._slots = AccountSlots(ACCOUNT_SLOTS, QUICK_SLOTS, SLOW_SLOTS)

    async def admit(self, record: Record) -> AbstractContextManager[None]:
        """Wait until there is a slot for the record's account, and keep it; at once where the record needs none."""
        account_id = account_called(record)
        if account_id is None or _kind_with_files(record) is None:
            return nullcontext()
        return await self._slots.kept(account_id)

    async def handle(self, record: Record) -> None:
        """Store what a message's pending attachments point at. Raises NotNow while it has to wait a little."""
        kind = _kind_with_files(record)
        if kind is None or record.value is None:
            return
        if record.offset != INJECTED and self._parking.parked(message_lane(record)):
            return  # it has come a second time, and waits already
        try:
            message = kind.model_validate_json(record.value)
        except ValidationError:
            return
        try:
            wait = await self._in_turn(record, message)
            if wait is None:
                await self._parking.release(message_lane(record))
            else:
                await self._park(record, message, wait)
        except LogUnavailable:
            raise NotNow(SHORT_WAIT, "log_unavailable") from None

    async def poisoned(self, record: Record) -> None:
        """The record is a dead letter now, and not parked any more."""
        await self._parking.release(message_lane(record))

    async def _in_turn(self, record: Record, message: Message | MessageEdited) -> _Wait | None:
        """Fetch in one of the account's slots. Raises as `_fetch_all`, and NotNow when none is free."""
        if not self._slots.hangs(message.account_id):
            with self._slots.taken(message.account_id) as slot:
                wait = await self._fetch_all(record, message)
                slot.failed = wait is not None
                return wait
        # Its downloads hang: in their lanes the others would fill the window in which other accounts' records come.
        busy = Unfetched("account_busy", error(ErrorCode.FILE_UNAVAILABLE))
        now = datetime.now(UTC)
        again = now + max(HANGING_WAIT, _patience(busy, now - message.received_at))
        return _Wait(busy, _number(record, _TOLD) or 0, again, _since(record))

    async def _fetch_all(self, record: Record, message: Message | MessageEdited) -> _Wait | None:
        """Fetch what is left, in order; None when all files have come to an end. Raises NotNow, LogUnavailable."""
        account = self._accounts.served(message.account_id)
        if account is None and not self._accounts.is_sealed(message.account_id):
            self._accounts.expect(record)
        attachments: tuple[Attachment, ...] = getattr(message.content, "attachments", ())
        pending = [one for one in attachments if one.status is AttachmentStatus.PENDING and one.provider_ref]
        before = _number(record, _TOLD) or 0
        for told, attachment in enumerate(pending[before:], before):
            started = time()
            try:
                done = await self._fetch(account, message, attachment)
            except Unfetched as trouble:
                if (wait := self._wait(record, message, trouble, told)) is not None:
                    return wait
                done = failed(attachment, trouble.error)
            await self._tell(record, message, done)
            metrics.FILE_SECONDS.labels(self._channel).observe(time() - started)
        return None

    async def _fetch(
        self, account: Account | None, message: Message | MessageEdited, attachment: Attachment
    ) -> Attachment:
        if account is None and self._accounts.is_sealed(message.account_id):
            raise Unfetched("account_sealed", error(ErrorCode.ACCOUNT_SEALED))
        if account is None:
            return failed(attachment, error(ErrorCode.FILE_UNAVAILABLE))
        if self._health.of(account.account_id) is Health.REAUTH_REQUIRED:  # the provider would only say so again
            raise Unfetched("account_reauth_required", error(ErrorCode.ACCOUNT_REAUTH_REQUIRED))
        try:
            return await self._files.fetch(account, message, attachment)
        except Unfetched as trouble:
            said = trouble.failure
            if trouble.of_account and said is not None and said.health is not None:
                await self._health.learn(account, HealthChange(said.health, said.code))
            raise

    async def _tell(self, record: Record, message: Message | MessageEdited, done: Attachment) -> None:
        kind = EventType.ATTACHMENT_STORED if done.status is AttachmentStatus.STORED else EventType.ATTACHMENT_FAILED
        data = AttachmentChanged(
            channel=self._channel,
            workspace_id=message.workspace_id,
            account_id=message.account_id,
            conversation_id=message.conversation_id,
            occurred_at=message.occurred_at,
            received_at=datetime.now(UTC),
            sequence=message.sequence,
            backfill=message.backfill,
            observed=message.observed,
            message_id=message.message_id,
            attachment=done,
        )
        told = done.attachment_id
        if isinstance(message, MessageEdited):  # the file may be one that was told of before: this is told, too
            told = f"{told}:{message_lane(record).decode()}"
        envelope = event_envelope(self._channel, Event(kind, data, provider_id=told))
        await publish(self._log, self._topic, envelope)
        metrics.FILES.labels(self._channel, "stored" if done.error is None else str(done.error.code)).inc()

    # --- waiting

    def _wait(self, record: Record, message: Message | MessageEdited, trouble: Unfetched, told: int) -> _Wait | None:
        """How long to wait, or None when it has been long enough. Raises NotNow for a short wait."""
        now = datetime.now(UTC)
        if trouble.of_account:
            ends = message.received_at + ACCOUNT_PATIENCE
            paused = self._health.why_paused(message.account_id) is not None
            again = ends if paused else now + _patience(trouble, now - message.received_at)
            return _Wait(trouble, told, min(again, ends), None) if now < ends else None
        known = _since(record)
        since = known or now
        if now >= since + GIVE_UP_AFTER:
            return None
        patience = _patience(trouble, now - since)
        nothing_to_note = known is None and told == (_number(record, _TOLD) or 0)
        if nothing_to_note and patience.total_seconds() <= SHORT_WAIT and now - message.received_at < IN_LANE_FOR:
            raise NotNow(patience.total_seconds(), trouble.why)
        return _Wait(trouble, told, min(now + patience, since + GIVE_UP_AFTER), since)

    async def _park(self, record: Record, message: Message | MessageEdited, wait: _Wait) -> None:
        notes = [(_TOLD, b"%d" % wait.told)]
        if wait.since is not None:
            notes.append((_SINCE, b"%d" % (wait.since.timestamp() * 1000)))
        kept = tuple(given for given in record.headers if given[0] not in (_TOLD, _SINCE))
        noted = replace(record, headers=(*kept, *notes))
        paused = wait.trouble.of_account and self._health.why_paused(message.account_id) is not None
        group = account_group(message.account_id) if wait.trouble.of_account else lane_group(record)
        until_ms = ceil(wait.until.timestamp() * 1000)
        try:
            await self._parking.park(noted, message_lane(record), until_ms, wait.trouble.why, group)
        except RecordTooLarge:  # it waits in its lane, until its time is up
            raise NotNow(SHORT_WAIT, wait.trouble.why) from None
        if paused and self._health.why_paused(message.account_id) is None:
            self._parking.wake(group)  # it has recovered while this was being written


def _kind_with_files(record: Record) -> type[Message] | type[MessageEdited] | None:
    """How to read a record that may have files to fetch; None when it has none."""
    pending = b'"pending"' in (record.value or b"")
    return _WITH_FILES.get(header(record, "ce_type") or b"") if pending else None


def _patience(trouble: Unfetched, so_far: timedelta) -> timedelta:
    """Until the next try: a quarter of the time it has taken so far, within bounds, or what the provider asks."""
    wait = min(max(SHORT_WAIT, so_far.total_seconds() / 4), LONGEST_WAIT)
    return timedelta(seconds=max(trouble.retry_after, wait))


def _since(record: Record) -> datetime | None:
    """When trouble at the provider began, for a record that was parked for it."""
    millis = _number(record, _SINCE)
    return None if millis is None else datetime.fromtimestamp(millis / 1000, UTC)


def _number(record: Record, name: str) -> int | None:
    value = header(record, name)
    return int(value) if value is not None and value.isdigit() else None
