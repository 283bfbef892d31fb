"""The SMTP and LMTP listener: 250 means durable, nothing is smuggled, nothing large or endless is held in memory."""

from __future__ import annotations

import asyncio
import random
import ssl
import subprocess
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from services.email.channel import EmailChannel
from services.email.receive import smtp
from services.email.receive.data import Content, TooLarge
from services.email.receive.recipients import Recipients
from services.email.settings import Settings
from services.email.tokens import Tokens, bounce_address, reply_address
from shared.contract.accounts import AccountRecord
from shared.media.blobs import BlobsUnavailable
from shared.runtime.accounts.registry import AccountRegistry, Standing
from shared.stream.errors import LogUnavailable
from tests.channels.email.front import Front, account, front

SUPPORT = account("support", "support@acme.example", addresses=["help@acme.example"], bounce_domain="b.acme.example")
SALES = account("sales", "sales@acme.example", workspace="ws_2")
MAIL = b"From: Ida <ida@example.org>\r\nTo: support@acme.example\r\nSubject: Hi\r\nMessage-ID: <1@x>\r\n\r\nHello\r\n"


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path, SUPPORT, SALES, max_size=1_000_000) as opened:
        yield opened


class Talk:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Talk:
        talk = cls(*await asyncio.open_connection("127.0.0.1", port))
        await talk.answer()
        return talk

    async def say(self, line: bytes) -> str:
        self.writer.write(line + b"\r\n")
        return await self.answer()

    async def answer(self) -> str:
        """The next answer, all its lines."""
        async with asyncio.timeout(10):
            lines = [await self.reader.readline()]
            while lines[-1][3:4] == b"-":
                lines.append(await self.reader.readline())
        return b"".join(lines).decode().strip()

    async def begin(self, *recipients: bytes, hello: bytes = b"EHLO x") -> None:
        """Up to the 354."""
        assert (await self.say(hello)).startswith("250")
        assert (await self.say(b"MAIL FROM:<ida@example.org>")).startswith("250")
        for recipient in recipients or (b"support@acme.example",):
            assert (await self.say(b"RCPT TO:<" + recipient + b">")).startswith("250")
        assert (await self.say(b"DATA")).startswith("354")

    async def closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


# ------------------------------------------------------------------------------------------------ the content


def feed(*pieces: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=2**20)
    for piece in pieces:
        reader.feed_data(piece)
    return reader


async def read_all(content: Content) -> bytes:
    pieces = []
    while piece := await content.read():
        pieces.append(piece)
    return b"".join(pieces)


class Dripping(asyncio.StreamReader):
    """Gives what it is told in pieces of random sizes."""

    def __init__(self, data: bytes, seed: int) -> None:
        super().__init__()
        self.feed_data(data)
        self._chance = random.Random(seed)

    async def read(self, n: int = -1) -> bytes:
        return await super().read(min(n, self._chance.choice((1, 1, 2, 3, 5, 8, 1000))))


SMUGGLED = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n\x00.\r\n"]


@pytest.mark.parametrize("end", SMUGGLED, ids=repr)
@pytest.mark.parametrize("seed", range(4))
async def test_only_one_thing_ends_a_mail(end: bytes, seed: int) -> None:
    said = MAIL + b"x" + end + b"MAIL FROM:<evil@example.org>\r\n.\r\nQUIT\r\n"
    reader = Dripping(said, seed)
    content = Content(reader, 10_000, lambda: None)
    whole = await read_all(content)
    assert b"evil@example.org" in whole
    assert whole.endswith(b"MAIL FROM:<evil@example.org>\r\n")
    assert bytes(reader._buffer) == b"QUIT\r\n"


@pytest.mark.parametrize("seed", range(30))
async def test_any_content_comes_out_as_it_was_whatever_the_pieces(seed: int) -> None:
    chance = random.Random(seed)
    pieces = (b".", b"\r", b"\n", b"x", b"..", b"\x00")
    lines = [b"".join(chance.choices(pieces, k=chance.randrange(6))) for _ in range(9)]
    body = b"".join(line.replace(b"\r\n", b"") + b"\r\n" for line in lines)
    stuffed = b"\r\n".join(b"." * line.startswith(b".") + line for line in body.split(b"\r\n"))
    content = Content(Dripping(stuffed + b".\r\n", seed), 10_000, lambda: None)
    assert await read_all(content) == body


async def test_an_empty_mail_has_an_end_as_well() -> None:
    assert await read_all(Content(feed(b".\r\nQUIT\r\n"), 10, lambda: None)) == b""


async def test_content_is_measured_while_it_comes() -> None:
    content = Content(feed(b"x" * 100), 99, lambda: None)
    with pytest.raises(TooLarge):
        await content.read()


# ---------------------------------------------------------------------------------------------------- answers


async def test_a_mail_is_kept_with_its_envelope_before_it_is_answered(at: Front) -> None:
    await aiosmtplib.send(
        MAIL, sender="ida@example.org", recipients=["support@acme.example"], hostname="127.0.0.1", port=at.smtp
    )
    [(account_id, kept)] = await at.taken()
    assert account_id == "support"
    top, rest = kept[: -len(MAIL)].decode().splitlines(), kept[-len(MAIL) :]
    assert rest == MAIL
    assert top[:2] == ["Return-Path: <ida@example.org>", "Delivered-To: support@acme.example"]
    assert top[2].startswith("Received: by localhost with ESMTP; ")
    [record] = await at.records()
    assert record.value == b""
    assert b"ida" not in (record.key or b"")


async def test_mails_of_one_sender_to_one_account_stay_in_order(at: Front) -> None:
    for sender in (b"ida", b"bo", b"ida"):
        mail = MAIL.replace(b"ida@", sender + b"@")
        to = ["support@acme.example"]
        await aiosmtplib.send(mail, sender="x@y.org", recipients=to, hostname="127.0.0.1", port=at.smtp)
    keys = [record.key for record in await at.records()]
    assert keys[0] == keys[2] != keys[1]


async def test_a_bounce_has_no_sender(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.say(b"EHLO x")
    assert (await talk.say(b"MAIL FROM:<>")).startswith("250")
    assert (await talk.say(b"RCPT TO:<support@acme.example>")).startswith("250")
    await talk.say(b"DATA")
    assert (await talk.say(MAIL + b".")).startswith("250")
    [(_, kept)] = await at.taken()
    assert kept.startswith(b"Return-Path: <>\r\n")


async def test_strangers_addresses_are_refused_where_they_are_named(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.say(b"EHLO x")
    await talk.say(b"MAIL FROM:<ida@example.org>")
    for recipient in (b"nobody@acme.example", b"support@evil.example", b'"a b"@acme.example'):
        assert (await talk.say(b"RCPT TO:<" + recipient + b">")).startswith("550 5.1.1")
    for recipient in (b"SUPPORT@Acme.example", b"support+x@acme.example", b"help@acme.example"):
        assert (await talk.say(b"RCPT TO:<" + recipient + b">")).startswith("250")
    assert (await talk.say(b"DATA")).startswith("354")
    assert (await talk.say(MAIL + b".")).startswith("250")
    assert [account_id for account_id, _ in await at.taken()] == ["support"]


async def test_a_mail_to_two_accounts_is_one_blob_and_two_items(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.begin(b"support@acme.example", b"sales@acme.example")
    assert (await talk.say(MAIL + b".")).startswith("250")
    (first, one), (second, other) = await at.taken()
    assert (first, second, one) == ("support", "sales", other)


async def test_commands_sent_ahead_are_answered_after_the_mail(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.begin()
    talk.writer.write(MAIL + b".\r\nNOOP\r\nQUIT\r\n")
    assert [(await talk.answer())[:3] for _ in range(3)] == ["250", "250", "221"]


@pytest.mark.parametrize("away", ["log", "blobs"])
async def test_what_is_not_durable_stays_with_its_sender(at: Front, monkeypatch: pytest.MonkeyPatch, away: str) -> None:
    async def refuse(*_: Any, **__: Any) -> Any:
        raise LogUnavailable("away") if away == "log" else BlobsUnavailable("EIO")

    talk = await Talk.to(at.smtp)
    await talk.begin()
    with monkeypatch.context() as broken:
        broken.setattr(at.log if away == "log" else at.blobs, "enqueue" if away == "log" else "put", refuse)
        assert (await talk.say(MAIL + b".")).startswith("451 4.3.0")
    await talk.begin()
    assert (await talk.say(MAIL + b".")).startswith("250")
    assert len(await at.taken()) == 1


async def test_an_ack_that_does_not_come_is_not_waited_for(at: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(smtp, "ACK_SECONDS", 0.1)
    monkeypatch.setattr(at.log, "enqueue", never)
    talk = await Talk.to(at.smtp)
    await talk.begin()
    assert (await talk.say(MAIL + b".")).startswith("451")


async def test_lmtp_answers_for_each_recipient(at: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    write = at.door.write

    async def only_support(items: Any) -> None:
        if items[0].account_id != "support":
            raise smtp.NotTaken
        await write(items)

    monkeypatch.setattr(at.door, "write", only_support)
    talk = await Talk.to(at.lmtp)
    await talk.begin(b"support@acme.example", b"sales@acme.example", b"help@acme.example", hello=b"LHLO x")
    assert [(await talk.say(MAIL + b"."))[:3], (await talk.answer())[:3], (await talk.answer())[:3]] == [
        "250",
        "451",
        "250",
    ]
    assert (await talk.say(b"NOOP")).startswith("250")
    assert [account_id for account_id, _ in await at.taken()] == ["support"]


# ----------------------------------------------------------------------------------------------------- bounds


async def test_a_mail_that_says_it_is_too_large_is_not_even_begun(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    assert "SIZE 1000000" in await talk.say(b"EHLO x")
    assert (await talk.say(b"MAIL FROM:<ida@example.org> SIZE=1000001")).startswith("552")


async def test_a_mail_that_turns_out_too_large_is_refused_and_the_next_one_taken(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.begin()
    for _ in range(1100):
        talk.writer.write(b"x" * 998 + b"\r\n")
    assert (await talk.say(b".")).startswith("552")
    await talk.begin()
    assert (await talk.say(MAIL + b".")).startswith("250")
    assert len(await at.taken()) == 1
    assert len(await _blobs(at)) == 1


async def test_a_line_without_an_end_costs_no_memory(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.begin()
    tracemalloc.start()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        for _ in range(64):
            talk.writer.write(b"x" * 1_000_000)
            await talk.writer.drain()
        await talk.reader.readexactly(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    assert await at.taken() == []


async def test_a_large_mail_comes_through_whole(at: Front) -> None:
    body = b"".join(b"%d." % n + b"." * (n % 70) + b"\r\n" for n in range(15_000))
    await aiosmtplib.send(
        MAIL + body, sender="a@b.org", recipients=["support@acme.example"], hostname="127.0.0.1", port=at.smtp
    )
    [(_, kept)] = await at.taken()
    assert kept.endswith(MAIL + body)


async def test_a_connection_that_ends_inside_a_mail_leaves_nothing(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.begin()
    talk.writer.write(MAIL + b"x" * 300_000)
    await talk.writer.drain()
    talk.writer.transport.abort()
    await asyncio.sleep(0.2)
    assert await at.taken() == []
    assert await _blobs(at) == []
    listener = at.channel.listener
    assert listener is not None
    assert not listener._sessions


async def test_a_mail_that_goes_in_circles_is_stopped(at: Front) -> None:
    talk = await Talk.to(at.smtp)
    await talk.begin()
    assert (await talk.say(b"Received: from x by y\r\n" * 100 + MAIL + b".")).startswith("554 5.4.6")
    assert await at.taken() == []


async def test_there_are_only_so_many_connections_and_recipients(tmp_path: Path) -> None:
    async with front(tmp_path, SUPPORT, smtp_connections=2) as at:
        talks = [await Talk.to(at.smtp) for _ in range(2)]
        third = await asyncio.open_connection("127.0.0.1", at.smtp)
        assert (await third[0].read()).startswith(b"421")
        await talks[0].say(b"EHLO x")
        await talks[0].say(b"MAIL FROM:<ida@example.org>")
        answers = [await talks[0].say(b"RCPT TO:<support+%d@acme.example>" % n) for n in range(101)]
        assert {answer[:3] for answer in answers[:100]} == {"250"}
        assert answers[100].startswith("452")
        await talks[1].say(b"QUIT")
        assert await talks[1].closed()
        assert (await (await Talk.to(at.smtp)).say(b"NOOP")).startswith("250")


async def test_a_service_that_stops_takes_no_more_and_answers_what_it_has(
    at: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, busy = await Talk.to(at.smtp), await Talk.to(at.smtp)
    await busy.begin()
    busy.writer.write(MAIL)
    at.door.accepting = False
    late = await asyncio.open_connection("127.0.0.1", at.smtp)
    assert (await late[0].read()).startswith(b"421")
    stopping = asyncio.create_task(at.channel.stop_listening())
    assert (await idle.answer()).startswith("421")
    assert await idle.closed()
    assert (await busy.say(b".")).startswith("250")
    assert (await busy.answer()).startswith("421")
    await stopping
    assert len(await at.taken()) == 1


async def test_starttls_on_the_loop_of_a_service(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    keys = {"smtp_certificate": str(certificate), "smtp_certificate_key": str(key), "smtp_require_tls": True}
    (tmp_path / "blobs").mkdir()
    async with front(tmp_path / "blobs", SUPPORT, **keys) as at:
        talk = await Talk.to(at.smtp)
        assert "STARTTLS" in await talk.say(b"EHLO x")
        assert (await talk.say(b"MAIL FROM:<a@b.org>")).startswith("530")
        talk.writer.close()
        trusting = ssl.create_default_context(cafile=str(certificate))
        trusting.check_hostname = False
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=at.smtp, start_tls=True, tls_context=trusting)
        async with client:
            await client.sendmail("a@b.org", ["support@acme.example"], MAIL)
        assert len(await at.taken()) == 1


async def test_no_log_line_repeats_an_address(at: Front, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    talk = await Talk.to(at.smtp)
    await talk.begin()
    await talk.say(MAIL + b".")
    await talk.say(b"SECRET@example.org")
    assert "example" not in caplog.text


# -------------------------------------------------------------------------------------------- whose address it is


def test_addresses_lead_to_accounts_as_long_as_they_are_theirs() -> None:
    tokens = Tokens(b"key")
    accounts = AccountRegistry.of(EmailChannel(Settings()), None)
    recipients = Recipients(tokens, lambda name: accounts.names_of(None, name))
    accounts.on_change(recipients.changed)

    def put(record: AccountRecord) -> None:
        accounts.apply(record.account_id.encode(), record.to_json())

    for record in (SUPPORT, SALES):
        put(record)

    def whose(address: str) -> str | None:
        found = recipients.account_of(address)
        return None if found is None else found.account_id

    token = tokens.verp("support", "c1|0")
    assert whose(bounce_address(token, "b.acme.example")) == "support"
    assert whose(bounce_address(tokens.verp("sales", "c1|0"), "b.acme.example")) is None
    assert whose(bounce_address("a" * 22, "b.acme.example")) is None
    answer = reply_address(tokens.reply_token("support", "t"), "support@acme.example")
    assert (whose(answer), whose(answer.replace("+", "="))) == ("support", "support")
    greedy = account("greedy", "greedy@evil.example", workspace="ws_3", addresses=["sales@acme.example"])
    put(greedy)
    assert (whose("sales@acme.example"), whose("greedy@evil.example")) == ("sales", "greedy")
    accounts.apply(b"support", None)
    assert whose("support@acme.example") is whose("help@acme.example") is None
    put(account("support", "new@acme.example"))
    assert (whose("new@acme.example"), whose("help@acme.example")) == ("support", None)


@pytest.mark.parametrize("thief", ["aa", "zz"])
@pytest.mark.parametrize(
    ("external_id", "addresses"),
    [
        ("Support@acme.example", []),
        ("support@ACME.example", []),
        (" support@acme.example", []),
        ("support@acm\uff45.example", []),
        ("thief@evil.example", ["support@acme.example", "help@acme.example"]),
        ("help@acme.example", []),
        ("Help@Acme.example", []),
    ],
)
def test_nobody_gets_another_workspaces_mail_by_writing_its_address_differently(
    thief: str, external_id: str, addresses: list[str]
) -> None:
    """Nor by listing it, nor by being named after what another has only listed."""
    tokens = Tokens(b"key")
    accounts = AccountRegistry.of(EmailChannel(Settings()), None)
    recipients = Recipients(tokens, lambda name: accounts.names_of(None, name))
    accounts.on_change(recipients.changed)
    accounts.apply(b"support", SUPPORT.to_json())
    accounts.apply(thief.encode(), account(thief, external_id, workspace="ws_evil", addresses=addresses).to_json())
    for address in ("support@acme.example", "help@acme.example"):
        found = recipients.account_of(address)
        assert found is not None
        assert found.account_id == "support"
    taken = accounts.standing(thief) is Standing.TAKEN
    assert taken is (external_id != "thief@evil.example")
    assert accounts.further_names(thief) == ()
    accounts.apply(b"support", None)
    left = recipients.account_of(addresses[0] if addresses else external_id)
    assert left is not None
    assert left.account_id == thief, "whoever comes next may have it"


def test_the_address_that_one_mail_is_answered_at_is_no_account() -> None:
    tokens = Tokens(b"key")
    answer = reply_address(tokens.reply_token("support", "t"), "support@acme.example")
    accounts = AccountRegistry.of(EmailChannel(Settings()), None)
    recipients = Recipients(tokens, lambda name: accounts.names_of(None, name))
    accounts.on_change(recipients.changed)
    accounts.apply(b"support", SUPPORT.to_json())
    thief = account("aa", answer, workspace="ws_evil", addresses=[answer])
    accounts.apply(b"aa", thief.to_json())
    found = recipients.account_of(answer)
    assert found is not None
    assert found.account_id == "support"
    assert set(EmailChannel(Settings()).wrong_settings(thief)) == {"external_id", "addresses"}


def test_nothing_listens_unless_it_is_told_where() -> None:
    assert (Settings().smtp_listen, Settings().lmtp_listen) == ("", "")


async def _blobs(at: Front) -> list[str]:
    directory = at.blobs._directory
    assert directory is not None
    return [str(path) for path in directory.rglob("*") if path.is_file()]


def _certificate(directory: Path) -> tuple[Path, Path]:
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run(["openssl", *made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key
