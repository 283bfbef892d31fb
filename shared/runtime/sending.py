"""Sending: the calls of one command, each claimed before it is made and settled after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter, time
from typing import Any

import structlog

from shared.channel import (
    Account,
    Adjusts,
    Call,
    Channel,
    Failure,
    Files,
    FileUnavailable,
    HealthChange,
    ProviderError,
    Receipt,
    Reconciles,
)
from shared.contract import ids
from shared.contract.commands import MessageSend
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode, error
from shared.contract.events import Health
from shared.contract.statuses import RANK, MessageStatus, Part, State, Warning, WarningCode
from shared.policy.conversation import Conversation
from shared.policy.retry import backoff
from shared.policy.windows import rule_for
from shared.runtime import ledger, metrics
from shared.runtime.health import AccountsHealth
from shared.runtime.jobs import Job
from shared.runtime.ledger import CallEntry
from shared.runtime.pacing import Pacer, TooFar
from shared.runtime.statuses import About, StatusBook, contract_error, correlation
from shared.state.store import Fields, Settlement, Store
from shared.stream.errors import NotNow

log = structlog.get_logger()

_MOST_ADJUSTMENTS = 3
_BILLING_RETRY = timedelta(minutes=5)


class Park(Exception):
    """The command has to wait longer than a lane waits. `until` None: until its account is well again."""

    def __init__(self, until: datetime | None, why: ErrorCode | str) -> None:
        super().__init__(why)
        self.until = until
        self.why = str(why)


class _QuotaUsedUp(Exception):
    def __init__(self, limit: int, used: int) -> None:
        super().__init__(limit)
        self.limit = limit
        self.used = used


def _now_ms() -> int:
    return int(time() * 1000)


class Sender:
    """Makes the calls of commands. `sent` is told the conversation whenever the contact has got something."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        files: Files,
        book: StatusBook,
        health: AccountsHealth,
        pacer: Pacer,
        *,
        short_wait: float,
        sent: Callable[[str], None],
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._store = store
        self._files = files
        self._book = book
        self._health = health
        self._pacer = pacer
        self._short_wait = short_wait
        self._sent = sent
        self._failures: dict[str, int] = {}
        # Whoever reports nothing later needs no way back from a provider id to its command.
        self._has_receipts = any(state is not State.SENT for state in channel.capabilities.receipts)

    def forget(self, job: Job) -> None:
        """The command is over, or is not ours any more."""
        self._failures.pop(job.command.command_id, None)

    async def send(
        self,
        job: Job,
        calls: Sequence[Call],
        entries: Fields,
        conversation: Conversation,
        warnings: Sequence[Warning],
        stopped: Callable[[], State | None],
    ) -> MessageStatus | None:
        """Make the calls that are still to be made, in order. Returns the refusal when the quota does not suffice.

        `stopped` says before each call whether the command has been cancelled or has expired. Raises NotNow and
        Park; what has been made by then is on record, and the next attempt goes on behind it.
        """
        of = sum(call.parts for call in calls)
        first = 0
        for index, call in enumerate(calls):
            entry = ledger.call_entry(entries, index)
            if entry is None or entry.state == "intent":
                state = stopped() if entry is None else None
                if state is not None:
                    await self._abandon(job, first, of, state)
                    return None
                told = replace(call, warnings=(*warnings, *call.warnings)) if index == 0 else call
                step = _Step(job, told, index, first, of, conversation, len(calls) - 1)
                try:
                    go_on = await (self._make(step) if entry is None else self._recover(step, entry))
                except _QuotaUsedUp as used_up:
                    facts: dict[str, Any] = {"limit": used_up.limit, "actual": used_up.used}
                    refused = error(ErrorCode.QUOTA_EXHAUSTED, **facts)
                    return self._book.status(
                        job.command, job.conversation_id, Part(of=max(of, 1)), State.REJECTED, error=refused
                    )
                if not go_on:
                    return None
            elif entry.state == "failed":
                return None
            first += call.parts
        return None

    # --- one call

    async def _make(self, step: _Step) -> bool:
        """Make a call, in another way where the provider refuses this one. False: the rest is not to be made."""
        call = step.call
        for _ in range(_MOST_ADJUSTMENTS + 1):
            step = step.with_call(call)
            await self._wait(step)
            try:
                receipt = await self._claimed(step)
            except ProviderError as refused:
                failure = refused.failure
                metrics.PROVIDER_CODES.labels(self._name, failure.provider_code or "", str(failure.code)).inc()
                if not failure.certain:
                    return await self._uncertain(step, failure)
                if await self._put_off(step, failure):
                    raise AssertionError("putting off raises") from None
                adjusted = self._channel.adjust(call, failure) if isinstance(self._channel, Adjusts) else None
                if adjusted is None:
                    await self._failed(step, failure)
                    return False
                await self._retract(step)
                call = adjusted
                continue
            await self._done(step, receipt)
            return True
        await self._failed(step, Failure(ErrorCode.CONTENT_REJECTED))
        return False

    async def _wait(self, step: _Step) -> None:
        if not step.call.parts:
            return
        try:
            await self._pacer.wait_for(
                step.job.account, step.job.conversation_id, step.id, group=step.conversation.kind == "group"
            )
        except TooFar as far:
            raise Park(datetime.now(UTC) + timedelta(seconds=far.wait), ErrorCode.RATE_LIMITED) from None

    async def _claimed(self, step: _Step) -> Receipt:
        """Claim the call, make it, and say how long it took. Raises ProviderError, NotNow, _QuotaUsedUp."""
        job = step.job
        with self._pacer.under_way(job.account.account_id):
            rule = rule_for(self._channel.capabilities, step.conversation)
            limit = rule.quota if rule is not None and step.index == 0 and step.of else None
            members = [self._quota_member(job, part) for part in range(step.of)] if limit is not None else ()
            now = _now_ms()
            about = About(job.conversation_id, job.command.command_id, step.first, max(step.of, 1), step.index)
            claim = self._store.intend(
                job.conversation_id,
                job.command.command_id,
                ledger.call_field(step.index),
                CallEntry("intent", now).encode(),
                now=now,
                pending=[ids.part_message_id(job.command.command_id, part) for part in step.parts],
                quota_limit=limit,
                quota_members=members,
            )
            given = None
            if self._channel.capabilities.answers_uncertain == "callback_data" and step.call.parts:
                given = correlation(job.command.command_id, step.first)
                intended, _ = await asyncio.gather(
                    claim, self._store.bind(self._name, job.account.account_id, given, about.as_dict())
                )
            else:
                intended = await claim
            if intended.answer == "quota":
                raise _QuotaUsedUp(limit or 0, int(intended.value))
            if intended.answer == "taken":
                raise NotNow(1.0, "claimed_elsewhere")
            return await self._perform(step, given)

    async def _perform(self, step: _Step, given: str | None) -> Receipt:
        started = perf_counter()
        outcome = "ok"
        try:
            return await self._channel.perform(step.call, step.job.account, self._files, given)
        except ProviderError as refused:
            outcome = str(refused.failure.code)
            raise
        except FileUnavailable:
            outcome = ErrorCode.FILE_UNAVAILABLE
            raise ProviderError(Failure(ErrorCode.FILE_UNAVAILABLE)) from None
        except Exception as bug:  # whatever went wrong, the provider may have got the message
            outcome = ErrorCode.INTERNAL
            log.error("perform_failed", channel=self._name, method=step.call.method, exc_info=bug)
            raise ProviderError(Failure(ErrorCode.UNCERTAIN, certain=False, detail=type(bug).__name__)) from None
        finally:
            metrics.PROVIDER_CALLS.labels(self._name, step.call.method, outcome).inc()
            metrics.PROVIDER_SECONDS.labels(self._name).observe(perf_counter() - started)

    # --- how it ended

    async def _done(self, step: _Step, receipt: Receipt) -> None:
        job, now = step.job, datetime.now(UTC)
        provider_ids = receipt.provider_message_ids
        refs = receipt.refs or provider_ids
        statuses, parts, messages = [], {}, {}
        for part in step.parts:
            at = part - step.first
            ref = refs[at] if at < len(refs) else None
            message = ids.message_id(self._name, job.account.account_id, ref) if ref else None
            if ref and message:
                messages[message] = messages[ids.part_message_id(job.command.command_id, part)] = ref
            status = self._book.status(
                job.command,
                job.conversation_id,
                Part(index=part, of=max(step.of, 1)),
                receipt.state,
                occurred_at=now,
                message_id=message,
                provider_message_id=provider_ids[at] if at < len(provider_ids) else None,
                warnings=step.call.warnings if part == step.first else (),
            )
            statuses.append(status)
            parts[ledger.part_field(part)] = (_encoded(status), RANK[receipt.state])
        rule = rule_for(self._channel.capabilities, step.conversation)
        counted = rule is not None and rule.quota is not None
        settlement = Settlement(
            set_fields={ledger.call_field(step.index): CallEntry("done", _now_ms()).encode()},
            parts=parts,
            messages=messages,
            quota_drop=[self._quota_member(job, part) for part in step.parts] if counted else (),
            quota_add=list(refs) if counted else (),
            outbox=list(refs) if self._channel.capabilities.reads_up_to else (),
        )
        entries, early = await asyncio.gather(self._settle(step, settlement), self._bind(step, refs))
        if not step.of and step.index == step.last:
            statuses.append(
                self._book.status(job.command, job.conversation_id, Part(), State.SENT, warnings=step.call.warnings)
            )
        roll = ledger.rollup(entries, max(step.of, 1))
        told = [status.model_copy(update={"rollup": roll}) if step.of else status for status in statuses]
        await self._book.publish_all(told, job.traceparent)
        for about, waiting in early:
            await self._book.apply_early(job.account.record, about, waiting)
        if step.of:
            self._sent(job.conversation_id)
        if counted:
            await self._book.feed(job.account.record, job.conversation_id)
        await self._recovered(job.account)

    async def _bind(self, step: _Step, refs: Sequence[str]) -> list[tuple[About, list[Any]]]:
        if not self._has_receipts:
            return []
        abouts = [
            About(step.job.conversation_id, step.job.command.command_id, part, max(step.of, 1), step.index)
            for part in step.parts
        ]
        bound = list(zip(abouts, refs, strict=False))
        early = await asyncio.gather(
            *(self._store.bind(self._name, step.job.account.account_id, ref, a.as_dict()) for a, ref in bound)
        )
        return [(about, waiting) for (about, _), waiting in zip(bound, early, strict=True) if waiting]

    async def _failed(self, step: _Step, failure: Failure) -> None:
        """The provider refused for good: this part has failed, those behind it are not sent."""
        job = step.job
        reason = contract_error(failure)
        states = dict.fromkeys(step.parts, State.FAILED) or {0: State.FAILED}
        states |= dict.fromkeys(range(step.first + step.call.parts, step.of), State.CANCELLED)
        await self._end_parts(step, states, reason)
        await self._book.consequences(job.account.record, job.conversation_id, failure)

    async def _abandon(self, job: Job, first: int, of: int, state: State) -> None:
        """Cancelled or expired after its beginning: the parts that were not sent say so."""
        reason = error(ErrorCode.EXPIRED) if state is State.EXPIRED else None
        step = _Step(job, Call("", {}, parts=0), -1, first, of, Conversation())
        await self._end_parts(step, dict.fromkeys(range(first, of), state) or {0: state}, reason)

    async def _end_parts(self, step: _Step, states: dict[int, State], reason: Any) -> None:
        job, of = step.job, max(step.of, 1)
        statuses = [
            self._book.status(
                job.command,
                job.conversation_id,
                Part(index=part, of=of),
                state,
                error=reason if state is not State.CANCELLED or step.index < 0 else None,
                warnings=step.call.warnings if part == step.first else (),
            )
            for part, state in states.items()
        ]
        fields = {} if step.index < 0 else {ledger.call_field(step.index): CallEntry("failed", _now_ms()).encode()}
        entries = await self._settle(
            step,
            Settlement(
                set_fields=fields,
                parts={
                    ledger.part_field(status.part.index): (_encoded(status), RANK[status.state]) for status in statuses
                },
                quota_drop=[self._quota_member(job, part) for part in states],
            ),
        )
        roll = ledger.rollup(entries, of)
        await self._book.publish_all([s.model_copy(update={"rollup": roll}) for s in statuses], job.traceparent)

    async def _uncertain(self, step: _Step, failure: Failure) -> bool:
        """Nobody knows whether it was sent: ask where one can ask, otherwise say so and do not send it again."""
        command = step.job.command
        if isinstance(self._channel, Reconciles):
            since = datetime.fromtimestamp(step.job.record.timestamp_ms / 1000, UTC) - timedelta(minutes=1)
            try:
                receipt = await self._channel.find_sent(step.call, step.job.account, since)
            except ProviderError:
                receipt = Receipt(state=State.UNCERTAIN)
            if receipt is None:
                await self._retract(step)
                await self._again(step, ErrorCode.PROVIDER_UNAVAILABLE)
            elif receipt.state is not State.UNCERTAIN:
                await self._done(step, receipt)
                return True
        resend = isinstance(command, MessageSend) and command.on_uncertain == "resend"
        if resend and not any(w.code is WarningCode.MAY_BE_DUPLICATE for w in step.call.warnings):
            await self._retract(step)
            warning = Warning(code=WarningCode.MAY_BE_DUPLICATE, detail="Sent again, as the command asks.")
            return await self._make(step.with_call(replace(step.call, warnings=(*step.call.warnings, warning))))
        await self._tell_uncertain(step, failure)
        return True

    async def _tell_uncertain(self, step: _Step, failure: Failure) -> None:
        job = step.job
        reason = contract_error(replace(failure, code=ErrorCode.UNCERTAIN))
        statuses = [
            self._book.status(
                job.command, job.conversation_id, Part(index=part, of=max(step.of, 1)), State.UNCERTAIN, error=reason
            )
            for part in (step.parts or range(1))
        ]
        parts = {ledger.part_field(s.part.index): (_encoded(s), RANK[State.UNCERTAIN]) for s in statuses}
        settled = {ledger.call_field(step.index): CallEntry("uncertain", _now_ms()).encode()}
        entries = await self._settle(step, Settlement(set_fields=settled, parts=parts))
        # The provider may have reported the part meanwhile; then there is no doubt left to tell of.
        open_ = [s for s in statuses if ledger.part_state(entries[ledger.part_field(s.part.index)]) is State.UNCERTAIN]
        await self._book.publish_all(open_, job.traceparent)

    async def _recover(self, step: _Step, entry: CallEntry) -> bool:
        """A claim without an end: the process that made it is gone, and with it what it knew."""
        return await self._uncertain(step, Failure(ErrorCode.UNCERTAIN, certain=False))

    # --- waiting

    async def _put_off(self, step: _Step, failure: Failure) -> bool:
        """Raise NotNow or Park for what passes; return False for what does not."""
        match ERRORS[failure.code].error_class:
            case ErrorClass.RATE:
                wait = failure.retry_after or backoff(self._count(step.job))
                await self._retract(step)
                await self._pacer.hold_back(step.job.account, step.job.conversation_id, failure.scope, wait)
                self._later(wait, ErrorCode.RATE_LIMITED)
            case ErrorClass.TRANSIENT:
                await self._retract(step)
                await self._again(step, failure.code, failure.retry_after)
            case ErrorClass.ACCOUNT:
                await self._retract(step)
                if failure.health is not None:
                    await self._health.learn(step.job.account, HealthChange(failure.health, failure.code))
                until = datetime.now(UTC) + _BILLING_RETRY if failure.health is Health.BILLING_BLOCKED else None
                raise Park(until, failure.code)
        return False

    async def _again(self, step: _Step, why: ErrorCode, retry_after: float | None = None) -> None:
        self._later(retry_after or backoff(self._count(step.job)), why)

    def _later(self, wait: float, why: ErrorCode) -> None:
        if wait <= self._short_wait:
            raise NotNow(wait, str(why))
        raise Park(datetime.now(UTC) + timedelta(seconds=wait), why)

    def _count(self, job: Job) -> int:
        count = self._failures[job.command.command_id] = self._failures.get(job.command.command_id, 0) + 1
        return count

    async def _recovered(self, account: Account) -> None:
        if self._health.of(account.account_id) in (Health.BILLING_BLOCKED, Health.DEGRADED):
            await self._health.learn(account, HealthChange(Health.CONNECTED))

    async def _retract(self, step: _Step) -> None:
        """The call was surely not made: take the claim back. The quota stays reserved for the next attempt."""
        await self._settle(step, Settlement(drop_fields=[ledger.call_field(step.index)]))

    async def _settle(self, step: _Step, settlement: Settlement) -> Fields:
        return await self._store.settle(
            step.job.conversation_id, step.job.command.command_id, settlement, now=_now_ms()
        )

    @staticmethod
    def _quota_member(job: Job, part: int) -> str:
        return f"{job.command.command_id}:{part}"


class _Step:
    """One call of a command: which, of how many parts, from which part on."""

    __slots__ = ("call", "conversation", "first", "index", "job", "last", "of")

    def __init__(
        self, job: Job, call: Call, index: int, first: int, of: int, conversation: Conversation, last: int = 0
    ) -> None:
        self.job = job
        self.call = call
        self.index = index
        self.first = first
        self.of = of
        self.conversation = conversation
        self.last = last

    @property
    def id(self) -> str:
        return f"{self.job.command.command_id}:{self.index}"

    @property
    def parts(self) -> range:
        return range(self.first, self.first + self.call.parts)

    def with_call(self, call: Call) -> _Step:
        return _Step(self.job, call, self.index, self.first, self.of, self.conversation, self.last)


def _encoded(status: MessageStatus) -> str:
    return ledger.encode_part(status.state, status.to_json())
