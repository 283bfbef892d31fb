"""What a channel's own listener is lent, and the store of payloads as they came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from uuid import uuid4

from shared.channel import Account, FileUnavailable, NotTaken, RawItem
from shared.media.blobs import BlobMissing, Blobs, BlobsUnavailable
from shared.runtime.accounts.registry import AccountRegistry
from shared.runtime.inbound.raw import BLOB_PREFIX, RawWriter
from shared.stream.errors import LogUnavailable


class RawBlobs:
    """The raw store of the port, in the blob store."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def store(self, chunks: AsyncIterator[bytes]) -> str:
        """Under a random name: whoever guesses what is in it must not find it. Raises NotTaken."""
        key = f"{BLOB_PREFIX}/{uuid4().hex}"
        try:
            await self._blobs.put(key, chunks)
        except BlobsUnavailable:
            raise NotTaken("the blob store is away") from None
        return key

    async def read(self, blob: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Raises FileUnavailable, also for what is no payload; BlobsUnavailable."""
        if not blob.startswith(BLOB_PREFIX + "/"):
            raise FileUnavailable
        try:
            async for chunk in self._blobs.stream_range(blob, start, end):
                yield chunk
        except BlobMissing:
            raise FileUnavailable from None


class IngressDoor:
    """`Door` of the port."""

    def __init__(self, accounts: AccountRegistry, writer: RawWriter) -> None:
        self.accepting = True
        self._accounts = accounts
        self._writer = writer

    def follow(self, changed: Callable[[str, Account | None], None]) -> None:
        for account in self._accounts:
            changed(account.account_id, account)
        self._accounts.on_change(changed)

    def owners(self, name: str) -> Sequence[str]:
        return self._accounts.names_of(None, name)

    async def write(self, items: Sequence[RawItem]) -> None:
        """Raises NotTaken."""
        try:
            await self._writer.write(items)
        except LogUnavailable:
            raise NotTaken("the log is away") from None
