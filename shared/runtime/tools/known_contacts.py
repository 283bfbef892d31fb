"""What one run of the command line remembers: the names it has met, and what was said of their conversations.

It stands in for the state that a running service shares: several payloads show the conversations they would make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from shared.channel import Event, Outcome, StatusUpdate
from shared.contract import ids
from shared.contract.events import EventType
from shared.policy.conversation import from_fields
from shared.runtime.inbound.enrich import as_kept, enrich, fields_of
from shared.runtime.reporting.identity import Identities, merge_field
from shared.state.store import Observed


class _Names:
    """`NameStore` in memory, for one caller at a time: conversations count from when they are met."""

    def __init__(self) -> None:
        self.fields: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._peers: dict[tuple[str, str], str] = {}
        self._since: dict[str, int] = {}
        self._into: dict[str, str] = {}

    async def peers(self, channel: str, aliases: Sequence[tuple[str, str]]) -> list[str | None]:
        return [self._peers.get(alias) for alias in aliases]

    async def adopt(self, channel: str, account_id: str, alias: str, peer: str) -> str:
        return self._peers.setdefault((account_id, alias), peer)

    async def rename(self, channel: str, account_id: str, alias: str, peer: str) -> None:
        self._peers[account_id, alias] = peer

    async def since(self, conversation_id: str, at_ms: int | None = None) -> int:
        return self._since.setdefault(conversation_id, len(self._since))

    async def joined(self, conversation_id: str) -> str | None:
        return self._into.get(conversation_id)

    async def join(self, conversation_id: str, peer: str) -> str:
        return self._into.setdefault(conversation_id, peer)

    async def record(self, conversation_id: str) -> dict[str, str]:
        return self.fields.get(conversation_id, {})

    async def merge(self, conversation_id: str, peer: str, fields: Mapping[str, str]) -> str | None:
        if conversation_id in self._into:
            return self._into[conversation_id]
        ours = self.fields[conversation_id]
        ours.setdefault(merge_field(peer), "0" if fields else "1")
        aliases = [orjson.loads(known.get("aliases", "{}")) for known in (fields, ours)]
        self.fields[conversation_id] = {**fields, **ours, "aliases": as_kept(aliases[0] | aliases[1])}
        return None


class KnownContacts:
    """Puts the outcomes of payloads into the conversations that their contacts have by then. Times are the events' own:
    nothing waits, and nothing is forgotten within a run."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._names = _Names()
        self._identities = Identities(channel, self._names, clock=lambda: 0.0)

    def told(self, account_id: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes in their conversations, with what is told of a contact's names beside them."""
        telling = self._told(account_id, outcomes)
        try:
            telling.send(None)  # nothing in it waits, so it needs no loop: there may be one around us
        except StopIteration as done:
            return list(done.value)
        raise AssertionError("names in memory do not wait")

    async def _told(self, account_id: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
        found: list[Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, Event):
                found.extend(await self._event(outcome))
            elif isinstance(outcome, StatusUpdate) and outcome.peer:
                peer = await self._identities.resolve(account_id, outcome.peer, outcome.peer_aliases)
                root = await self._identities.root_of(ids.conversation_id(self._channel, account_id, peer))
                found.append(replace(outcome, peer=ids.split_conversation_id(root)[2]))
            else:
                found.append(outcome)
        return found

    async def _event(self, event: Event) -> Sequence[Event]:
        if event.type is EventType.ACCOUNT_NOTICE:
            return [event]
        conversation_id = await self._identities.root_of(await self._identities.conversation_of(event))
        known = self._names.fields[conversation_id]
        said = fields_of([event])
        enriched = enrich(conversation_id, from_fields(known | said), Observed(frozenset(), {}, known, 0), [event])
        self._names.fields[conversation_id] = known | said | enriched.fields
        return enriched.events
