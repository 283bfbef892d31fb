"""Outcomes of a channel as the envelopes that go on the topics: ids, keys and headers in one place."""

from __future__ import annotations

from asyncio import Future
from dataclasses import replace
from datetime import datetime

import structlog

from shared.channel import Event, StatusUpdate
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Model, rfc3339
from shared.contract.envelope import Envelope, source, type_name
from shared.contract.errors import error
from shared.contract.statuses import RANK, STATUS_TYPE, MessageStatus, Participant, State
from shared.runtime.reporting.shorten import shortened
from shared.runtime.tracing import onward
from shared.stream.errors import RecordTooLarge
from shared.stream.log import Log, Stored

log = structlog.get_logger()


async def publish(stream: Log, topic: str, envelope: Envelope) -> Stored:
    """Send an envelope and wait for the ack. Raises as `enqueue` does."""
    return await (await enqueue(stream, topic, envelope))


async def enqueue(stream: Log, topic: str, envelope: Envelope) -> Future[Stored]:
    """Send an envelope; await the result for the ack. What is too large for the topic is sent `shortened`.

    Raises LogUnavailable, and RecordTooLarge for what cannot be shortened enough; so does the ack, when the topic takes
    less than was known: tried again, it is shortened.
    """
    if (trace := onward(envelope.traceparent)) != envelope.traceparent:
        envelope = replace(envelope, traceparent=trace)
    try:
        return await stream.enqueue(topic, envelope.key, envelope.data.to_json(), envelope.headers())
    except RecordTooLarge:
        short = _short(stream, topic, envelope)
        return await stream.enqueue(topic, short.key, short.data.to_json(), short.headers())


def _short(stream: Log, topic: str, envelope: Envelope) -> Envelope:
    def fits(data: Model) -> bool:
        return stream.takes(topic, envelope.key, data.to_json(), envelope.headers())

    data = shortened(envelope.data, fits) if "shortened" in type(envelope.data).model_fields else None
    if data is None:
        raise RecordTooLarge("the record is larger than the log accepts, and cannot be shortened")
    log.warning("record_shortened", topic=topic, type=envelope.type, id=envelope.id)
    return replace(envelope, data=data)


def event_envelope(channel: str, event: Event, traceparent: str | None = None) -> Envelope:
    """The envelope of an event; `ce_id` is the same for the same provider fact."""
    data = event.data
    return Envelope(
        id=ids.event_id(channel, data.account_id, event.provider_id, event.type),
        type=type_name(event.type),
        source=source(channel, data.account_id),
        subject=data.conversation_id,
        time=rfc3339(data.occurred_at),
        data=data,
        traceparent=traceparent,
    )


def state_of_all(state: State) -> State:
    """What a report about one participant says of a message to a group: it is there, or at least on its way."""
    return State.DELIVERED if RANK[state] >= RANK[State.DELIVERED] else State.SENT


def status_envelope(
    channel: str, account: AccountRecord, update: StatusUpdate, traceparent: str | None = None
) -> Envelope:
    """The envelope of a provider's report, before it is known which command it belongs to."""
    named = update.provider_message_id or update.correlation or rfc3339(update.occurred_at)
    conversation = ids.conversation_id(channel, account.account_id, update.peer) if update.peer else None
    failure = update.failure
    told = (
        error(failure.code, failure.detail, provider_code=failure.provider_code, **failure.facts) if failure else None
    )
    one = update.participant and Participant(id=update.participant, state=update.state, error=told)
    apart = update.participant or ",".join(warning.code for warning in update.warnings)
    status = MessageStatus(
        status_id=ids.status_id(f"{channel}:{account.account_id}:{named}", 0, update.state, apart),
        channel=channel,
        workspace_id=account.workspace_id,
        account_id=account.account_id,
        conversation_id=conversation,
        state=state_of_all(update.state) if one else update.state,
        provider_message_id=update.provider_message_id,
        occurred_at=update.occurred_at,
        error=None if one else told,
        bounce=update.bounce,
        pricing=dict(update.pricing) if update.pricing is not None else None,
        warnings=update.warnings,
        participant=one or None,
    )
    return status_record(status, traceparent)


def fact_envelope(name: str, channel: str, account_id: str, subject: str, moment: datetime, data: Model) -> Envelope:
    """The envelope of what stands on a compacted topic (a state, a health, capabilities): the last one counts."""
    return Envelope(
        id=ids.event_id(channel, account_id, f"{subject}|{rfc3339(moment)}", name),
        type=type_name(name),
        source=source(channel, account_id),
        subject=subject,
        time=rfc3339(moment),
        data=data,
    )


def status_record(status: MessageStatus, traceparent: str | None = None) -> Envelope:
    """The envelope of a status."""
    return Envelope(
        id=status.status_id,
        type=type_name(STATUS_TYPE),
        source=source(status.channel, status.account_id),
        subject=status.conversation_id or f"{status.channel}:{status.account_id}",
        time=rfc3339(status.occurred_at),
        data=status,
        traceparent=traceparent,
    )
