"""Files as providers take them, through the running services: names, sizes, headers, links, albums, and groups."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.providers import Person
from tests.e2e.topics import eventually
from tests.e2e.world import WORKSPACE, image
from tests.requirements.inside import Channel
from tests.requirements.samples import FILES
from tests.shared.media.samples import drawing, moving, noise, picture

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _sent(channel: Channel, person: Person, content: bytes, **file: Any) -> tuple[dict[str, Any], Any]:
    """Send one file: its last status, and the body of the message the provider has got."""
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/bytes", content)
    attachment = {"blob": blob, **file}
    command = await channel.command(person, content={"kind": "media", "attachments": [attachment]})
    (status,) = await channel.statuses.end(command.id)
    return status, channel.asked(person.account)[-1]


def _webp(size: int, *, animated: bool = False) -> bytes:
    made = moving("WEBP", 2, (512, 512)) if animated else picture("WEBP", drawing((512, 512)))
    return made.ljust(size, b"\0")  # who reads it sees nothing of what is behind its end


async def test_the_names_of_uploads_say_their_type_and_the_contact_sees_the_given_one(whatsapp: Channel) -> None:
    person = await whatsapp.person(await whatsapp.account())
    sim = whatsapp.provider.sim  # type: ignore[attr-defined]
    ogg = b"OggS\x00\x02" + bytes(22) + b"\x01\x13OpusHead" + bytes(100)
    status, _ = await _sent(whatsapp, person, ogg, kind="voice", mime_type="audio/ogg", filename="memo.mp4")
    assert (await whatsapp.statuses.state(status["command_id"], "delivered"))["state"] == "delivered"
    status, call = await _sent(whatsapp, person, FILES["pdf"], filename="Angebot Nr. 7 für März")
    assert call.params["document"]["filename"] == "Angebot Nr. 7 für März"
    await whatsapp.statuses.state(status["command_id"], "delivered")
    other = FILES["pdf"] + b"\n"  # the same one is not uploaded again
    status, _ = await _sent(whatsapp, person, other, mime_type="binary/octet-stream", filename="prices.pdf")
    await whatsapp.statuses.state(status["command_id"], "delivered")
    uploaded = [media.filename for media in sim.media._items.values() if media.owner == person.account.handle]
    assert uploaded == ["memo.ogg", "Angebot Nr. 7 für März.pdf", "prices.pdf"]


@pytest.mark.parametrize("channel", ["telegram", "tiktok", "whatsapp"], indirect=True)
async def test_a_file_that_nobody_can_name_goes_out_where_any_goes_out_or_nothing_does(channel: Channel) -> None:
    """Not half a message: the text before it is not sent either."""
    person = await channel.person(await channel.account())
    before = len(channel.provider.got(person))
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/bytes", bytes(range(128, 256)) * 4)
    content = {"kind": "media", "text": "Look", "attachments": [{"blob": blob, "filename": "rnd.dat"}]}
    statuses = await channel.statuses.end((await channel.command(person, content=content)).id)
    if channel.provider.name == "telegram":
        assert [status["state"] for status in statuses] == ["sent"]
        return
    (status,) = statuses
    assert (status["state"], status["error"]["code"]) == ("rejected", "file_type_unsupported")
    assert status["error"]["field"] == "content.attachments.0"
    assert status["error"]["params"]["what"] == "unknown"
    assert len(channel.provider.got(person)) == before


async def test_stickers_keep_to_their_sizes(whatsapp: Channel) -> None:
    person = await whatsapp.person(await whatsapp.account())
    _, still = await _sent(whatsapp, person, _webp(200_000), kind="sticker", filename="s.webp")
    _, moving = await _sent(whatsapp, person, _webp(300_000, animated=True), kind="sticker", filename="s.webp")
    _, small = await _sent(whatsapp, person, _webp(90_000), kind="sticker", filename="s.webp")
    assert [call.params["type"] for call in (still, moving, small)] == ["sticker"] * 3
    assert [[warning.code for warning in call.warnings] for call in (still, moving, small)] == [
        ["recompressed"],
        [],
        [],
    ]


async def test_a_template_brings_its_file_along(whatsapp: Channel) -> None:
    person = await whatsapp.person(await whatsapp.account())
    blob = await whatsapp.world.blobs.put_content(f"{WORKSPACE}/bytes", image())
    header = {"type": "header", "parameters": [{"type": "image", "image": {"blob": blob, "filename": "sale.png"}}]}
    button = {"type": "button", "sub_type": "url", "index": 0, "parameters": [{"type": "text", "text": "x"}]}
    template = {"kind": "template", "name": "seasonal_offer", "language": "en", "parameters": ["Noor"]}
    content = {**template, "components": [header, button]}
    command = await whatsapp.command(person, content=content)
    (status,) = await whatsapp.statuses.end(command.id)
    assert status["state"] == "sent", status
    (sent,) = whatsapp.provider.sim.sent(person.handle)[-1:]  # type: ignore[attr-defined]
    media_id = sent.body["template"]["components"][0]["parameters"][0]["image"]["id"]
    assert whatsapp.provider.sim.media.get(media_id).filename == "sale.jpg"  # type: ignore[attr-defined]
    # It is a file like any other: of the workspace, and of a kind that the header takes.
    header["parameters"][0]["image"]["blob"] = "ws_other/a/b"  # type: ignore[index]
    error = await whatsapp.refused(person, content=content)
    assert (error["code"], error["field"]) == ("file_unavailable", "content.components.0.parameters.0.image")
    header["parameters"][0]["image"]["blob"] = await whatsapp.world.blobs.put_content(  # type: ignore[index]
        f"{WORKSPACE}/bytes", FILES["pdf"]
    )
    assert (await whatsapp.refused(person, content=content))["code"] == "file_type_unsupported"


@asynccontextmanager
async def _https(directory: Path) -> AsyncIterator[tuple[str, list[str]]]:
    """A picture behind an address with TLS; who has asked for it."""
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", *made, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    asked: list[str] = []

    async def picture(request: web.Request) -> web.Response:
        asked.append(request.headers.get("User-Agent", ""))
        return web.Response(body=image(), content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/{name}", picture)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield f"https://127.0.0.1:{port}", asked
    finally:
        await runner.cleanup()


async def test_where_the_account_says_so_the_provider_fetches_the_link(whatsapp: Channel, tmp_path: Path) -> None:
    account = await whatsapp.account(settings={"media_by_link": True})
    person = await whatsapp.person(account)
    async with _https(tmp_path) as (address, asked):
        file = {"url": f"{address}/a.jpg", "kind": "image"}
        command = await whatsapp.command(person, content={"kind": "media", "attachments": [file]})
        await whatsapp.statuses.state(command.id, "delivered")
        assert whatsapp.asked(account)[-1].params["image"] == {"link": f"{address}/a.jpg"}
        assert len(asked) == 1  # the provider alone
    blobs = whatsapp.world.home / "blobs" / "fetched" / WORKSPACE / account.id
    assert not blobs.exists()


async def test_one_refused_file_of_an_album_goes_another_way(telegram: Channel) -> None:
    person = await telegram.person(await telegram.account())
    pictures = [image(), image(), image(9000, 40), image(), image()]
    files = []
    for number, content in enumerate(pictures):
        blob = await telegram.world.blobs.put_content(f"{WORKSPACE}/album", content)
        files.append({"blob": blob, "filename": f"{number}.jpg"})
    command = await telegram.command(person, content={"kind": "media", "text": "five", "attachments": files})
    statuses = await telegram.statuses.end(command.id)
    assert [s["part"] for s in statuses] == [{"index": index, "of": 5} for index in range(5)]
    assert {s["state"] for s in statuses} == {"sent"}
    assert [[w["code"] for w in s["warnings"]] for s in statuses] == [[], [], ["sent_as_document"], [], []]
    methods = [call.method for call in telegram.asked(person.account)]
    assert methods == ["sendMediaGroup", "sendDocument", "sendMediaGroup"]
    assert [got.id for got in telegram.provider.got(person)] == [s["provider_message_id"] for s in statuses]


async def test_a_group_says_who_has_a_message_and_how_many(whatsapp: Channel) -> None:
    account = await whatsapp.account()
    person = await whatsapp.person(account)
    group = Person(account, None, f"whatsapp:{account.id}:Y2FwaV9ncm91cDo3")
    command = await whatsapp.command(person, text="only so that the account has sent something")
    await whatsapp.statuses.end(command.id)

    async def answered(call: Any, *_: Any) -> Any:
        from shared.channel import Receipt
        from shared.contract.statuses import State

        return Receipt(("wamid.OF.A.GROUP",), state=State.ACCEPTED)

    whatsapp.service.instead = answered
    command = await whatsapp.command(
        group, content={"kind": "text", "text": "all"}, conversation_id=group.conversation_id
    )
    await whatsapp.statuses.state(command.id, "accepted")
    whatsapp.service.instead = None
    for state, who, errors in (
        ("sent", None, None),
        ("failed", "4670333", [{"code": 131026, "title": "Message undeliverable"}]),
        ("delivered", "4670444", None),
        ("read", "4670444", None),
        ("delivered", "4670555", None),
    ):
        await whatsapp.webhook(account, _status(account, state, who, errors))
    found = await eventually(
        lambda: (told := whatsapp.statuses.by_command[command.id]) and len(told) >= 7 and told,
        what=lambda: whatsapp.statuses.by_command[command.id],
    )
    assert [s["state"] for s in found] == ["accepted", "sent", "sent", "delivered", *["delivered"] * 3]
    of_one = [(s["participant"]["state"], s["receipts"]) for s in found if s.get("participant")]
    assert [state for state, _ in of_one] == ["failed", "delivered", "read", "delivered"]
    assert of_one[-1][1] == {"delivered": 2, "read": 1, "failed": 1}
    assert found[2]["participant"]["error"]["code"] == "recipient_unknown"
    assert all("error" not in s for s in found)
    assert found[-1]["rollup"] == {"of": 1, "sent": 1, "delivered": 1, "read": 0, "failed": 0}


def _status(account: Any, state: str, who: str | None, errors: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"id": "wamid.OF.A.GROUP", "status": state, "timestamp": "1795000000"}
    status |= {"recipient_id": "Y2FwaV9ncm91cDo3", "recipient_type": "group"}
    status |= {"recipient_participant_id": who} if who else {}
    status |= {"errors": errors} if errors else {}
    metadata = {"display_phone_number": "1555", "phone_number_id": account.handle}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": [status]}
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


@pytest.mark.parametrize("channel", ["telegram", "tiktok", "whatsapp"], indirect=True)
async def test_a_wav_called_mp3_ends_in_one_way_that_says_what_it_is(channel: Channel) -> None:
    """It is converted into what the channel plays; mail takes it as it is, TikTok says that it does not."""
    person = await channel.person(await channel.account())
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/bytes", FILES["wav"])
    file = {"blob": blob, "mime_type": "audio/mpeg", "filename": "talk.mp3"}
    command = await channel.command(person, content={"kind": "media", "attachments": [file]})
    (status,) = await channel.statuses.end(command.id)
    if channel.name == "tiktok":
        assert status["error"]["code"] == "file_type_unsupported", status
        return
    codes = {w.code for w in channel.asked(person.account)[-1].warnings}
    assert codes == ({"type_corrected"} if channel.name == "email" else {"type_corrected", "converted"})
    if channel.name == "telegram":
        world = channel.provider.sim.world  # type: ignore[attr-defined]
        message = world.conversations[person.account.handle, person.handle, None].find(
            int(status["provider_message_id"])
        )
        assert message.wire["audio"]["file_name"] == "talk.m4a"


@pytest.mark.parametrize(
    ("channel", "extension"),
    [
        ("whatsapp", "jpg"),
        ("whatsapp", "bmp"),  # as what it was converted into
        ("whatsapp", "pdf"),
        ("telegram", "jpg"),
        ("telegram", "pdf"),
        ("tiktok", "jpg"),
        ("tiktok", "bmp"),
    ],
    indirect=["channel"],
)
async def test_one_file_for_many_is_uploaded_once(channel: Channel, extension: str) -> None:
    """Until the provider knows it no longer: then once more, and nobody gets less."""
    account = await channel.account()
    people = await channel.people(account, 3)
    refs = []
    for person, key in zip(people, ("first", "second", "third"), strict=True):
        if key == "third":
            _forgotten(channel, refs[0])
        blob = await channel.world.blobs.put_content(f"{WORKSPACE}/{key}", FILES[extension])
        file = {"blob": blob, "filename": f"offer.{extension}", "sha256": "0" * 64}  # nobody's word for the bytes
        command = await channel.command(person, content={"kind": "media", "attachments": [file]})
        (status,) = await channel.statuses.end(command.id)
        assert status["state"] == "sent", status
        told = channel.statuses.by_command[command.id]
        refs.append(next(ref for status in told for ref in status.get("file_refs", {}).values()))
        assert len(channel.provider.got(person)) == 1
    assert refs[0] == refs[1] != refs[2]


def _forgotten(channel: Channel, ref: str) -> None:
    """The provider does not know this id any more."""
    sim: Any = channel.provider.sim  # type: ignore[attr-defined]
    match channel.name:
        case "whatsapp":
            sim.media.delete(ref)
        case "tiktok":
            sim.platform.media.discard(sim.platform.media.get(ref))
        case "telegram":
            sim.world.files._forget(sim.world.files.get(ref))


async def test_a_file_for_everybody_at_once_is_uploaded_once_as_each_thing_it_is_sent_as(telegram: Channel) -> None:
    """Telegram sends a document as a document, under the name it has got: a photo, or another name, is another file."""
    account = await telegram.account()
    people = await telegram.people(account, 6)
    blob = await telegram.world.blobs.put_content(f"{WORKSPACE}/bytes", image())
    sent = [{"kind": "image"}] * 3 + [{"kind": "document", "filename": name} for name in ("a.jpg", "a.jpg", "b.jpg")]
    commands = [
        await telegram.command(person, content={"kind": "media", "attachments": [{"blob": blob, **file}]})
        for person, file in zip(people, sent, strict=True)
    ]
    ends = [(await telegram.statuses.end(command.id))[0] for command in commands]
    refs = [next(iter(status["file_refs"].values())) for status in ends]
    assert refs[0] == refs[1] == refs[2]
    assert refs[3] == refs[4]
    assert len(set(refs)) == 3
    world = telegram.provider.sim.world  # type: ignore[attr-defined]
    shown = []
    for person, status in zip(people[3:], ends[3:], strict=True):
        conversation = world.conversations[account.handle, person.handle, None]
        shown.append(conversation.find(int(status["provider_message_id"])).wire["document"]["file_name"])
    assert shown == ["a.jpg", "a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("channel", "extension"),
    [("whatsapp", "jpg"), ("telegram", "jpg"), ("telegram", "mp4"), ("tiktok", "jpg")],
    indirect=["channel"],
)
async def test_a_damaged_file_is_shown_to_nobody_as_what_it_seems_to_be(channel: Channel, extension: str) -> None:
    """By its type and its size it fits; only who reads it to its end finds that half of it is missing."""
    person = await channel.person(await channel.account())
    content = picture("JPEG", noise((300, 200))) if extension == "jpg" else FILES["mp4"]
    blob = await channel.world.blobs.put_content(f"{WORKSPACE}/bytes", content[: len(content) // 2])
    file = {"blob": blob, "filename": f"holiday.{extension}"}
    command = await channel.command(person, content={"kind": "media", "attachments": [file]})
    (status,) = await channel.statuses.end(command.id)
    if channel.name == "tiktok":
        assert (status["state"], status["error"]["code"]) == ("rejected", "file_unprocessable")
        assert "damaged" in status["error"]["detail"]
        assert channel.asked(person.account) == []
        return
    call = channel.asked(person.account)[-1]
    assert "document" in (call.params.get("type"), call.method[4:].lower())
    (warning,) = call.warnings
    assert (warning.code, warning.detail) == (
        "sent_as_document",
        "content.attachments.0 goes out as a document: it is damaged.",
    )
