"""Uploads and downloads, capabilities, and what history shows."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.simulators.tiktok.media import CLIP, PIXEL
from tests.sandbox.tiktok.conftest import BUSINESS, ROOT, Client

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


async def upload(
    client: Client, data: bytes, filename: str | None = "a.png", content_type: str = "image/png"
) -> tuple[int, dict[str, Any]]:
    form = aiohttp.MultipartWriter("form-data")
    for name, value in (("business_id", BUSINESS), ("media_type", "IMAGE")):
        form.append(value).set_content_disposition("form-data", name=name)
    part = form.append(data, {"Content-Type": content_type})
    part.set_content_disposition("form-data", name="file", **({"filename": filename} if filename else {}))
    url = client.base_url + ROOT + "/business/message/media/upload/"
    async with client.session.post(url, data=form, headers={"Access-Token": client.token}) as answer:
        return answer.status, await answer.json()


async def test_an_uploaded_image_can_be_sent_for_30_days(
    sim: TikTokSimulator, client: Client, clock: Clock, thread: str
) -> None:
    for data, kind in ((PIXEL, "image/png"), (JPEG, "image/jpeg")):
        status, answer = await upload(client, data, content_type=kind)
        assert (status, answer["code"]) == (200, 0)
    image = {"media_id": answer["data"]["media_id"]}
    assert (await client.send(thread, message_type="IMAGE", image=image))["code"] == 0
    clock.advance(30 * 86_400)
    client.token = sim.platform.tokens.issue(BUSINESS).access_token
    await sim.people.writes(BUSINESS, "lena")
    assert (await client.send(thread, message_type="IMAGE", image=image))["code"] == 40007


@pytest.mark.parametrize(
    ("data", "filename", "content_type", "status", "code"),
    [
        (PIXEL, None, "image/png", 400, 40002),
        (PIXEL, "a.png", "application/octet-stream", 400, 40002),
        (b"GIF89a" + bytes(20), "a.png", "image/png", 200, 40908),
        (b"RIFF\0\0\0\0WEBP" + bytes(20), "a.png", "image/png", 200, 40908),
        (b"", "a.png", "image/png", 200, 40908),
        (PIXEL + bytes(3 * 1024 * 1024), "a.png", "image/png", 200, 40002),
    ],
)
async def test_what_upload_refuses(
    sim: TikTokSimulator,
    client: Client,
    data: bytes,
    filename: str | None,
    content_type: str,
    status: int,
    code: int,
) -> None:
    got, answer = await upload(client, data, filename, content_type)
    assert (got, answer["code"]) == (status, code)
    assert bool(sim.violations) == (status == 400)


async def test_a_refused_upload_leaves_no_file(sim: TikTokSimulator, client: Client, tmp_path: Any) -> None:
    other = TikTokSimulator(sim.options, media_directory=tmp_path)
    await other.start()
    token = other.add_account(BUSINESS, "acme").access_token
    elsewhere = Client(client.session, other.url, token)
    await upload(elsewhere, b"GIF89a" + bytes(20))
    await upload(elsewhere, PIXEL + bytes(3 * 1024 * 1024))
    elsewhere.token = "act.invented"
    await upload(elsewhere, PIXEL)
    assert list(tmp_path.iterdir()) == []
    await other.stop()


async def test_a_json_upload_is_a_violation(sim: TikTokSimulator, client: Client) -> None:
    url = client.base_url + ROOT + "/business/message/media/upload/"
    async with client.session.post(url, json={}, headers={"Access-Token": client.token}) as answer:
        assert answer.status == 400
    assert "multipart/form-data" in sim.violations[0].problem


class TestDownload:
    """Two steps: a link by the API, then the bytes with the token in `x-user`."""

    async def link(self, client: Client, thread: str, message: Any, kind: str) -> str:
        body = {
            "business_id": BUSINESS,
            "conversation_id": thread,
            "message_id": message.message_id,
            "media_id": message.parts[kind]["media_id"],
            "media_type": kind.upper(),
        }
        answer = await client.post("/business/message/media/download/", body)
        assert answer["code"] == 0
        return str(answer["data"]["download_url"])

    @pytest.mark.parametrize(
        ("kind", "data", "content_type"), [("image", PIXEL, "image/png"), ("video", CLIP, "video/mp4")]
    )
    async def test_bytes(
        self, sim: TikTokSimulator, client: Client, thread: str, kind: str, data: bytes, content_type: str
    ) -> None:
        message = await sim.people.writes(BUSINESS, "lena", kind)
        url = await self.link(client, thread, message, kind)
        async with client.session.get(url, headers={"x-user": client.token}) as answer:
            assert answer.status == 200
            assert answer.content_type == content_type
            assert await answer.read() == data

    async def test_a_customers_own_file(self, sim: TikTokSimulator, client: Client, thread: str) -> None:
        data = CLIP + bytes(3_000_000)
        form = aiohttp.FormData()
        form.add_field("file", data, filename="clip.mp4")
        async with client.session.post(client.base_url + "/_sim/files", data=form) as answer:
            stored = await answer.json()
        assert stored["kind"] == "video"
        content = {"media_id": stored["id"]}
        message = await sim.people.writes(BUSINESS, "lena", "video", content=content)
        url = await self.link(client, thread, message, "video")
        async with client.session.get(url, headers={"x-user": client.token}) as answer:
            assert await answer.read() == data

    async def test_the_token_travels_in_x_user_only(self, sim: TikTokSimulator, client: Client, thread: str) -> None:
        message = await sim.people.writes(BUSINESS, "lena", "image")
        url = await self.link(client, thread, message, "image")
        for headers in ({}, {"Access-Token": client.token}, {"Access-Token": client.token, "x-user": client.token}):
            async with client.session.get(url, headers=headers) as answer:
                assert answer.status == 403
        assert len(sim.violations) == 3
        async with client.session.get(url, headers={"x-user": "act.invented"}) as answer:
            assert answer.status == 403
        assert len(sim.violations) == 3

    async def test_a_link_lives_a_day_and_for_its_account(
        self, sim: TikTokSimulator, client: Client, clock: Clock, thread: str
    ) -> None:
        message = await sim.people.writes(BUSINESS, "lena", "image")
        url = await self.link(client, thread, message, "image")
        stranger = sim.add_account("-0bOther", "other").access_token
        async with client.session.get(url, headers={"x-user": stranger}) as answer:
            assert answer.status == 403
        clock.advance(86_400)
        fresh = sim.platform.tokens.issue(BUSINESS).access_token
        async with client.session.get(url, headers={"x-user": fresh}) as answer:
            assert answer.status == 403

    async def test_media_of_another_message(self, sim: TikTokSimulator, client: Client, thread: str) -> None:
        image = await sim.people.writes(BUSINESS, "lena", "image")
        text = await sim.people.writes(BUSINESS, "lena")
        body = {
            "business_id": BUSINESS,
            "conversation_id": thread,
            "message_id": text.message_id,
            "media_id": image.parts["image"]["media_id"],
            "media_type": "IMAGE",
        }
        assert (await client.post("/business/message/media/download/", body))["code"] == 40007


@pytest.mark.parametrize("side", ["account", "customer"])
async def test_a_region_without_images(sim: TikTokSimulator, client: Client, thread: str, side: str) -> None:
    async def capability(kind: str) -> dict[str, Any]:
        return await client.get(
            "/business/message/capabilities/get/",
            business_id=BUSINESS,
            conversation_id=thread,
            conversation_type=kind,
            capability_types='["IMAGE_SEND"]',
        )

    infos = (await capability("STRANGER"))["data"]["capability_infos"]
    assert infos == [{"capability_type": "IMAGE_SEND", "capability_result": True}]
    getattr(sim.platform.world.conversation(thread), side).images = False
    assert (await capability("STRANGER"))["data"]["capability_infos"][0]["capability_result"] is False
    _, uploaded = await upload(client, PIXEL)
    answer = await client.send(thread, message_type="IMAGE", image={"media_id": uploaded["data"]["media_id"]})
    assert answer["code"] == 40002
    await client.send(thread)
    assert (await capability("STRANGER"))["code"] == 40002
    assert (await capability("SINGLE"))["code"] == 0


async def test_history_is_the_newest_twenty_in_upper_case(sim: TikTokSimulator, client: Client, thread: str) -> None:
    await sim.people.writes(BUSINESS, "lena", "voice", references=None)
    for number in range(18):
        await sim.people.writes(BUSINESS, "lena", content={"body": f"n{number}"})
    quoted = await sim.people.writes(BUSINESS, "lena", "sticker", is_follower=True)
    await sim.people.reacts(thread, quoted.message_id, emoji="👍", by_business=True)
    answer = await client.get("/business/message/content/list/", business_id=BUSINESS, conversation_id=thread)
    rows = answer["data"]["messages"]
    assert len(rows) == 20
    assert rows[0]["message_type"] == "STICKER"
    assert rows[0]["reactions"][0]["emoji"] == "👍"
    assert rows[0]["from_user"]["role"] == "PERSONAL_ACCOUNT"
    assert rows[0]["sender"] == "lena"
    assert rows[1]["text"] == {"body": "n17"}
    assert rows[-1]["message_type"] == "OTHER"
    assert "voice" not in rows[-1]
    business, person = answer["data"]["participants"]
    assert (business["role"], business["display_name"]) == ("BUSINESS_ACCOUNT", "Acme Ltd")
    assert person["is_follower"] is True
    async with client.session.get(person["profile_image"]) as picture:
        assert await picture.read() == PIXEL


async def test_a_plus_left_unescaped_loses_the_conversation(client: Client, thread: str) -> None:
    url = client.base_url + ROOT + "/business/message/content/list/"
    query = f"?business_id={BUSINESS}&conversation_id={thread}"
    raw = aiohttp.client.URL(url + query, encoded=True)
    async with client.session.get(raw, headers={"Access-Token": client.token}) as answer:
        body = await answer.json()
    assert (body["code"], body["message"]) == (40002, "Param conversation_id is invalid.")


async def test_conversations_are_listed_by_type_in_pages_for_90_days(
    sim: TikTokSimulator, client: Client, clock: Clock, thread: str
) -> None:
    for number in range(5):
        clock.advance(1)
        await sim.people.writes(BUSINESS, f"user{number}")
    await sim.people.arrives(BUSINESS, "user4", "ad", ad_id="17")
    await sim.people.arrives(BUSINESS, "user4", "short_link", ref="x_1")
    await client.send(thread)

    async def page(kind: str, **more: str) -> dict[str, Any]:
        answer = await client.get(
            "/business/message/conversation/list/", business_id=BUSINESS, conversation_type=kind, **more
        )
        return dict(answer["data"])

    single = await page("SINGLE")
    assert [row["conversation_id"] for row in single["conversations"]] == [thread]
    assert single["conversations"][0]["referral"] == {}
    first = await page("STRANGER", limit="3")
    assert (len(first["conversations"]), first["has_more"], first["cursor"]) == (3, True, 3)
    referral = first["conversations"][0]["referral"]
    assert referral["ad"][0]["ad_id"] == "17"
    assert referral["ad"][0]["timestamp"] == int(clock.now())
    assert referral["short_link"][0]["ref"] == "x_1"
    second = await page("STRANGER", limit="3", cursor="3")
    assert (len(second["conversations"]), second["has_more"]) == (2, False)
    clock.advance(91 * 86_400)
    client.token = sim.platform.tokens.issue(BUSINESS).access_token
    assert (await page("SINGLE"))["conversations"] == []
