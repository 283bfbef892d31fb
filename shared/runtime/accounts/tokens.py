"""Rotating tokens in the state store, sealed, changed by one replica at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from shared.channel import Failure, ProviderError
from shared.contract.errors import ErrorCode
from shared.runtime.accounts.sealing import CannotOpen, first_of, public_key, seal, unseal
from shared.state.store import Store


class SealedTokens:
    """Implements `TokenStore` of the port. Raises StateUnavailable.

    `sealing_keys` as in `sealing`: what is sealed to any of them is opened, and replaced sealed to the first.

    A value that cannot be opened is of another sealing key. Whose key is the old one, the account's record says:
    `current` tells whether its newest can be opened here. Then the value is of a former key, and counts as absent: the
    account's credentials stand in. Else we are the ones with the old key, and leave the value to those with the new.
    """

    def __init__(self, channel: str, store: Store, sealing_keys: str, current: Callable[[str], bool]) -> None:
        self._channel = channel
        self._store = store
        self._current = current
        self._keys = sealing_keys
        self._public = public_key(sealing_keys)
        self._sealed: dict[str, tuple[str, str | None]] = {}

    async def get(self, account_id: str) -> str | None:
        """Raises ProviderError where the value is not ours to open: nothing has been asked of the provider."""
        sealed = await self._store.secret(self._channel, account_id)
        return None if sealed is None else self._open(account_id, sealed)

    def _open(self, account_id: str, sealed: str) -> str | None:
        known = self._sealed.get(account_id)
        if known is None or known[0] != sealed:
            try:
                value = unseal(sealed, self._keys).get("value")
            except CannotOpen:
                value = None
            known = self._sealed[account_id] = (sealed, value)
        if known[1] is None and not self._current(account_id):
            detail = "The account's tokens are sealed to another key."
            raise ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, detail=detail, scope="account"))
        return known[1]

    async def replace(self, account_id: str, expected: str | None, value: str) -> bool:
        """Raises ProviderError as `get`."""
        present = await self._store.secret(self._channel, account_id)
        if (None if present is None else self._open(account_id, present)) != expected:
            return False
        sealed = seal({"value": value}, self._public)
        return await self._store.replace_secret(self._channel, account_id, present, sealed)

    async def reseal(self, account_id: str) -> bool:
        """Seal the value to the first key, where it is sealed to another; whether it was.

        Raises ProviderError as `get`, where a value that opens with none of the keys is not ours to judge.
        """
        present = await self._store.secret(self._channel, account_id)
        if present is None:
            return False
        try:
            unseal(present, first_of(self._keys))
            return False
        except CannotOpen:
            value = self._open(account_id, present)
        if value is None:
            return False
        sealed = seal({"value": value}, self._public)
        return await self._store.replace_secret(self._channel, account_id, present, sealed)

    def exclusive(self, account_id: str) -> AbstractAsyncContextManager[bool]:
        return self._store.lease("tokens", self._channel, account_id)
