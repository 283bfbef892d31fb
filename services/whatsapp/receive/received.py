"""What the events of one raw item have in common: account, person, conversation, times, ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.whatsapp.identity import Identity
from shared.channel import Event, ReceivedItem
from shared.contract import ids
from shared.contract.base import Contact, Origin
from shared.contract.events import EventData, EventType, ProviderFact
from shared.kit import loose
from shared.kit.facts import facts, message_id
from shared.kit.loose import Json


@dataclass(slots=True)
class Received:
    """`person` is the other side, in a group the participant; `ours` says that we wrote it, in another app.

    `wamid` is the id of the message the events come from, empty where they come from none.
    """

    item: ReceivedItem
    person: Identity
    occurred_at: datetime
    group: str | None = None
    ours: bool = False
    backfill: bool = False
    observed: bool = False
    errors: list[Json] = field(default_factory=list)
    wamid: str = ""

    @property
    def peer(self) -> str:
        """A message without an author gets a conversation of its own rather than somebody else's."""
        if self.group:
            return self.group
        peers = self.person.peers
        return peers[0] if peers else ids.personal_peer(self.wamid)

    @property
    def peer_aliases(self) -> tuple[str, ...]:
        """The person's other peers; a group is nobody's alias."""
        return () if self.group else tuple(self.person.peers[1:])

    @property
    def address(self) -> dict[str, str]:
        return {"group": self.group} if self.group else self.person.address()

    @property
    def origin(self) -> Origin:
        return Origin.NATIVE_APP if self.ours else Origin.CONTACT

    @property
    def author(self) -> Contact:
        return Contact() if self.ours else self.person.contact()

    def message_id(self, wamid: str) -> str:
        return message_id(self.item.account, wamid)

    def facts(self) -> dict[str, Any]:
        """The fields that every event has."""
        shared = facts(self.item, self.peer, self.occurred_at)
        return {**shared, "backfill": self.backfill, "observed": self.observed}

    def event(
        self,
        kind: EventType,
        data: EventData,
        provider_id: str,
        *,
        opens_window: bool = False,
        provider_ref: str | None = None,
    ) -> Event:
        """An event of this conversation; only what the contact does now opens the window."""
        return Event(
            type=kind,
            data=data,
            provider_id=provider_id,
            peer_aliases=self.peer_aliases,
            address=self.address,
            opens_window=opens_window and not self.ours and not self.backfill,
            provider_ref=provider_ref,
        )


def fact(member: Json, type_: str) -> ProviderFact:
    return ProviderFact(message_id=loose.text(member, "id"), type=type_)
