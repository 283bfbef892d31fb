"""Sending: the calls of one command, each claimed before it is made and settled after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic, perf_counter

import structlog

from shared.channel import (
    Adjusts,
    Call,
    Channel,
    Failure,
    Files,
    FileUnavailable,
    HealthChange,
    ProviderError,
    Receipt,
    RecognisesEchoes,
    Reconciles,
    Refused,
)
from shared.contract import ids
from shared.contract.commands import MessageSend
from shared.contract.errors import ERRORS, ErrorClass, ErrorCode
from shared.contract.events import Health
from shared.contract.statuses import State, Warning, WarningCode
from shared.media.blobs import BlobsUnavailable
from shared.policy.conversation import Conversation
from shared.policy.retry import backoff
from shared.policy.windows import quota_of, rule_for
from shared.runtime import metrics, tracing
from shared.runtime.accounts.health import PAUSED, AccountsHealth
from shared.runtime.outbound.commands import Job
from shared.runtime.outbound.outcomes import Outcomes, Step, now_ms
from shared.runtime.outbound.pacing import Pacer, TooFar
from shared.runtime.outbound.queue import Park
from shared.runtime.reporting import by_account, ledger
from shared.runtime.reporting.ledger import CallEntry
from shared.runtime.reporting.statuses import About, correlation
from shared.runtime.waiting.outages import Held, Outages
from shared.state.keys import SENT
from shared.state.store import Binding, Fields, Store
from shared.stream.errors import NotNow

log = structlog.get_logger()

_MOST_ADJUSTMENTS = 3
BLOBS_RETRY = 1.0
TRIAL_WAIT = 0.05
MOST_QUESTIONS = 8  # about a message in doubt, in two minutes: its conversation waits for the answer
CALLBACK_SECONDS = 10.0  # how long after an outage the provider's reports may still say what became of a message
ECHO_SECONDS = 3600  # how long an equal text is taken for the echo of a call that was never answered
BILLING_RETRY = timedelta(minutes=5)
HANGING_RETRY = timedelta(seconds=30)  # sooner than a hanging call is cut there is nothing new, and each wait is told
_PASSING = frozenset({ErrorClass.TRANSIENT, ErrorClass.RATE, ErrorClass.UNCERTAIN})
_MAY_BE_DUPLICATE = Warning(code=WarningCode.MAY_BE_DUPLICATE, detail="Sent again, as the command asks.")


class _Split(Exception):
    """A call was refused for one of its parts: others are made in its place."""

    def __init__(self, calls: Sequence[Call], failure: Failure) -> None:
        super().__init__()
        self.calls = calls
        self.failure = failure


class _NotAsked(ProviderError):
    """The call failed here: it says nothing of the provider."""


class Sender:
    """Makes the calls of commands, and decides what a failure leads to: another way, a wait, an end."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        files: Files,
        outcomes: Outcomes,
        health: AccountsHealth,
        pacer: Pacer,
        outages: Outages,
        *,
        short_wait: float,
    ) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._store = store
        self._files = files
        self._outcomes = outcomes
        self._health = health
        self._pacer = pacer
        self._outages = outages
        self._short_wait = short_wait
        # Asked once: looking a protocol up takes longer than most of what a send does.
        self._echoes = channel if isinstance(channel, RecognisesEchoes) else None
        self._brings_back = channel.capabilities.answers_uncertain == "callback_data"
        self._failures: dict[str, int] = {}
        self._unwritten: dict[str, tuple[int, Receipt | None]] = {}
        self._listening: dict[str, float | None] = {}  # commands with a part in doubt since an outage

    def forget(self, command_id: str) -> None:
        """The command is over."""
        self._failures.pop(command_id, None)
        self._unwritten.pop(command_id, None)
        self._listening.pop(command_id, None)
        self._pacer.forget(command_id)

    def forget_all(self) -> None:
        """The commands have gone to another process."""
        self._failures.clear()
        self._unwritten.clear()
        self._listening.clear()
        self._pacer.forget_all()

    async def send(
        self,
        job: Job,
        calls: Sequence[Call],
        entries: Fields,
        conversation: Conversation,
        stopped: Callable[[], State | None],
    ) -> None:
        """Make the calls that are still to be made, in order.

        `stopped` says before each call whether the command has been cancelled or has expired. Raises Refused when
        the quota does not suffice for the whole message (nothing has been sent), NotNow and Park when it has to
        wait: what has been made by then is on record, and the next attempt goes on behind it.
        """
        of = sum(call.parts for call in calls)
        plan = "" if ledger.begun(entries) else ledger.encode_plan(calls)
        left, splits = self._as_split(calls, entries)
        first = index = 0
        while index < len(left):
            call = left[index]
            entry = ledger.call_entry(entries, index)
            if entry is None or entry.state == "intent":
                state = stopped() if entry is None else None
                if state is not None:
                    await self._outcomes.abandon(job, index, first, of, state)
                    return
                told = (*(job.warnings if index == 0 else ()), *call.warnings)
                if ledger.again_field(index) in entries:
                    told = (*told, _MAY_BE_DUPLICATE)
                call = replace(call, warnings=told)
                step = Step(job, call, index, first, of, conversation, len(left) - 1, plan if index == 0 else "")
                try:
                    if not await (self._make(step) if entry is None else self._recover(step, entry)):
                        return
                except _Split as split:
                    splits.setdefault(index, []).append(split.failure)
                    await self._retract(step, splits[index])
                    left[index : index + 1] = split.calls
                    entries = {name: value for name, value in entries.items() if name != ledger.call_field(index)}
                    continue
            elif entry.state == "failed":
                return
            first += call.parts
            index += 1

    def _as_split(self, calls: Sequence[Call], entries: Fields) -> tuple[list[Call], dict[int, list[Failure]]]:
        """The calls of the plan as they were made before: some of them as several; and why, by their indices."""
        left, splits = list(calls), {}
        index = 0
        while index < len(left):
            failures = ledger.decode_failures(entries.get(ledger.split_field(index)))
            for failure in failures:
                adjusted = self._channel.adjust(left[index], failure) if isinstance(self._channel, Adjusts) else None
                if isinstance(adjusted, Sequence):
                    left[index : index + 1] = adjusted
            if failures:
                splits[index] = failures
            index += 1
        return left, splits

    async def _recover(self, step: Step, entry: CallEntry) -> bool:
        """A claim without an end. If this process made it, it knows how the call ended, and could not write it."""
        index, receipt = self._unwritten.get(step.job.command.command_id, (None, None))
        if index != step.index:
            return await self._uncertain(step, Failure(ErrorCode.UNCERTAIN, certain=False), entry.at, again=True)
        if receipt is not None:
            await self._outcomes.done(step, receipt)
            return True
        await self._retract(step)
        return await self._make(step)

    # --- one call

    async def _make(self, step: Step) -> bool:
        """Make a call when its moment has come. False: the rest is not to be made."""
        await self._wait(step)
        return await self._attempt(step)

    async def _attempt(self, step: Step) -> bool:
        """Make a call, in another way where the provider refuses this one: that needs no other moment."""
        call = step.call
        for _ in range(_MOST_ADJUSTMENTS + 1):
            step = replace(step, call=call)
            began = now_ms()
            try:
                receipt = await self._claimed(step)
            except BlobsUnavailable:
                await self._retract(step)
                raise NotNow(BLOBS_RETRY, "blobs_unavailable") from None
            except ProviderError as refused:
                failure = refused.failure
                metrics.PROVIDER_CODES.labels(self._name, failure.provider_code or "", failure.code).inc()
                by_account.refused(self._name, step.job.account.account_id)
                if not failure.certain:
                    return await self._uncertain(step, failure, began)
                await self._put_off(step, failure)
                adjusted = self._channel.adjust(call, failure) if isinstance(self._channel, Adjusts) else None
                if adjusted is None:
                    await self._outcomes.failed(step, failure)
                    return False
                if isinstance(adjusted, Sequence):
                    raise _Split(adjusted, failure) from None
                await self._retract(step)
                await self._pacer.overdraw(step.job.account)
                call = adjusted
                continue
            self._unwritten[step.job.command.command_id] = (step.index, receipt)
            await self._outcomes.done(step, receipt)
            return True
        await self._outcomes.failed(step, Failure(ErrorCode.CONTENT_REJECTED))
        return False

    async def _wait(self, step: Step) -> None:
        self.wait_for_provider(step.job)
        if not step.call.parts:
            return
        self._park_if_it_hangs(step.job)
        try:
            await self._pacer.wait_for(
                step.job.account,
                step.job.conversation_id,
                step.job.command.command_id,
                group=step.conversation.kind == "group",
            )
        except TooFar as far:
            raise Park(datetime.now(UTC) + timedelta(seconds=far.wait), ErrorCode.RATE_LIMITED) from None

    def wait_for_provider(self, job: Job) -> None:
        """Raises Park while the provider gives the account no useful answers, NotNow while that is found out."""
        try:
            self._outages.check(job.account.account_id)
        except Held as held:
            if held.briefly:
                raise NotNow(TRIAL_WAIT, str(ErrorCode.PROVIDER_UNAVAILABLE)) from None
            raise Park(held.until, ErrorCode.PROVIDER_UNAVAILABLE, outage=True) from None

    def slot(self, job: Job) -> AbstractContextManager[object]:
        """A place for what a command needs of somebody else's server. Raises NotNow, Park."""
        self._park_if_it_hangs(job)
        return self._pacer.slots.taken(job.account.account_id)

    def _park_if_it_hangs(self, job: Job) -> None:
        """The account's calls hang: in their lanes its commands would fill the window for other accounts'."""
        if self._pacer.slots.hangs(job.account.account_id):
            raise Park(datetime.now(UTC) + HANGING_RETRY, "account_busy")

    async def _claimed(self, step: Step) -> Receipt:
        """Claim the call, make it, and say how long it took.

        Raises ProviderError, NotNow, Park, Refused; BlobsUnavailable before anything was sent.
        """
        account_id = step.job.account.account_id
        with self._pacer.slots.taken(account_id):
            self.wait_for_provider(step.job)
            entered = self._outages.enter(account_id)
            answered, failure = False, None
            try:
                given = await self._claim(step)
                receipt = await self._perform(step, given)
                answered = True
            except _NotAsked:
                raise
            except ProviderError as refused:
                answered, failure = True, refused.failure
                raise
            finally:
                self._outages.leave(account_id, entered, failure, answered=answered)
            return receipt

    async def _claim(self, step: Step) -> str:
        """Write down that the call is being made; what to give the provider to bring back."""
        job = step.job
        self._pacer.forget(job.command.command_id)
        # Until Valkey has answered, the claim may stand there without a call behind it.
        self._unwritten[job.command.command_id] = (step.index, None)
        quota = quota_of(rule_for(self._channel.capabilities, step.conversation), step.conversation)
        limit = quota if step.index == 0 and step.of else None
        members = step.quota_members(range(step.of)) if limit is not None else ()
        given = correlation(job.command.command_id, step.first)
        intended = await self._store.intend(
            job.conversation_id,
            job.command.command_id,
            ledger.call_field(step.index),
            CallEntry("intent", now_ms()).encode(),
            pending=[ids.part_message_id(job.command.command_id, part) for part in step.parts],
            quota_limit=limit,
            quota_members=members,
            waits=max(0.0, (job.expires_at - datetime.now(UTC)).total_seconds()),
            plan=step.plan,
            bindings=self._bindings(step, given),
        )
        if intended.answer == "quota":
            raise Refused(ErrorCode.QUOTA_EXHAUSTED, limit=limit, actual=int(intended.value))
        if intended.answer == "taken":
            raise NotNow(1.0, "claimed_elsewhere")
        del self._unwritten[job.command.command_id]
        if self._outages.held(job.account.account_id):  # since a moment
            await self._retract(step)
            self.wait_for_provider(job)
        return given

    def _bindings(self, step: Step, given: str) -> list[Binding]:
        """What a later report may call the message, which may be faster than the answer, or all that comes of it."""
        if step.call.parts and self._echoes is not None:
            return [self._binding(step, self._echoes.echo_key(step.call), ttl=ECHO_SECONDS)]
        if step.call.parts and self._brings_back:
            return [self._binding(step, given)]
        return [self._binding(step, name, step.call.names[0]) for name in step.call.names]  # the first is the id

    def _binding(self, step: Step, name: str, ref: str | None = None, *, ttl: int = SENT.ttl) -> Binding:
        job = step.job
        about = About.of_part(job.command, job.conversation_id, step.first, max(step.of, 1), step.index)
        known = about if ref is None else replace(about, ref=ref)
        return Binding(self._name, job.account.account_id, name, known.as_dict(), ttl)

    @tracing.traced("client", lambda _, step, __: step.call.method)
    async def _perform(self, step: Step, given: str | None) -> Receipt:
        started = perf_counter()
        outcome = "ok"
        try:
            return await self._channel.perform(step.call, step.job.account, self._files, given)
        except ProviderError as refused:
            outcome = str(refused.failure.code)
            raise
        except FileUnavailable:
            outcome = ErrorCode.FILE_UNAVAILABLE
            raise _NotAsked(Failure(ErrorCode.FILE_UNAVAILABLE)) from None
        except BlobsUnavailable:
            outcome = "blobs_unavailable"
            raise
        except Exception as bug:  # whatever went wrong, the provider may have got the message
            outcome = ErrorCode.INTERNAL
            log.error("perform_failed", channel=self._name, method=step.call.method, exc_info=bug)
            raise _NotAsked(Failure(ErrorCode.UNCERTAIN, certain=False, detail=type(bug).__name__)) from None
        finally:
            metrics.PROVIDER_CALLS.labels(self._name, step.call.method, outcome).inc()
            metrics.PROVIDER_SECONDS.labels(self._name).observe(perf_counter() - started)

    async def _uncertain(self, step: Step, failure: Failure, began: int, *, again: bool = False) -> bool:
        """Nobody knows whether it was sent: ask where one can ask, otherwise say so and do not send it again.

        `began` in Unix milliseconds. While the provider answers nothing, what may still be learned waits with its
        claim; `again`: it has waited, or its process has died.
        """
        if await self._learned(step, began, again):
            return True
        if self._may_resend(step) and not await self._outcomes.reported(step):
            if not again and self._in_time(step.job):
                self._outages.try_first(step.job.account.account_id)  # into an outage nothing is sent again
                raise Park(None, ErrorCode.UNCERTAIN, outage=True)
            await self._outcomes.retract(step, again=True)
            await self._pacer.overdraw(step.job.account)
            warned = replace(step.call, warnings=(*step.call.warnings, _MAY_BE_DUPLICATE))
            return await self._attempt(replace(step, call=warned))
        await self._outcomes.uncertain(step, failure)
        if step.index < step.last and not again and self._in_time(step.job):
            # One part in doubt is enough: those behind it go when the way has been tried.
            self._outages.try_first(step.job.account.account_id)
            raise Park(None, ErrorCode.PROVIDER_UNAVAILABLE, outage=True)
        return True

    async def _learned(self, step: Step, began: int, again: bool) -> bool:
        """Whether the provider has said by now that it has the message. Raises NotNow and Park where it may yet."""
        job = step.job
        in_time = self._in_time(job)
        if in_time and self._outages.held(job.account.account_id) and self._may_learn(step):
            self._listening[job.command.command_id] = None
            raise Park(None, ErrorCode.PROVIDER_UNAVAILABLE, outage=True)
        if isinstance(self._channel, Reconciles):
            try:
                since = datetime.fromtimestamp(began / 1000, UTC)
                with self._pacer.slots.taken(job.account.account_id):
                    receipt = await self._channel.find_sent(step.call, job.account, since)
            except NotNow:  # the account has no slot left
                raise
            except ProviderError as unknown:
                asked = self._failures.get(job.command.command_id, 0)
                passes = ERRORS[unknown.failure.code].error_class in _PASSING
                if passes and in_time and asked < MOST_QUESTIONS:
                    self._again(step, ErrorCode.PROVIDER_UNAVAILABLE, unknown.failure.retry_after)
                return False
            except Exception as bug:
                log.error("find_sent_failed", channel=self._name, method=step.call.method, exc_info=bug)
                return False
            if receipt is None or await self._outcomes.is_of_another(step, receipt):
                await self._retract(step)
                self._again(step, ErrorCode.PROVIDER_UNAVAILABLE)
            elif receipt.state is not State.UNCERTAIN:
                await self._outcomes.done(step, receipt)
                return True
        elif again and in_time and self._still_listening(job):
            raise Park(datetime.now(UTC) + timedelta(seconds=CALLBACK_SECONDS / 2), ErrorCode.UNCERTAIN)
        return False

    def _may_learn(self, step: Step) -> bool:
        return self._brings_back or isinstance(self._channel, Reconciles) or self._may_resend(step)

    @staticmethod
    def _may_resend(step: Step) -> bool:
        command = step.job.command
        resend = isinstance(command, MessageSend) and command.on_uncertain == "resend"
        return resend and _MAY_BE_DUPLICATE not in step.call.warnings

    @staticmethod
    def _in_time(job: Job) -> bool:
        return datetime.now(UTC) < job.expires_at

    def _still_listening(self, job: Job) -> bool:
        """After an outage, the provider's reports of what it took are given a moment to come."""
        command_id = job.command.command_id
        if not self._brings_back or command_id not in self._listening:
            return False
        until = self._listening[command_id]
        if until is None:
            until = self._listening[command_id] = monotonic() + CALLBACK_SECONDS
        return monotonic() < until

    async def _retract(self, step: Step, split: Sequence[Failure] = ()) -> None:
        """The call was surely not made: take the claim back, and what it has reserved."""
        self._unwritten[step.job.command.command_id] = (step.index, None)
        await self._outcomes.retract(step, split=split)
        del self._unwritten[step.job.command.command_id]

    # --- waiting

    async def _put_off(self, step: Step, failure: Failure) -> None:
        """Raise NotNow or Park for what passes; return for what does not."""
        match ERRORS[failure.code].error_class:
            case ErrorClass.RATE:
                wait = failure.retry_after or backoff(self._count(step.job))
                await self._retract(step)
                await self._pacer.hold_back(step.job.account, step.job.conversation_id, failure.scope, wait)
                self._later(wait, ErrorCode.RATE_LIMITED)
            case ErrorClass.ACCOUNT if failure.health in PAUSED:
                await self._retract(step)
                await self._health.learn(step.job.account, HealthChange(failure.health, failure.code))
                until = datetime.now(UTC) + BILLING_RETRY if failure.health is Health.BILLING_BLOCKED else None
                raise Park(until, failure.code)
            case ErrorClass.TRANSIENT | ErrorClass.ACCOUNT:  # what says nothing sure of the account passes
                await self._retract(step)
                if failure.health is not None:
                    await self._health.learn(step.job.account, HealthChange(failure.health, failure.code))
                self._again(step, failure.code, failure.retry_after)

    def _again(self, step: Step, why: ErrorCode, retry_after: float | None = None) -> None:
        self._later(retry_after or backoff(self._count(step.job)), why)

    def _later(self, wait: float, why: ErrorCode) -> None:
        if wait <= self._short_wait:
            raise NotNow(wait, str(why))
        raise Park(datetime.now(UTC) + timedelta(seconds=wait), why)

    def _count(self, job: Job) -> int:
        count = self._failures[job.command.command_id] = self._failures.get(job.command.command_id, 0) + 1
        return count
