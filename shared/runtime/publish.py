"""Outcomes of a channel as the envelopes that go on the topics: ids, keys and headers in one place."""

from __future__ import annotations

from asyncio import Future
from datetime import datetime

from shared.channel import Event, StatusUpdate
from shared.contract import ids
from shared.contract.accounts import AccountRecord
from shared.contract.base import Model, rfc3339
from shared.contract.envelope import Envelope, source, type_name
from shared.contract.errors import error
from shared.contract.statuses import STATUS_TYPE, MessageStatus
from shared.stream.log import Log, Stored


async def publish(log: Log, topic: str, envelope: Envelope) -> Stored:
    """Send an envelope and wait for the ack. Raises LogUnavailable."""
    return await log.send(topic, envelope.key, envelope.data.to_json(), envelope.headers())


async def enqueue(log: Log, topic: str, envelope: Envelope) -> Future[Stored]:
    """Send an envelope; await the result for the ack. Raises LogUnavailable."""
    return await log.enqueue(topic, envelope.key, envelope.data.to_json(), envelope.headers())


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


def status_envelope(
    channel: str, account: AccountRecord, update: StatusUpdate, traceparent: str | None = None
) -> Envelope:
    """The envelope of a provider's report, before it is known which command it belongs to."""
    named = update.provider_message_id or update.correlation or rfc3339(update.occurred_at)
    conversation = ids.conversation_id(channel, account.account_id, update.peer) if update.peer else None
    failure = update.failure
    status = MessageStatus(
        status_id=ids.status_id(f"{channel}:{account.account_id}:{named}", 0, update.state),
        channel=channel,
        workspace_id=account.workspace_id,
        account_id=account.account_id,
        conversation_id=conversation,
        state=update.state,
        provider_message_id=update.provider_message_id,
        occurred_at=update.occurred_at,
        error=error(failure.code, failure.detail, provider_code=failure.provider_code, **failure.facts)
        if failure
        else None,
        pricing=dict(update.pricing) if update.pricing is not None else None,
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
