"""Deliver: every command on the outbound topic ends in a status that says what became of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import structlog

from shared.channel import Call, Channel, Refused
from shared.contract.commands import CommandRefused, CommandType, MessageCancel, MessageResend
from shared.contract.errors import ERRORS, ErrorCode, error
from shared.contract.statuses import MessageStatus, Part, State
from shared.media.blobs import BlobsUnavailable
from shared.policy.cancelling import is_cancelled, rule_of
from shared.policy.conversation import Conversation, flags, from_fields
from shared.policy.judge import judge
from shared.runtime.accounts.capabilities import AccountCapabilities
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.outbound.commands import (
    Job,
    NotACommand,
    read_command,
    refusal_status,
)
from shared.runtime.outbound.conversion import FileNotYet
from shared.runtime.outbound.outcomes import Outcomes
from shared.runtime.outbound.planner import Planner
from shared.runtime.outbound.planning import planned
from shared.runtime.outbound.prepare import (
    Prepared,
    Preparer,
    context_for,
    names_url,
    target_of,
)
from shared.runtime.outbound.queue import NOT_BEFORE, CommandQueue, Park, is_for_later
from shared.runtime.outbound.reading import Reader
from shared.runtime.outbound.sending import BILLING_RETRY, Sender
from shared.runtime.reporting import ledger
from shared.runtime.reporting.statuses import StatusBook
from shared.state.client import StateUnavailable
from shared.state.store import Fields, Opened, Settlement, Store
from shared.stream.errors import LogUnavailable, NotNow
from shared.stream.parking import Parking
from shared.stream.records import INJECTED, Record

log = structlog.get_logger()

RETRY_SECONDS = 1.0
OVERDUE_SECONDS = 30.0  # until what has waited too long in its lane is tried again
FETCH_RETRY = 5.0
FETCH_PATIENCE = timedelta(minutes=2)  # of a command's age, while an address does not answer: others wait behind it


class Deliverer:
    """The handler of the outbound topic (typing apart, see `typing_indicator`)."""

    def __init__(
        self,
        channel: Channel,
        abilities: AccountCapabilities,
        store: Store,
        preparer: Preparer,
        book: StatusBook,
        health: AccountsHealth,
        sender: Sender,
        outcomes: Outcomes,
        parking: Parking,
        queue: CommandQueue,
        reader: Reader,
        planner: Planner,
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._abilities = abilities
        self._store = store
        self._preparer = preparer
        self._book = book
        self._health = health
        self._sender = sender
        self._outcomes = outcomes
        self._parking = parking
        self._queue = queue
        self._reader = reader
        self._planner = planner
        self._told: set[bytes] = set()  # commands begun here, all of whose statuses so far have been told
        self._under_way: dict[bytes, tuple[str, Fields]] = {}  # their conversations, and the cancel rules they know
        self._covered: dict[bytes, int] = {}  # cancels under way: how many waiting commands each covers
        self._special: dict[CommandType, Callable[[Job], Awaitable[None]]] = {
            CommandType.MESSAGE_CANCEL: self._cancel,
            CommandType.MESSAGE_RESEND: self._resend,
            CommandType.CONTACT_BLOCK: self._block,
            CommandType.CONTACT_UNBLOCK: self._block,
        }

    def forget_all(self) -> None:
        """The partitions have gone to another process, and the commands under way with them."""
        self._told.clear()
        self._covered.clear()
        self._sender.forget_all()

    async def handle(self, record: Record) -> None:
        """Carry out one command, as far as it goes now. Raises NotNow while it has to wait a little."""
        try:
            job = await self._reader.job(record)
            if job is not None:
                await self._parked_or_done(job)
        except StateUnavailable:
            raise NotNow(RETRY_SECONDS, "state_unavailable") from None
        except LogUnavailable:
            raise NotNow(RETRY_SECONDS, "log_unavailable") from None
        except BlobsUnavailable:
            raise NotNow(RETRY_SECONDS, "blobs_unavailable") from None

    async def overdue(self, record: Record, why: str) -> bool:
        """Park a command that has waited in its lane for `why` as long as a lane waits. Raises LogUnavailable.

        False for what names no account that is known here: it does not wait long.
        """
        job = self._reader.without_state(record)
        if job is None:
            return False
        await self._queue.park(job, Park(datetime.now(UTC) + timedelta(seconds=OVERDUE_SECONDS), why))
        return True

    async def poisoned(self, record: Record) -> None:
        """A bug of ours keeps the command from being carried out: say so, and let those behind it go on.

        Of a command without any call the ledger knows nothing: sent back from the dead letters, it is carried out
        after all. Raises NotNow.
        """
        try:
            _, command, traceparent, _ = read_command(record)
        except (NotACommand, CommandRefused):
            return
        if not await self._gave_up(record):
            bug = CommandRefused(ErrorCode.INTERNAL, ERRORS[ErrorCode.INTERNAL].sentence)
            await self._book.publish_all([refusal_status(self._name, record, bug)], traceparent)
        await self._parking.release(command.command_id.encode())
        self._forget(command.command_id)

    async def _gave_up(self, record: Record) -> bool:
        """Whether the command had begun, and each of its parts has an end now."""
        try:
            job = await self._reader.job(record)
            if job is None:
                return True
            opened = await self._store.open(job.conversation_id, job.command.command_id)
            if not ledger.begun(opened.ledger):
                return False
            await self._outcomes.give_up(job, opened.ledger, error(ErrorCode.INTERNAL))
        except StateUnavailable:
            raise NotNow(RETRY_SECONDS, "state_unavailable") from None
        except (NotNow, LogUnavailable):
            raise
        except Exception as bug:  # the one it is poisoned by, it may be
            log.error("give_up_failed", channel=self._name, exc_info=bug)
            return False
        return True

    def _forget(self, command_id: str) -> None:
        """The command has come to its end here."""
        self._sender.forget(command_id)
        self._told.discard(command_id.encode())
        self._covered.pop(command_id.encode(), None)

    async def _parked_or_done(self, job: Job) -> None:
        conversation_id, _ = self._under_way.get(job.id, (job.conversation_id, {}))
        if conversation_id != job.conversation_id or self._parking.parked_elsewhere(job.record, job.id):
            detail = "command_id: A command of another conversation has it, which is not over."
            again = CommandRefused(ErrorCode.INVALID_COMMAND, detail, "command_id")
            await self._book.publish_all([refusal_status(self._name, job.record, again)], job.traceparent)
            return
        parked = self._parking.parked(job.id)
        if parked and job.record.offset != INJECTED:
            return  # it has come a second time, and waits already
        if self._queue.queues_behind(job):
            await self._queue.park(job, Park(None, "behind"), until_ms=0)
            return
        self._under_way[job.id] = (job.conversation_id, {})
        try:
            await self._carry_out(job)
        except Park as park:
            await self._queue.park(job, park)
            return
        finally:
            self._under_way.pop(job.id, None)
        self._forget(job.command.command_id)
        if parked:
            await self._parking.release(job.id)

    # --- carrying out

    async def _carry_out(self, job: Job) -> None:
        target = target_of(job.command)
        opened = await self._store.open(job.conversation_id, job.command.command_id, [target.id] if target.id else [])
        if ledger.END in opened.ledger:
            await self._repeat(job, opened.ledger)
            return
        self._under_way[job.id] = (job.conversation_id, opened.cancelled)
        begun = ledger.begun(opened.ledger)
        stop = self._stopped(job, opened)
        if stop is not None and not begun:
            reason = error(ErrorCode.EXPIRED) if stop is State.EXPIRED else None
            await self._end(job, self._status(job, stop, error=reason))
            return
        special = self._special.get(job.kind)
        if special is not None:
            self._wait_for_its_time(job)
        try:
            await (special(job) if special is not None else self._send(job, opened, begun))
        except Refused as refused:
            if begun:
                reason = error(refused.code, refused.detail, **refused.facts)
                await self._outcomes.give_up(job, opened.ledger, reason)
            else:
                await self._end(job, self._rejection(job, refused.code, refused.detail, refused.facts))

    async def _send(self, job: Job, opened: Opened, begun: bool) -> None:
        known_before = from_fields(opened.conversation, opened.quota_used)
        conversation = known_before.at(job.address)
        if not begun:
            able = await self._abilities.of(job.account.record)
            refusal = judge(able, job.kind, job.command, conversation, datetime.now(UTC))
            if refusal is not None:
                await self._end(job, self._rejection(job, *refusal))
                return
        kept = ledger.decode_plan(opened.ledger) if begun else None
        calls: Sequence[Call] = kept or await self._planner.calls(
            job.account,
            job.kind,
            job.command,
            conversation_id=job.conversation_id,
            opened=opened,
            conversation=conversation,
            files_of=lambda account, command: self._files_of(job),
            size=len(job.record.value or b""),
        )
        if self._stopped(job, opened) is None:
            self._wait_for_its_time(job)
            await self._wait_for_account(job)
            await self._learn_address(job, known_before)
        stopped = partial(self._stopped, job, opened)
        await self._make(job, calls, opened, conversation, stopped)

    async def _files_of(self, job: Job) -> tuple[Prepared, ...]:
        """As `Preparer.files_of`; an address that does not answer is asked for a while. Raises NotNow, too."""
        try:
            with self._sender.slot(job) if names_url(job.command) else nullcontext():
                return await self._preparer.files_of(job.account, job.command)
        except FileNotYet:
            queued = datetime.fromtimestamp(job.record.timestamp_ms / 1000, UTC)
            since = max(queued, job.command.not_before or queued)
            if datetime.now(UTC) - since < FETCH_PATIENCE:
                raise NotNow(FETCH_RETRY, "file_not_fetched") from None
            raise

    async def _make(
        self,
        job: Job,
        calls: Sequence[Call],
        opened: Opened,
        conversation: Conversation,
        stopped: Callable[[], State | None],
    ) -> None:
        """Make the calls that are left; before them, tell what may have been made without being told."""
        entries = opened.ledger
        if ledger.begun(entries) and job.id not in self._told:
            await self._outcomes.bind_again(job, entries)
            await self._repeat(job, entries)
            await self._book.feed(job.account.record, job.conversation_id)
        self._told.add(job.id)
        try:
            await self._sender.send(job, calls, entries, conversation, stopped)
        except (LogUnavailable, StateUnavailable):
            self._told.discard(job.id)
            raise

    def _stopped(self, job: Job, opened: Opened) -> State | None:
        if is_cancelled(job.command, opened.cancelled, job.record.timestamp_ms):
            return State.CANCELLED
        return State.EXPIRED if datetime.now(UTC) >= job.expires_at else None

    @staticmethod
    def _wait_for_its_time(job: Job) -> None:
        not_before = job.command.not_before
        if not_before is not None and is_for_later(job):
            raise Park(not_before, NOT_BEFORE)

    async def _wait_for_account(self, job: Job) -> None:
        why = self._health.why_paused(job.account.account_id)
        if why is ErrorCode.ACCOUNT_BILLING_BLOCKED:
            # Only trying shows that a payment problem is solved: one command of the account, now and then.
            seconds = BILLING_RETRY.total_seconds() * 0.9
            if not self._parking.parked(job.id) or not await self._store.first_in(seconds, why, job.account.account_id):
                raise Park(datetime.now(UTC) + BILLING_RETRY, why)
        elif why is not None:
            raise Park(None, why)
        self._sender.wait_for_provider(job)

    # --- ends

    async def _end(self, job: Job, status: MessageStatus) -> None:
        """Write an end without any call into the ledger, then tell it: told again, it is the same."""
        status = status.model_copy(update={"warnings": (*job.warnings, *status.warnings)})
        document = orjson.dumps([orjson.loads(status.to_json())]).decode()
        await self._store.settle(
            job.conversation_id,
            job.command.command_id,
            Settlement(set_fields={ledger.END: document}),
        )
        await self._book.publish_all([status], job.traceparent)

    async def _repeat(self, job: Job, entries: Fields) -> None:
        """A command that was carried out before gets the results it got then."""
        statuses = [MessageStatus.model_validate(status) for status in ledger.published(entries)]
        await self._book.publish_all(statuses, job.traceparent)

    def _rejection(self, job: Job, code: ErrorCode, detail: str | None, facts: dict[str, Any]) -> MessageStatus:
        return self._status(job, State.REJECTED, error=error(code, detail, **facts))

    def _status(self, job: Job, state: State, *, detail: str = "", **facts: Any) -> MessageStatus:
        return self._book.status(job.command, job.conversation_id, Part(), state, detail=detail, **facts)

    # --- commands about commands, and about contacts

    async def _cancel(self, job: Job) -> None:
        assert isinstance(job.command, MessageCancel)
        rule, queued = rule_of(job.command), job.record.timestamp_ms
        await self._store.cancel(job.conversation_id, rule, queued)
        for conversation_id, known in self._under_way.values():
            if conversation_id == job.conversation_id:
                known[rule] = str(queued)
        covered = deque(self._parking.take(job.record.key or b"", partial(_covered, rule, queued)))
        self._covered[job.id] = max(len(covered), self._covered.get(job.id, 0))  # more than what is left of them
        try:
            while covered:
                await self.handle(covered[0])
                covered.popleft()
        finally:
            for record in covered:
                self._parking.undo(record)
        await self._end(job, self._status(job, State.DONE, count=self._covered.pop(job.id, 0)))

    async def _resend(self, job: Job) -> None:
        """Make the calls of an earlier message again whose end nobody knows."""
        assert isinstance(job.command, MessageResend)
        command_id = job.command.resend_command_id
        opened = await self._store.open(job.conversation_id, command_id)
        kept = ledger.decode_command(opened.ledger)
        if kept is None and opened.ledger:  # there never was a doubt
            await self._end(job, self._status(job, State.DONE, count=0))
            return
        if kept is None:
            facts = {"field": "resend_command_id"}
            await self._end(job, self._rejection(job, ErrorCode.MESSAGE_UNKNOWN, None, facts))
            return
        ce_type, value, queued_ms = kept
        headers = (("ce_type", ce_type),)
        record = replace(job.record, value=value, headers=headers, timestamp_ms=queued_ms)
        again = read_command(record)
        message = replace(job, record=record, kind=again.kind, command=again.command, warnings=())
        count = ledger.count_of(opened.ledger, State.UNCERTAIN)
        if doubtful := ledger.in_doubt(opened.ledger):
            self._sender.wait_for_provider(job)
            anew = Settlement(
                set_fields={ledger.again_field(index): "1" for index in doubtful},
                drop_fields=[ledger.call_field(index) for index in doubtful],
            )
            await self._store.settle(job.conversation_id, command_id, anew)
            target = target_of(again.command)
            opened = await self._store.open(job.conversation_id, command_id, [target.id] if target.id else [])
            await self._send(message, opened, begun=True)
            self._forget(command_id)
        await self._end(job, self._status(job, State.DONE, count=count))

    async def _learn_address(self, job: Job, known: Conversation) -> None:
        """We write first: keep where to, for the commands that will name only the conversation, and tell its state."""
        if job.address and not known.address:
            fields = {"address": orjson.dumps(dict(job.address)).decode()}
            await self._store.note(job.conversation_id, fields if known.known else fields | flags(cold=True))
            await self._book.feed(job.account.record, job.conversation_id)

    async def _block(self, job: Job) -> None:
        """Our own list is what holds; the provider's is asked too where there is one."""
        blocked = job.kind is CommandType.CONTACT_BLOCK
        await self._store.note(job.conversation_id, flags(blocked=blocked))
        await self._book.feed(job.account.record, job.conversation_id)
        opened = await self._store.open(job.conversation_id, job.command.command_id)
        conversation = from_fields(opened.conversation, opened.quota_used)
        calls = planned(self._channel, job.kind, job.command, context_for(job.account, conversation, None, ()))
        if not calls:
            await self._end(job, self._status(job, State.DONE))
            return
        await self._make(job, calls, opened, conversation, lambda: None)


def _covered(rule: str, queued: int, record: Record) -> bool:
    """Whether a cancel rule that was set at `queued` (ms) covers the command of a parked record."""
    try:
        command = read_command(record).command
    except (NotACommand, CommandRefused):
        return False
    return is_cancelled(command, {rule: str(queued)}, record.timestamp_ms)
