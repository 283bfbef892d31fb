"""Who is who: the names a contact goes by, resolved to one conversation that stays."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from shared.channel import Event
from shared.contract import ids
from shared.state.store import Store

_REMEMBERED = 50_000


class Identities:
    """Resolves peers of one channel through their aliases; remembers what cannot change."""

    def __init__(self, channel: str, store: Store) -> None:
        self._channel = channel
        self._store = store
        self._peers: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def conversation_of(self, event: Event) -> str:
        """The conversation of an event: its own, unless one of its aliases is known under another peer.

        Raises StateUnavailable.
        """
        given = event.data.conversation_id
        if not event.peer_aliases and event.supersedes_peer is None:
            return given
        _, account_id, peer = ids.split_conversation_id(given)
        if event.supersedes_peer is not None:
            old = await self.resolve(account_id, event.supersedes_peer, ())
            await self._point(account_id, peer, old)
            await self.resolve(account_id, peer, event.peer_aliases)
            return ids.conversation_id(self._channel, account_id, old)
        resolved = await self.resolve(account_id, peer, event.peer_aliases)
        return ids.conversation_id(self._channel, account_id, resolved)

    async def resolve(self, account_id: str, peer: str, aliases: Sequence[str]) -> str:
        """The peer that all these names mean: what the strongest known one means, or `peer` itself."""
        names = list(dict.fromkeys((peer, *aliases)))
        cached = [self._peers.get((account_id, name)) for name in names]
        if None not in cached:
            return cached[0] or peer
        found = await asyncio.gather(*(self._store.peer(self._channel, account_id, name) for name in names))
        chosen = next((known for known in found if known is not None), peer)
        for name, known in zip(names, found, strict=True):
            meant = known or await self._store.adopt(self._channel, account_id, name, chosen)
            self._remember(account_id, name, meant)
        return self._peers[account_id, names[0]]

    async def _point(self, account_id: str, name: str, peer: str) -> None:
        await self._store.rename(self._channel, account_id, name, peer)
        self._remember(account_id, name, peer)

    def _remember(self, account_id: str, name: str, peer: str) -> None:
        self._peers[account_id, name] = peer
        self._peers.move_to_end((account_id, name))
        if len(self._peers) > _REMEMBERED:
            self._peers.popitem(last=False)
