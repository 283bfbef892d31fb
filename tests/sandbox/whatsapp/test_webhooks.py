"""Webhook transport: registration, signatures, batches, retries, several apps, overrides."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiohttp import web

from sandbox.simulators.whatsapp import (
    APP_ID,
    APP_SECRET,
    PHONE_NUMBER_ID,
    WABA_ID,
    Customer,
    GraphError,
    WhatsAppSimulator,
)


async def test_registration_performs_the_challenge(sim: WhatsAppSimulator, receiver: Any) -> None:
    with pytest.raises(GraphError) as refused:
        await sim.set_webhook(receiver.url, "wrong token")
    assert refused.value.code == 2200
    with pytest.raises(GraphError):
        await sim.set_webhook("http://127.0.0.1:1/", "x")
    assert sim.world.apps[APP_ID].callback_url == receiver.url


async def test_registration_over_the_graph(sim: WhatsAppSimulator, receiver: Any, graph: Any) -> None:
    _, token = await graph.call("GET", f"/oauth/access_token?client_id={APP_ID}&client_secret={APP_SECRET}")
    query = {
        "object": "whatsapp_business_account",
        "callback_url": receiver.url,
        "verify_token": receiver.verify_token,
        "fields": "messages,account_update",
        "access_token": token["access_token"],
    }
    assert await graph.call("POST", f"/{APP_ID}/subscriptions", params=query) == (200, {"success": True})
    sim.business.field("account_alerts", {})
    sim.business.field("account_update", {"event": "x"})
    await sim.settled()
    assert (receiver.changes("account_alerts"), receiver.changes("account_update")) == ([], [{"event": "x"}])
    query["access_token"] = "nonsense"
    assert (await graph.call("POST", f"/{APP_ID}/subscriptions", params=query))[0] == 401


async def test_batches_over_entries_and_changes(sim: WhatsAppSimulator, receiver: Any) -> None:
    other = sim.add_number("200000000000002", "+1 555-000-1002", waba_id="100000000000002")
    people = [sim.add_customer(f"55119000000{n:02}", name=f"P{n}") for n in range(3)]
    sim.webhooks.pause()
    for person in people:
        sim.customers.say(person, "text", body="to one")
        sim.customers.say(person, "text", body="to the other", number=other)
    sim.business.field("account_update", {"event": "x"})
    assert not receiver.bodies
    sim.webhooks.resume()
    await sim.settled()
    (body,) = receiver.bodies
    first, second = body["entry"]
    assert (first["id"], second["id"]) == (WABA_ID, "100000000000002")
    assert [len(c["value"].get("messages", [])) for c in first["changes"]] == [3, 0]
    assert [c["wa_id"] for c in second["changes"][0]["value"]["contacts"]] == [p.phone for p in people]


async def test_a_post_carries_at_most_the_batch(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    await sim.settled()
    receiver.bodies.clear()
    sim.webhooks.pause()
    for n in range(2500):
        sim.customers.say(ida, "text", body=str(n))
    sim.webhooks.resume()
    await sim.settled()
    assert [sum(len(c["value"]["messages"]) for e in b["entry"] for c in e["changes"]) for b in receiver.bodies] == [
        1000,
        1000,
        500,
    ]
    assert len({i["id"] for i in receiver.items("messages")}) == 2500


async def test_unmerged_values(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    await sim.settled()
    receiver.bodies.clear()
    sim.behaviour.change(merge_values=False)
    sim.webhooks.pause()
    for n in range(4):
        sim.customers.say(ida, "text", body=str(n))
    sim.webhooks.resume()
    await sim.settled()
    assert [len(v["messages"]) for v in receiver.changes()] == [1, 1, 1, 1]


async def test_refused_bodies_come_again(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    await sim.settled()
    receiver.bodies.clear()
    receiver.answers = [500, 503]
    sim.customers.say(ida, "text", body="again and again")
    await sim.settled()
    for attempt, pause in ((2, 1.1), (3, 5.1)):
        sim.clock.advance(pause)
        await receiver.until(lambda attempt=attempt: len(receiver.bodies) == attempt)
    assert receiver.bodies[0] == receiver.bodies[1] == receiver.bodies[2]
    await receiver.until(lambda: sim.webhooks.recent[-1]["outcome"] == "delivered")
    assert [d["status"] for d in list(sim.webhooks.recent)[-3:]] == [500, 503, 200]


async def test_a_failing_body_does_not_hold_up_the_next(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    await sim.settled()
    receiver.bodies.clear()
    receiver.answers = [500]
    sim.customers.say(ida, "text", body="first")
    await sim.settled()
    sim.customers.say(ida, "text", body="second")
    await sim.settled()
    assert [i["text"]["body"] for i in receiver.items("messages")] == ["first", "second"]
    assert sim.webhooks.delivered == sim.webhooks.posts - 1


async def test_retries_end_after_their_time(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    await sim.settled()
    receiver.answers = [500]
    sim.customers.say(ida, "text", body="lost")
    await sim.settled()
    sim.clock.advance(8 * 24 * 3600)
    await receiver.until(lambda: sim.webhooks.expired == 1)


async def test_every_app_has_its_own_secret_and_hears_retries(
    sim: WhatsAppSimulator, ida: Customer, receiver: Any, graph: Any
) -> None:
    await sim.settled()
    sim.add_app("300000000000002", "other-secret")
    status, _ = await graph.call("POST", f"/{WABA_ID}/subscribed_apps", {"app_id": "300000000000002"})
    assert status == 200
    seen: list[bytes] = []

    async def other(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.Response(text=request.query["hub.challenge"])
        seen.append(await request.read())
        return web.Response(status=500 if len(seen) == 1 else 200)

    runner = web.ServerRunner(web.Server(other))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        await sim.set_webhook(url, "x", app_id="300000000000002")
        receiver.bodies.clear()
        sim.customers.say(ida, "text", body="to both")
        # The other app fails once, so ours gets the same body a second time.
        await receiver.until(lambda: len(receiver.bodies) == 2)
        assert receiver.bodies[0] == receiver.bodies[1] == orjson.loads(seen[0])
    finally:
        await runner.cleanup()


async def test_overrides_for_account_and_number(
    sim: WhatsAppSimulator, ida: Customer, receiver: Any, graph: Any
) -> None:
    await sim.settled()
    token = receiver.verify_token
    account = {"override_callback_uri": f"{receiver.url}?account", "verify_token": token}
    number = {"override_callback_uri": f"{receiver.url}?number", "verify_token": token}
    assert (await graph.call("POST", f"/{WABA_ID}/subscribed_apps", account))[0] == 200
    _, listed = await graph.call("GET", f"/{WABA_ID}/subscribed_apps")
    assert listed["data"][0]["override_callback_uri"].endswith("?account")
    say = sim.customers.say
    say(ida, "text", body="1")
    await sim.settled()
    assert (await graph.call("POST", f"/{PHONE_NUMBER_ID}/", {"webhook_configuration": number}))[0] == 200
    say(ida, "text", body="2")
    sim.business.field("account_update", {})
    await sim.settled()
    urls = [d["url"].rpartition("/")[2] for d in list(sim.webhooks.recent)[-3:]]
    assert sorted(urls) == ["hook", "hook?account", "hook?number"]  # only `messages` is overridden
    bad = {"override_callback_uri": receiver.url, "verify_token": "wrong"}
    status, answer = await graph.call("POST", f"/{WABA_ID}/subscribed_apps", bad)
    assert (status, answer["error"]["code"]) == (400, 2200)
    assert (await graph.call("DELETE", f"/{WABA_ID}/subscribed_apps"))[0] == 200
    posts = sim.webhooks.posts
    say(ida, "text", body="nobody listens")
    assert sim.webhooks.posts == posts


async def test_duplicate_and_reordered_deliveries(sim: WhatsAppSimulator, ida: Customer, receiver: Any) -> None:
    await sim.settled()
    receiver.bodies.clear()
    sim.faults.add("duplicate", where={"call": "webhook"}, count=1)
    sim.customers.say(ida, "text", body="twice")
    await receiver.until(lambda: len(receiver.bodies) == 2)
    assert receiver.bodies[0] == receiver.bodies[1]
    receiver.bodies.clear()
    sim.faults.add("reorder", count=1, seconds=30)
    sim.customers.say(ida, "text", body="first")
    await receiver.until(lambda: not sim.faults.active)
    sim.customers.say(ida, "text", body="second")
    await receiver.until(lambda: len(receiver.bodies) == 1)
    sim.clock.advance(31)
    await receiver.until(lambda: len(receiver.bodies) == 2)
    assert [i["text"]["body"] for i in receiver.items("messages")] == ["second", "first"]


async def test_any_body_can_be_posted(sim: WhatsAppSimulator, receiver: Any) -> None:
    sim.webhooks.post_body(b'{"object":"whatsapp_business_account","entry":[]}')
    await sim.settled()
    assert receiver.bodies[-1] == {"object": "whatsapp_business_account", "entry": []}
