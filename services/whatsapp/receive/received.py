"""What the events of one raw item have in common: account, person, conversation, times, ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.whatsapp import wire
from services.whatsapp.capabilities import CHANNEL
from services.whatsapp.identity import Identity
from services.whatsapp.wire import Json
from shared.channel import Event, ReceivedItem
from shared.contract import ids
from shared.contract.base import Contact, Origin
from shared.contract.events import EventData, EventType, ProviderFact


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
    def account_id(self) -> str:
        return self.item.account.account_id

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
        return ids.message_id(CHANNEL, self.account_id, wamid)

    def common(self) -> dict[str, Any]:
        """The fields that every event has."""
        account = self.item.account
        return {
            "channel": CHANNEL,
            "workspace_id": account.workspace_id,
            "account_id": account.account_id,
            "conversation_id": ids.conversation_id(CHANNEL, account.account_id, self.peer),
            "occurred_at": self.occurred_at,
            "received_at": self.item.received_at,
            "sequence": self.item.sequence,
            "backfill": self.backfill,
            "observed": self.observed,
        }

    def event(
        self,
        kind: EventType,
        data: EventData,
        provider_id: str,
        *,
        opens_window: bool = False,
        reply_ref: str | None = None,
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
            reply_ref=reply_ref,
            provider_ref=provider_ref,
        )


def fact(member: Json, type_: str) -> ProviderFact:
    return ProviderFact(message_id=wire.text(member, "id"), type=type_)
