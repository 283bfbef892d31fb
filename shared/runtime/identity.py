"""Who is who: the names a contact goes by, resolved to one conversation that stays."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from shared.channel import Event
from shared.contract import ids
from shared.state.store import Store

FRESH_SECONDS = 60.0
_REMEMBERED = 50_000


class Identities:
    """Resolves peers of one channel through their aliases.

    What a name meant is remembered for `FRESH_SECONDS`: within that time another replica's change of it is seen here.
    """

    def __init__(self, channel: str, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._store = store
        self._clock = clock
        self._peers: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()  # with when it was read

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
        fresh = [self._fresh(account_id, name) for name in names]
        if None not in fresh:
            return fresh[0] or peer
        read_at = self._clock()
        found = await asyncio.gather(*(self._store.peer(self._channel, account_id, name) for name in names))
        chosen = next((known for known in found if known is not None), peer)
        meant = [
            known or await self._store.adopt(self._channel, account_id, name, chosen)
            for name, known in zip(names, found, strict=True)
        ]
        for name, known in zip(names, meant, strict=True):
            self._remember(account_id, name, known, read_at)
        return meant[0]

    async def known(self, account_id: str, name: str) -> str | None:
        """The peer that a name means; None for a name that nobody has gone by. Raises StateUnavailable."""
        peer = self._fresh(account_id, name)
        if peer is None:
            read_at = self._clock()
            peer = await self._store.peer(self._channel, account_id, name)
            if peer is not None:
                self._remember(account_id, name, peer, read_at)
        return peer

    async def _point(self, account_id: str, name: str, peer: str) -> None:
        read_at = self._clock()
        await self._store.rename(self._channel, account_id, name, peer)
        self._remember(account_id, name, peer, read_at)

    def _fresh(self, account_id: str, name: str) -> str | None:
        peer, read_at = self._peers.get((account_id, name), (None, 0.0))
        return peer if self._clock() - read_at < FRESH_SECONDS else None

    def _remember(self, account_id: str, name: str, peer: str, read_at: float) -> None:
        self._peers[account_id, name] = peer, read_at
        self._peers.move_to_end((account_id, name))
        if len(self._peers) > _REMEMBERED:
            self._peers.popitem(last=False)
