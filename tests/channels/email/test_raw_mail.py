"""Mail by HTTPS, and the files of a mail out of its raw form."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from shared.channel import Account, Event, Forbidden, ProviderError, ReceivedItem, UnknownRoute, WebhookRequest
from shared.contract.content import EmailContent
from shared.contract.events import Message
from tests.channels.email.front import Front, account

SHOP = account("shop", "shop@acme.example")
NOW = datetime(2026, 11, 28, tzinfo=UTC)


class Known:
    """The accounts: one has a secret, the other none."""

    def get(self, account_id: str) -> Account | None:
        secrets = {"shop": {"ingress_secret": "a-secret", "ingress_secret_previous": "the one before"}, "open": {}}
        known = secrets.get(account_id)
        return None if known is None else Account(account(account_id, f"{account_id}@acme.example"), known)


@pytest.fixture
def front(tmp_path: Path) -> Front:
    return Front(tmp_path, SHOP)


def request(route: str, authorization: str | None, body: bytes = b"") -> WebhookRequest:
    headers = {} if authorization is None else {"authorization": authorization}
    return WebhookRequest("POST", route, {}, headers, body)


def test_the_accounts_secret_opens_the_accounts_door(front: Front) -> None:
    for authorization in ("Bearer a-secret", "bearer a-secret", "Bearer the one before"):
        assert front.channel.admit(request("shop", authorization), Known()) == 40 * 1024 * 1024


@pytest.mark.parametrize(
    ("route", "authorization"),
    [
        ("shop", None),
        ("shop", ""),
        ("shop", "Bearer"),
        ("shop", "Bearer wrong"),
        ("shop", "Basic a-secret"),
        ("shop", "a-secret"),
        ("shop", "Bearer a-secret more"),
        ("shop", "Bearer ä-secret"),
        ("open", "Bearer "),
        ("open", "Bearer a-secret"),
        ("nobody", "Bearer a-secret"),
        ("nobody", "Bearer "),
    ],
)
def test_everything_else_is_turned_away_alike(front: Front, route: str, authorization: str | None) -> None:
    with pytest.raises(Forbidden):
        front.channel.admit(request(route, authorization), Known())


@pytest.mark.parametrize("route", ["", "shop/more", "/"])
def test_what_names_no_account_is_no_route(front: Front, route: str) -> None:
    with pytest.raises(UnknownRoute):
        front.channel.admit(request(route, "Bearer a-secret"), Known())


def test_a_mail_is_one_item_of_its_account_in_the_order_of_its_sender(front: Front) -> None:
    mails = [
        b"From: ida@x.example\r\n\r\nHi",
        b"Subject: a\r\nFrom: Ida <IDA@x.example>\r\n\r\nHi",
        b"From: bo@x.example",
    ]
    items = [front.channel.received(request("shop", None, mail), "raw-blob/1")[0] for mail in mails]
    assert items[0].key == items[1].key != items[2].key
    assert {(item.account_id, item.blob, item.body) for item in items} == {("shop", "raw-blob/1", b"")}
    with pytest.raises(ValueError, match="empty"):
        front.channel.received(request("shop", None, b" \r\n"), "raw-blob/1")


# ------------------------------------------------------------------------------------------------------- files


async def stored(front: Front, raw: bytes) -> Message:
    """The message of a mail that is kept in the raw store."""

    async def chunks() -> AsyncIterator[bytes]:
        yield raw

    assert front.channel._raw is not None
    blob = await front.channel._raw.store(chunks())
    item = ReceivedItem(SHOP, front.channel.parse(raw), NOW, 0, blob)
    [event] = [outcome for outcome in front.channel.normalise(item) if isinstance(outcome, Event)]
    assert isinstance(event.data, Message)
    return event.data


async def opened(front: Front, message: Message, index: int = 0) -> tuple[str, bytes]:
    assert isinstance(message.content, EmailContent)
    attachment = message.content.attachments[index]
    file = await front.channel.open_media(attachment, message, Account(SHOP))
    return file.filename, b"".join([chunk async for chunk in file.chunks])


async def test_files_are_read_out_of_the_mail_whatever_their_size_and_encoding(front: Front) -> None:
    large = random.Random(3).randbytes(3_000_000)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ida@x.example", "shop@acme.example", "files"
    mail.set_content("see below")
    mail.add_attachment(large, maintype="application", subtype="octet-stream", filename="large.bin")
    mail.add_attachment("Grüße = alle\n" * 200, filename="text.txt", cte="quoted-printable")
    message = await stored(front, mail.as_bytes().replace(b"\n", b"\r\n"))
    assert await opened(front, message) == ("large.bin", large)
    name, text = await opened(front, message, 1)
    assert (name, text.decode().replace("\r\n", "\n")) == ("text.txt", "Grüße = alle\n" * 200)


async def test_a_mail_that_is_gone_takes_its_files_with_it(front: Front, tmp_path: Path) -> None:
    body = base64.encodebytes(b"x" * 1000)
    head = (
        b"From: i@x.example\r\nContent-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    message = await stored(front, head + body)
    assert (await opened(front, message))[1] == b"x" * 1000
    for path in (tmp_path / "raw-blob").iterdir():
        path.unlink()
    with pytest.raises(ProviderError) as refused:
        await opened(front, message)
    assert refused.value.failure.code == "file_unavailable"


@pytest.mark.parametrize(
    "reference", [None, "", "raw-blob/1", "raw-blob/1#", "raw-blob/1#nonsense", "ws_1/acc/file#0-9:binary"]
)
async def test_a_reference_that_is_none_opens_nothing(front: Front, reference: str | None) -> None:
    await front.blobs.put("ws_1/acc/file", _of(b"somebody else's"))
    message = await stored(front, b"From: i@x.example\r\nContent-Type: application/zip; name=a.zip\r\n\r\nPK")
    assert isinstance(message.content, EmailContent)
    attachment = message.content.attachments[0].model_copy(update={"provider_ref": reference})
    with pytest.raises(ProviderError):
        file = await front.channel.open_media(attachment, message, Account(SHOP))
        _ = [chunk async for chunk in file.chunks]


async def _of(content: bytes) -> AsyncIterator[bytes]:
    yield content
