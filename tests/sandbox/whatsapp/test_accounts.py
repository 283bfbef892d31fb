"""Numbers, tokens and accounts over the Graph API."""

from __future__ import annotations

from typing import Any

from sandbox.simulators.whatsapp import APP_SECRET, PHONE_NUMBER_ID, WABA_ID, Customer, WhatsAppSimulator


async def test_number_node_and_fields(graph: Any) -> None:
    _, number = await graph.call("GET", f"/{PHONE_NUMBER_ID}")
    assert (number["display_phone_number"], number["status"]) == ("+1 555-000-1001", "CONNECTED")
    _, picked = await graph.call("GET", f"/{PHONE_NUMBER_ID}?fields=throughput,quality_rating")
    assert picked == {"id": PHONE_NUMBER_ID, "throughput": {"level": "STANDARD"}, "quality_rating": "GREEN"}
    status, answer = await graph.call("GET", f"/{PHONE_NUMBER_ID}?fields=throughput,shoe_size")
    assert (status, "shoe_size" in answer["error"]["error_data"]["details"]) == (400, True)
    _, listed = await graph.call("GET", f"/{WABA_ID}/phone_numbers")
    assert [n["id"] for n in listed["data"]] == [PHONE_NUMBER_ID]
    assert (await graph.call("GET", f"/{WABA_ID}"))[1]["id"] == WABA_ID


async def test_tokens(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.add_number("200000000000002", "+1 555-000-1002", waba_id="100000000000002")
    sim.world.tokens["narrow"] = frozenset({"100000000000002"})
    graph.token = "narrow"
    status, answer = await graph.call("GET", f"/{PHONE_NUMBER_ID}")
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (400, 100, 33)
    assert (await graph.call("GET", "/200000000000002"))[0] == 200
    _, debug = await graph.call("GET", "/debug_token?input_token=narrow")
    assert debug["data"]["is_valid"]
    assert debug["data"]["granular_scopes"][0]["target_ids"] == ["100000000000002"]
    _, debug = await graph.call("GET", "/debug_token?input_token=gone")
    assert not debug["data"]["is_valid"]
    assert (await graph.call("GET", "/me"))[0] == 200
    graph.token = "gone"
    status, answer = await graph.send(type="text", text={"body": "x"})
    assert (status, answer["error"]["code"], answer["error"]["type"]) == (401, 190, "OAuthException")
    assert not sim.violations


async def test_unknown_objects_and_paths(graph: Any) -> None:
    for path in ("/999/messages", "/999/subscribed_apps"):
        status, answer = await graph.call("POST", path, {})
        assert (status, answer["error"]["error_subcode"]) == (400, 33)
    status, answer = await graph.call("GET", f"/{PHONE_NUMBER_ID}/horoscope")
    assert (status, answer["error"]["code"]) == (400, 2500)
    assert (await graph.call("GET", "/oauth/access_token?client_id=1&client_secret=2"))[0] == 400


async def test_registration(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    assert (await graph.call("POST", f"/{PHONE_NUMBER_ID}/deregister"))[0] == 200
    assert (await graph.code(type="text", text={"body": "x"}))[1] == 133010
    assert (await graph.call("POST", f"/{PHONE_NUMBER_ID}/register", {"pin": "12"}))[0] == 400
    body = {"messaging_product": "whatsapp", "pin": "123456"}
    assert (await graph.call("POST", f"/{PHONE_NUMBER_ID}/register", body))[0] == 200
    await graph.text()


async def test_blocking_reports_partial_failure(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    users = [{"user": "+55 11 98765-4321"}, {"user": "5511900000099"}, {"user_id": ida.user_id}]
    status, answer = await graph.call("POST", f"/{PHONE_NUMBER_ID}/block_users", {"block_users": users})
    assert status == 200
    assert len(answer["block_users"]["added_users"]) == 2
    assert answer["block_users"]["failed_users"][0]["input"] == "5511900000099"
    assert answer["error"]["code"] == 139100
    assert (await graph.call("POST", f"/{PHONE_NUMBER_ID}/block_users", {}))[1]["error"]["code"] == 131008


async def test_calls_are_kept_without_the_token(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    await graph.text("look me up")
    call = sim.calls[-1].view()
    assert (call["call"], call["method"], call["status"], call["code"]) == ("send", "POST", 200, None)
    assert b"look me up" in sim.calls[-1].body
    assert "sim-token" not in str(call)
    assert APP_SECRET not in str(call)
