"""Rotating tokens in the state store, sealed, changed by one replica at a time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from shared.runtime.sealing import CannotOpen, public_key, seal, unseal
from shared.state.store import Store


class SealedTokens:
    """Implements `TokenStore` of the port. Raises StateUnavailable.

    A value that cannot be opened (another sealing key) counts as absent: the account's credentials stand in.
    """

    def __init__(self, channel: str, store: Store, sealing_key: str) -> None:
        self._channel = channel
        self._store = store
        self._key = sealing_key
        self._public = public_key(sealing_key)
        self._sealed: dict[str, tuple[str, str | None]] = {}

    async def get(self, account_id: str) -> str | None:
        sealed = await self._store.secret(self._channel, account_id)
        return None if sealed is None else self._open(account_id, sealed)

    def _open(self, account_id: str, sealed: str) -> str | None:
        known = self._sealed.get(account_id)
        if known is not None and known[0] == sealed:
            return known[1]
        try:
            value = unseal(sealed, self._key).get("value")
        except CannotOpen:
            value = None
        self._sealed[account_id] = (sealed, value)
        return value

    async def replace(self, account_id: str, expected: str | None, value: str) -> bool:
        present = await self._store.secret(self._channel, account_id)
        if (None if present is None else self._open(account_id, present)) != expected:
            return False
        sealed = seal({"value": value}, self._public)
        return await self._store.replace_secret(self._channel, account_id, present, sealed)

    def exclusive(self, account_id: str) -> AbstractAsyncContextManager[bool]:
        return self._store.lease("tokens", self._channel, account_id)
