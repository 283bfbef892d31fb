"""How a call ended: written into the ledger, bound to the provider's ids, told as statuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import time

from shared.channel import Account, Call, Channel, Failure, HealthChange, Receipt
from shared.contract import ids
from shared.contract.commands import MarkRead
from shared.contract.errors import Error, ErrorCode, error
from shared.contract.events import Health
from shared.contract.statuses import MessageStatus, Part, State
from shared.policy import words
from shared.policy.conversation import Conversation
from shared.policy.windows import quota_of, rule_for
from shared.runtime import metrics
from shared.runtime.accounts.health import AccountsHealth
from shared.runtime.outbound.commands import Job
from shared.runtime.outbound.names import Names
from shared.runtime.reporting import by_account, ledger
from shared.runtime.reporting.ledger import CallEntry
from shared.runtime.reporting.statuses import About, StatusBook, contract_error, is_message
from shared.runtime.reporting.threads import Threads
from shared.state.store import Binding, Fields, Settlement, Store
from shared.stream.records import header


def now_ms() -> int:
    return int(time() * 1000)


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a command: its `index`, the `first` of its parts, of how many in all; `last` is the last index.

    `plan` is what its claim keeps of the whole message.
    """

    job: Job
    call: Call
    index: int
    first: int
    of: int
    conversation: Conversation
    last: int = 0
    plan: str = ""

    @property
    def parts(self) -> range:
        return range(self.first, self.first + self.call.parts)

    def quota_members(self, parts: Sequence[int]) -> list[str]:
        """Names under which parts are counted until the provider has given them ids."""
        return [f"{self.job.command.command_id}:{part}" for part in parts]


class Outcomes:
    """Settles steps. Every method raises StateUnavailable and LogUnavailable."""

    def __init__(
        self,
        channel: Channel,
        store: Store,
        book: StatusBook,
        health: AccountsHealth,
        names: Names,
        sent: Callable[[str], None],
    ) -> None:
        self._capabilities = channel.capabilities
        self._name = channel.capabilities.channel
        self._store = store
        self._book = book
        self._health = health
        self._names = names
        self._sent = sent
        self._threads = Threads(store)
        # Whoever reports nothing later needs no way back from a provider id to its command.
        self._has_receipts = any(state is not State.SENT for state in channel.capabilities.receipts)

    async def done(self, step: Step, receipt: Receipt) -> None:
        """Settle a call that the provider has taken: what came of each part, under which ids, and what came early."""
        job = step.job
        refs = receipt.refs or receipt.provider_message_ids
        messages: dict[str, str] = {}
        for part, ref in zip(step.parts, refs, strict=False):
            if ref:
                ours = ids.message_id(self._name, job.account.account_id, ref)
                messages[ours] = messages[ids.part_message_id(job.command.command_id, part)] = ref
        statuses = self._statuses(step, receipt, refs)
        parts = {ledger.part_field(part): ledger.entry_of(status) for part, status in statuses.items()}
        counted = quota_of(rule_for(self._capabilities, step.conversation), step.conversation) is not None
        told = {ledger.told_field(part): str(statuses[part].state) for part in step.parts}
        settlement = Settlement(
            set_fields={ledger.call_field(step.index): CallEntry("done", now_ms()).encode(), **told},
            parts=parts,
            messages=messages,
            # A part without an id of its own stays counted under ours.
            quota_drop=step.quota_members(step.parts[: len(refs)]) if counted else (),
            quota_add=list(refs) if counted else (),
            outbox=list(refs) if self._capabilities.reads_up_to else (),
            ends=step.index == step.last,
        )
        bound = self._abouts(step, refs) if self._has_receipts else []
        bindings = [Binding(self._name, job.account.account_id, ref, about.as_dict()) for about, ref in bound]
        entries, early = await self._store.settle_and_bind(
            job.conversation_id, job.command.command_id, settlement, bindings
        )
        await self._tell(step, list(statuses.values()), entries, parts)
        for (about, ref), waiting in zip(bound, early, strict=True):
            if waiting:
                await self._book.apply_early(job.account.record, about, ref, waiting)
        if step.of:
            self._sent(job.conversation_id)
            by_account.sent(self._name, job.account.account_id, len(step.parts))
        await self._keep_thread(step, refs)
        if counted:
            await self._book.feed(job.account.record, job.conversation_id)
        if receipt.learned:
            await self._names.learn(job, receipt.learned)
        await self._recovered(job.account)

    def _statuses(self, step: Step, receipt: Receipt, refs: Sequence[str]) -> dict[int, MessageStatus]:
        """What came of each part of a call, by its number; of one that makes no message, of the command as part 0."""
        job, now, provider_ids = step.job, datetime.now(UTC), receipt.provider_message_ids
        state = receipt.state if is_message(job.command) else State.DONE
        statuses = {}
        for part in step.parts:
            at = part - step.first
            ref = refs[at] if at < len(refs) else None
            statuses[part] = self._book.status(
                job.command,
                job.conversation_id,
                Part(index=part, of=max(step.of, 1)),
                state,
                occurred_at=now,
                message_id=ids.message_id(self._name, job.account.account_id, ref) if ref else None,
                provider_message_id=provider_ids[at] if at < len(provider_ids) else None,
                warnings=(*step.call.warnings, *receipt.warnings) if part == step.first else (),
                file_refs=_file_refs(step.call, receipt) if part == step.first else None,
            )
        if not step.of and step.index == step.last:
            # No message comes of it (a reaction, a read mark): the command's own end is its one status.
            statuses[0] = self._book.status(
                job.command,
                job.conversation_id,
                Part(),
                State.DONE,
                occurred_at=now,
                warnings=step.call.warnings,
                target_message_id=self._marked(step),
            )
        return statuses

    def _marked(self, step: Step) -> str | None:
        """The message up to which a read mark has marked, where that is not the one it names: the last one received.

        That is marked, too, in place of a message that is not known.
        """
        last = step.conversation.last_ref
        if not isinstance(step.job.command, MarkRead) or not last:
            return None
        if step.job.command.message_id and last not in step.call.params.values():
            return None
        return ids.message_id(self._name, step.job.account.account_id, last)

    @staticmethod
    def _abouts(step: Step, refs: Sequence[str]) -> list[tuple[About, str]]:
        """The parts with the provider's ids of them."""
        job, of = step.job, max(step.of, 1)
        abouts = [About.of_part(job.command, job.conversation_id, part, of, step.index) for part in step.parts]
        return list(zip(abouts, refs, strict=False))

    async def _keep_thread(self, step: Step, refs: Sequence[str]) -> None:
        """The call's message is in its thread: answers to it are found there."""
        thread = step.call.thread
        if thread is None:
            return
        own = dict.fromkeys((*refs, *step.call.names))
        conversation_id = step.job.conversation_id
        joined = await self._threads.join(conversation_id, thread, own, {})
        await self._threads.keep(conversation_id, joined.thread_id, thread)

    async def bind_again(self, job: Job, entries: Fields) -> None:
        """Whoever has made the parts may not have come to bind them, or to tell what was reported early."""
        if not self._has_receipts:
            return
        for status in ledger.published(entries):
            part, ref = status["part"], status.get("provider_message_id")
            if ref is None:
                continue
            about = About.of_part(job.command, job.conversation_id, part["index"], part["of"], part["index"])
            [early] = await self._store.bind([Binding(self._name, job.account.account_id, ref, about.as_dict())])
            await self._book.apply_early(job.account.record, about, ref, early)

    async def failed(self, step: Step, failure: Failure) -> None:
        """The provider refused for good: this part has failed, those behind it are not sent."""
        job = step.job
        reason = contract_error(failure, _said(step))
        states = dict.fromkeys(step.parts, State.FAILED) or {0: State.FAILED}
        states |= dict.fromkeys(range(step.first + step.call.parts, step.of), State.CANCELLED)
        learned = self._book.correction(failure)
        await self._end_parts(step, states, reason, learned)
        if learned:
            await self._book.feed(job.account.record, job.conversation_id)

    async def abandon(self, job: Job, index: int, first: int, of: int, state: State) -> None:
        """Cancelled or expired after its beginning: the parts that were not sent say so, and are never sent."""
        reason = error(ErrorCode.EXPIRED) if state is State.EXPIRED else None
        step = Step(job, Call("", {}, parts=0), index, first, of, Conversation())
        await self._end_parts(step, dict.fromkeys(range(first, of), state) or {0: state}, reason)

    async def give_up(self, job: Job, entries: Fields, reason: Error) -> None:
        """What was begun cannot be planned any more: what is open fails, what was claimed is uncertain."""
        told = [status["part"] for status in ledger.published(entries)]
        of = told[0]["of"] if told else 1
        open_ = [part for part in range(of) if ledger.part_field(part) not in entries]
        calls = [(index, ledger.call_entry(entries, index)) for index in range(of)]
        claimed = next(
            (
                index
                for index, entry in calls
                if (entry is None and ledger.again_field(index) in entries) or (entry and entry.state == "intent")
            ),
            None,
        )
        if claimed is not None and open_:
            first, *open_ = open_
            step = Step(job, Call("", {}), claimed, first, of, Conversation())
            await self.uncertain(step, Failure(ErrorCode.UNCERTAIN, certain=False))
        if open_:
            index = next((index for index, entry in calls if entry is None), of)
            step = Step(job, Call("", {}, parts=0), index, open_[0], of, Conversation())
            await self._end_parts(step, dict.fromkeys(open_, State.FAILED), reason)

    async def _end_parts(
        self, step: Step, states: dict[int, State], reason: Error | None, learned: Mapping[str, str] | None = None
    ) -> None:
        job, of = step.job, max(step.of, 1)
        statuses = [
            self._book.status(
                job.command,
                job.conversation_id,
                Part(index=part, of=of),
                state,
                error=reason if state is not State.CANCELLED else None,
                warnings=step.call.warnings if part == step.first else (),
            )
            for part, state in states.items()
        ]
        entries = await self._settle(
            step,
            Settlement(
                set_fields={ledger.call_field(step.index): CallEntry("failed", now_ms()).encode()},
                parts={ledger.part_field(status.part.index): ledger.entry_of(status) for status in statuses},
                quota_drop=step.quota_members(list(states)),
                conversation=learned or {},
                ends=True,
            ),
        )
        await self._tell(step, statuses, entries)

    async def uncertain(self, step: Step, failure: Failure) -> None:
        job = step.job
        reason = contract_error(replace(failure, code=ErrorCode.UNCERTAIN), _said(step))
        statuses = [
            self._book.status(
                job.command,
                job.conversation_id,
                Part(index=part, of=max(step.of, 1)),
                State.UNCERTAIN,
                error=reason,
                warnings=step.call.warnings if part == step.first else (),
            )
            for part in (step.parts or range(1))
        ]
        parts = {ledger.part_field(s.part.index): ledger.entry_of(s) for s in statuses}
        record = job.record
        settled = {
            ledger.call_field(step.index): CallEntry("uncertain", now_ms()).encode(),
            ledger.COMMAND: ledger.encode_command(
                header(record, "ce_type") or b"", record.value or b"", record.timestamp_ms
            ),
        }
        entries = await self._settle(step, Settlement(set_fields=settled, parts=parts))
        await self._keep_thread(step, ())
        # The provider may have reported the part meanwhile; then there is no doubt left to tell of.
        open_ = [s for s in statuses if ledger.part_state(entries[ledger.part_field(s.part.index)]) is State.UNCERTAIN]
        await self._tell(step, open_, entries)

    async def is_of_another(self, step: Step, receipt: Receipt) -> bool:
        """Whether what was found at the provider is known as another part: pictures in a row look the same there."""
        for ref in receipt.refs or receipt.provider_message_ids:
            known = await self._store.sent(self._name, step.job.account.account_id, ref)
            if known is not None:
                about = About.read(known)
                return (about.command_id, about.part) != (step.job.command.command_id, step.first)
        return False

    async def reported(self, step: Step) -> bool:
        """Whether the provider has said meanwhile that it has the parts of this call."""
        opened = await self._store.open(step.job.conversation_id, step.job.command.command_id)
        return all(ledger.reached(opened.ledger, part, State.SENT) for part in step.parts or range(1))

    async def retract(self, step: Step, *, again: bool = False, split: Sequence[Failure] = ()) -> None:
        """Take a claim back, and with the first one the quota of the message; `again`: it may have been sent; `split`:
        several calls are made in its place."""
        noted = {ledger.again_field(step.index): "1"} if again else {}
        if split:
            noted[ledger.split_field(step.index)] = ledger.encode_failures(split)
        await self._settle(
            step,
            Settlement(
                set_fields=noted,
                drop_fields=[ledger.call_field(step.index)],
                quota_drop=step.quota_members(range(step.of)) if step.index == 0 else (),
            ),
        )

    async def _recovered(self, account: Account) -> None:
        if self._health.of(account.account_id) in (Health.BILLING_BLOCKED, Health.DEGRADED):
            await self._health.learn(account, HealthChange(Health.CONNECTED))

    async def _tell(
        self, step: Step, statuses: Sequence[MessageStatus], entries: Fields, settled: ledger.Settled | None = None
    ) -> None:
        """Publish what has been written into the ledger: with the times and the parts' totals it has now."""
        told = [ledger.onwards(status, entries, settled) for status in statuses]
        if any(status.state is not State.DONE for status in told):
            roll = ledger.rollup(entries, max(step.of, 1))
            told = [status.model_copy(update={"rollup": roll}) for status in told]
        await self._book.publish_all(told, step.job.traceparent)
        if told:
            method, seconds = step.call.method or "none", time() - step.job.record.timestamp_ms / 1000
            metrics.COMMAND_SECONDS.labels(self._name, method, told[0].state).observe(max(0.0, seconds))

    async def _settle(self, step: Step, settlement: Settlement) -> Fields:
        return await self._store.settle(step.job.conversation_id, step.job.command.command_id, settlement)


def _file_refs(call: Call, receipt: Receipt) -> dict[str, str] | None:
    """What the provider calls the files it has got, by their blobs."""
    named = ((call.files.get(name), ref) for name, ref in receipt.learned_files.items())
    return {file.blob: ref for file, ref in named if file is not None and file.blob} or None


def _said(step: Step) -> Iterator[str]:
    """What a command and its call say of people and to them."""
    command = step.job.command.model_dump(include={"content", "to", "actor"})
    return words.strings([command, dict(step.call.params)])
