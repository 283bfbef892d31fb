"""Planned misbehaviour: Graph codes, gateways, silence, answers that never arrive."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import httpx
import pytest
from pywa.errors import ExpiredAccessToken, RateLimitHit
from pywa_async import WhatsApp

from sandbox.simulators.whatsapp import PHONE_NUMBER_ID, Customer, WhatsAppSimulator
from sandbox.simulators.whatsapp.errors import CODES

PHONE = "5511987654321"


@pytest.mark.parametrize("code", sorted(CODES))
async def test_every_code_has_its_status_and_envelope(
    code: int, sim: WhatsAppSimulator, ida: Customer, graph: Any
) -> None:
    sim.faults.add("error", code=code, description="why", count=1)
    status, got, why = await graph.code(type="text", text={"body": "x"})
    assert (status, got, why) == (CODES[code][0], code, "why")
    assert not sim.sent(ida)
    assert not sim.violations  # planned, so nobody's fault
    await graph.text()


async def test_status_and_retry_after_can_be_chosen(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.faults.add("error", code=130429, status=429, retry_after=7)
    url = f"{graph.base_url}/v24.0/{PHONE_NUMBER_ID}/messages"
    async with graph.session.post(url, json={}, headers={"Authorization": "Bearer sim-token"}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert (await answer.json())["error"]["is_transient"] is True


async def test_gateway_pages(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.faults.add("error", status=502, html=True, count=1)
    sim.faults.add("error", status=503, description="busy", count=1)
    url = f"{graph.base_url}/v24.0/{PHONE_NUMBER_ID}/messages"
    seen = []
    for _ in range(2):
        async with graph.session.post(url, json={}, headers={"Authorization": "Bearer sim-token"}) as answer:
            seen.append((answer.status, answer.content_type, (await answer.text())[:6]))
    assert seen == [(502, "text/html", "<html>"), (503, "text/plain", "busy")]


async def test_faults_match_what_they_name(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.add_customer("5511900000002")
    sim.faults.add("error", code=131000, where={"call": "send", "to": "5511900000002", "type": "text"})
    await graph.text()
    assert (await graph.code(to="5511900000002", type="text", text={"body": "x"}))[:2] == (500, 131000)
    assert (await graph.call("GET", f"/{PHONE_NUMBER_ID}"))[0] == 200


async def test_failures_by_status(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    sim.faults.add("error", code=131049, where={"call": "status"}, count=1)
    await graph.text("capped")
    await graph.text("fine")
    await sim.settled()
    failed = [s for s in receiver.items("statuses") if s["status"] == "failed"]
    assert [s["errors"][0]["code"] for s in failed] == [131049]
    assert [m.body["text"]["body"] for m in sim.sent(ida)] == ["fine"]


async def test_dropped_answers_did_the_work(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.faults.add("drop_answer", count=1)
    with pytest.raises(aiohttp.ClientError):
        await graph.text("sent all the same", biz_opaque_callback_data="cmd-1")
    assert [m.callback_data for m in sim.sent(ida)] == ["cmd-1"]
    assert sim.calls[-1].status == 0


async def test_refused_connections_did_not(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.faults.add("refuse", count=1)
    with pytest.raises(aiohttp.ClientError):
        await graph.text()
    assert not sim.sent(ida)


async def test_hanging_and_slow(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.faults.add("hang", count=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(graph.text(), 0.1)
    assert not sim.sent(ida)
    sim.faults.add("slow", seconds=100, count=1)
    slow = asyncio.ensure_future(graph.text())
    while not sim.sent(ida):
        await asyncio.sleep(0.005)
    assert not slow.done()
    while not slow.done():
        sim.clock.advance(101)
        await asyncio.sleep(0.005)
    assert await slow == sim.sent(ida)[0].id


async def test_pywa_sees_its_own_errors(sim: WhatsAppSimulator, ida: Customer, wa: WhatsApp) -> None:
    sim.faults.add("error", code=130429, count=1)
    with pytest.raises(RateLimitHit):
        await wa.send_text(PHONE, "x")
    sim.world.tokens.clear()
    with pytest.raises(ExpiredAccessToken) as refused:
        await wa.send_text(PHONE, "x")
    assert refused.value.status_code == 401


async def test_downloads_and_uploads_can_fail(sim: WhatsAppSimulator, wa: WhatsApp) -> None:
    sim.faults.add("error", status=504, where={"call": "upload"}, count=1)
    sim.faults.add("error", status=404, where={"call": "download"}, count=1)
    with pytest.raises(Exception, match="504"):
        await wa.upload_media(b"x", mime_type="image/png", filename="a.png")
    media = await wa.upload_media(b"x", mime_type="image/png", filename="a.png")
    url = (await wa.get_media_url(media.id)).url
    async with httpx.AsyncClient(headers={"Authorization": "Bearer sim-token"}) as client:
        assert (await client.get(url)).status_code == 404
        assert (await client.get(url)).content == b"x"
