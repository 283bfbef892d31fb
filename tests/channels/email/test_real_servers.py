"""Through Postfix into Dovecot, and back: what a mail is after real servers had it."""

from __future__ import annotations

import email
import email.policy
import hashlib
import random
import shutil
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from aiohttp import web

from shared.channel import Account, Call, ProviderError
from shared.contract.errors import ErrorCode
from shared.contract.events import Health
from tests.channels.email.scripted import ScriptedServer
from tests.channels.email.sending import Memory, account, call, channel, refused
from tests.e2e.mailservers import (
    HOST,
    PASSWORD,
    Dovecot,
    Postfix,
    certificate,
    dovecot_missing,
    folder_for_all,
    postfix_missing,
)

_MISSING = dovecot_missing() or postfix_missing() or (None if shutil.which("openssl") else "no openssl")
pytestmark = [
    pytest.mark.skipif(_MISSING is not None, reason=f"real mail servers: {_MISSING}"),
    pytest.mark.asyncio(loop_scope="module"),
]
SUPPORT, IDA = "support@acme.example", "ida@example.net"


class Servers(NamedTuple):
    dovecot: Dovecot
    postfix: Postfix
    remote: ScriptedServer
    authority: str

    def account(self, credentials: dict[str, str] | None = None, **settings: object) -> Account:
        smtp = {"host": HOST, "port": self.postfix.smtp, "security": "starttls"}
        return account(0, credentials or {"password": PASSWORD}, **{"smtp": smtp, **settings})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Servers]:
    """Dovecot has the mail of both sides; `remote.example` is a server that knows nobody."""
    with folder_for_all() as folder:
        async for running in _servers(folder):
            yield running


async def _servers(folder: Path) -> AsyncIterator[Servers]:
    tls = certificate(folder)
    runner, introspection = await _introspection()
    dovecot = Dovecot(folder / "dovecot", tls=tls, introspection=introspection)
    await dovecot.start()
    to_dovecot = f"lmtp:inet:{HOST}:{dovecot.lmtp}"
    domains = ("acme.example", "example.net", "bounces.acme.example")
    async with ScriptedServer({"RCPT": "550 5.1.1 <nobody@remote.example>: unknown user"}) as remote:
        routes = {**dict.fromkeys(domains, to_dovecot), "remote.example": f"smtp:[{HOST}]:{remote.port}"}
        postfix = Postfix(folder / "postfix", routes, auth=dovecot.auth, tls=tls)
        await postfix.start()
        yield Servers(dovecot, postfix, remote, str(tls[0]))
        await postfix.stop()
    await dovecot.stop()
    await runner.cleanup()


async def _introspection() -> tuple[web.AppRunner, str]:
    """A token server that knows one token."""

    async def introspect(request: web.Request) -> web.Response:
        good = (await request.post()).get("token") == "good"
        return web.json_response({"active": good, "username": SUPPORT} if good else {"active": False})

    async def token(request: web.Request) -> web.Response:
        wanted = (await request.post()).get("refresh_token")
        return web.json_response({"access_token": "good" if wanted == "new" else "old", "refresh_token": "new"})

    app = web.Application()
    app.router.add_post("/introspect", introspect)
    app.router.add_post("/token", token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    return runner, f"http://{HOST}:{runner.addresses[0][1]}/introspect"


def read(mail: bytes) -> EmailMessage:
    found = email.message_from_bytes(mail, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


async def mail_of(servers: Servers, user: str, planned: Call) -> bytes:
    """The mail of a call, when it has arrived."""
    wanted = f"<{planned.params['message_id']}>".encode()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for mail in await servers.dovecot.mails(user):
            if wanted in mail:
                return mail
    raise TimeoutError


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_goes_through_and_is_read(servers: Servers, security: str) -> None:
    port = servers.postfix.smtp if security == "starttls" else servers.postfix.smtps
    picture = random.Random(1).randbytes(50_000)
    async with channel(ca_file=servers.authority, connect_timeout=10, command_timeout=10) as sender:
        owner = servers.account(smtp={"host": "localhost", "port": port, "security": security}, from_name="Acme Süd")
        planned = call(
            sender, owner, f"cmd_{security}", subject="Überraschung", text="Grüße\n.\n", bcc=["boss@acme.example"],
            html='<p>Grüße <img src="cid:p"></p>',
            attachments=[{"blob": "ws_1/p", "filename": "Foto – 1.jpg", "mime_type": "image/jpeg", "content_id": "p"}],
        )  # fmt: skip
        await sender.perform(planned, owner, Memory({"ws_1/p": picture}))
    mail = read(await mail_of(servers, IDA, planned))
    assert (mail["Subject"], mail["To"]) == ("Überraschung", IDA)
    assert "boss" not in str(mail)
    [image] = [part for part in mail.walk() if part.get_content_type() == "image/jpeg"]
    assert (image.get_content(), image.get_filename()) == (picture, "Foto – 1.jpg")
    assert await mail_of(servers, "boss@acme.example", planned)


async def test_a_server_that_nobody_vouches_for_gets_nothing(servers: Servers) -> None:
    async with channel(connect_timeout=10) as sender:
        owner = servers.account()
        failure = await refused(sender, call(sender, owner, "cmd_untrusted"), owner)
    assert (failure.code, failure.provider_code) == (ErrorCode.PROVIDER_UNAVAILABLE, "tls")
    assert failure.certain


async def test_a_wrong_password_is_found_out(servers: Servers) -> None:
    async with channel(ca_file=servers.authority, connect_timeout=10, command_timeout=10) as sender:
        owner = servers.account({"password": "wrong"})
        failure = await refused(sender, call(sender, owner, "cmd_password"), owner)
        assert (failure.code, failure.health) == (ErrorCode.ACCOUNT_REAUTH_REQUIRED, Health.REAUTH_REQUIRED)
        assert (await sender.probe(owner)).health is Health.REAUTH_REQUIRED


async def test_both_servers_are_asked_whether_they_let_the_account_in(servers: Servers) -> None:
    imap = {"host": HOST, "port": servers.dovecot.imaps, "security": "tls"}
    async with channel(ca_file=servers.authority, connect_timeout=10, command_timeout=10) as sender:
        assert (await sender.probe(servers.account(imap=imap))).health is Health.CONNECTED
        half = servers.account({"smtp_password": PASSWORD, "imap_password": "wrong"}, imap=imap)
        assert (await sender.probe(half)).health is Health.REAUTH_REQUIRED


async def test_a_mail_of_6_mb_arrives_whole(servers: Servers) -> None:
    video = random.Random(2).randbytes(4_500_000)
    async with channel(ca_file=servers.authority, connect_timeout=10, command_timeout=30, answer_timeout=60) as sender:
        owner = servers.account()
        planned = call(sender, owner, "cmd_large", attachments=[{"blob": "ws_1/v", "filename": "v.mp4"}])
        await sender.perform(planned, owner, Memory({"ws_1/v": video}))
    mail = read(await mail_of(servers, IDA, planned))
    [part] = mail.iter_attachments()
    assert hashlib.sha256(part.get_content()).digest() == hashlib.sha256(video).digest()


async def test_a_mail_larger_than_postfix_takes_is_not_begun(servers: Servers) -> None:
    async with channel(ca_file=servers.authority, connect_timeout=10, max_size=90_000_000) as sender:
        owner = servers.account()
        files = [{"blob": f"ws_1/{n}", "filename": f"{n}.mp4", "size": 19_000_000} for n in range(2)]
        failure = await refused(sender, call(sender, owner, "cmd_too_large", attachments=files), owner)
    assert (failure.code, failure.facts["limit"]) == (ErrorCode.FILE_TOO_LARGE, 50_000_000)


async def test_a_bounce_comes_back_under_the_names_we_gave(servers: Servers) -> None:
    async with channel(ca_file=servers.authority, connect_timeout=10, command_timeout=10) as sender:
        owner = servers.account(bounce_domain="bounces.acme.example")
        planned = call(sender, owner, "cmd_bounce", cc=["nobody@remote.example"])
        await sender.perform(planned, owner, Memory({}))
    token = planned.params["envelope"]["id"]
    [bounce] = await servers.dovecot.mails("bounce@bounces.acme.example")
    assert f"Original-Envelope-Id: {token}".encode() in bounce
    assert f"bounce+b{token}@bounces.acme.example" in str(read(bounce)["To"])
    assert f"<{planned.params['message_id']}>".encode() in bounce
    assert b"Original-Recipient: rfc822;nobody@remote.example" in bounce


async def test_a_token_that_has_expired_is_renewed_at_both_servers(servers: Servers) -> None:
    url = str(servers.dovecot.introspection).replace("introspect", "token")
    credentials = {"token_url": url, "client_id": "app", "refresh_token": "old"}
    imap = {"host": HOST, "port": servers.dovecot.imap, "security": "none", "files_sent": True}
    async with channel(ca_file=servers.authority, connect_timeout=10, command_timeout=10) as sender:
        owner = servers.account(credentials, imap=imap)
        planned = call(sender, owner, "cmd_token")
        await sender.perform(planned, owner, Memory({}))
        assert await mail_of(servers, IDA, planned)
        assert await sender.find_sent(planned, owner, datetime.now(UTC) - timedelta(minutes=5)) is None


async def test_the_folder_of_sent_mail_says_what_was_sent(servers: Servers) -> None:
    imap = {"host": HOST, "port": servers.dovecot.imap, "security": "none", "files_sent": True}
    async with channel() as sender:
        owner = servers.account(imap=imap)
        planned = call(sender, owner, "cmd_sent")
        with servers.dovecot.client(SUPPORT) as client:
            client.append("Sent", f"Message-ID: <{planned.params['message_id']}>\r\n\r\nx".encode())
        receipt = await sender.find_sent(planned, owner, datetime.now(UTC))
        assert receipt is not None
        assert receipt.provider_message_ids == (planned.params["message_id"],)
        other = call(sender, owner, "cmd_not_sent")
        with pytest.raises(ProviderError) as too_early:
            await sender.find_sent(other, owner, datetime.now(UTC))
        assert too_early.value.failure.code is ErrorCode.PROVIDER_UNAVAILABLE
        assert await sender.find_sent(other, owner, datetime.now(UTC) - timedelta(minutes=2)) is None
