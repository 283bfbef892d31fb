"""Webhook delivery: order, lanes, retries, secrets, and the faults of delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest
from aiohttp import web
from telegram.error import BadRequest, RetryAfter


class Receiver:
    """A webhook endpoint that records what comes and answers as told."""

    def __init__(self) -> None:
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.arrived: asyncio.Queue[dict] = asyncio.Queue()
        self.answer: Callable[[dict], web.Response | asyncio.Future[web.Response]] = lambda body: web.Response()
        self.in_flight = 0
        self.most_in_flight = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        body = orjson.loads(await request.read())
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.arrived.put_nowait(body)
        try:
            answer = self.answer(body)
            return await answer if isinstance(answer, asyncio.Future) else answer
        finally:
            self.in_flight -= 1

    async def next(self) -> str:
        """Text of the next message to arrive."""
        body = await asyncio.wait_for(self.arrived.get(), 5)
        return body["message"]["text"]

    def texts(self) -> list[str]:
        return [body["message"]["text"] for body in self.bodies]


@pytest.fixture
async def receiver():
    endpoint = Receiver()
    runner = web.ServerRunner(web.Server(endpoint.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield endpoint
    await runner.cleanup()


async def settled(sim, **counters: int) -> None:
    """Until the simulator has counted this much."""
    async with asyncio.timeout(5):
        while any(sim.counters[name] < value for name, value in counters.items()):
            await asyncio.sleep(0.001)


async def test_updates_arrive_in_order_with_the_secret(stage, sim, receiver):
    await stage.bot.set_webhook(receiver.url, secret_token="s3cret_-")
    for number in range(20):
        sim.customer.send(stage.bot_id, stage.person, f"m{number}")
    await settled(sim, updates_delivered=20)
    assert receiver.texts() == [f"m{number}" for number in range(20)]
    assert receiver.headers[0]["X-Telegram-Bot-Api-Secret-Token"] == "s3cret_-"
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert (await stage.bot.get_webhook_info()).pending_update_count == 0
    assert receiver.most_in_flight == 1  # one lane, so never two at once


async def test_lanes_run_in_parallel_up_to_max_connections(stage, sim, receiver):
    loop = asyncio.get_running_loop()
    gate = loop.create_future()
    receiver.answer = lambda body: asyncio.ensure_future(opened(gate))
    people = [sim.setup.person()["id"] for _ in range(5)]
    await stage.bot.set_webhook(receiver.url, max_connections=3)
    for person in people:
        sim.customer.send(stage.bot_id, person, str(person))
    for _ in range(3):
        await receiver.next()
    gate.set_result(None)
    await settled(sim, updates_delivered=5)
    assert receiver.most_in_flight == 3
    assert sorted(receiver.texts()) == sorted(map(str, people))


async def opened(gate: asyncio.Future) -> web.Response:
    await asyncio.shield(gate)
    return web.Response()


async def test_a_failing_chat_is_retried_with_back_off_and_blocks_no_other(stage, sim, receiver):
    broken = True
    receiver.answer = lambda body: web.Response(status=500 if broken and body["message"]["text"] == "bad" else 200)
    other = sim.setup.person()["id"]
    await stage.bot.set_webhook(receiver.url)
    sim.customer.send(stage.bot_id, stage.person, "bad")
    sim.customer.send(stage.bot_id, stage.person, "after")
    await settled(sim, updates_failed=1)
    sim.clock.advance(0)  # the second attempt is due at once
    await settled(sim, updates_failed=2)
    sim.customer.send(stage.bot_id, other, "fine")
    await settled(sim, updates_delivered=1)
    assert receiver.texts() == ["bad", "bad", "fine"]
    for pause in (2, 4, 8):
        count = sim.counters["updates_failed"]
        sim.clock.advance(pause - 0.1)
        assert sim.counters["updates_failed"] == count
        if pause == 8:
            broken = False
        sim.clock.advance(0.1)
        await (settled(sim, updates_delivered=3) if pause == 8 else settled(sim, updates_failed=count + 1))
    assert receiver.texts()[-2:] == ["bad", "after"]
    info = await stage.bot.get_webhook_info()
    assert info.last_error_message == "Wrong response from the webhook: 500 Internal Server Error"
    assert info.last_error_date is not None


async def test_retry_after_of_the_answer_is_honoured(stage, sim, receiver):
    busy = {"status": 503, "headers": {"Retry-After": "30"}}
    receiver.answer = lambda body: web.Response(**busy if len(receiver.bodies) == 1 else {})
    await stage.bot.set_webhook(receiver.url)
    sim.customer.send(stage.bot_id, stage.person, "later")
    await settled(sim, updates_failed=1)
    sim.clock.advance(29)
    assert len(receiver.bodies) == 1
    sim.clock.advance(1)
    await settled(sim, updates_delivered=1)


async def test_no_answer_within_sixty_seconds_is_a_failure(stage, sim, receiver):
    receiver.answer = lambda body: asyncio.get_running_loop().create_future()
    await stage.bot.set_webhook(receiver.url)
    sim.customer.send(stage.bot_id, stage.person, "hello?")
    await receiver.next()
    sim.clock.advance(60)
    await settled(sim, updates_failed=1)
    assert (await stage.bot.get_webhook_info()).last_error_message == "Read timeout expired"


async def test_an_update_is_given_up_after_a_day(stage, sim, receiver):
    receiver.answer = lambda body: web.Response(status=500)
    await stage.bot.set_webhook(receiver.url)
    sim.customer.send(stage.bot_id, stage.person, "unwanted")
    await settled(sim, updates_failed=1)
    sim.clock.advance(86_400)
    await settled(sim, updates_expired=1)
    assert (await stage.bot.get_webhook_info()).pending_update_count == 0


async def test_answering_410_for_23_hours_deletes_the_webhook(stage, sim, receiver):
    receiver.answer = lambda body: web.Response(status=410)
    await stage.bot.set_webhook(receiver.url)
    sim.customer.send(stage.bot_id, stage.person, "x")
    await settled(sim, updates_failed=1)
    sim.clock.advance(23 * 3600)
    await settled(sim, updates_failed=2)
    async with asyncio.timeout(5):
        while (await stage.bot.get_webhook_info()).url:
            await asyncio.sleep(0)
    assert len(await stage.bot.get_updates()) == 1


async def test_setting_deleting_and_dropping(stage, sim, receiver, http):
    url = f"/bot{stage.token}"
    answer = await http("POST", f"{url}/setWebhook", {"url": receiver.url, "allowed_updates": ["message"]})
    assert answer.json == {"ok": True, "result": True, "description": "Webhook was set"}
    answer = await http("POST", f"{url}/setWebhook", {"url": receiver.url})
    assert answer.json["description"] == "Webhook is already set"
    with pytest.raises(RetryAfter):
        await stage.bot.set_webhook(receiver.url, max_connections=7)
    sim.clock.advance(1)
    await stage.bot.set_webhook(receiver.url, max_connections=7)
    info = await stage.bot.get_webhook_info()
    assert (info.max_connections, info.allowed_updates, info.url) == (7, ("message",), receiver.url)
    assert (await http("POST", f"{url}/deleteWebhook")).json["description"] == "Webhook was deleted"
    assert (await http("POST", f"{url}/deleteWebhook")).json["description"] == "Webhook is already deleted"
    sim.customer.send(stage.bot_id, stage.person, "dropped")
    sim.clock.advance(1)
    await stage.bot.set_webhook(receiver.url, drop_pending_updates=True)
    assert (await stage.bot.get_webhook_info()).pending_update_count == 0
    assert receiver.bodies == []


async def test_waiting_updates_go_to_a_new_webhook(stage, sim, receiver):
    sim.customer.send(stage.bot_id, stage.person, "waiting")
    await stage.bot.set_webhook(receiver.url)
    assert await receiver.next() == "waiting"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"secret_token": "not allowed!"}, "Secret token contains unallowed characters"),
        ({"secret_token": "x" * 257}, "Secret token is too long"),
        ({"url": "ftp://x"}, "Bad webhook"),
    ],
)
async def test_bad_settings(stage, receiver, settings, problem):
    with pytest.raises(BadRequest, match=problem):
        await stage.bot.set_webhook(**{"url": receiver.url, **settings})


async def test_duplicate_deliveries(stage, sim, receiver):
    sim.faults.add("duplicate", where={"bot": stage.bot_id, "kind": "message"}, count=1)
    await stage.bot.set_webhook(receiver.url)
    sim.customer.send(stage.bot_id, stage.person, "twice")
    sim.customer.send(stage.bot_id, stage.person, "once")
    await settled(sim, updates_delivered=2)
    assert receiver.texts() == ["twice", "twice", "once"]
    assert receiver.bodies[0] == receiver.bodies[1]


async def test_reordered_across_and_within_lanes(stage, sim, receiver):
    other = sim.setup.person()["id"]
    await stage.bot.set_webhook(receiver.url)
    sim.faults.add("reorder", where={"chat": stage.person}, seconds=5, count=1)
    sim.customer.send(stage.bot_id, stage.person, "held")
    sim.customer.send(stage.bot_id, other, "overtakes")
    assert await receiver.next() == "overtakes"
    sim.clock.advance(5)
    assert await receiver.next() == "held"
    await settled(sim, updates_delivered=2)
    sim.faults.add("reorder", where={"chat": other}, seconds=5, count=1, within_lane=True)
    sim.customer.send(stage.bot_id, other, "first")
    sim.customer.send(stage.bot_id, other, "second")
    async with asyncio.timeout(5):
        while not sim.clock.live:
            await asyncio.sleep(0)
    sim.clock.advance(5)
    assert [await receiver.next(), await receiver.next()] == ["second", "first"]
