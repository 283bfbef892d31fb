"""Signing our own mail: what arrives verifies, and what somebody adds on the way does not."""

from __future__ import annotations

import shutil
import subprocess

import dkim
import pytest

from shared.contract.errors import ErrorCode
from tests.channels.email.scripted import ScriptedServer
from tests.channels.email.sending import Memory, account, call, channel, refused

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the keys")
SIGNING = {"dkim": {"domain": "acme.example", "selector": "s1"}}


@pytest.fixture(scope="module")
def key() -> str:
    made = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], capture_output=True, check=True)
    return made.stdout.decode()


@pytest.fixture(scope="module")
def record(key: str) -> bytes:
    """The public key as DNS has it."""
    made = subprocess.run(["openssl", "rsa", "-pubout"], input=key.encode(), capture_output=True, check=True)
    return b"v=DKIM1; k=rsa; p=" + b"".join(made.stdout.split(b"\n")[1:-2])


def verifies(mail: bytes, record: bytes) -> bool:
    return bool(dkim.verify(mail, dnsfunc=lambda name, timeout=5: record))


async def sent(key: str, **content: object) -> bytes:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port, {"dkim_key": key}, **SIGNING)
        await sender.perform(call(sender, owner, **content), owner, Memory({"ws_1/a": bytes(300_000)}))
    return server.received[0].data


@pytest.mark.parametrize(
    "content",
    [
        {"text": "Good morning"},
        {"text": "Ends in blanks \n\n\n\n"},
        {"text": ".\n..\n", "subject": "Überraschung " * 20},
        {"text": "x", "html": "<p>x</p>", "attachments": [{"blob": "ws_1/a", "filename": "a.bin", "size": 300_000}]},
    ],
)
async def test_a_signed_mail_verifies(content: dict[str, object], key: str, record: bytes) -> None:
    mail = await sent(key, **content)
    assert mail.startswith(b"DKIM-Signature:")
    assert verifies(mail, record)
    assert not verifies(mail.replace(b"\r\n\r\n", b"\r\n\r\nMore\r\n", 1), record)


@pytest.mark.parametrize("field", [b"Subject: Pay here", b"From: boss@acme.example", b"To: x@y.example", b"Date: now"])
async def test_nobody_can_put_a_second_field_on_top(field: bytes, key: str, record: bytes) -> None:
    mail = await sent(key)
    assert not verifies(field + b"\r\n" + mail, record)


async def test_a_key_that_is_none_pauses_the_account() -> None:
    async with ScriptedServer() as server, channel() as sender:
        owner = account(server.port, {"dkim_key": "no key"}, **SIGNING)
        failure = await refused(sender, call(sender, owner), owner)
    assert failure.code is ErrorCode.ACCOUNT_DISCONNECTED
    assert server.received == []
