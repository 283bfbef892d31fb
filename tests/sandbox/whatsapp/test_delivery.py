"""What becomes of an accepted message: statuses and their oddities, windows, recipients, groups, money."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulators.whatsapp import PHONE_NUMBER_ID, Customer, WhatsAppSimulator

PHONE = "5511987654321"
BSUID = "BR.7f3Kq91"
DAY = 24 * 3600


async def failed(sim: WhatsAppSimulator, receiver: Any) -> tuple[int, dict[str, Any]]:
    """The only status, which must be a failure: its code and the value it came in."""
    await receiver.until(lambda: receiver.items("statuses"))
    (value,) = [v for v in receiver.changes() if "statuses" in v]
    (status,) = value["statuses"]
    assert status["status"] == "failed"
    return status["errors"][0]["code"], value


async def test_sent_delivered_read_in_meta_shape(
    sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any
) -> None:
    _, answer = await graph.send(type="text", text={"body": "x"}, biz_opaque_callback_data="cmd-7/2")
    assert answer["contacts"] == [{"input": PHONE, "wa_id": PHONE}]
    message_id = answer["messages"][0]["id"]
    await sim.settled()
    assert sim.customers.read(ida) == 1
    await sim.settled()
    assert receiver.statuses(message_id) == ["sent", "delivered", "read"]
    first, _, read = receiver.items("statuses")
    assert first["recipient_id"] == PHONE
    assert first["recipient_user_id"] == BSUID
    assert first["biz_opaque_callback_data"] == read["biz_opaque_callback_data"] == "cmd-7/2"
    assert first["pricing"] == {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
    assert "pricing" not in read
    assert "conversation" not in first
    contacts = [v["contacts"][0] for v in receiver.changes() if "statuses" in v]
    assert contacts[0] == {"profile": {"name": "Ida"}, "wa_id": PHONE, "user_id": BSUID}  # no username on `sent`
    assert contacts[-1]["profile"]["username"] == "@ida"


async def test_old_subscriptions_carry_conversations(
    sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any
) -> None:
    sim.behaviour.change(webhook_version=23.0, contacts_on_statuses=False)
    await graph.text()
    await sim.settled()
    sent, delivered = receiver.items("statuses")
    assert sent["conversation"]["id"] == delivered["conversation"]["id"]
    assert "expiration_timestamp" not in delivered["conversation"]
    assert all("contacts" not in v for v in receiver.changes() if "statuses" in v)


async def test_early_status_comes_before_the_answer(
    sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any
) -> None:
    sim.behaviour.change(early=1.0)
    message_id = await graph.text()
    assert receiver.statuses(message_id)[0] == "sent"  # already here when the HTTP answer is
    await sim.settled()
    assert receiver.statuses(message_id) == ["sent", "delivered"]


async def test_skipped_repeated_and_disordered(
    sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any
) -> None:
    sim.behaviour.change(skip_delivered=1.0, repeat=1.0, disorder_by=0.02, read_after=0.02)
    message_id = await graph.text()
    await sim.settled()
    assert sorted(receiver.statuses(message_id)) == ["read", "read", "sent", "sent"]
    sim.behaviour.change(skip_delivered=0, repeat=0, disorder=1.0, disorder_by=0.3)
    ids = [await graph.text() for _ in range(8)]
    await sim.settled()
    orders = {tuple(receiver.statuses(i)) for i in ids}
    assert {frozenset(order) for order in orders} == {frozenset({"sent", "delivered", "read"})}
    assert orders != {("sent", "delivered", "read")}


async def test_voice_messages_are_played(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    sim.behaviour.change(read_after=0.02, played_after=0.03)
    await graph.send(type="audio", audio={"link": "https://a.example/v.ogg", "voice": True})
    await sim.settled()
    assert receiver.statuses() == ["sent", "delivered", "read", "played"]


async def test_receipts_off_means_no_read(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    ida.receipts = False
    await graph.text()
    await sim.settled()
    sim.customers.read(ida)
    await sim.settled()
    assert receiver.statuses() == ["sent", "delivered"]


async def test_reactions_only_get_sent(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    target = sim.customers.say(ida, "text", body="x")
    _, answer = await graph.send(type="reaction", reaction={"message_id": target, "emoji": "👍"})
    await sim.settled()
    assert receiver.statuses() == ["sent"]
    reaction = {"message_id": answer["messages"][0]["id"], "emoji": "👍"}
    assert (await graph.code(type="reaction", reaction=reaction))[1] == 131009  # a reaction is no target
    sim.clock.advance(31 * DAY)
    assert (await graph.code(type="reaction", reaction={"message_id": target, "emoji": ""}))[1] == 131009


async def test_window_closes_after_a_day(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    sim.clock.advance(DAY - 60)
    await graph.text()
    await sim.settled()
    assert receiver.statuses() == ["sent", "delivered"]
    receiver.bodies.clear()
    sim.clock.advance(61)
    await graph.text()  # answered 200
    code, value = await failed(sim, receiver)
    assert code == 131047
    assert "contacts" not in value
    assert len(sim.sent(ida)) == 1
    status, _ = await graph.send(type="template", template={"name": "hello_world", "language": {"code": "en_US"}})
    await sim.settled()
    assert (status, receiver.statuses()[1:]) == (200, ["sent", "delivered"])


async def test_window_counts_from_the_customers_clock(sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    late = sim.add_customer("5511900000002")
    sim.customers.say(late, "text", body="x", at=sim.clock.now() - DAY - 1)
    await graph.text(to="5511900000002")
    assert (await failed(sim, receiver))[0] == 131047


@pytest.mark.parametrize("kind", ["edit", "revoke"])
async def test_what_does_not_open_the_window(kind: str, sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    customer = sim.add_customer("5511900000002")
    content = {"original_message_id": "wamid.x"} | ({"message": {"type": "text"}} if kind == "edit" else {})
    sim.customers.say(customer, kind, **content)
    await graph.text(to="5511900000002")
    assert (await failed(sim, receiver))[0] == 131047


@pytest.mark.parametrize(
    "case", ["unknown number", "unknown bsuid", "bsuid in to", "no whatsapp", "blocked us", "we blocked"]
)
async def test_undeliverable_fails_by_status(
    case: str, sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any
) -> None:
    address: dict[str, Any] = {"to": PHONE}
    match case:
        case "unknown number":
            address = {"to": "5511900000009"}
        case "unknown bsuid":
            address = {"to": None, "recipient": "MY.77"}
        case "bsuid in to":
            address = {"to": BSUID}
        case "no whatsapp":
            ida.on_whatsapp = False
        case "blocked us":
            ida.blocked_us = True
        case "we blocked":
            await graph.call("POST", f"/{PHONE_NUMBER_ID}/block_users", {"block_users": [{"user": PHONE}]})
    status, answer = await graph.send(type="text", text={"body": "x"}, **address)
    if case == "bsuid in to":  # the digits are taken for a number
        assert status == 400
        assert answer["error"]["code"] == 131009
        return
    assert status == 200
    assert (await failed(sim, receiver))[0] == 131026


async def test_long_bsuid_in_to_becomes_a_bare_number(sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    sim.add_customer(user_id="MY.20351234567890123")
    _, answer = await graph.send(type="text", text={"body": "x"}, to="MY.20351234567890123")
    assert answer["contacts"] == [{"input": "MY.20351234567890123", "wa_id": "20351234567890123"}]
    assert (await failed(sim, receiver))[0] == 131026


async def test_bsuid_recipients(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    ida.shows_phone = False
    _, answer = await graph.send(type="text", text={"body": "x"}, to=None, recipient=BSUID)
    assert answer["contacts"] == [{"input": BSUID, "user_id": BSUID}]
    await sim.settled()
    item = receiver.items("statuses")[0]
    assert item["recipient_user_id"] == BSUID
    assert "recipient_id" not in item


async def test_aliases_answer_with_the_real_wa_id(sim: WhatsAppSimulator, graph: Any) -> None:
    customer = sim.add_customer("551187654321", aliases=["5511987654321"])
    sim.customers.say(customer, "text", body="oi")
    _, answer = await graph.send(type="text", text={"body": "x"}, to="+55 (11) 98765-4321")
    assert answer["contacts"] == [{"input": "+55 (11) 98765-4321", "wa_id": "551187654321"}]
    assert len(sim.sent("551187654321")) == 1


async def test_free_entry_point(sim: WhatsAppSimulator, graph: Any, receiver: Any) -> None:
    customer = sim.add_customer("5511900000002")
    sim.customers.say(customer, "text", body="from the ad", referral={"source_type": "ad", "source_id": "1"})
    await graph.text(to="5511900000002")
    sim.clock.advance(71 * 3600)
    await graph.send(
        to="5511900000002", type="template", template={"name": "hello_world", "language": {"code": "en_US"}}
    )
    await sim.settled()
    kinds = {item["pricing"]["type"] for item in receiver.items("statuses")}
    assert kinds == {"free_entry_point"}
    sim.clock.advance(2 * 3600)
    assert next(sim.world.conversations(customer)).free_until < sim.clock.now()


async def test_direct_send_needs_no_window(sim: WhatsAppSimulator, graph: Any) -> None:
    sim.add_customer("5511900000002")
    sim.world.number().direct_send = True
    await graph.text(to="5511900000002", category="utility")
    await sim.settled()
    (sent,) = sim.sent("5511900000002")
    assert (sent.status, sent.category) == ("delivered", "utility")


async def test_groups(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    bo = sim.add_customer("5511900000002", name="Bo")
    group = sim.add_group("G1", "Trip", [ida, bo])
    inbound = sim.customers.say(bo, "text", body="hi all", group=group)
    status, answer = await graph.send(to="G1", recipient_type="group", type="text", text={"body": "hello"})
    assert status == 200, answer
    await sim.settled()
    assert receiver.items("messages")[-1]["group_id"] == "G1"
    sent, *delivered = receiver.items("statuses")
    assert (sent["recipient_type"], sent["recipient_id"]) == ("group", "G1")
    assert {d["recipient_participant_id"] for d in delivered} == {PHONE, "5511900000002"}
    location = {"latitude": 1, "longitude": 2}
    assert (await graph.code(to="G1", recipient_type="group", type="location", location=location))[1] == 131051
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": inbound}
    status, answer = await graph.call("POST", f"/{PHONE_NUMBER_ID}/messages", read)
    assert (status, answer["error"]["code"]) == (400, 131009)


async def test_reading_marks_earlier_messages_too(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    first = sim.customers.say(ida, "text", body="1")
    second = sim.customers.say(ida, "text", body="2")
    third = sim.customers.say(ida, "text", body="3")
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": second}
    assert await graph.call("POST", f"/{PHONE_NUMBER_ID}/messages", read) == (200, {"success": True})
    state = {m.id: m.read for m in next(sim.world.conversations(ida)).received}
    assert (state[first], state[second], state[third]) == (True, True, False)
    for bad in ({"message_id": "wamid.x"}, {"status": "delivered"}, {"typing_indicator": {"type": "voice"}}):
        status, answer = await graph.call("POST", f"/{PHONE_NUMBER_ID}/messages", read | bad)
        assert (status, answer["error"]["code"]) == (400, 131009 if "message_id" in bad else 100)
    sim.clock.advance(31 * DAY)
    assert (await graph.call("POST", f"/{PHONE_NUMBER_ID}/messages", read))[0] == 400


async def test_open_world_needs_no_customers(sim: WhatsAppSimulator, graph: Any) -> None:
    sim.behaviour.change(open_world=True)
    await graph.text(to="5511900000077")
    await graph.text(to=None, recipient="BR.new1")
    assert [len(sim.sent(ref)) for ref in ("5511900000077", "BR.new1")] == [1, 1]


async def test_repeats_are_found_and_memory_is_bounded(graph: Any, sim: WhatsAppSimulator) -> None:
    sim.behaviour.change(open_world=True, pair_limit=False)
    sim.world._keep = 20
    await graph.text("a", biz_opaque_callback_data="c1", to="5511900000001")
    await graph.text("a", biz_opaque_callback_data="c1", to="5511900000001")
    assert sim.repeats() == {"c1": 2}
    for n in range(30):
        await graph.text("a", biz_opaque_callback_data=f"d{n}", to=f"55119000001{n:02}")
    assert sim.repeats() == {}
    assert len(sim.sent()) == 20
    assert sim.world.sent_total == 32
    assert len(sim.world.customers) <= 21
