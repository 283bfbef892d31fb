"""Pictures of contacts, kept as files: a provider's address of one dies, or is nobody's but the account's."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from shared.channel import Account, Channel, OpenFile, ProviderError, ShowsAvatars
from shared.contract import ids
from shared.media.blobs import Blobs, BlobsUnavailable
from shared.media.sniff import HEAD, sniff
from shared.media.transfers import TooSlow, steady
from shared.runtime import metrics
from shared.state.store import Store

ASK_AGAIN_SECONDS = 24 * 3600.0  # a contact's picture is looked at with a message after so long
_LARGEST = 2 * 1024 * 1024  # bytes; providers show them small
_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})
_SECONDS = 30.0  # for asking, fetching and storing
_KNOWN = "avatar"  # field of a conversation: the name of the picture that was stored last


class _NoPicture(Exception):
    """What came is not one, or is too large."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A picture that nobody has been told of yet: where it is, and its name in the state of the conversation."""

    blob: str
    name: str


class Avatars:
    """Fetches each picture once. Raises StateUnavailable."""

    def __init__(self, channel: Channel, store: Store, blobs: Blobs) -> None:
        self._name = channel.capabilities.channel
        self._shows = channel if isinstance(channel, ShowsAvatars) else None
        self._store = store
        self._blobs = blobs

    @property
    def shown(self) -> bool:
        """Whether contacts of this channel have any."""
        return self._shows is not None

    async def changed(self, account: Account, conversation_id: str, address: Mapping[str, str]) -> Stored | None:
        """The picture of a conversation's contact, where it is another one than was told of last.

        Asked for once in `ASK_AGAIN_SECONDS` over all replicas; what fails is left for then.
        """
        if self._shows is None or not await self._store.first_in(ASK_AGAIN_SECONDS, "avatar", conversation_id):
            return None
        try:
            async with asyncio.timeout(_SECONDS):
                avatar = await self._shows.avatar(account, address)
                if avatar is None:
                    self._count("none")
                    return None
                name = hashlib.sha256(avatar.id.encode()).hexdigest()[:32]
                if (await self._store.record(conversation_id)).get(_KNOWN) == name:
                    self._count("same")
                    return None
                blob = ids.blob_key(account.workspace_id, account.account_id, f"{name}-avatar")
                opened = await self._shows.open_avatar(account, avatar)
                try:
                    await self._blobs.put(blob, _picture(opened))
                finally:
                    await opened.close()
        except ProviderError as refused:
            self._count(str(refused.failure.code))
        except _NoPicture:
            self._count("no_picture")
        except (BlobsUnavailable, TooSlow, OSError, TimeoutError):
            self._count("away")
        else:
            self._count("stored")
            return Stored(blob, name)
        return None

    async def told(self, conversation_id: str, stored: Stored) -> None:
        """It is not fetched again until the contact has another one."""
        await self._store.note(conversation_id, {_KNOWN: stored.name})

    def _count(self, outcome: str) -> None:
        metrics.AVATARS.labels(self._name, outcome).inc()


async def _picture(opened: OpenFile) -> AsyncIterator[bytes]:
    """The bytes, none of them before it is sure that they are a picture. Raises _NoPicture."""
    size, head = 0, b""
    checked = False
    async for chunk in steady(opened.chunks):
        size += len(chunk)
        if size > _LARGEST:
            raise _NoPicture
        if checked:
            yield chunk
            continue
        head += chunk
        if len(head) >= HEAD:
            checked = True
            yield _checked(head)
    if not checked:
        yield _checked(head)


def _checked(head: bytes) -> bytes:
    if sniff(head) not in _TYPES:
        raise _NoPicture
    return head
