"""Media: types and sizes at upload, lifetimes, five-minute URLs, what becomes of unusable files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.simulators.whatsapp import PHONE_NUMBER_ID, Customer, WhatsAppSimulator

PNG = b"\x89PNG\r\n\x1a\n" + b"1" * 1000
OGG = "audio/ogg; codecs=opus"
MB = 1024 * 1024


async def upload(graph: Any, data: bytes, mime: str, name: str, number: str = PHONE_NUMBER_ID, **fields: str) -> Any:
    form = aiohttp.FormData()
    form.add_field("file", data, content_type=mime, filename=name)
    for key, value in ({"messaging_product": "whatsapp", "type": mime} | fields).items():
        form.add_field(key, value)
    url = f"{graph.base_url}/v24.0/{number}/media"
    async with graph.session.post(url, data=form, headers={"Authorization": f"Bearer {graph.token}"}) as answer:
        return answer.status, await answer.json()


async def download(graph: Any, url: str, token: str = "sim-token") -> tuple[int, bytes]:
    async with graph.session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status, await answer.read()


async def test_url_lives_five_minutes_and_needs_the_token(sim: WhatsAppSimulator, graph: Any) -> None:
    _, uploaded = await upload(graph, PNG, "image/png", "cat.png")
    _, node = await graph.call("GET", f"/{uploaded['id']}?phone_number_id={PHONE_NUMBER_ID}")
    assert node["file_size"] == len(PNG)
    assert node["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert await download(graph, node["url"]) == (200, PNG)
    assert (await download(graph, node["url"], "wrong"))[0] == 401
    assert (await download(graph, node["url"][:-1] + "!"))[0] == 404
    sim.clock.advance(301)
    assert (await download(graph, node["url"]))[0] == 404
    _, again = await graph.call("GET", f"/{uploaded['id']}")
    assert await download(graph, again["url"]) == (200, PNG)


async def test_ids_expire_belong_to_a_number_and_can_be_deleted(sim: WhatsAppSimulator, graph: Any) -> None:
    sim.add_number("200000000000002", "+1 555-000-1002")
    _, uploaded = await upload(graph, PNG, "image/png", "cat.png")
    path = f"/{uploaded['id']}"
    status, answer = await graph.call("GET", f"{path}?phone_number_id=200000000000002")
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (400, 100, 33)
    assert await graph.call("DELETE", path) == (200, {"success": True})
    assert (await graph.call("GET", path))[0] == 400
    _, uploaded = await upload(graph, PNG, "image/png", "cat.png")
    sim.clock.advance(31 * 24 * 3600)
    assert (await graph.call("GET", f"/{uploaded['id']}"))[0] == 400


@pytest.mark.parametrize(
    ("mime", "size", "name", "code"),
    [
        ("image/gif", 10, "a.gif", 100),
        ("application/zip", 10, "a.zip", 100),
        ("audio/ogg", 10, "a.ogg", 100),  # the codec must be named
        ("image/jpeg", 5 * MB + 1, "a.jpg", 131053),
        ("image/webp", 500 * 1024 + 1, "a.webp", 131053),
        ("image/png", 0, "a.png", 100),
    ],
)
async def test_refused_uploads(mime: str, size: int, name: str, code: int, graph: Any) -> None:
    status, answer = await upload(graph, b"x" * size, mime, name)
    assert (status, answer["error"]["code"]) == (400, code)


async def test_uploads_need_their_parts(sim: WhatsAppSimulator, graph: Any) -> None:
    status, answer = await upload(graph, PNG, "image/png", "a.png", messaging_product="telegram")
    assert (status, "messaging_product" in answer["error"]["error_data"]["details"]) == (400, True)
    status, answer = await graph.call("POST", f"/{PHONE_NUMBER_ID}/media", {"messaging_product": "whatsapp"})
    assert (status, answer["error"]["code"]) == (400, 100)
    assert (await upload(graph, PNG, "image/png", "a.png", number="9"))[1]["error"]["error_subcode"] == 33
    assert not sim.media._items


@pytest.mark.parametrize(
    ("mime", "name", "message"),
    [
        ("image/webp", "a.webp", {"type": "image", "image": {}}),
        ("video/mp4", "a.mp4", {"type": "audio", "audio": {}}),
        (OGG, "voice", {"type": "audio", "audio": {}}),  # no extension: an octet-stream
        ("audio/mpeg", "a.mp3", {"type": "audio", "audio": {"voice": True}}),
    ],
)
async def test_unusable_files_fail_by_status(
    mime: str, name: str, message: Any, ida: Customer, sim: WhatsAppSimulator, graph: Any, receiver: Any
) -> None:
    _, uploaded = await upload(graph, b"data", mime, name)
    kind = message["type"]
    status, _ = await graph.send(type=kind, **{kind: message[kind] | {"id": uploaded["id"]}})
    assert status == 200
    await sim.settled()
    (item,) = receiver.items("statuses")
    assert (item["status"], item["errors"][0]["code"]) == ("failed", 131053)


async def test_headers_and_cards_need_living_media(ida: Customer, graph: Any) -> None:
    button = {"type": "reply", "reply": {"id": "1", "title": "t"}}
    content = {
        "type": "button",
        "header": {"type": "image", "image": {"id": "404"}},
        "body": {"text": "b"},
        "action": {"buttons": [button]},
    }
    assert (await graph.code(type="interactive", interactive=content))[1] == 131009
    _, uploaded = await upload(graph, PNG, "image/png", "cat.png")
    content["header"]["image"]["id"] = uploaded["id"]
    assert (await graph.send(type="interactive", interactive=content))[0] == 200


@pytest.fixture
async def shop() -> AsyncIterator[str]:
    """A server links point at."""

    async def serve(request: web.BaseRequest) -> web.Response:
        if request.path == "/cat.png":
            return web.Response(body=PNG, content_type="image/png")
        return (
            web.Response(status=404)
            if request.path == "/gone"
            else web.Response(text="<html>", content_type="text/html")
        )

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(("path", "status"), [("/cat.png", "delivered"), ("/gone", "failed"), ("/login", "failed")])
async def test_links_are_fetched(
    path: str, status: str, shop: str, ida: Customer, sim: WhatsAppSimulator, graph: Any, receiver: Any
) -> None:
    await graph.send(type="image", image={"link": shop + path})
    await receiver.until(lambda: status in receiver.statuses())
    if status == "failed":
        assert receiver.items("statuses")[0]["errors"][0]["code"] == 131053


async def test_customers_files_carry_base64_digests(
    ida: Customer, sim: WhatsAppSimulator, graph: Any, receiver: Any
) -> None:
    media = await sim.media.add_bytes(b"opus", OGG, filename="ptt.ogg")
    sim.customers.say(ida, "voice_note", media_id=media.id)
    await sim.settled()
    audio = receiver.items("messages")[-1]["audio"]
    assert audio["voice"] is True
    assert base64.b64decode(audio["sha256"]) == hashlib.sha256(b"opus").digest()
    assert await download(graph, audio["url"]) == (200, b"opus")
    sim.clock.advance(8 * 24 * 3600)
    assert (await graph.call("GET", f"/{audio['id']}"))[0] == 400


async def test_the_oldest_files_make_room(sim: WhatsAppSimulator) -> None:
    sim.media._max_bytes = 100
    first = await sim.media.add_bytes(b"x" * 60, "image/png")
    second = await sim.media.add_bytes(b"y" * 60, "image/png")
    assert not first.path.exists()
    assert second.path.read_bytes() == b"y" * 60
