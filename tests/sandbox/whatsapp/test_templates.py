"""Templates: registry, parameter checks, states."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulators.whatsapp import WABA_ID, Customer, Template, WhatsAppSimulator

PHONE = "5511987654321"
IMAGE = {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://a.example/a.jpg"}}]}


def param(text: str, **extra: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **extra}


def body(*values: str) -> dict[str, Any]:
    return {"type": "body", "parameters": [param(value) for value in values]}


def url(value: str, index: str = "0") -> dict[str, Any]:
    return {"type": "button", "sub_type": "url", "index": index, "parameters": [param(value)]}


def named(kind: str, **values: str) -> dict[str, Any]:
    return {"type": kind, "parameters": [param(v, parameter_name=k) for k, v in values.items()]}


def template(name: str, *components: Any, language: str = "en") -> dict[str, Any]:
    content = {"name": name, "language": {"code": language, "policy": "deterministic"}, "components": list(components)}
    return {"type": "template", "template": content}


CARD = {"components": [IMAGE, body("Hat", "10 €")]}

GOOD = {
    "plain": template("hello_world", language="en_US"),
    "positional": template("order_update", body("Ida", "A-17")),
    "named, any order": template(
        "appointment", named("header", day="terça"), named("body", time="9h", name="Ida"), language="pt_BR"
    ),
    "media and buttons": template("seasonal_offer", IMAGE, body("Ida"), url("hats")),
    "quick reply payload": template(
        "seasonal_offer",
        IMAGE,
        body("Ida"),
        url("hats"),
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": 1,
            "parameters": [{"type": "payload", "payload": "stop"}],
        },
    ),
    "one-time password": template("login_code", body("123456"), url("123456")),
    "carousel": template("new_arrivals", {"type": "carousel", "cards": [CARD, CARD]}),
}

BAD = {
    "unknown name": (template("nope"), 404, 132001, "nope"),
    "unknown language": (template("order_update", body("a", "b"), language="fr"), 404, 132001, "fr"),
    "too few": (template("order_update", body("Ida")), 400, 132000, "number of localizable_params (1)"),
    "too many": (template("hello_world", body("Ida"), language="en_US"), 400, 132000, "(1)"),
    "wrong name": (
        template("appointment", named("header", dia="x"), named("body", time="9h", name="Ida"), language="pt_BR"),
        400,
        132000,
        "dia",
    ),
    "no header": (template("seasonal_offer", body("Ida"), url("hats")), 400, 132012, "expected IMAGE"),
    "wrong header": (
        template("seasonal_offer", {"type": "header", "parameters": [param("x")]}, body("Ida"), url("hats")),
        400,
        132012,
        "received TEXT",
    ),
    "no button parameter": (template("seasonal_offer", IMAGE, body("Ida")), 400, 131008, "index 0"),
    "button out of range": (
        template("seasonal_offer", IMAGE, body("Ida"), url("x"), url("y", "7")),
        400,
        132018,
        "index 7",
    ),
    "newline": (template("order_update", body("Ida\nBo", "1")), 400, 132018, "new-line"),
    "five spaces": (template("order_update", body("Ida     Bo", "1")), 400, 132018, "spaces"),
    "too long": (template("order_update", body("x" * 1020, "1")), 400, 132005, "1024"),
    "not a text": (
        template("order_update", {"type": "body", "parameters": [{"type": "image"}, param("1")]}),
        400,
        132012,
        "IMAGE",
    ),
    "missing card": (template("new_arrivals", {"type": "carousel", "cards": [CARD]}), 400, 132012, "cards"),
    "no language": ({"type": "template", "template": {"name": "hello_world"}}, 400, 131008, "language"),
}


@pytest.mark.parametrize("name", GOOD)
async def test_good_parameters(name: str, sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    status, answer = await graph.send(**GOOD[name])
    assert status == 200, answer
    assert answer["messages"][0]["message_status"] == "accepted"


@pytest.mark.parametrize("name", BAD)
async def test_bad_parameters(name: str, sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    message, status, code, details = BAD[name]
    got_status, got, why = await graph.code(**message)
    assert (got_status, got) == (status, code), why
    assert details in why


async def test_states(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    for state, code in (("PAUSED", 132015), ("DISABLED", 132016), ("PENDING", 132001)):
        sim.business.template_status("order_update", "en", state)
        assert (await graph.code(**template("order_update", body("a", "b"))))[1] == code
    sim.business.template_status("order_update", "en", "APPROVED")
    assert (await graph.send(**template("order_update", body("a", "b"))))[0] == 200
    await receiver.until(lambda: len(receiver.changes("message_template_status_update")) == 4)
    assert receiver.changes("message_template_status_update")[0]["message_template_name"] == "order_update"


async def test_held_templates_fail_later(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    sim.templates.add(Template("new_one", "en", status="HELD", components=[{"type": "BODY", "text": "x"}]))
    status, answer = await graph.send(**template("new_one"))
    assert (status, answer["messages"][0]["message_status"]) == (200, "held_for_quality_assessment")
    sim.clock.advance(120)
    await receiver.until(lambda: receiver.statuses() == ["failed"])
    assert receiver.items("statuses")[0]["errors"][0]["code"] == 132015


async def test_opt_out_blocks_marketing_only(sim: WhatsAppSimulator, ida: Customer, graph: Any, receiver: Any) -> None:
    sim.customers.prefer_marketing(ida, "stop")
    await graph.send(**GOOD["media and buttons"])
    await graph.send(**GOOD["positional"])
    await sim.settled()
    failed = [s for s in receiver.items("statuses") if s["status"] == "failed"]
    assert [s["errors"][0]["code"] for s in failed] == [131050]
    (preference,) = receiver.items("user_preferences", "user_preferences")
    assert (preference["value"], preference["category"]) == ("stop", "marketing_messages")
    assert len(sim.sent(ida)) == 1


async def test_passwords_need_a_phone(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    message = GOOD["one-time password"]
    assert (await graph.code(**message, to=None, recipient=ida.user_id))[1] == 131062


async def test_marketing_endpoint_takes_marketing_only(sim: WhatsAppSimulator, ida: Customer, graph: Any) -> None:
    base = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": PHONE}
    path = "/200000000000001/marketing_messages"
    status, _ = await graph.call("POST", path, {**base, **GOOD["media and buttons"]})
    assert status == 200
    status, answer = await graph.call("POST", path, {**base, **GOOD["positional"]})
    assert (status, answer["error"]["code"]) == (400, 134100)


async def test_list(graph: Any) -> None:
    _, answer = await graph.call("GET", f"/{WABA_ID}/message_templates?name=hello_world")
    assert [t["name"] for t in answer["data"]] == ["hello_world"]
