"""Sending a mail, step by step: what goes over the wire, and what is certain when the way ends."""

from __future__ import annotations

import asyncio
import email
import email.policy
import subprocess
import sys
from typing import Any

import pytest

from services.email.tokens import Tokens, read_recipient
from shared.channel import FileUnavailable
from shared.contract.errors import ErrorCode
from tests.channels.email.scripted import CLOSE, SILENT, ScriptedServer
from tests.channels.email.sending import CONTACT, Memory, account, call, channel, refused


async def test_a_mail_arrives_as_it_was_meant() -> None:
    logo, terms = bytes(range(256)) * 5, b"%PDF-" + b"x" * 70_000
    files = Memory({"ws_1/logo": logo, "ws_1/terms": terms})
    attachments = [
        {
            "blob": "ws_1/logo",
            "filename": "logo.png",
            "mime_type": "image/png",
            "content_id": "logo",
            "size": len(logo),
        },
        {"blob": "ws_1/terms", "filename": "Übersicht März.pdf", "mime_type": "application/pdf"},
    ]
    text = "Grüße\n.\n..dots\n" + "long " * 300 + "\n-- \nNoor "
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port, from_name="Acme, Support")
        planned = call(sender, owner, text=text, html='<p>Grüße <img src="cid:logo"></p>', attachments=attachments,
                       cc=["tom@example.org"], bcc=["boss@acme.example"], subject="Überraschung 😀")  # fmt: skip
        receipt = await sender.perform(planned, owner, files)
    [mail] = server.received
    assert mail.recipients == [CONTACT, "tom@example.org", "boss@acme.example"]
    assert b"boss@acme.example" not in mail.data
    assert all(len(line) <= 998 for line in mail.data.split(b"\r\n"))
    assert max(mail.data) < 128
    read = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert read["Subject"] == "Überraschung 😀"
    assert read["From"].addresses[0].display_name == "Acme, Support"
    assert read["Message-ID"] == f"<{receipt.provider_message_ids[0]}>"
    assert [part.get_content_type() for part in read.walk()] == [
        "multipart/mixed", "multipart/related", "multipart/alternative", "text/plain", "text/html", "image/png",
        "application/pdf",
    ]  # fmt: skip
    plain, html, image, pdf = [part for part in read.walk() if not part.is_multipart()]
    assert plain.get_content().replace("\r\n", "\n") == text
    assert image["Content-ID"].strip("<>") in html.get_content()
    assert (image.get_content(), pdf.get_content()) == (logo, terms)
    assert pdf.get_filename() == "Übersicht März.pdf"
    assert files.opened == files.closed == 3  # the size of one had to be asked for
    assert f"SIZE={len(mail.data)}" in mail.mail


async def test_reports_of_failure_will_name_the_mail() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port, bounce_domain="bounces.acme.example")
        planned = call(sender, owner, cc=["a+b=c@example.org"])
        await sender.perform(planned, owner, Memory({}))
    [mail] = server.received
    token = planned.params["envelope"]["id"]
    assert mail.sender == f"bounce+b{token}@bounces.acme.example"
    assert "RET=HDRS" in mail.mail
    assert f"ENVID={token}" in mail.mail
    assert mail.rcpt[0].endswith(f"NOTIFY=FAILURE,DELAY ORCPT=rfc822;{CONTACT}")
    assert mail.rcpt[1].endswith("ORCPT=rfc822;a+2Bb+3Dc@example.org")
    assert planned.names == (planned.params["message_id"], f"v:{token}")
    assert read_recipient(mail.sender.partition("@")[0]) == ("bounce", token)
    assert Tokens(b"k").accepts("bounce", "mail_1", token)


async def test_delivery_is_reported_where_the_account_asks_for_it() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port, delivery_receipts=True)
        await sender.perform(call(sender, owner), owner, Memory({}))
    assert "NOTIFY=SUCCESS,FAILURE,DELAY" in server.received[0].rcpt[0]


async def test_nothing_is_said_of_what_the_server_does_not_offer() -> None:
    async with ScriptedServer(extensions=("8BITMIME",)) as server, channel() as sender:
        owner = account(server.port, {})
        await sender.perform(call(sender, owner), owner, Memory({}))
    assert server.received[0].mail == "MAIL FROM:<support@acme.example>"
    assert server.received[0].rcpt == [f"RCPT TO:<{CONTACT}>"]


async def test_the_same_command_is_the_same_message() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port)
        for command in ("cmd_1", "cmd_1", "cmd_2"):
            await sender.perform(call(sender, owner, command), owner, Memory({}))
    ids = [email.message_from_bytes(mail.data)["Message-ID"] for mail in server.received]
    assert ids[0] == ids[1] != ids[2]


# ---------------------------------------------------------------------------------------------------- certainty


@pytest.mark.parametrize("step", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "piece"])
async def test_a_connection_that_ends_before_the_dot_has_sent_nothing(step: str) -> None:
    async with ScriptedServer({step: CLOSE}) as server, channel() as sender:
        owner = account(server.port)
        # Larger than all buffers on the way: what ends in its middle has not got the dot.
        planned = call(sender, owner, attachments=[{"blob": "ws_1/a", "filename": "a.bin", "size": 16_000_000}])
        failure = await refused(sender, planned, owner, Memory({"ws_1/a": bytes(16_000_000)}))
    assert failure.certain
    assert failure.code is ErrorCode.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("step", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"])
async def test_silence_before_the_dot_has_sent_nothing(step: str) -> None:
    async with ScriptedServer({step: SILENT}) as server, channel(connect_timeout=0.3, command_timeout=0.3) as sender:
        owner = account(server.port)
        failure = await refused(sender, call(sender, owner), owner)
    assert failure.certain
    assert failure.code is ErrorCode.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("end", [CLOSE, SILENT])
async def test_without_an_answer_to_the_dot_nobody_knows(end: str) -> None:
    async with ScriptedServer({"dot": end}) as server, channel(answer_timeout=0.3) as sender:
        owner = account(server.port)
        failure = await refused(sender, call(sender, owner), owner)
        assert len(server.received) == 1
    assert (failure.code, failure.certain) == (ErrorCode.UNCERTAIN, False)


@pytest.mark.parametrize("reply", ["421 4.3.2 shutting down", "451 4.3.0 later", "554 5.6.0 no", "552 5.3.4 too big"])
async def test_a_refusal_of_the_dot_is_certain(reply: str) -> None:
    async with ScriptedServer({"dot": reply}) as server, channel() as sender:
        owner = account(server.port)
        assert (await refused(sender, call(sender, owner), owner)).certain


@pytest.mark.parametrize("reply", ["552 5.3.4 Message too big", "421 4.3.2 Shutting down"])
async def test_a_server_that_refuses_in_the_middle_of_a_mail_is_heard(reply: str) -> None:
    async with ScriptedServer({"piece": reply}) as server, channel() as sender:
        owner = account(server.port)
        planned = call(sender, owner, attachments=[{"blob": "ws_1/a", "filename": "a.bin", "size": 16_000_000}])
        failure = await refused(sender, planned, owner, Memory({"ws_1/a": bytes(16_000_000)}))
    assert failure.certain
    assert failure.code is (ErrorCode.FILE_TOO_LARGE if reply.startswith("552") else ErrorCode.PROVIDER_UNAVAILABLE)


async def test_a_file_that_is_gone_leaves_no_half_mail() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port)
        planned = call(sender, owner, attachments=[{"blob": "ws_1/gone", "filename": "a.pdf", "size": 9}])
        with pytest.raises(FileUnavailable):
            await sender.perform(planned, owner, Memory({}))
        await asyncio.sleep(0.05)
    assert server.received == []


async def test_a_file_that_has_changed_leaves_no_half_mail() -> None:
    files = Memory({"ws_1/a": b"x" * 5000})

    async def shorter(file: Any) -> Any:
        opened = await Memory({"ws_1/a": b"x" * 4000}).open(file)
        return type(opened)(opened.filename, opened.mime_type, 5000, opened.chunks, opened.close)

    files.open = shorter  # type: ignore[method-assign]
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port)
        planned = call(sender, owner, attachments=[{"blob": "ws_1/a", "filename": "a.pdf", "size": 5000}])
        failure = await refused(sender, planned, owner, files)
    assert (failure.code, failure.certain) == (ErrorCode.FILE_UNAVAILABLE, True)
    assert server.received == []


async def test_a_cancelled_call_hangs_up_before_the_dot() -> None:
    async with ScriptedServer({"DATA": SILENT}) as server, channel(command_timeout=60.0) as sender:
        owner = account(server.port)
        task = asyncio.create_task(sender.perform(call(sender, owner), owner, Memory({})))
        while "DATA" not in server.commands:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.received == []


# --------------------------------------------------------------------------------------------------- recipients


async def test_a_copy_that_is_refused_is_a_warning_without_an_address() -> None:
    replies: dict[str, str | list[str]] = {"RCPT gone@example.org": "550 5.1.1 <gone@example.org>: no such user"}
    async with ScriptedServer(replies) as server, channel() as sender:
        owner = account(server.port)
        planned = call(sender, owner, cc=["tom@example.org", "gone@example.org"], bcc=["boss@acme.example"])
        receipt = await sender.perform(planned, owner, Memory({}))
    assert server.received[0].recipients == [CONTACT, "tom@example.org", "boss@acme.example"]
    [warning] = receipt.warnings
    assert (warning.code, warning.field) == ("recipient_refused", "content.cc")
    assert warning.detail == "cc 2: not taken (550 5.1.1)."


async def test_a_contact_that_is_refused_fails_the_mail_for_all() -> None:
    replies: dict[str, str | list[str]] = {f"RCPT {CONTACT}": "550 5.1.1 no such user"}
    async with ScriptedServer(replies) as server, channel() as sender:
        owner = account(server.port)
        failure = await refused(sender, call(sender, owner, cc=["tom@example.org"]), owner)
        assert failure.code is ErrorCode.RECIPIENT_UNKNOWN
        assert server.received == []
        del server.replies[f"RCPT {CONTACT}"]
        await sender.perform(call(sender, owner, "cmd_2"), owner, Memory({}))
    assert "RSET" in server.commands
    assert (len(server.received), server.connections) == (1, 1)


async def test_an_address_in_another_script_needs_a_server_that_knows_them() -> None:
    async with channel() as sender:
        for extensions in (("SMTPUTF8", "DSN"), ("8BITMIME",)):
            async with ScriptedServer(extensions=extensions) as server:
                owner = account(server.port, {})
                planned = call(sender, owner, cc=["Jürgen@Bücher.example"])
                if "SMTPUTF8" in extensions:
                    await sender.perform(planned, owner, Memory({}))
                    [mail] = server.received
                    assert "SMTPUTF8" in mail.mail
                    assert mail.recipients[1] == "jürgen@xn--bcher-kva.example"
                    assert mail.rcpt[1].endswith(r"ORCPT=utf-8;j\x{FC}rgen@xn--bcher-kva.example")
                else:
                    failure = await refused(sender, planned, owner)
                    assert failure.code is ErrorCode.RECIPIENT_UNKNOWN
                    assert server.received == []


# --------------------------------------------------------------------------------------------------------- size


async def test_a_mail_larger_than_the_server_takes_is_refused_before_it_is_begun() -> None:
    async with ScriptedServer(extensions=("SIZE 10000",)) as server, channel() as sender:
        owner = account(server.port, {})
        planned = call(sender, owner, attachments=[{"blob": "ws_1/a", "filename": "a.bin", "size": 9000}])
        failure = await refused(sender, planned, owner, Memory({"ws_1/a": b"x" * 9000}))
    assert failure.code is ErrorCode.FILE_TOO_LARGE
    assert failure.facts["limit"] == 10000
    assert failure.facts["actual"] > 9000 * 4 / 3
    assert not any(command.startswith("MAIL") for command in server.commands)


_SEND_24_MB = """
import asyncio, resource, sys, time
from collections.abc import AsyncIterator
from shared.channel import OpenFile
from tests.channels.email.sending import account, call, channel

SIZE = 18_200_000

class Files:
    async def open(self, file):
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(SIZE // 65_000):
                yield b"x" * 65_000
        async def close(): pass
        return OpenFile("a.bin", "", SIZE // 65_000 * 65_000, chunks(), close)

async def main() -> None:
    async with channel(connect_timeout=10, command_timeout=30, answer_timeout=60) as sender:
        owner = account(int(sys.argv[1]))
        planned = call(sender, owner, attachments=[{"blob": "ws_1/a", "filename": "a.bin"}])
        await sender.perform(call(sender, owner, "warm"), owner, Files())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        worst = 0.0
        async def watch():
            nonlocal worst
            while True:
                at = time.perf_counter()
                await asyncio.sleep(0.005)
                worst = max(worst, time.perf_counter() - at - 0.005)
        watcher = asyncio.create_task(watch())
        await sender.perform(planned, owner, Files())
        watcher.cancel()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, round(worst * 1000))

asyncio.run(main())
"""


@pytest.mark.chaos  # the server of the test takes 50 MB line by line
async def test_a_mail_of_24_mb_is_sent_with_a_few_mb_of_memory() -> None:
    async with ScriptedServer(keep_data=False) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _SEND_24_MB, str(server.port), stdout=subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
    grown, stalled = map(int, said.split())
    assert int(server.received[1].mail.partition("SIZE=")[2].split()[0]) > 24_000_000
    assert grown < 8 * 1024, f"{grown} KiB"
    assert stalled < 200, f"the loop stood still for {stalled} ms"
