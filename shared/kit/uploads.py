"""What the provider has been given already: each content is uploaded once for an account, and sent by its id then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from cachetools import TTLCache

from shared.channel import Account, Failure, ProviderError, Receipt, UploadStore
from shared.contract.commands import File
from shared.contract.errors import ERRORS, ErrorClass

_REMEMBERED, _SECONDS = 1_000, 24 * 3600.0
_ABOUT_FILES = frozenset({ErrorClass.FILE, ErrorClass.CONTENT})


class ProcessUploads:
    """Implements `UploadStore` for a process that shares nothing: for a day, a thousand at the most."""

    def __init__(self) -> None:
        self._refs: TTLCache[tuple[str, str], str] = TTLCache(_REMEMBERED, _SECONDS)

    async def get(self, account: Account, content: str) -> str | None:
        return self._refs.get((account.account_id, content))

    async def keep(self, account: Account, content: str, ref: str) -> None:
        self._refs[account.account_id, content] = ref

    async def forget(self, account: Account, content: str) -> None:
        self._refs.pop((account.account_id, content), None)


def content_of(file: File, sent_as: str) -> str | None:
    """What names the bytes of a file and what they were sent as; None for bytes that nobody has looked at."""
    return f"{file.sha256.lower()} {sent_as}" if file.sha256 else None


def _may_be_stale(failure: Failure) -> bool:
    """Whether a call that named an id may have been refused because the provider knows it no longer."""
    return failure.certain and ERRORS[failure.code].error_class in _ABOUT_FILES


class IdOf(Protocol):
    """The provider's id of a `content` (`content_of`), of which `upload` gets one where the provider has none."""

    async def __call__(self, content: str | None, upload: Callable[[], Awaitable[str]]) -> str: ...


class Uploads:
    """The provider's ids of what has been uploaded lately."""

    def __init__(self, store: UploadStore | None = None) -> None:
        self.store: UploadStore = store or ProcessUploads()
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def once(self, account: Account, contents: Collection[str]) -> AsyncIterator[dict[str, str]]:
        """The ids of those contents that the provider has.

        Of any other, nobody else in this process enters with it before we leave: a campaign sends one picture to
        thousands at once.
        """
        known: dict[str, str] = {}
        async with AsyncExitStack() as held:
            for content in sorted(set(contents)):  # in one order: nobody waits for somebody who waits for us
                ref = await self.store.get(account, content)
                if ref is None:
                    lock = self._locks.setdefault((account.account_id, content), asyncio.Lock())
                    await lock.acquire()
                    ref = await self.store.get(account, content)
                    if ref is None:
                        held.callback(lock.release)
                    else:
                        lock.release()
                if ref is not None:
                    known[content] = ref
            yield known

    async def sending(self, account: Account, send: Callable[[IdOf], Awaitable[Receipt]]) -> Receipt:
        """What `send` returns, which asks for each file's id before it makes its call.

        Where the provider refuses an id of an earlier upload, `send` is called once more, without it.
        """
        reused: list[str] = []

        async def id_of(content: str | None, upload: Callable[[], Awaitable[str]]) -> str:
            if content is None:
                return await upload()
            async with self.once(account, [content]) as known:
                if content in known:
                    reused.append(content)
                    return known[content]
                ref = await upload()
                await self.keep(account, content, ref)
            return ref

        try:
            return await send(id_of)
        except ProviderError as refused:
            if not reused or not _may_be_stale(refused.failure):
                raise
        await self.forget(account, reused)
        return await send(id_of)

    async def keep(self, account: Account, content: str | None, ref: str) -> None:
        """The provider has it under this id from now on."""
        if content is not None:
            await self.store.keep(account, content, ref)

    async def forget(self, account: Account, contents: Collection[str]) -> None:
        """The provider has refused their ids."""
        for content in contents:
            await self.store.forget(account, content)
