"""Statuses: what became of each part, merged so that it never goes back, told once per step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from shared.channel import Account, Event, Failure, StatusUpdate
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import rfc3339
from shared.contract.capabilities import Capabilities
from shared.contract.commands import Command, MessageSend
from shared.contract.errors import Error, ErrorCode, error
from shared.contract.events import ContactReachability, EventType
from shared.contract.statuses import MessageStatus, Part, Participant, State, Warning
from shared.contract.topics import Topics
from shared.policy import words
from shared.policy.conversation import flags, from_fields
from shared.runtime import metrics
from shared.runtime.reporting import by_account, ledger
from shared.runtime.reporting.feed import StateFeed
from shared.runtime.reporting.identity import Identities
from shared.runtime.reporting.publish import enqueue, event_envelope, publish, state_of_all, status_record
from shared.state.store import Binding, Settlement, Store
from shared.stream.log import Log, Stored, acknowledged

LONGEST_CORRELATION = 200


@dataclass(frozen=True, slots=True)
class About:
    """What a provider message id stands for: a part of a command.

    `target` is what a command that makes no message is about: the provider may give a reaction an id all the same.
    `ref` is the message's id where it was found by another name of it.
    """

    conversation_id: str
    command_id: str
    part: int
    of: int
    call: int
    target: str | None = None
    ref: str | None = None

    def as_dict(self) -> dict[str, Any]:
        known = {"c": self.conversation_id, "k": self.command_id, "p": self.part, "of": self.of, "i": self.call}
        further = {"t": self.target, "r": self.ref}
        return known | {name: value for name, value in further.items() if value is not None}

    @classmethod
    def read(cls, value: Mapping[str, Any], found_by: str | None = None) -> About:
        ref = value.get("r") or found_by
        return cls(value["c"], value["k"], value["p"], value["of"], value["i"], value.get("t"), ref)

    @classmethod
    def of_part(cls, command: Command, conversation_id: str, part: int, of: int, call: int) -> About:
        """A part of a command, of so many, made by one of its calls."""
        return cls(conversation_id, command.command_id, part, of, call, target_id(command))


def is_message(command: Command) -> bool:
    """Whether a command makes a message for the contact; the others end in `done`."""
    return isinstance(command, MessageSend)


def target_id(command: Command) -> str | None:
    """Our id of the message that a command which makes none is about."""
    return None if is_message(command) else getattr(command, "message_id", None)


def correlation(command_id: str, part: int) -> str:
    """What the provider is given to bring back with a status: at most 200 characters."""
    named = f"{command_id}|{part}"
    return named if len(named) <= LONGEST_CORRELATION else ids.part_message_id(command_id, part)


def contract_error(failure: Failure, said: Iterable[str] = ()) -> Error:
    """A provider's failure as statuses carry it; `said` are the words of the command, which are not repeated."""
    return error(
        failure.code,
        failure.detail and words.without(failure.detail, said),
        provider_code=failure.provider_code,
        trace_id=words.trace_id(failure.trace_id),
        **failure.facts,
    )


class StatusBook:
    """Writes `channels.<ch>.statuses`, for deliver's own steps and for what providers report later."""

    def __init__(
        self, capabilities: Capabilities, log: Log, store: Store, topics: Topics, identities: Identities
    ) -> None:
        self._channel = capabilities.channel
        self._has_quota = any(rule.quota is not None for rule in capabilities.windows)
        self._log = log
        self._store = store
        self._topic = topics.statuses(self._channel)
        self._inbound = topics.inbound(self._channel)
        self._feed = StateFeed(capabilities, log, store, topics)
        self._identities = identities

    def status(
        self,
        command: Command,
        conversation_id: str | None,
        part: Part,
        state: State,
        *,
        occurred_at: datetime | None = None,
        detail: str = "",
        **facts: Any,
    ) -> MessageStatus:
        """A status of a command's part; `detail` tells apart what can happen more than once (deferrals)."""
        return MessageStatus(
            status_id=ids.status_id(command.command_id, part.index, state, detail),
            channel=self._channel,
            workspace_id=command.workspace_id,
            account_id=command.account_id,
            command_id=command.command_id,
            message_id=facts.pop("message_id", None) or ids.part_message_id(command.command_id, part.index),
            conversation_id=conversation_id,
            part=part,
            state=state,
            occurred_at=occurred_at or datetime.now(UTC),
            target_message_id=facts.pop("target_message_id", None) or target_id(command),
            **facts,
        )

    async def publish(self, status: MessageStatus, traceparent: str | None = None) -> asyncio.Future[Stored]:
        """Write a status; await the result for the ack. Raises LogUnavailable."""
        envelope = status_record(status, traceparent)
        code = status.error.code if status.error else ""
        metrics.STATUSES.labels(self._channel, status.state, code).inc()
        if code == ErrorCode.WINDOW_CLOSED:
            by_account.window_closed(self._channel, status.account_id)
        return await enqueue(self._log, self._topic, envelope)

    async def publish_all(self, statuses: Sequence[MessageStatus], traceparent: str | None = None) -> None:
        """Write statuses in order and wait for the acks. Raises LogUnavailable."""
        await acknowledged([await self.publish(status, traceparent) for status in statuses])

    # --- what providers report

    async def report(self, account: Account, update: StatusUpdate, traceparent: str | None) -> None:
        """A provider's report: matched to its part, or kept until the part is known.

        Raises StateUnavailable, LogUnavailable.
        """
        if update.until is not None:
            await self._read_up_to(account, update, traceparent)
            return
        about = await self._about(account, update)
        if about is not None:
            await self._meet(about, update)
            await self.apply(account.record, about, update, traceparent)

    async def _meet(self, about: About, update: StatusUpdate) -> None:
        """Whom our message reached goes by these names."""
        if update.peer is not None:
            _, account_id, peer = ids.split_conversation_id(about.conversation_id)
            await self._identities.resolve(account_id, update.peer, (*update.peer_aliases, peer))

    async def _about(self, account: Account, update: StatusUpdate) -> About | None:
        """The part a report is about: by the provider's id, by what we gave it to bring back, or not known yet."""
        provider_id, given = update.provider_message_id, update.correlation
        if provider_id and given:
            known = await self._store.sent(self._channel, account.account_id, provider_id)
            if known is None and (known := await self._store.sent(self._channel, account.account_id, given)):
                await self._settle_by_correlation(account.record, About.read(known), provider_id)
            if known is not None:
                return About.read(known)
        for candidate in update.candidates:
            if provider_id and (known := await self._store.sent(self._channel, account.account_id, provider_id)):
                return About.read(known, provider_id)
            provider_id = candidate
        name = provider_id or given
        if name is None:
            return None
        waits = _as_waiting(replace(update, provider_message_id=provider_id))
        known = await self._store.match(self._channel, account.account_id, name, waits)
        return None if known is None else About.read(known, provider_id)

    async def _settle_by_correlation(self, account: AccountRecord, about: About, provider_message_id: str) -> None:
        """The provider has brought our own id back: a part whose fate was unknown has been sent."""
        entry = ledger.CallEntry("done", int(datetime.now(UTC).timestamp() * 1000))
        message = ids.message_id(self._channel, account.account_id, provider_message_id)
        messages = dict.fromkeys((message, ids.part_message_id(about.command_id, about.part)), provider_message_id)
        await self._store.settle_and_bind(
            about.conversation_id,
            about.command_id,
            Settlement(set_fields={ledger.call_field(about.call): entry.encode()}, messages=messages),
            [Binding(self._channel, account.account_id, provider_message_id, about.as_dict())],
        )

    async def apply_early(
        self, account: AccountRecord, about: About, ref: str, early: Sequence[Mapping[str, Any]]
    ) -> None:
        """Statuses that came before their message was known, in the order they came."""
        for waiting in early:
            await self.apply(account, about, _from_waiting(waiting), None)
        await self._store.drop_waiting(self._channel, account.account_id, ref)

    async def apply(self, account: AccountRecord, about: About, update: StatusUpdate, traceparent: str | None) -> None:
        """Move a part on and tell so; a report that moves nothing is not told again."""
        if about.ref is not None:
            update = replace(update, provider_message_id=about.ref)
        if update.participant is not None:
            await self._apply_of_one(account, about, update, traceparent)
            return
        if update.warnings:
            await self.apply(account, about, replace(update, warnings=()), traceparent)
            await self._warn(about, update, traceparent)
            return
        status = self._reported(account, about, update)
        state = status.state
        field, told = ledger.part_field(about.part), ledger.told_field(about.part)
        moved, entries = await self._store.advance(
            about.conversation_id, about.command_id, field, *ledger.entry_of(status)
        )
        status = ledger.onwards(status, entries)
        stands = entries[field] == ledger.encode_part(status)
        # It may have moved in an attempt that ended before anything was told.
        if not moved and (not stands or entries.get(told) == state):
            if update.state is State.FAILED and not stands:
                metrics.ANOMALIES.labels(self._channel, "failed_after_receipt").inc()
            return
        conversation_id = await self._identities.root_of(about.conversation_id)
        status = status.model_copy(update={"conversation_id": conversation_id})
        if state is not State.DONE:
            status = status.model_copy(update={"rollup": ledger.rollup(entries, about.of)})
        await (await self.publish(status, traceparent))
        if update.failure is not None or update.bounce is not None:
            await self._learn(account, conversation_id, update)
        await self._store.tell(about.conversation_id, about.command_id, told, state)

    def _reported(self, account: AccountRecord, about: About, update: StatusUpdate) -> MessageStatus:
        provider_id = update.provider_message_id
        state = update.state if about.target is None or update.state is State.FAILED else State.DONE
        return MessageStatus(
            status_id=ids.status_id(about.command_id, about.part, state),
            channel=self._channel,
            workspace_id=account.workspace_id,
            account_id=account.account_id,
            command_id=about.command_id,
            message_id=ids.message_id(self._channel, account.account_id, provider_id)
            if provider_id
            else ids.part_message_id(about.command_id, about.part),
            conversation_id=about.conversation_id,
            part=Part(index=about.part, of=about.of),
            state=state,
            provider_message_id=provider_id,
            target_message_id=about.target,
            occurred_at=min(update.occurred_at, datetime.now(UTC)),  # nothing has come from the future
            error=contract_error(update.failure) if update.failure else None,
            bounce=update.bounce,
            pricing=dict(update.pricing) if update.pricing is not None else None,
        )

    async def _apply_of_one(
        self, account: AccountRecord, about: About, update: StatusUpdate, traceparent: str | None
    ) -> None:
        """What became of a part with one participant of a group: told with how many there are of each kind.

        The first one who has it, or has read it, moves the part on no further than to `delivered`: it has not failed
        and has not been read by all.
        """
        assert update.participant is not None
        whole = replace(update, participant=None, failure=None, state=state_of_all(update.state), pricing=None)
        if whole.state is State.DELIVERED:
            await self.apply(account, about, whole, traceparent)
        field = ledger.participant_field(about.part, update.participant)
        moved, entries = await self._store.advance(
            about.conversation_id,
            about.command_id,
            field,
            *ledger.participant_entry(update.state, update.occurred_at),
        )
        if not moved and ledger.part_state(entries[field]) is not update.state:
            return  # what is behind what was told of them already
        failure = contract_error(update.failure) if update.failure else None
        part = entries.get(ledger.part_field(about.part))
        detail = f"{update.participant} {update.state}"
        told = {
            "status_id": ids.status_id(about.command_id, about.part, "participant", detail),
            "state": ledger.part_state(part) if part else whole.state,
            "participant": Participant(id=update.participant, state=update.state, error=failure),
            "rollup": ledger.rollup(entries, about.of),
            "receipts": ledger.receipts(entries, about.part),
        }
        # Told again after a broken attempt, it is the same status: whoever reads it knows it by its id.
        told["conversation_id"] = await self._identities.root_of(about.conversation_id)
        told["occurred_at"] = ledger.not_before(entries, update.occurred_at)
        status = self._reported(account, about, whole).model_copy(update=told)
        await (await self.publish(status, traceparent))

    async def _warn(self, about: About, update: StatusUpdate, traceparent: str | None) -> None:
        """What a provider finds fault with in a part that is out: its last status once more, with the warnings."""
        for warning in update.warnings:
            field = ledger.warned_field(about.part, warning.code)
            entry = ledger.participant_entry(update.state, update.occurred_at)
            _, entries = await self._store.advance(about.conversation_id, about.command_id, field, *entry)
            last = MessageStatus.model_validate(ledger.part_status(entries[ledger.part_field(about.part)]))
            told = {
                "status_id": ids.status_id(about.command_id, about.part, "warning", warning.code),
                "conversation_id": await self._identities.root_of(about.conversation_id),
                "warnings": (warning,),
                "occurred_at": ledger.not_before(entries, update.occurred_at),
                "rollup": None if last.state is State.DONE else ledger.rollup(entries, about.of),
            }
            await (await self.publish(last.model_copy(update=told), traceparent))

    async def _read_up_to(self, account: Account, update: StatusUpdate, traceparent: str | None) -> None:
        if update.until is None or update.peer is None:
            return
        peer = await self._identities.resolve(account.account_id, update.peer, update.peer_aliases)
        conversation = await self._identities.root_of(ids.conversation_id(self._channel, account.account_id, peer))
        until = int(update.until.timestamp() * 1000)
        for ref in await self._store.outbox(conversation, until):
            known = await self._store.sent(self._channel, account.account_id, ref)
            if known is not None:
                single = replace(update, provider_message_id=ref, until=None)
                await self.apply(account.record, About.read(known), single, traceparent)
        await self._store.empty_outbox(conversation, until)

    # --- what a failure says about the conversation

    async def _learn(self, account: AccountRecord, conversation_id: str, update: StatusUpdate) -> None:
        """Correct what we believe of a conversation, unless the contact has written since."""
        learned = self.correction(update.failure) if update.failure is not None else {}
        if update.bounce == "hard":
            learned |= flags(undeliverable=True)
        if not learned:
            return
        observed = await self._store.observe(conversation_id)
        last = from_fields(observed.conversation).last_inbound
        if last is None or last <= update.occurred_at:
            await self._store.note(conversation_id, learned)
            await self.feed(account, conversation_id)

    async def _tell_blocked(self, account: AccountRecord, conversation_id: str, last: datetime | None) -> None:
        """Told again, it is the same event until the contact has written once more: `last` is when they last did."""
        now = datetime.now(UTC)
        data = ContactReachability(
            channel=self._channel,
            workspace_id=account.workspace_id,
            account_id=account.account_id,
            conversation_id=conversation_id,
            occurred_at=now,
            received_at=now,
            by="contact",
        )
        since = rfc3339(last) if last else "never"
        event = Event(EventType.CONTACT_BLOCKED, data, provider_id=f"{conversation_id}|{since}")
        envelope = event_envelope(self._channel, event)
        await publish(self._log, self._inbound, envelope)

    def correction(self, failure: Failure) -> dict[str, str]:
        """What a provider's refusal says of the conversation, as fields of its state."""
        match failure.code:
            case ErrorCode.WINDOW_CLOSED:
                return flags(closed_by_provider=True)
            case ErrorCode.QUOTA_EXHAUSTED if self._has_quota:
                return flags(closed_by_provider=True)
            case ErrorCode.RECIPIENT_BLOCKED:
                return flags(unreachable=True)
            case ErrorCode.OPTED_OUT:
                return flags(opted_out=True)
            case _:
                return {}

    async def feed(self, account: AccountRecord, conversation_id: str) -> None:
        """Tell what has changed of a conversation, if anything has: the feed, and that the contact blocked us."""
        conversation_id = await self._identities.root_of(conversation_id)
        observed = await self._store.observe(conversation_id)
        if observed.merged_into is not None:  # this very moment
            await self.feed(account, conversation_id)
            return
        conversation = from_fields(observed.conversation, observed.quota_used)
        if conversation.unreachable and not self._feed.said_unreachable(conversation):
            await self._tell_blocked(account, conversation_id, conversation.last_inbound)
        await self._feed.keep_up(account, conversation_id, conversation)


def _as_waiting(update: StatusUpdate) -> dict[str, Any]:
    failure = update.failure
    return {
        "id": update.provider_message_id,
        "state": update.state,
        "at": rfc3339(update.occurred_at),
        "pricing": dict(update.pricing) if update.pricing is not None else None,
        "participant": update.participant,
        "bounce": update.bounce,
        "warnings": [warning.model_dump(mode="json") for warning in update.warnings],
        "failure": None
        if failure is None
        else {
            "code": failure.code,
            "provider_code": failure.provider_code,
            "detail": failure.detail,
            "trace_id": failure.trace_id,
            "facts": dict(failure.facts),
        },
    }


def _from_waiting(waiting: Mapping[str, Any]) -> StatusUpdate:
    failure = waiting.get("failure")
    return StatusUpdate(
        provider_message_id=waiting["id"],
        state=State(waiting["state"]),
        occurred_at=datetime.fromisoformat(waiting["at"]),
        pricing=waiting.get("pricing"),
        participant=waiting.get("participant"),
        bounce=waiting.get("bounce"),
        warnings=tuple(Warning.model_validate(warning) for warning in waiting.get("warnings", ())),
        failure=None
        if failure is None
        else Failure(
            ErrorCode(failure["code"]),
            provider_code=failure["provider_code"],
            detail=failure["detail"],
            trace_id=failure.get("trace_id"),
            facts=failure["facts"],
        ),
    )
