"""Everything a customer or the business's phone app can do arrives in Meta's shape."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sandbox.simulators.whatsapp import WABA_ID, Customer, GraphError, WhatsAppSimulator

PHONE = "5511987654321"
BSUID = "BR.7f3Kq91"

KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "text": ("text", {"body": "x" * 9000}, {"type": "text", "text": {"body": "x" * 9000}}),
    "location": (
        "location",
        {"latitude": 1.5, "longitude": 2.5, "name": "Sé"},
        {"location": {"latitude": 1.5, "longitude": 2.5, "name": "Sé"}},
    ),
    "contacts": (
        "contacts",
        {"cards": [{"vcard": "BEGIN"}], "origin": "contact_request"},
        {"contacts": [{"vcard": "BEGIN"}], "origin": "contact_request"},
    ),
    "reaction": (
        "reaction",
        {"message_id": "wamid.q", "emoji": "👍"},
        {"reaction": {"message_id": "wamid.q", "emoji": "👍"}},
    ),
    "reaction removed": ("reaction", {"message_id": "wamid.q"}, {"reaction": {"message_id": "wamid.q"}}),
    "button reply": (
        "button_reply",
        {"id": "y", "title": "Yes"},
        {"interactive": {"type": "button_reply", "button_reply": {"id": "y", "title": "Yes"}}},
    ),
    "list reply": (
        "list_reply",
        {"id": "y", "title": "Yes", "description": "d"},
        {"interactive": {"type": "list_reply", "list_reply": {"id": "y", "title": "Yes", "description": "d"}}},
    ),
    "template button": (
        "template_button",
        {"payload": "p", "text": "OK"},
        {"type": "button", "button": {"payload": "p", "text": "OK"}},
    ),
    "order": (
        "order",
        {"catalog_id": "c", "product_items": [{"quantity": 1}]},
        {"order": {"catalog_id": "c", "product_items": [{"quantity": 1}]}},
    ),
    "edit": (
        "edit",
        {"original_message_id": "wamid.q", "message": {"type": "text"}},
        {"edit": {"original_message_id": "wamid.q", "message": {"type": "text"}}},
    ),
    "revoke": ("revoke", {"original_message_id": "wamid.q"}, {"revoke": {"original_message_id": "wamid.q"}}),
    "welcome": ("request_welcome", {}, {"type": "request_welcome"}),
}


@pytest.mark.parametrize("name", KINDS)
async def test_kinds(name: str, sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    kind, fields, expected = KINDS[name]
    message_id = sim.customers.say(ida, kind, **fields)
    await sim.settled()
    (value,) = [v for v in receiver.changes() if v["messages"][-1]["id"] == message_id]
    item = value["messages"][-1]
    assert expected.items() <= item.items()
    assert (item["from"], item["from_user_id"]) == (PHONE, BSUID)
    assert item["timestamp"].isdigit()
    assert value["contacts"] == [{"profile": {"name": "Ida", "username": "@ida"}, "wa_id": PHONE, "user_id": BSUID}]
    assert value["metadata"] == {"display_phone_number": "15550001001", "phone_number_id": "200000000000001"}


async def test_flow_answers_may_be_no_objects(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    sim.customers.say(ida, "flow_reply", response={"flow_token": "t", "size": "L"})
    sim.customers.say(ida, "flow_reply", response="just a string", name=None)
    await sim.settled()
    first, second = [i["interactive"]["nfm_reply"] for i in receiver.items("messages")[-2:]]
    assert orjson.loads(first["response_json"]) == {"flow_token": "t", "size": "L"}
    assert orjson.loads(second["response_json"]) == "just a string"
    assert (first["name"], "name" in second) == ("flow", False)


async def test_unsupported_names_the_real_type(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    sim.customers.say(ida, "unsupported", real_type="poll")
    sim.customers.say(ida, "media_too_large")
    await sim.settled()
    poll, large = receiver.items("messages")[-2:]
    assert (poll["unsupported"]["type"], poll["errors"][0]["code"]) == ("poll", 131051)
    assert large["errors"][0]["code"] == 131052


@pytest.mark.parametrize(
    ("kind", "mime", "key", "extra"),
    [
        ("image", "image/jpeg", "image", {"caption": "a cat"}),
        ("document", "application/pdf", "document", {"caption": "bill", "filename": "bill.pdf"}),
        ("sticker", "image/webp", "sticker", {}),
        ("audio", "audio/mpeg", "audio", {}),
        ("legacy_voice", "audio/ogg", "voice", {}),
    ],
)
async def test_media_kinds(
    kind: str, mime: str, key: str, extra: dict[str, Any], sim: WhatsAppSimulator, ida: Customer, receiver: Any
) -> None:
    sim.behaviour.change(media_url_in_webhook=False)
    media = await sim.media.add_bytes(b"bytes", mime)
    sim.customers.say(ida, kind, media_id=media.id, **extra)
    await sim.settled()
    item = receiver.items("messages")[-1]
    assert item["type"] == key
    assert extra.items() <= item[key].items()
    assert (item[key]["id"], item[key]["mime_type"], "url" in item[key]) == (media.id, mime, False)


async def test_context_and_referral(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    ours = await graph.text()
    say = sim.customers.say
    own = say(ida, "text", body="first", reply_to=ours)
    say(ida, "text", body="second", reply_to=own)
    say(ida, "text", body="third", forwarded=True, frequently_forwarded=True, reply_to=own)
    say(ida, "text", body="fourth", referred_product={"catalog_id": "c", "product_retailer_id": "p"})
    say(ida, "text", body="fifth", referral={"source_type": "ad", "source_id": "1"})
    say(ida, "text", body="sixth", reply_to="wamid.unknown")
    await sim.settled()
    contexts = [i.get("context") for i in receiver.items("messages")[-6:]]
    assert contexts == [
        {"from": "15550001001", "id": ours},
        {"from": PHONE, "from_user_id": BSUID, "id": own},
        {"forwarded": True, "frequently_forwarded": True},
        {"referred_product": {"catalog_id": "c", "product_retailer_id": "p"}},
        None,
        {"from": "15550001001", "id": "wamid.unknown"},
    ]
    assert receiver.items("messages")[-2]["referral"]["source_type"] == "ad"


async def test_absent_identities(sim: WhatsAppSimulator, receiver: Any) -> None:
    hidden = sim.add_customer("5511900000005", user_id="BR.1", parent_user_id="BR.ENT.1", shows_phone=False)
    plain = sim.add_customer("5511900000006")
    sim.customers.say(hidden, "text", body="x")
    sim.customers.say(plain, "text", body="x", with_contact=False)
    await sim.settled()
    first, second = receiver.items("messages")
    assert "from" not in first
    assert (first["from_user_id"], first["from_parent_user_id"]) == ("BR.1", "BR.ENT.1")
    assert set(second) == {"from", "id", "timestamp", "type", "text"}
    contacts = [c for v in receiver.changes() for c in v.get("contacts", [])]
    assert contacts == [{"profile": {}, "user_id": "BR.1", "parent_user_id": "BR.ENT.1"}]


async def test_rotation_and_number_change(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    new = sim.customers.rotate_user_id(ida)
    sim.customers.change_number(ida, "+55 21 90000-0001", user_id="BR.zz9")
    sim.customers.change_identity(ida, "h4sh")
    await sim.settled()
    rotation, number, identity = receiver.items("messages")[-3:]
    assert "from" not in rotation
    assert rotation["system"]["type"] == "user_changed_user_id"
    assert (rotation["system"]["previous_user_id"], rotation["system"]["user_id"]) == (BSUID, new)
    assert (number["from"], number["system"]["wa_id"]) == (PHONE, "5521900000001")
    assert (number["system"]["previous_user_id"], number["system"]["user_id"]) == (new, "BR.zz9")
    assert identity["system"]["identity"]["hash"] == "h4sh"
    assert all("contacts" not in v for v in receiver.changes() if v["messages"][0]["type"] == "system")
    assert sim.world.find_customer(PHONE) is None
    assert sim.world.find_customer("BR.zz9") is ida


async def test_addresses_are_unique(sim: WhatsAppSimulator, ida: Customer) -> None:
    with pytest.raises(ValueError, match="exists"):
        sim.add_customer(PHONE)
    with pytest.raises(ValueError, match="phone number or"):
        sim.add_customer(name="Nobody")


async def test_wrong_content_is_named(sim: WhatsAppSimulator, ida: Customer) -> None:
    with pytest.raises(ValueError, match="unknown kind 'telepathy'"):
        sim.customers.say(ida, "telepathy")
    with pytest.raises(ValueError, match="media_id"):
        sim.customers.say(ida, "image")
    with pytest.raises(GraphError):
        sim.customers.say(ida, "image", media_id="404")


async def test_blocked_customers_are_not_heard(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    await sim.settled()
    heard = len(receiver.items("messages"))
    sim.world.number().blocked[ida.key] = PHONE
    sim.customers.say(ida, "text", body="hello?")
    await sim.settled()
    assert len(receiver.items("messages")) == heard


async def test_standby_and_agent(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    message_id = sim.customers.say(ida, "text", body="x", standby=True)
    sim.business.agent_says(ida, "I am a machine")
    await sim.settled()
    assert [i["id"] for i in receiver.items("messages", "standby")] == [message_id]
    (echo,) = receiver.items("message_echoes", "standby")
    assert (echo["to"], echo["text"]["body"]) == (PHONE, "I am a machine")


async def test_echoes(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    first = sim.business.echo(ida, body="from my phone")
    sim.business.echo(ida, "edit", original_message_id=first, message={"type": "text", "text": {"body": "better"}})
    sim.business.echo(ida, "revoke", original_message_id=first)
    await sim.settled()
    kinds = [(e["type"], e["to"], e["to_user_id"]) for e in receiver.items("message_echoes", "smb_message_echoes")]
    assert kinds == [("text", PHONE, BSUID), ("edit", PHONE, BSUID), ("revoke", PHONE, BSUID)]


async def test_history_and_contacts_on_request(
    sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any
) -> None:
    number = sim.add_number("200000000000002", "+1 555-000-1002", coexistence=True)
    assert number.throughput == 20
    photo = await sim.media.add_bytes(b"jpeg", "image/jpeg")
    sim.customers.say(ida, "text", body="old", number=number)
    sim.customers.say(ida, "image", media_id=photo.id, number=number)
    sim.business.echo(ida, body="older", number=number)
    path = "/200000000000002/smb_app_data"
    for sync_type in ("history", "smb_app_state_sync"):
        assert (await graph.call("POST", path, {"messaging_product": "whatsapp", "sync_type": sync_type}))[0] == 200
    await receiver.until(
        lambda: receiver.items("history", "history") and receiver.items("state_sync", "smb_app_state_sync")
    )
    (chunk,) = receiver.items("history", "history")
    assert chunk["metadata"] == {"phase": 0, "chunk_order": 1, "progress": 100}
    (thread,) = chunk["threads"]
    assert [m["type"] for m in thread["messages"]] == ["text", "media_placeholder", "text"]
    assert receiver.items("state_sync", "smb_app_state_sync")[0]["contact"]["phone_number"] == PHONE
    assert (await graph.call("POST", path, {"sync_type": "history"}))[1]["error"]["code"] == 2593107
    late = sim.add_number("200000000000003", "+1 555-000-1003", coexistence=True)
    late.onboarded_at -= 25 * 3600
    status, answer = await graph.call("POST", "/200000000000003/smb_app_data", {"sync_type": "history"})
    assert (status, answer["error"]["code"]) == (400, 2593108)


async def test_refused_history(sim: WhatsAppSimulator, receiver: Any) -> None:
    number = sim.add_number("200000000000002", "+1 555-000-1002", coexistence=True, shares_history=False)
    assert sim.business.history(number=number) == 0
    await receiver.until(lambda: receiver.items("history", "history"))
    assert receiver.items("history", "history")[0]["errors"][0]["code"] == 2593109


async def test_account_fields_and_raw_items(sim: WhatsAppSimulator, receiver: Any) -> None:
    sim.business.field("account_update", {"event": "ACCOUNT_RESTRICTION"})
    sim.business.field("phone_number_quality_update", {"current_limit": "TIER_10K"}, waba_id=WABA_ID)
    sim.business.change("messages", "user_actions", {"action_type": "marketing_messages_link_click"})
    await sim.settled()
    assert receiver.changes("account_update") == [{"event": "ACCOUNT_RESTRICTION"}]
    assert receiver.changes("phone_number_quality_update") == [{"current_limit": "TIER_10K"}]
    assert receiver.items("user_actions") == [{"action_type": "marketing_messages_link_click"}]
