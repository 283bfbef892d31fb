"""Who is who: the names a contact goes by, resolved to one conversation that stays.

A name means a conversation from when it first comes, alone or with others. Two conversations of one contact become one:
the later begun part of the earlier. That order never changes, so replicas that join at the same time make no circle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import orjson
from cachetools import TLRUCache

from shared.channel import Event
from shared.contract import ids
from shared.contract.base import AliasKind
from shared.contract.events import EventType

FRESH_SECONDS = 60.0
_REMEMBERED = 50_000
_MOST_HOPS = 64  # conversations that became part of one another; each step is a meeting of two
_MERGED = "merged:"


class NameStore(Protocol):
    """What is kept of names, as `shared.state.store.Store` keeps it for all replicas."""

    async def peers(self, channel: str, aliases: Sequence[tuple[str, str]]) -> list[str | None]: ...

    async def adopt(self, channel: str, account_id: str, alias: str, peer: str) -> str: ...

    async def rename(self, channel: str, account_id: str, alias: str, peer: str) -> None: ...

    async def since(self, conversation_id: str, at_ms: int | None = None) -> int: ...

    async def joined(self, conversation_id: str) -> str | None: ...

    async def join(self, conversation_id: str, peer: str) -> str: ...

    async def record(self, conversation_id: str) -> dict[str, str]: ...

    async def merge(self, conversation_id: str, peer: str, fields: Mapping[str, str]) -> str | None: ...


def merged_peers(fields: Mapping[str, str]) -> list[str]:
    """The peers of the conversations that have become part of the one with these fields of state."""
    return [name.removeprefix(_MERGED) for name in fields if name.startswith(_MERGED)]


def untold_merges(fields: Mapping[str, str]) -> list[str]:
    """Those of them that no event has told of yet."""
    return [peer for peer in merged_peers(fields) if fields[_MERGED + peer] == "0"]


def merge_field(peer: str) -> str:
    """The field of state that says whether a merge has been told."""
    return _MERGED + peer


class Identities:
    """Resolves peers of one channel through their names.

    What a name meant is remembered for `FRESH_SECONDS`: within that time another replica's change of it is seen here.
    That its conversation has become part of another one is seen at once: `Store.observe` tells, `root_of` asks.
    """

    def __init__(self, channel: str, store: NameStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._store = store
        self._clock = clock
        self._peers: TLRUCache[tuple[str, str], tuple[str, float]] = TLRUCache(_REMEMBERED, _stale_at, timer=clock)

    async def conversation_of(self, event: Event) -> str:
        """The conversation of an event: the one that its names mean. Raises StateUnavailable."""
        if event.type is EventType.ACCOUNT_NOTICE:
            return event.data.conversation_id
        _, account_id, peer = ids.split_conversation_id(event.data.conversation_id)
        if event.supersedes_peer is not None:
            await self._move(account_id, event.supersedes_peer, peer)
        resolved = await self.resolve(account_id, peer, event.peer_aliases)
        return ids.conversation_id(self._channel, account_id, resolved)

    async def conversations_of(self, many: Sequence[Sequence[Event]]) -> list[list[str]]:
        """As `conversation_of`, of the events of many records: what their names mean is read in one round trip."""
        await self._read_ahead([event for events in many for event in events])
        found = [self._at_once(events) for events in many]
        unsure = [index for index, known in enumerate(found) if known is None]
        resolved = await asyncio.gather(*(self._one_by_one(many[index]) for index in unsure))
        for index, conversation_ids in zip(unsure, resolved, strict=True):
            found[index] = conversation_ids
        return [known or [] for known in found]

    async def _one_by_one(self, events: Sequence[Event]) -> list[str]:
        return [await self.conversation_of(event) for event in events]

    def _at_once(self, events: Sequence[Event]) -> list[str] | None:
        """Their conversations, where all of their names are remembered and mean the same."""
        found = []
        for event in events:
            conversation_id = event.data.conversation_id
            if event.type is not EventType.ACCOUNT_NOTICE:
                _, account_id, peer = ids.split_conversation_id(conversation_id)
                known = None if event.supersedes_peer else self._agreed(account_id, (peer, *event.peer_aliases))
                if known is None:
                    return None
                conversation_id = conversation_id if known == peer else self._id(account_id, known)
            found.append(conversation_id)
        return found

    async def _read_ahead(self, events: Sequence[Event]) -> None:
        """Remember what names mean that are not remembered."""
        read_at = self._clock()
        names: dict[tuple[str, str], None] = {}
        for event in events:
            if event.type is not EventType.ACCOUNT_NOTICE:
                _, account_id, peer = ids.split_conversation_id(event.data.conversation_id)
                names.update(dict.fromkeys((account_id, name) for name in (peer, *event.peer_aliases)))
        unknown = [name for name in names if name not in self._peers]
        for (account_id, name), known in zip(unknown, await self._store.peers(self._channel, unknown), strict=True):
            if known is not None:
                self._remember(account_id, name, known, read_at)

    def _agreed(self, account_id: str, names: Sequence[str]) -> str | None:
        """The one peer that all of these names mean, as far as is remembered."""
        if len(names) == 1:
            return self._fresh(account_id, names[0])
        meant = {self._fresh(account_id, name) for name in names}
        return meant.pop() if len(meant) == 1 else None

    async def resolve(self, account_id: str, peer: str, aliases: Sequence[str]) -> str:
        """The peer of the conversation that all these names mean from now on; that of a new one has the first's."""
        names = list(dict.fromkeys((peer, *aliases)))
        if (known := self._agreed(account_id, names)) is not None:
            return known
        read_at = self._clock()
        found = await self._store.peers(self._channel, [(account_id, name) for name in names])
        chosen = next((known for known in found if known is not None), None)
        if chosen is None:
            chosen = peer
            await self._store.since(self._id(account_id, peer))
        meant = [
            known or await self._store.adopt(self._channel, account_id, name, chosen)
            for name, known in zip(names, found, strict=True)
        ]
        root = await self._one_of(account_id, dict(zip(names, meant, strict=True)))
        for name in names:
            self._remember(account_id, name, root, read_at)
        return root

    async def known(self, account_id: str, name: str) -> str | None:
        """The peer that a name means; None for a name that nobody has gone by. Raises StateUnavailable."""
        peer = self._fresh(account_id, name)
        if peer is None:
            read_at = self._clock()
            peer = (await self._store.peers(self._channel, [(account_id, name)]))[0]
            if peer is not None:
                self._remember(account_id, name, peer, read_at)
        return peer

    async def root_of(self, conversation_id: str) -> str:
        """The conversation that this one has become part of, or itself. Raises StateUnavailable."""
        channel, account_id, peer = ids.split_conversation_id(conversation_id)
        return ids.conversation_id(channel, account_id, await self._root(account_id, peer))

    # --- two conversations of one contact

    async def _one_of(self, account_id: str, meant: Mapping[str, str]) -> str:
        """The one conversation of names that mean these; they mean it afterwards. The first name is the strongest."""
        roots = {peer: await self._root(account_id, peer) for peer in set(meant.values())}
        strongest = roots[next(iter(meant.values()))]
        others = set(roots.values()) - {strongest}
        apart = {other for other in others if await self._are_two(account_id, strongest, other)}
        root = await self._joined(account_id, {strongest, *others} - apart)
        for name, peer in meant.items():
            if peer == root:
                continue
            if roots[peer] not in apart:
                await self._carry_over(account_id, peer)
            await self._store.rename(self._channel, account_id, name, root)
        return root

    async def _root(self, account_id: str, peer: str) -> str:
        for _ in range(_MOST_HOPS):
            into = await self._store.joined(self._id(account_id, peer))
            if into is None:
                break
            peer = into
        return peer

    async def _joined(self, account_id: str, peers: Iterable[str]) -> str:
        """The first begun of them, which the others are part of now."""
        together = set(peers)
        while len(together) > 1:
            begun = {peer: await self._store.since(self._id(account_id, peer), 0) for peer in together}
            first = min(together, key=lambda peer: (begun[peer], peer))
            for other in together - {first}:
                await self._store.join(self._id(account_id, other), first)
                await self._carry_over(account_id, other)
            together = {await self._root(account_id, peer) for peer in together}
        return together.pop()

    async def _carry_over(self, account_id: str, peer: str) -> None:
        """What was known of a conversation that has become part of another one is known of that one. Does so once."""
        fields = await self._store.record(self._id(account_id, peer))
        into = await self._store.joined(self._id(account_id, peer))
        for _ in range(_MOST_HOPS):
            if into is None:
                return
            into = await self._store.merge(self._id(account_id, into), peer, fields)

    async def _are_two(self, account_id: str, one: str, other: str) -> bool:
        """Whether they are two contacts who have had one name after the other: a phone number passes on, an id of the
        provider's own does not."""
        records = [await self._store.record(self._id(account_id, peer)) for peer in (one, other)]
        known = [orjson.loads(fields.get("aliases") or "{}").get(AliasKind.BSUID) for fields in records]
        return None not in known and known[0] != known[1]

    async def _move(self, account_id: str, old: str, new: str) -> None:
        """The contact goes by a new name. What came under it before the news of it is part of the conversation; a
        conversation that is older is of somebody who had the name before: it keeps what it has, and loses the name."""
        root = await self.resolve(account_id, old, ())
        root = await self._root(account_id, root)
        read_at = self._clock()
        known = (await self._store.peers(self._channel, [(account_id, new)]))[0]
        if known is not None and (there := await self._root(account_id, known)) != root:
            begun = [await self._store.since(self._id(account_id, peer), 0) for peer in (root, there)]
            if (begun[0], root) < (begun[1], there):
                await self._joined(account_id, (root, there))
        await self._store.rename(self._channel, account_id, new, root)
        self._remember(account_id, new, root, read_at)

    # --- remembered

    def _id(self, account_id: str, peer: str) -> str:
        return ids.conversation_id(self._channel, account_id, peer)

    def _fresh(self, account_id: str, name: str) -> str | None:
        known = self._peers.get((account_id, name))
        return known[0] if known is not None else None

    def _remember(self, account_id: str, name: str, peer: str, read_at: float) -> None:
        self._peers[account_id, name] = peer, read_at


def _stale_at(name: tuple[str, str], known: tuple[str, float], now: float) -> float:
    """A minute after it was read, however long that took."""
    return known[1] + FRESH_SECONDS
