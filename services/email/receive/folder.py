"""A folder of an IMAP mailbox, over one connection: what is new in it, read in pieces. Everything here blocks.

Every method raises IMAPClientError and OSError; the connection is of no use afterwards.
"""

from __future__ import annotations

import select
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date

from imapclient import SEEN, IMAPClient
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

SLICE = 256 * 1024  # bytes of a mail that are asked for at once
LONGEST_HEAD = 64 * 1024
POLL_SECONDS = 60.0  # between two looks where the server cannot say that something is new


class Folder:
    """The folder of a client that is logged in. `wake` is a descriptor that becomes readable when `wait` is to end."""

    def __init__(self, client: IMAPClient, name: str, wake: int, *, writes: bool) -> None:
        self._client = client
        self._wake = wake
        self._idles = client.has_capability("IDLE")
        selected = client.select_folder(name, readonly=not writes)
        self.validity = int(selected[b"UIDVALIDITY"])
        self.next_uid = int(selected.get(b"UIDNEXT", 1))

    def after(self, uid: int, missing: Sequence[int] = ()) -> list[int]:
        """The UIDs beyond this one, and those of `missing` that are there by now, in order.

        `n:*` always names the newest message, whatever its UID is.
        """
        first = min((*missing, uid + 1))
        self._told_of_more()
        while True:
            shown = self._client.search(["UID", f"{first}:*"])
            found = sorted(one for one in shown if one > uid or one in missing)
            # A server may tell behind its answer of what has come while it was looking, and does not tell it again.
            if found or not self._told_of_more():
                return found

    def _told_of_more(self) -> bool:
        """Whether the server has told of new messages since this was asked last. The library keeps that to itself."""
        told: list[object] = self._client._imap.response("EXISTS")[1]
        return told != [None]

    def since(self, day: date) -> list[int]:
        """The UIDs of what has arrived on this day or later, in order."""
        return sorted(self._client.search(["SINCE", day]))

    def sizes(self, uids: Sequence[int]) -> dict[int, int]:
        """Bytes of the mails that are still there."""
        fetched = self._client.fetch(uids, ["RFC822.SIZE"])
        return {uid: int(fetched[uid][b"RFC822.SIZE"]) for uid in uids if b"RFC822.SIZE" in fetched.get(uid, {})}

    def whole(self, uids: Sequence[int]) -> dict[int, bytes]:
        """Small mails that are still there. Nothing is marked as read."""
        fetched = self._client.fetch(uids, ["BODY.PEEK[]"])
        return {uid: fetched[uid][b"BODY[]"] for uid in uids if fetched.get(uid, {}).get(b"BODY[]") is not None}

    def slices(self, uid: int) -> Iterator[bytes]:
        """A large mail, piece by piece; nothing where it has gone."""
        start = 0
        while True:
            fetched = self._client.fetch([uid], [f"BODY.PEEK[]<{start}.{SLICE}>"]).get(uid, {})
            piece = fetched.get(f"BODY[]<{start}>".encode()) or b""
            if piece:
                yield piece
            if len(piece) < SLICE:
                return
            start += len(piece)

    def head(self, uid: int) -> bytes:
        """The header of a mail, as much of it as may be of use."""
        fetched = self._client.fetch([uid], [f"BODY.PEEK[HEADER]<0.{LONGEST_HEAD}>"]).get(uid, {})
        return next((value for key, value in fetched.items() if key.startswith(b"BODY[HEADER]")), b"") or b""

    def done_with(self, uids: Sequence[int], after: str) -> None:
        """What is to become of mails that have been taken: `seen`, or `move:<folder>`. Nothing depends on it."""
        with suppress(IMAPClientError):
            try:
                if after == "seen":
                    self._client.add_flags(uids, [SEEN], silent=True)
                elif after.startswith("move:"):
                    self._client.move(uids, after.removeprefix("move:"))
            except IMAPClientAbortError as lost:
                raise OSError("the connection is lost") from lost

    def wait(self, seconds: float) -> None:
        """Return when something may be new, `wake` is readable, or so much time has passed."""
        if not self._idles:
            self._poll(min(seconds, POLL_SECONDS), [self._wake])
            self._client.noop()
            return
        self._client.idle()
        if not self._is_buffered():
            self._poll(seconds, [self._wake, self._client.socket().fileno()])
        self._client.idle_done()

    @staticmethod
    def _poll(seconds: float, descriptors: Sequence[int]) -> None:
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
        poller.poll(seconds * 1000)

    def _is_buffered(self) -> bool:
        """Whether the server's next words are here already: what comes in one segment with the answer to IDLE is in
        the reader's buffer, and no poll sees it. The library has no name for that buffer."""
        connection = self._client.socket()
        patience = connection.gettimeout()
        connection.settimeout(0)
        try:
            return bool(self._client._imap.file.peek(1))
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        finally:
            connection.settimeout(patience)
