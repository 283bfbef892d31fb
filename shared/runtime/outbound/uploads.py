"""The provider's ids of uploaded files, in the state store: what one replica has uploaded, all of them send."""

from __future__ import annotations

from contextlib import suppress

from shared.channel import Account
from shared.state import keys
from shared.state.client import StateUnavailable
from shared.state.store import Store


class KeptUploads:
    """Implements `UploadStore`. While the state is away nothing is known, and a file is uploaded once more."""

    def __init__(self, channel: str, store: Store) -> None:
        self._channel = channel
        self._store = store

    def _key(self, account: Account, content: str) -> str:
        return keys.upload(self._channel, account.account_id, account.record.external_id or "", content)

    async def get(self, account: Account, content: str) -> str | None:
        with suppress(StateUnavailable):
            return await self._store.upload(self._key(account, content))
        return None

    async def keep(self, account: Account, content: str, ref: str) -> None:
        with suppress(StateUnavailable):
            await self._store.keep_upload(self._key(account, content), ref)

    async def forget(self, account: Account, content: str) -> None:
        with suppress(StateUnavailable):
            await self._store.forget_upload(self._key(account, content))
