"""The IMAP puller: a thread per mailbox reads what is new and waits for more; the cursor moves behind the ack.

A mailbox's cursor is the folder's UIDVALIDITY, the last UID that is durable, and the ones before it that were not shown
yet: a folder that several servers write to may show UID 12 before 11. One odd message, or one dead server, holds nobody
else up.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import orjson
from imapclient import SocketTimeout
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from services.email.api import sent
from services.email.api.session import Login
from services.email.mailbox import ImapServer
from services.email.receive.folder import Folder
from services.email.receive.inbound import order_key
from shared.channel import Account, Batch, Failure, ProviderError, RawItem, RawStore
from shared.contract.errors import ErrorCode
from shared.contract.events import Health

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0
RENEWAL = (240.0, 300.0)  # seconds; servers hang up on who has been idle for longer, some after five minutes
GROUP = 100  # mails between two cursors
SMALL = 256 * 1024  # bytes; larger mails are read in slices
TOGETHER = 1024 * 1024  # bytes of small mails that are read at once
FETCHING = 16  # mailboxes of a process that read mails at the same time
LARGE = 4  # of them, those with a large one
# How far back a folder whose UIDs mean nothing any more is read again: for so long it is remembered what was published.
RESCAN = timedelta(days=7)
LATE = 200  # UIDs before the last one that may still come to be shown
JITTER = (0.5, 5.0)  # seconds until a lost connection is made anew: all mailboxes of a server lose theirs at once

_NO_FOLDER = Failure(
    ErrorCode.PROVIDER_UNAVAILABLE,
    provider_code="imap",
    detail="The mailbox's folder cannot be opened: settings.imap.folder.",
    scope="account",
    health=Health.DEGRADED,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """`uid` is the last one that is durable, in a folder of this validity; `missing`, in order, are those of the `LATE`
    before it that nobody has seen. Most of them are of mails that were deleted: they leave as others come."""

    validity: int
    uid: int
    missing: tuple[int, ...] = ()

    def past(self, group: Sequence[int], missing: Iterable[int] = ()) -> Cursor:
        """The cursor behind these UIDs, which are in order; `missing` are more that may come to be shown."""
        uid = max(self.uid, group[-1])
        left = {*self.missing, *missing} - set(group)
        return Cursor(self.validity, uid, tuple(sorted(one for one in left if uid - LATE <= one < uid)))

    def not_shown(self, new: Sequence[int]) -> set[int]:
        """Which UIDs behind the cursor are left out of `new`, as far as they count."""
        return set(range(max(self.uid + 1, new[-1] - LATE), new[-1])) - set(new) if new else set()

    def encode(self) -> str:
        return orjson.dumps([self.validity, self.uid, self.missing]).decode()

    @classmethod
    def read(cls, text: str | None) -> Cursor | None:
        if not text:
            return None
        validity, uid, *missing = orjson.loads(text)
        return cls(validity, uid, *map(tuple, missing))


class Shared:
    """What all mailboxes of a process share: their places."""

    def __init__(self) -> None:
        self.fetching = threading.BoundedSemaphore(FETCHING)
        self.large = threading.BoundedSemaphore(LARGE)


class _Closed(Exception):
    """Nobody wants more of this mailbox."""


class Puller:
    """One mailbox. `batches` is asked from the event loop, everything else happens in a thread of its own."""

    def __init__(
        self,
        account: Account,
        server: ImapServer,
        login: Login,
        tls: ssl.SSLContext,
        raw: RawStore,
        shared: Shared,
        *,
        largest: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._account_id = account.account_id
        self._server = server
        self._login = login
        self._tls = tls
        self._raw = raw
        self._shared = shared
        self._largest = largest
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._batches: asyncio.Queue[Batch | Exception] = asyncio.Queue(1)
        self._taken = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[Any] | None = None  # what the thread waits for
        self._wake, self._woken = socket.socketpair()
        self._over = asyncio.Event()
        self._reached = False  # the mailbox has been opened

    async def batches(self, cursor: Cursor | None) -> AsyncGenerator[Batch, None]:
        """Endless. Raises ProviderError, LoginRefused."""
        threading.Thread(target=self._run, args=(cursor,), name="imap", daemon=True).start()
        try:
            while True:
                found = await self._batches.get()
                if isinstance(found, Exception):
                    raise found
                yield found
                self._taken.set()
        finally:
            await self._close()

    async def _close(self) -> None:
        self._closed = True
        with suppress(OSError):  # the thread has ended
            self._wake.send(b"x")
        if self._task is not None:
            self._task.cancel()
        # A thread that waits for a mute server ends when that has been silent for long enough; nobody waits for it.
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._over.wait()

    # --- the thread

    def _run(self, cursor: Cursor | None) -> None:
        try:
            self._pull(cursor)
        except (_Closed, CancelledError):
            pass
        except (IMAPClientError, OSError):
            wait = random.uniform(*JITTER) if self._reached else None
            self._end(ProviderError(Failure(ErrorCode.PROVIDER_UNAVAILABLE, provider_code="imap", retry_after=wait)))
        except Exception as failed:
            self._end(failed)
        finally:
            self._wake.close()
            self._woken.close()
            with suppress(RuntimeError):  # the loop has ended before us
                self._loop.call_soon_threadsafe(self._over.set)

    def _end(self, failed: Exception) -> None:
        with suppress(_Closed, CancelledError):
            self._call(self._batches.put(failed))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on the event loop and wait. Raises _Closed, CancelledError."""
        guarded = self._while_wanted(work)
        try:
            return asyncio.run_coroutine_threadsafe(guarded, self._loop).result()
        except RuntimeError:  # the loop has ended
            guarded.close()
            work.close()
            raise _Closed from None

    async def _while_wanted(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise _Closed
        self._task = asyncio.current_task()
        try:
            return await work
        finally:
            self._task = None

    def _pull(self, cursor: Cursor | None) -> None:
        patience = SocketTimeout(CONNECT_SECONDS, ANSWER_SECONDS)
        with sent.mailbox(self._server, self._login, self._tls, patience) as client:
            after = self._server.after
            try:
                folder = Folder(client, self._server.folder, self._woken.fileno(), writes=after != "none")
            except IMAPClientAbortError:
                raise
            except IMAPClientError:
                raise ProviderError(_NO_FOLDER) from None
            self._reached = True
            cursor, new, missing = self._begin(folder, cursor)
            while True:
                for start in range(0, len(new), GROUP):
                    group = new[start : start + GROUP]
                    items = self._items(folder, group)
                    cursor = cursor.past(group, missing)
                    self._hand_over(Batch(tuple(items), cursor.encode()))
                    if after != "none":
                        folder.done_with(group, after)
                if not new:  # the cursor is written anew, or a quiet mailbox would lose it
                    self._hand_over(Batch((), cursor.encode()))
                folder.wait(random.uniform(*RENEWAL))
                if self._closed:
                    raise _Closed
                new = folder.after(cursor.uid, cursor.missing)
                missing = cursor.not_shown(new)

    def _begin(self, folder: Folder, cursor: Cursor | None) -> tuple[Cursor, list[int], set[int]]:
        """Where to go on, what is new there, and which UIDs among those are not shown."""
        if cursor is not None and cursor.validity != folder.validity:
            new = folder.since((self._clock() - RESCAN).date())
            last = new[0] - 1 if new else folder.next_uid - 1
            return Cursor(folder.validity, last), new, set()  # what is not among them is there, and too old
        cursor = cursor or Cursor(folder.validity, 0)
        new = folder.after(cursor.uid, cursor.missing)
        return cursor, new, cursor.not_shown(new)

    def _hand_over(self, batch: Batch) -> None:
        """Return when the batch is durable."""
        self._call(self._durable(batch))

    async def _durable(self, batch: Batch) -> None:
        self._taken.clear()
        await self._batches.put(batch)
        await self._taken.wait()

    # --- mails

    def _items(self, folder: Folder, uids: Sequence[int]) -> list[RawItem]:
        """The mails that are still there, in their order, as items."""
        found: dict[int, RawItem] = {}
        with self._shared.fetching:
            sizes = folder.sizes(uids)
            small = [uid for uid in uids if sizes.get(uid, SMALL) < SMALL]
            for together in _together(small, sizes):
                found |= self._small(folder, together)
            for uid in uids:
                if uid in sizes and uid not in found:
                    found |= self._one(folder, uid, sizes[uid])
        return [found[uid] for uid in uids if uid in found]

    def _small(self, folder: Folder, uids: Sequence[int]) -> dict[int, RawItem]:
        try:
            mails = folder.whole(uids)
        except IMAPClientAbortError:
            raise
        except IMAPClientError:  # the server does not like one of them: they are asked for one by one
            return {}
        blobs = self._call(self._store_all(list(mails.values())))
        return {uid: self._item(mail, blob) for (uid, mail), blob in zip(mails.items(), blobs, strict=True) if mail}

    def _one(self, folder: Folder, uid: int, size: int) -> dict[int, RawItem]:
        """A mail by itself; what cannot be taken as it is has a stand-in, so that those behind it come in."""
        try:
            if size > self._largest:
                return self._stand_in(folder, uid, f"This email is too large to be taken in ({size:,} bytes).")
            with self._shared.large:
                return self._large(folder, uid)
        except IMAPClientAbortError:
            raise
        except IMAPClientError:
            return self._stand_in(folder, uid, "The mail server could not give this email.")

    def _large(self, folder: Folder, uid: int) -> dict[int, RawItem]:
        slices = folder.slices(uid)
        first = next(slices, b"")
        return {uid: self._item(first, self._call(self._raw.store(_pieces(first, slices))))} if first else {}

    def _stand_in(self, folder: Folder, uid: int, sentence: str) -> dict[int, RawItem]:
        """The mail's header with a sentence below it. What stands first of a field is what counts."""
        try:
            head = folder.head(uid)
        except IMAPClientAbortError:
            raise
        except IMAPClientError:
            head = b""
        body = f"{sentence} It is still in the mailbox.\r\n".encode()
        plain = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        mail = plain + head.rstrip(b"\r\n") + b"\r\n\r\n" + body
        return {uid: self._item(mail, self._call(self._store_all([mail]))[0])}

    def _item(self, beginning: bytes, blob: str) -> RawItem:
        key = f"{self._account_id}:{order_key(beginning)}"
        return RawItem(key, b"", account_id=self._account_id, blob=blob)

    async def _store_all(self, mails: Sequence[bytes]) -> list[str]:
        return await asyncio.gather(*(self._raw.store(_pieces(mail, iter(()))) for mail in mails))


def _together(uids: Sequence[int], sizes: dict[int, int]) -> Iterator[list[int]]:
    """The UIDs in groups that are small enough to be read at once."""
    group: list[int] = []
    room = TOGETHER
    for uid in uids:
        if group and sizes[uid] > room:
            yield group
            group, room = [], TOGETHER
        group.append(uid)
        room -= sizes[uid]
    if group:
        yield group


async def _pieces(first: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a mail; those behind the first are read while they are stored."""
    yield first
    while (piece := await asyncio.to_thread(next, rest, None)) is not None:
        yield piece
