"""Files: sending in every way, limits, albums, and download."""

from __future__ import annotations

import hashlib

import pytest
from aiohttp import ClientSession, web
from telegram import InputFile, InputMediaAudio, InputMediaDocument, InputMediaPhoto, InputMediaVideo
from telegram.error import BadRequest, InvalidToken, NetworkError

from sandbox.simulators.telegram.bodies import Upload


async def test_photo_comes_in_sizes_and_downloads_unchanged(stage, image):
    data = image(800, 600)
    sent = await stage.bot.send_photo(stage.person, data, caption="Our shop", filename="shop.jpg")
    assert [(size.width, size.height) for size in sent.photo] == [(320, 240), (800, 600)]
    assert sent.caption == "Our shop"
    file = await stage.bot.get_file(sent.photo[-1].file_id)
    assert file.file_path.startswith(f"{stage.sim.file_url}{stage.token}/photos/")
    assert bytes(await file.download_as_bytearray()) == data
    assert stage.sim.sent(stage.person)[0].file == hashlib.sha256(data).hexdigest()


async def test_document_keeps_name_and_type_and_is_sent_again_by_file_id(stage):
    sent = await stage.bot.send_document(stage.person, b"%PDF-1.7", filename="Übersicht März.pdf")
    assert sent.document.file_name == "Übersicht März.pdf"
    assert (sent.document.mime_type, sent.document.file_size) == ("application/pdf", 8)
    again = await stage.bot.send_document(stage.person, sent.document.file_id, caption="again")
    assert again.document == sent.document
    assert again.document.file_unique_id == sent.document.file_unique_id


@pytest.mark.parametrize(
    ("kind", "filename", "options"),
    [
        ("audio", "song.mp3", {"duration": 7, "performer": "Ada", "title": "Song"}),
        ("video", "clip.mp4", {"duration": 3, "width": 640, "height": 360}),
        ("animation", "loop.mp4", {"duration": 1, "width": 10, "height": 10}),
        ("voice", "note.ogg", {"duration": 5}),
        ("video_note", "round.mp4", {"duration": 5, "length": 240}),
        ("sticker", "wave.webp", {"emoji": "👋"}),
    ],
)
async def test_every_other_kind(stage, kind, filename, options):
    send = getattr(stage.bot, f"send_{kind}")
    name = {} if kind == "sticker" else {"filename": filename}
    content = InputFile(b"bytes", filename=filename) if kind == "sticker" else b"bytes"
    sent = await send(stage.person, content, **options, **name)
    media = getattr(sent, kind)
    assert media.file_size == 5
    assert {option: media.to_dict()[option] for option in options} == options
    assert (await stage.bot.get_file(media.file_id)).file_size == 5


async def test_file_ids_belong_to_one_bot_and_one_kind(stage, sim):
    sent = await stage.bot.send_document(stage.person, b"x", filename="x.bin")
    with pytest.raises(BadRequest, match="Can't use file of type document as photo"):
        await stage.bot.send_photo(stage.person, sent.document.file_id)
    other = sim.setup.bot()
    sim.customer.start(other["id"], stage.person)
    async with ClientSession() as session:
        form = {"chat_id": str(stage.person), "document": sent.document.file_id}
        async with session.post(f"{sim.base_url}{other['token']}/sendDocument", data=form) as answer:
            assert answer.status == 400
            assert (await answer.json())["description"] == "Bad Request: wrong file identifier/HTTP URL specified"


@pytest.mark.parametrize(
    ("size", "problem"),
    [((9000, 1001), "Photo_invalid_dimensions"), ((210, 10), "Photo_invalid_dimensions")],
)
async def test_photo_dimensions(stage, image, size, problem):
    with pytest.raises(BadRequest, match=problem):
        await stage.bot.send_photo(stage.person, image(*size), filename="p.jpg")


async def test_what_is_no_photo_is_refused(stage):
    with pytest.raises(BadRequest, match="Image_process_failed"):
        await stage.bot.send_photo(stage.person, b"not an image", filename="p.jpg")
    with pytest.raises(BadRequest, match="Photo has unsupported extension"):
        await stage.bot.send_photo(stage.person, b"not an image", filename="p.exe")
    with pytest.raises(BadRequest, match="is too big for a photo"):
        await stage.bot.send_photo(stage.person, bytes(10_000_001), filename="p.jpg")
    with pytest.raises(BadRequest, match="File must be non-empty"):
        await stage.bot.send_document(stage.person, b"", filename="empty.txt")
    assert stage.sim.sent(stage.person) == []


async def test_more_than_fifty_megabytes_never_gets_past_the_front_proxy(stage):
    with pytest.raises(NetworkError, match=r"Request Entity Too Large|413"):
        await stage.bot.send_document(stage.person, bytes(50_000_001), filename="big.bin")
    assert list(stage.sim.world.blobs.iterdir()) == []


async def test_refused_files_leave_nothing_behind(stage):
    with pytest.raises(BadRequest, match="Chat not found"):
        await stage.bot.send_document(99, b"x", filename="x.txt")
    assert list(stage.sim.world.blobs.iterdir()) == []


async def test_get_file_hands_out_up_to_twenty_mebibytes(stage):
    for size, fits in ((20 << 20, True), ((20 << 20) + 1, False)):
        path = stage.sim.world.blobs / f"sparse{size}"
        with path.open("wb") as file:
            file.truncate(size)
        upload = Upload("v.mp4", "video/mp4", path, size, f"{size:064x}")
        wire = await stage.sim.customer.send_file(stage.bot_id, stage.person, "video", upload)
        if fits:
            assert (await stage.bot.get_file(wire["video"]["file_id"])).file_size == size
        else:
            with pytest.raises(BadRequest, match="File is too big"):
                await stage.bot.get_file(wire["video"]["file_id"])


async def test_a_download_link_dies_and_is_for_the_bot_only(stage):
    wire = await stage.sim.customer.send_file(
        stage.bot_id, stage.person, "document", stage.sim.upload(b"hello", "a.txt", "text/plain")
    )
    file = await stage.bot.get_file(wire["document"]["file_id"])
    async with ClientSession() as session:
        async with session.get(file.file_path) as answer:
            assert (answer.status, await answer.read()) == (200, b"hello")
        async with session.get(file.file_path.replace(stage.token, "1:wrong")) as answer:
            assert answer.status == 401
        stage.sim.clock.advance(3601)
        async with session.get(file.file_path) as answer:
            assert answer.status == 404


async def test_album(stage, image):
    photos = [InputMediaPhoto(image(), filename="a.jpg", caption="Both"), InputMediaVideo(b"v", filename="b.mp4")]
    sent = await stage.bot.send_media_group(stage.person, photos)
    assert [message.message_id for message in sent] == [2, 3]
    assert len({message.media_group_id for message in sent}) == 1
    assert [message.caption for message in sent] == ["Both", None]
    assert [one.kind for one in stage.sim.sent(stage.person)] == ["photo", "video"]


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([InputMediaDocument(b"a"), InputMediaAudio(b"b")], "Document can't be mixed with other media types"),
        ([InputMediaDocument(b"a")] * 11, "Too many messages to send as an album"),
        ([InputMediaDocument(b"a")], "There must be from 2 to 10 messages"),
        ([InputMediaDocument(b"a"), InputMediaDocument(b"")], "Failed to send message #2 with the error message"),
    ],
)
async def test_albums_outside_the_rules_send_nothing(stage, items, problem):
    with pytest.raises(BadRequest, match=problem):
        await stage.bot.send_media_group(stage.person, items)
    assert stage.sim.sent(stage.person) == []


async def test_animation_in_an_album_is_refused(stage, http):
    item = {"type": "animation", "media": "https://a.at/x.mp4"}
    body = {"chat_id": stage.person, "media": [item, item]}
    answer = await http("POST", f"/bot{stage.token}/sendMediaGroup", body)
    assert (answer.status, stage.sim.sent(stage.person)) == (400, [])
    stage.sim.world.violations.clear()  # the published description already forbids it


async def test_voice_messages_can_be_forbidden(stage, sim):
    shy = sim.setup.person(forbids_voice=True)["id"]
    sim.customer.start(stage.bot_id, shy)
    with pytest.raises(BadRequest, match="Voice_messages_forbidden"):
        await stage.bot.send_voice(shy, b"OggS", filename="v.ogg")


async def test_telegram_fetches_urls_itself(stage, image):
    async def serve(request: web.BaseRequest) -> web.Response:
        if request.path == "/p.jpg":
            return web.Response(body=image(), content_type="image/jpeg")
        return web.Response(text="<html>", content_type="text/html", status=404 if request.path == "/gone" else 200)

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        assert (await stage.bot.send_photo(stage.person, f"{origin}/p.jpg")).photo[-1].width == 64
        with pytest.raises(BadRequest, match="Wrong type of the web page content"):
            await stage.bot.send_photo(stage.person, f"{origin}/page.html")
        with pytest.raises(BadRequest, match="Failed to get http url content"):
            await stage.bot.send_photo(stage.person, f"{origin}/gone")
    finally:
        await runner.cleanup()


async def test_profile_photos(stage, sim, image):
    person = sim.setup.person(photo=sim.upload(image(), "me.jpg"))["id"]
    photos = await stage.bot.get_user_profile_photos(person)
    assert (photos.total_count, photos.photos[0][0].width) == (1, 64)
    assert (await stage.bot.get_user_profile_photos(stage.person)).total_count == 0


async def test_unknown_files_and_tokens(stage):
    with pytest.raises(BadRequest, match="Invalid file_id"):
        await stage.bot.get_file("BQACAgIAAxkBAAnothing")
    stage.sim.setup.revoke(stage.bot_id)
    with pytest.raises(InvalidToken):
        await stage.bot.get_me()
