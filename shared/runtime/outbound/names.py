"""Other names of a contact that a provider's answer reveals: kept as aliases, and told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.channel import Channel, Event, Initiates, Refused
from shared.contract import ids
from shared.contract.base import Alias, Contact
from shared.contract.events import ContactUpdated, EventType
from shared.contract.topics import Topics
from shared.runtime.outbound.commands import Job
from shared.runtime.reporting.identity import Identities
from shared.runtime.reporting.publish import event_envelope, publish
from shared.stream.log import Log


class Names:
    """Keeps learned names as aliases of the conversation, and tells of those that are new."""

    def __init__(self, channel: Channel, identities: Identities, log: Log, topics: Topics) -> None:
        # Asked once: looking a protocol up takes longer than the rest of learning nothing new.
        self._initiates = channel if isinstance(channel, Initiates) else None
        self._name = channel.capabilities.channel
        self._identities = identities
        self._log = log
        self._topic = topics.inbound(self._name)

    async def learn(self, job: Job, aliases: Sequence[Alias]) -> None:
        """Raises StateUnavailable, LogUnavailable. Learning the same again changes nothing and is not told."""
        if self._initiates is None:
            return
        account_id = job.account.account_id
        _, _, peer = ids.split_conversation_id(job.conversation_id)
        added, names = [], []
        for alias in aliases:
            try:
                name, _ = self._initiates.peer_of((alias,))
            except Refused:
                continue
            if name == peer:
                continue
            names.append(name)
            if await self._identities.known(account_id, name) is None:
                added.append(alias)
        if names:
            await self._identities.resolve(account_id, peer, names)
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
        await publish(self._log, self._topic, envelope)
