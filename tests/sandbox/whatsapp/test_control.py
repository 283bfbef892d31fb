"""The control API: what a console or another process can do and see."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from sandbox.simulators.whatsapp import PHONE_NUMBER_ID, WhatsAppSimulator

PHONE = "5511987654321"
BO = "/_sim/people/5511900000002"


async def test_a_conversation_from_the_console(sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    status, bo = await graph.call("POST", "/_sim/people", {"phone": "+55 11 90000-0002", "name": "Bo"})
    assert (status, bo["phone"]) == (200, "5511900000002")
    status, said = await graph.call("POST", f"{BO}/write", {"text": "hello?"})
    assert status == 200
    ours = await graph.text("hi Bo", to="5511900000002", context={"message_id": said["id"]})
    await sim.settled()
    assert (await graph.call("POST", f"{BO}/read"))[1] == {"read": 1}
    typing = {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": said["id"],
        "typing_indicator": {"type": "text"},
    }
    await graph.call("POST", f"/{PHONE_NUMBER_ID}/messages", typing)
    _, conversation = await graph.call("GET", "/_sim/conversation?person=5511900000002")
    assert conversation["typing_until"] > sim.clock.now()
    first, second = conversation["messages"]
    assert (first["direction"], first["read"], first["text"]["body"]) == ("in", True, "hello?")
    assert (second["id"], second["status"], second["context"]["message_id"]) == (ours, "read", said["id"])
    _, sent = await graph.call("GET", "/_sim/sent?person=5511900000002")
    assert (sent["count"], sent["messages"][0]["text"]) == (1, "hi Bo")


async def test_files_over_a_form(sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    await graph.call("POST", "/_sim/people", {"phone": "5511900000002"})
    form = aiohttp.FormData({"text": "the bill"})
    form.add_field("file", b"%PDF-1.7", content_type="application/pdf", filename="bill.pdf")
    async with graph.session.post(f"{graph.base_url}{BO}/write", data=form) as answer:
        assert answer.status == 200
    await sim.settled()
    document = receiver.items("messages")[-1]["document"]
    assert (document["filename"], document["caption"]) == ("bill.pdf", "the bill")
    async with graph.session.get(document["url"], headers={"Authorization": "Bearer sim-token"}) as answer:
        assert await answer.read() == b"%PDF-1.7"


async def test_everything_else_customers_do(sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    await graph.call("POST", "/_sim/people", {"phone": "5511900000002", "user_id": "BR.1", "name": "Bo"})
    await graph.call("POST", f"{BO}/say", {"body": "hi"})
    voice = (
        await graph.send(to="5511900000002", type="audio", audio={"link": "https://a.example/a.ogg", "voice": True})
    )[1]
    await sim.settled()
    steps: list[tuple[str, str, Any]] = [
        ("PATCH", BO, {"receipts": False, "name": "Bob"}),
        ("POST", f"{BO}/played", {"message_id": voice["messages"][0]["id"]}),
        ("POST", f"{BO}/preference", {"value": "stop"}),
        ("POST", f"{BO}/identity", {"identity_key_hash": "h"}),
        ("POST", f"{BO}/user_id", {"user_id": "BR.2"}),
        ("POST", f"{BO}/raw", {"item": {"type": "interactive"}}),
        ("POST", "/_sim/groups", {"group_id": "G1", "subject": "Us", "participants": ["BR.2"]}),
        ("POST", f"{BO}/say", {"body": "all", "group_id": "G1"}),
        ("POST", "/_sim/business/echo", {"person": "BR.2", "body": "from my phone"}),
        ("POST", "/_sim/business/standby", {"person": "BR.2", "body": "beep"}),
        ("POST", "/_sim/business/history", {}),
        ("POST", "/_sim/business/contacts", {}),
        ("POST", "/_sim/business/field", {"name": "account_alerts", "value": {"entity_type": "WABA"}}),
        ("POST", "/_sim/business/change", {"name": "messages", "kind": "user_actions", "item": {"a": 1}}),
        ("POST", f"{BO}/number", {"phone": "5511900000003"}),
    ]
    for method, path, body in steps:
        status, answer = await graph.call(method, path, body)
        assert status in (200, 201), (path, answer)
    await sim.settled()
    fields = {c["field"] for b in receiver.bodies for e in b["entry"] for c in e["changes"]}
    assert fields == {
        "messages",
        "user_preferences",
        "smb_message_echoes",
        "standby",
        "history",
        "smb_app_state_sync",
        "account_alerts",
    }
    assert "played" in receiver.statuses()
    _, listed = await graph.call("GET", "/_sim/people")
    assert [(c["phone"], c["name"]) for c in listed] == [("5511900000003", "Bob")]


async def test_setting_the_world_up(sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    steps: list[tuple[str, str, Any]] = [
        ("POST", "/_sim/apps", {"app_id": "app2", "secret": "s"}),
        (
            "POST",
            "/_sim/accounts",
            {"phone_number_id": "n2", "display_phone_number": "+1 555-2", "waba_id": "w2", "apps": ["app2"]},
        ),
        ("POST", "/_sim/webhooks", {"url": receiver.url, "verify_token": receiver.verify_token}),
        ("POST", "/_sim/tokens", {"token": "t2", "waba_ids": ["w2"]}),
        ("DELETE", "/_sim/tokens/t2", None),
        ("POST", "/_sim/templates", {"name": "mine", "language": "en", "components": [{"type": "BODY", "text": "x"}]}),
        ("POST", "/_sim/templates/status", {"name": "mine", "language": "en", "event": "PAUSED"}),
        ("PATCH", "/_sim/behaviour", {"early": 0.5}),
        ("POST", "/_sim/faults", {"kind": "error", "code": 2, "count": 1}),
        ("DELETE", "/_sim/faults", None),
        ("POST", "/_sim/clock", {"advance": 60}),
        ("POST", "/_sim/webhooks/pause", None),
        ("POST", "/_sim/webhooks/resume", None),
        ("POST", "/_sim/webhooks/raw", {"body": {"object": "whatsapp_business_account", "entry": []}}),
    ]
    for method, path, body in steps:
        status, answer = await graph.call(method, path, body)
        assert status in (200, 201), (path, answer)
    await sim.settled()
    for path in ("accounts", "templates", "behaviour", "faults", "webhooks", "calls", "violations", "repeats"):
        assert (await graph.call("GET", f"/_sim/{path}"))[0] == 200
    _, summary = await graph.call("GET", "/_sim/state")
    assert summary["behaviour"]["early"] == 0.5
    assert {n.phone_number_id for n in sim.world.numbers.values()} == {PHONE_NUMBER_ID, "n2"}


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/_sim/people", {"shoe": 1}, 400),
        ("POST", "/_sim/people", [], 400),
        ("POST", "/_sim/people/404/write", {"text": "x"}, 404),
        ("GET", "/_sim/sent?person=404", None, 404),
        ("POST", "/_sim/faults", {"kind": "tantrum"}, 400),
        ("PATCH", "/_sim/behaviour", {"early": 2}, 400),
        ("PATCH", "/_sim/behaviour", {"earlier": 1}, 400),
        ("POST", "/_sim/webhooks", {"url": "http://127.0.0.1:1/", "verify_token": "x"}, 400),
        ("DELETE", "/_sim/tokens/none", None, 404),
        ("POST", "/_sim/clock", {}, 400),
    ],
)
async def test_bad_requests_get_clear_errors(method: str, path: str, body: Any, expected: int, graph: Any) -> None:
    status, answer = await graph.call(method, path, body)
    assert (status, "error" in answer) == (expected, True)


async def test_taken_addresses(graph: Any) -> None:
    assert (await graph.call("POST", "/_sim/people", {"phone": PHONE}))[0] == 200
    assert (await graph.call("POST", "/_sim/people", {"phone": PHONE}))[0] == 409


async def test_events_stream(sim: WhatsAppSimulator, graph: Any) -> None:
    async with graph.session.get(f"{graph.base_url}/_sim/events", headers={"Accept": "text/event-stream"}) as stream:
        assert await stream.content.readline() == b": connected\n"
        ida = sim.add_customer(PHONE)
        message_id = sim.customers.say(ida, "text", body="x")
        while not (line := await stream.content.readline()).startswith(b"data:"):
            pass
    event = orjson.loads(line.removeprefix(b"data:"))
    assert (event["kind"], event["data"]["id"]) == ("received", message_id)


async def test_as_a_process_of_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox.simulators.whatsapp",
        "--port",
        "0",
        "--time-scale",
        "2",
        "--open-world",
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer sim-token"}) as session:
            body = {"messaging_product": "whatsapp", "to": PHONE, "type": "text", "text": {"body": "x"}}
            async with session.post(f"{url}/v23.0/{PHONE_NUMBER_ID}/messages", json=body) as answer:
                assert answer.status == 200
            async with session.get(f"{url}/_sim/sent?person={PHONE}") as answer:
                assert (await answer.json())["count"] == 1
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
