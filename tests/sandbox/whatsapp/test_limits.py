"""What Meta refuses at once, with its code and the field in the details."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulators.whatsapp import PHONE_NUMBER_ID, Customer, WhatsAppSimulator

PHONE = "5511987654321"


def text(body: str = "x", **extra: Any) -> dict[str, Any]:
    return {"type": "text", "text": {"body": body, **extra}}


def interactive(kind: str, action: Any, **extra: Any) -> dict[str, Any]:
    content = {"type": kind, "body": {"text": "b"}, "action": action, **extra}
    return {"type": "interactive", "interactive": content}


def button(id: str = "1", title: str = "t") -> dict[str, Any]:
    return {"type": "reply", "reply": {"id": id, "title": title}}


def rows(*found: dict[str, Any], **section: Any) -> dict[str, Any]:
    return {"button": "Open", "sections": [{"rows": list(found), **section}]}


def row(n: int = 0, **extra: Any) -> dict[str, Any]:
    return {"id": f"r{n}", "title": "t", **extra}


def cards(*found: dict[str, Any]) -> dict[str, Any]:
    return {"cards": [{"card_index": n, **card} for n, card in enumerate(found)]}


MEDIA: dict[str, Any] = {
    "type": "cta_url",
    "header": {"type": "image", "image": {"link": "https://a.example"}},
    "action": {"name": "cta_url", "parameters": {"display_text": "Buy", "url": "https://shop.example"}},
}
PRODUCT: dict[str, Any] = {"type": "product", "action": {"product_retailer_id": "p", "catalog_id": "1"}}

REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    # the description
    "no product": ({**text(), "messaging_product": None}, 100, "messaging_product"),
    "unknown key": ({**text(), "priority": 1}, 100, '"priority"'),
    "unknown key in text": (text(size=3), 100, '"size"'),
    "wrong type": (text(preview_url="yes"), 100, "text['preview_url']"),
    "unknown message type": ({"type": "poll", "poll": {}}, 100, "Param type"),
    "no body": ({"type": "text", "text": {}}, 131008, "text['body']"),
    "no content": ({"type": "image"}, 131008, "image"),
    "no recipient": ({**text(), "to": None}, 131008, "to"),
    "recipient type": ({**text(), "recipient_type": "channel"}, 100, "recipient_type"),
    "callback data": ({**text(), "biz_opaque_callback_data": "x" * 513}, 100, "512"),
    # text, media, location, contacts, reaction
    "long text": (text("x" * 4097), 100, "4096"),
    "empty text": (text(""), 131008, "text['body']"),
    "long caption": ({"type": "image", "image": {"link": "https://a.example", "caption": "x" * 1025}}, 100, "1024"),
    "id and link": ({"type": "image", "image": {"id": "1", "link": "https://a.example"}}, 100, "exactly one"),
    "audio caption": ({"type": "audio", "audio": {"link": "https://a.example", "caption": "x"}}, 100, '"caption"'),
    "sticker caption": ({"type": "sticker", "sticker": {"link": "https://a.example", "caption": "x"}}, 100, "caption"),
    "unknown media": ({"type": "image", "image": {"id": "42"}}, 131009, "42"),
    "latitude": ({"type": "location", "location": {"latitude": 91, "longitude": 0}}, 131009, "latitude"),
    "no longitude": ({"type": "location", "location": {"latitude": 9}}, 131008, "longitude"),
    "nameless contact": ({"type": "contacts", "contacts": [{"phones": []}]}, 131008, "formatted_name"),
    "another kind's action": (interactive("button", {"buttons": [button()], "sections": []}), 100, '"sections"'),
    "unknown key in a row": (interactive("list", rows(row(image="x"))), 100, "['rows']"),
    "unknown key in a header": (
        interactive("button", {"buttons": [button()]}, header={"type": "text", "text": "t", "x": 1}),
        100,
        '"x"',
    ),
    "empty context": ({**text(), "context": {}}, 131008, "context['message_id']"),
    "name of an image": (
        {"type": "image", "image": {"link": "https://a.example", "filename": "a.jpg"}},
        100,
        "filename",
    ),
    "258 contacts": ({"type": "contacts", "contacts": [{"name": {"formatted_name": "a"}}] * 258}, 131009, "257"),
    "reaction to nothing": (
        {"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}},
        131009,
        "message_id",
    ),
    "reaction with context": (
        {"type": "reaction", "reaction": {"message_id": "wamid.x"}, "context": {"message_id": "wamid.y"}},
        100,
        "context",
    ),
    "bad context": ({**text(), "context": {"message_id": "abc"}}, 131009, "context"),
    # interactive
    "interactive type": (interactive("poll", {"a": 1}), 100, "interactive['type']"),
    "no action": (interactive("button", {}), 131008, "action"),
    "four buttons": (interactive("button", {"buttons": [button(str(n), str(n)) for n in range(4)]}), 131009, "buttons"),
    "button title": (interactive("button", {"buttons": [button(title="x" * 21)]}), 131009, "Max length is 20"),
    "button id": (interactive("button", {"buttons": [button(id="x" * 257)]}), 131009, "256"),
    "same titles": (interactive("button", {"buttons": [button("1"), button("2")]}), 131009, "Duplicate button title"),
    "same ids": (interactive("button", {"buttons": [button(title="a"), button(title="b")]}), 131009, "button id"),
    "button body": (interactive("button", {"buttons": [button()]}, body={"text": "x" * 1025}), 131009, "1024"),
    "no body text": (interactive("button", {"buttons": [button()]}, body={"text": ""}), 131008, "body"),
    "footer": (interactive("button", {"buttons": [button()]}, footer={"text": "x" * 61}), 131009, "Footer"),
    "header": (
        interactive("button", {"buttons": [button()]}, header={"type": "text", "text": "x" * 61}),
        131009,
        "Header",
    ),
    "malformed buttons": (interactive("button", {"buttons": ["x"]}), 100, "Malformed"),
    "list body": (interactive("list", rows(row()), body={"text": "x" * 4097}), 131009, "4096"),
    "list label": (interactive("list", rows(row()) | {"button": "x" * 21}), 131009, "Button label"),
    "eleven rows": (interactive("list", rows(*[row(n) for n in range(11)])), 131009, "rows"),
    "row title": (interactive("list", rows(row(title="x" * 25))), 131009, "Row title"),
    "row id": (interactive("list", rows(row(id="x" * 201))), 131009, "Row id"),
    "row description": (interactive("list", rows(row(description="x" * 73))), 131009, "Row description"),
    "same rows": (interactive("list", rows(row(1), row(1))), 131009, "Duplicate row id"),
    "section title": (interactive("list", rows(row(), title="x" * 25)), 131009, "Section title"),
    "untitled sections": (
        interactive("list", {"button": "o", "sections": [{"rows": [row(1)]}, {"rows": [row(2)]}]}),
        131008,
        "section title",
    ),
    "list header": (
        interactive("list", rows(row()), header={"type": "image", "image": {"link": "https://a.example"}}),
        131009,
        "Header type",
    ),
    "url label": (
        interactive(
            "cta_url", {"name": "cta_url", "parameters": {"display_text": "x" * 21, "url": "https://a.example"}}
        ),
        131009,
        "Button label",
    ),
    "no url": (interactive("cta_url", {"name": "cta_url", "parameters": {"display_text": "x"}}), 131008, "['url']"),
    "flow version": (
        interactive(
            "flow", {"name": "flow", "parameters": {"flow_message_version": "2", "flow_cta": "c", "flow_id": "1"}}
        ),
        131009,
        "flow_message_version",
    ),
    "flow label": (
        interactive("flow", {"parameters": {"flow_message_version": "3", "flow_cta": "c" * 31, "flow_id": "1"}}),
        131009,
        "30",
    ),
    "one card": (interactive("carousel", {"cards": [{"header": {"type": "image"}}]}), 131009, "cards"),
    "carousel without body": (interactive("carousel", cards(MEDIA, MEDIA), body={}), 131008, "body"),
    "carousel with footer": (interactive("carousel", cards(MEDIA, MEDIA), footer={"text": "f"}), 131009, "footer"),
    "card without header": (interactive("carousel", cards(MEDIA, MEDIA | {"header": {}})), 131008, "card header"),
    "card with a document": (
        interactive("carousel", cards(MEDIA, MEDIA | {"header": {"type": "document"}})),
        131009,
        "image or a video",
    ),
    "card without button": (interactive("carousel", cards(MEDIA, MEDIA | {"action": {}})), 131008, "card action"),
    "product card without product": (
        interactive("carousel", cards(PRODUCT, PRODUCT | {"action": {"catalog_id": "1"}})),
        131008,
        "product_retailer_id",
    ),
    "product card without catalogue": (
        interactive("carousel", cards(PRODUCT, PRODUCT | {"action": {"product_retailer_id": "p"}})),
        131008,
        "catalog_id",
    ),
    "two catalogues": (
        interactive("carousel", cards(PRODUCT, PRODUCT | {"action": {"product_retailer_id": "p", "catalog_id": "2"}})),
        131009,
        "same type",
    ),
    "product card with text": (
        interactive("carousel", cards(PRODUCT, PRODUCT | {"body": {"text": "x"}})),
        131009,
        "body",
    ),
    "product card with buttons": (
        interactive("carousel", cards(PRODUCT, PRODUCT | {"action": PRODUCT["action"] | {"buttons": []}})),
        131009,
        "buttons",
    ),
    "cards of both kinds": (interactive("carousel", cards(PRODUCT, MEDIA)), 131009, "same type"),
    "31 products": (
        interactive(
            "product_list",
            {"catalog_id": "1", "sections": [{"title": "t", "product_items": [{"product_retailer_id": "p"}] * 31}]},
            header={"type": "text", "text": "h"},
        ),
        131009,
        "products",
    ),
    # whom it is for
    "not a number": ({**text(), "to": "abc"}, 131009, "phone number"),
    "ourselves": ({**text(), "to": "15550001001"}, 131021, "same"),
    "not a BSUID": ({**text(), "to": None, "recipient": "whoever"}, 131009, "business-scoped"),
    "unknown group": ({**text(), "recipient_type": "group", "to": "G1"}, 131041, "group"),
    "direct send is off": ({**text(), "category": "utility"}, 100, "category"),
    "wrong identity": ({**text(), "recipient_identity_key_hash": "other"}, 137000, "identity"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusals_name_code_and_field(name: str, sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    message, code, details = REFUSED[name]
    status, got, why = await graph.code(**message)
    assert (status, got) == (400, code), why
    assert details in why
    assert not sim.sent(ida)
    if code in (100, 131008, 131009, 131021):
        (violation,) = sim.violations
        assert (violation.code, violation.path) == (code, f"/v24.0/{PHONE_NUMBER_ID}/messages")


async def test_bodies_that_are_no_json_objects(sim: WhatsAppSimulator, graph: Any) -> None:
    for raw in (b"{", b"[]", b""):
        url = f"{sim.url}/v24.0/{PHONE_NUMBER_ID}/messages"
        async with graph.session.post(url, data=raw, headers={"Authorization": "Bearer sim-token"}) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == 100


async def test_lengths_are_code_points(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    await graph.text("👩‍👩‍👧" * 819 + "x")  # 819 × 5 + 1 = 4096 code points
    assert (await graph.code(**text("👍" * 4097)))[1] == 100


async def test_pair_rate_borrows_45_then_one_per_six_seconds(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    for n in range(45):
        await graph.text(str(n))
    assert (await graph.code(**text()))[:2] == (400, 131056)
    other = sim.add_customer("5511900000001")
    sim.customers.say(other, "text", body="hi")
    assert (await graph.send(**text(), to="5511900000001"))[0] == 200  # others are unaffected
    sim.clock.advance(7)
    await graph.text("one more")
    assert (await graph.code(**text()))[1] == 131056


async def test_throughput_counts_both_directions(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    sim.behaviour.change(pair_limit=False)
    sim.world.number().throughput = 10
    sim.clock.advance(10)
    for _ in range(9):
        sim.customers.say(ida, "text", body="x")
    codes = []
    for _ in range(8):
        status, answer = await graph.send(**text())
        codes.append(answer["error"]["code"] if status != 200 else 200)
    assert codes[0] == 200
    assert codes[-1] == 130429
    sim.clock.advance(5)
    await graph.text()


async def test_a_text_that_is_none_and_a_type_that_is_unknown(ida: Customer, graph: Any) -> None:
    assert (await graph.code(**text("x" * 4097)))[1] == 100
    assert (await graph.code(type="text", text=7))[1] == 100
    assert (await graph.code(type="poll"))[1] == 100
