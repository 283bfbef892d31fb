"""The IMAP puller on a real Dovecot: every mail once, however the server, the folder or we ourselves come and go."""

from __future__ import annotations

import asyncio
import smtplib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from imapclient import IMAPClient

from services.email.channel import EmailChannel
from services.email.receive import imap
from services.email.receive.imap import Cursor
from services.email.settings import Settings
from shared.channel import Account, Batch, ProviderError
from shared.media.blobs import Blobs
from shared.runtime.inbound.door import RawBlobs
from tests.channels.email.front import account
from tests.e2e.mailservers import HOST, PASSWORD, Dovecot, dovecot_missing, folder_for_all

pytestmark = pytest.mark.skipif(dovecot_missing() is not None, reason=str(dovecot_missing()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Dovecot]:
    with folder_for_all() as folder:
        server = Dovecot(folder / "dovecot")
        await server.start()
        yield server
        await server.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_for_all() as folder:
        yield folder


@dataclass
class Home:
    """A user of a mail server."""

    server: Dovecot
    user: str

    def client(self) -> IMAPClient:
        return self.server.client(self.user)

    async def put(self, *mails: bytes) -> None:
        def append() -> None:
            with self.client() as client:
                for one in mails:
                    client.append("INBOX", one)

        await asyncio.to_thread(append)

    async def deliver(self, *mails: bytes) -> None:
        def lmtp() -> None:
            with smtplib.LMTP(HOST, self.server.lmtp) as client:
                for one in mails:
                    client.sendmail("bo@example.org", [self.user], one)

        await asyncio.to_thread(lmtp)


@pytest.fixture
def home(server: Dovecot) -> Home:
    return Home(server, f"{uuid4().hex}@acme.example")


class Pulled:
    """What one mailbox has brought, as the runtime would take it."""

    def __init__(self, directory: Path, home: Home, port: int | None = None, **imap_settings: Any) -> None:
        self.blobs = Blobs(f"file://{directory}/blobs")
        self.channel = EmailChannel(Settings(max_size=1_000_000))
        self.channel.use_raw(RawBlobs(self.blobs))
        server = {"host": HOST, "port": port or home.server.imap, "security": "none", **imap_settings}
        record = account("acc", home.user, imap=server)
        self.account = Account(record, {"password": PASSWORD})
        self.cursor: str | None = None
        self.batches: list[Batch] = []
        self._keys: list[str] = []

    async def until(self, done: Callable[[Pulled], bool], seconds: float = 20.0) -> None:
        """Pull until it is so; a lost connection is made anew, as the runtime does it."""
        async with asyncio.timeout(seconds):
            while not done(self):
                try:
                    async with aclosing(self.channel.updates(self.account, self.cursor)) as updates:  # type: ignore[type-var]
                        async for batch in updates:
                            self.batches.append(batch)
                            self.cursor = batch.cursor
                            if done(self):
                                return
                except ProviderError as failed:
                    await asyncio.sleep(min(failed.failure.retry_after or 0.1, 0.2))

    @property
    def count(self) -> int:
        return sum(len(batch.items) for batch in self.batches)

    @property
    def validity(self) -> int:
        cursor = Cursor.read(self.cursor)
        return cursor.validity if cursor else 0

    async def mails(self) -> list[bytes]:
        return [await self.blobs.read(item.blob or "") for batch in self.batches for item in batch.items]

    async def subjects(self) -> list[str]:
        found = [line for mail in await self.mails() for line in mail.splitlines() if line.startswith(b"Subject: ")]
        return [line.removeprefix(b"Subject: ").decode() for line in found]


@pytest.fixture
def box(tmp_path: Path, home: Home) -> Pulled:
    return Pulled(tmp_path, home)


def mail(subject: str, body: bytes = b"Hello\r\n") -> bytes:
    head = (
        f"From: Bo <bo@example.org>\r\nTo: ida@acme.example\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def pulling(box: Pulled, done: Callable[[Pulled], bool]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(box.until(done))
    try:
        yield task
        await task
    finally:
        task.cancel()


async def waits(box: Pulled) -> None:
    """Return when the mailbox has been looked through and idles."""
    async with asyncio.timeout(10):
        while not box.batches:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)


async def test_what_is_there_comes_in_order_and_what_arrives_is_pushed(home: Home, box: Pulled) -> None:
    await home.put(*(mail(f"s{n}") for n in range(3)))
    async with pulling(box, lambda box: box.count == 4):
        await waits(box)
        began = time.perf_counter()
        await home.deliver(mail("pushed"))
        while box.count < 4:
            await asyncio.sleep(0.01)
        assert time.perf_counter() - began < 5
    assert await box.subjects() == ["s0", "s1", "s2", "pushed"]
    [first, *_] = await box.mails()
    assert first == mail("s0")
    assert {item.account_id for batch in box.batches for item in batch.items} == {"acc"}
    assert all(not item.body for batch in box.batches for item in batch.items)


async def test_mail_that_arrives_between_two_commands_is_not_missed(home: Home, box: Pulled) -> None:
    """Dovecot tells of it in the same segment as that it idles: no poll sees that."""
    for n in range(3):
        async with pulling(box, lambda box, n=n: box.count == n + 1):  # type: ignore[misc]
            await asyncio.sleep(0.05 * n)
            await home.deliver(mail(f"s{n}"))
    assert await box.subjects() == ["s0", "s1", "s2"]


async def test_a_batch_that_was_not_acknowledged_comes_again(home: Home, box: Pulled) -> None:
    await home.put(mail("one"), mail("two"))
    async with aclosing(box.channel.updates(box.account, None)) as updates:  # type: ignore[type-var]
        first = await anext(updates)
    assert len(first.items) == 2
    await box.until(lambda box: box.count == 2)
    again = box.cursor
    await home.put(mail("three"))
    box.batches.clear()
    await box.until(lambda box: box.count == 1)
    assert (await box.subjects(), again != box.cursor) == (["three"], True)


async def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, folder: Path) -> None:
    dovecot = Dovecot(folder / "dovecot")
    await dovecot.start()
    home = Home(dovecot, "ida@acme.example")
    box = Pulled(tmp_path, home)
    await home.put(mail("before"))
    async with pulling(box, lambda box: box.count == 2):
        await waits(box)
        await dovecot.kill()
        await dovecot.start()
        await home.deliver(mail("after"))
    await dovecot.stop()
    assert await box.subjects() == ["before", "after"]


async def test_a_folder_that_is_made_anew_is_read_anew(home: Home, tmp_path: Path) -> None:
    box = Pulled(tmp_path, home, folder="Work")

    def make(*subjects: str) -> None:
        with home.client() as client:
            if client.folder_exists("Work"):
                client.delete_folder("Work")
            client.create_folder("Work")
            for subject in subjects:
                client.append("Work", mail(subject))

    await asyncio.to_thread(make, "one", "two")
    await box.until(lambda box: box.count == 2)
    before = Cursor.read(box.cursor)
    await asyncio.to_thread(make, "three")  # with UID 1, which was another mail's
    await box.until(lambda box: box.count == 3)
    after = Cursor.read(box.cursor)
    assert await box.subjects() == ["one", "two", "three"]
    assert before is not None
    assert after is not None
    assert (after.validity != before.validity, after.uid) == (True, 1)


@pytest.mark.parametrize("restarted", [True, False])
async def test_a_mail_that_is_shown_later_than_the_one_after_it_is_not_missed(
    home: Home, box: Pulled, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    search, hidden = IMAPClient.search, {2, 3}

    def behind(self: IMAPClient, *what: Any) -> Any:
        return [uid for uid in search(self, *what) if uid not in hidden]

    monkeypatch.setattr(IMAPClient, "search", behind)
    await home.put(*(mail(f"s{n}") for n in range(1, 6)))
    if restarted:
        await box.until(lambda box: box.count == 3)
        assert Cursor.read(box.cursor) == Cursor(box.validity, 5, (2, 3))
        hidden.clear()
        await box.until(lambda box: box.count == 5)
    else:
        async with pulling(box, lambda box: box.count == 6):
            await waits(box)
            hidden.clear()
            await home.deliver(mail("s6"))
    assert sorted(await box.subjects()) == [f"s{n}" for n in range(1, 7 - restarted)]
    assert Cursor.read(box.cursor) == Cursor(box.validity, 6 - restarted)


def test_a_cursor_looks_back_so_far_and_no_further() -> None:
    cursor = Cursor(1, 10, (3,))
    new = [12, 13, 500, 502]
    moved = cursor.past(new[:2], cursor.not_shown(new))
    assert moved == Cursor(1, 13, (3,))
    moved = moved.past(new[2:], cursor.not_shown(new))
    assert (moved.uid, len(moved.missing), moved.missing[0], moved.missing[-1]) == (502, 199, 302, 501)
    assert len(moved.encode()) < 1000
    assert Cursor.read(moved.encode()) == moved
    assert Cursor.read("[1,7]") == Cursor(1, 7)


async def test_a_quiet_mailbox_writes_its_cursor_again(home: Home, box: Pulled) -> None:
    await box.until(lambda box: len(box.batches) == 1)
    assert (box.batches[0].items, Cursor.read(box.cursor) is not None) == ((), True)


async def test_large_mails_come_in_slices_and_oversized_ones_have_a_stand_in(home: Home, box: Pulled) -> None:
    large = mail("large", b"".join(b"%06d\r\n" % n for n in range(90_000)))
    huge = mail("huge", b"x" * 70 + b"\r\n" + b"y" * 998 * 1100)
    await home.put(large, huge, mail("small"))
    await box.until(lambda box: box.count == 3)
    found = await box.mails()
    assert (found[0] == large, found[2] == mail("small")) == (True, True)
    assert b"Subject: huge" in found[1]
    assert b"too large to be taken in" in found[1]
    assert len(found[1]) < 1000


async def test_a_message_that_the_server_cannot_give_holds_up_nobody(
    home: Home, box: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = IMAPClient.fetch

    def odd(self: IMAPClient, uids: Any, what: Any, *more: Any) -> Any:
        if 2 in uids and any("BODY.PEEK[]" in one for one in what):
            raise IMAPClient.Error("Server error: [SERVERBUG]")
        return fetch(self, uids, what, *more)

    monkeypatch.setattr(IMAPClient, "fetch", odd)
    await home.put(mail("one"), mail("two"), mail("three"))
    await box.until(lambda box: box.count == 3)
    assert await box.subjects() == ["one", "two", "three"]
    assert b"could not give this email" in (await box.mails())[1]


@pytest.mark.parametrize("after", ["seen", "move:Done", "move:Nowhere"])
async def test_what_was_taken_is_marked_or_moved(home: Home, tmp_path: Path, after: str) -> None:
    box = Pulled(tmp_path, home, after=after)

    def look(client: IMAPClient) -> tuple[int, int, int]:
        client.select_folder("INBOX", readonly=True)
        counted = len(client.search()), len(client.search(["SEEN"]))
        client.select_folder("Done", readonly=True)
        return *counted, len(client.search())

    with home.client() as client:
        client.create_folder("Done")
        await home.put(mail("one"), mail("two"))
        async with pulling(box, lambda box: box.count == 3):
            while box.count < 2:
                await asyncio.sleep(0.01)
            expected = {"seen": (2, 2, 0), "move:Done": (0, 0, 2), "move:Nowhere": (2, 0, 0)}[after]
            async with asyncio.timeout(5):
                while await asyncio.to_thread(look, client) != expected:
                    await asyncio.sleep(0.05)
            await home.put(mail("three"))
    assert await box.subjects() == ["one", "two", "three"]


async def test_a_wrong_password_is_the_owners_business(home: Home, box: Pulled) -> None:
    box.account = Account(box.account.record, {"password": "wrong"})
    with pytest.raises(ProviderError) as refused:
        await anext(aiter(box.channel.updates(box.account, None)))
    assert refused.value.failure.code == "account_reauth_required"


async def test_a_folder_that_is_not_there_is_said(home: Home, tmp_path: Path) -> None:
    box = Pulled(tmp_path, home, folder="Nowhere")
    with pytest.raises(ProviderError) as refused:
        await anext(aiter(box.channel.updates(box.account, None)))
    assert (refused.value.failure.health, refused.value.failure.code) == ("degraded", "provider_unavailable")


async def test_mailboxes_that_are_given_up_leave_no_thread_and_no_connection(
    home: Home, box: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.put(mail("one"))
    for cursor in (None, None):  # the mailbox idles
        async with aclosing(box.channel.updates(box.account, cursor)) as updates:  # type: ignore[type-var]
            await anext(updates)
            idles = asyncio.ensure_future(anext(updates))
            await asyncio.sleep(0.3)
            idles.cancel()
            await asyncio.gather(idles, return_exceptions=True)
    async with asyncio.timeout(5):
        while any(thread.name == "imap" for thread in threading.enumerate()):
            await asyncio.sleep(0.02)


async def test_one_dead_server_holds_up_no_other_mailbox(home: Home, tmp_path: Path, box: Pulled) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    silent = await asyncio.start_server(mute, HOST, 0)
    dead = Pulled(tmp_path / "dead", home, silent.sockets[0].getsockname()[1])
    pullers = [asyncio.create_task(dead.until(lambda box: False)) for _ in range(20)]
    await home.put(mail("one"))
    await box.until(lambda box: box.count == 1, 5)
    for puller in pullers:
        puller.cancel()
    silent.close()


def test_renewals_come_before_servers_hang_up() -> None:
    assert imap.RENEWAL[0] >= 240
    assert imap.RENEWAL[1] <= 300
