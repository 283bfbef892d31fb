"""Names of a contact that a provider's answer reveals: kept, so that its next message finds its conversation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.channel import Channel, Event, Initiates, Refused
from shared.contract import ids
from shared.contract.base import Alias, Contact
from shared.contract.events import ContactUpdated, EventType
from shared.contract.topics import Topics
from shared.runtime.jobs import Job
from shared.runtime.publish import event_envelope
from shared.state.store import Store
from shared.stream.log import Log


class Names:
    """Keeps learned names as aliases of the conversation, and tells of those that are new."""

    def __init__(self, channel: Channel, store: Store, log: Log, topics: Topics) -> None:
        self._channel = channel
        self._name = channel.capabilities.channel
        self._store = store
        self._log = log
        self._topic = topics.inbound(self._name)

    async def learn(self, job: Job, aliases: Sequence[Alias]) -> None:
        """Raises StateUnavailable, LogUnavailable. Learning the same again changes nothing and is not told."""
        if not isinstance(self._channel, Initiates):
            return
        account_id = job.account.account_id
        _, _, peer = ids.split_conversation_id(job.conversation_id)
        added = []
        for alias in aliases:
            try:
                name, _ = self._channel.peer_of((alias,))
            except Refused:
                continue
            if name != peer and await self._store.peer(self._name, account_id, name) is None:
                await self._store.adopt(self._name, account_id, name, peer)
                added.append(alias)
        if added:
            await self._tell(job, added)

    async def _tell(self, job: Job, added: Sequence[Alias]) -> None:
        now = datetime.now(UTC)
        data = ContactUpdated(
            channel=self._name,
            workspace_id=job.account.workspace_id,
            account_id=job.account.account_id,
            conversation_id=job.conversation_id,
            occurred_at=now,
            received_at=now,
            contact=Contact(aliases=tuple(added)),
            added=tuple(added),
            reason="named_by_provider",
        )
        event = Event(EventType.CONTACT_UPDATED, data, provider_id=f"{job.command.command_id}|named")
        envelope = event_envelope(self._name, event, job.traceparent)
        await self._log.send(self._topic, envelope.key, envelope.data.to_json(), envelope.headers())
