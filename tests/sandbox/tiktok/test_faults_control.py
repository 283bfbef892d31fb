"""Planned faults, the control interface, the books of what was sent, and the simulator as a process."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import Any

import aiohttp
import orjson
import pytest

from sandbox.simulators.common import Clock
from sandbox.simulators.tiktok import TikTokSimulator
from sandbox.simulators.tiktok.ledger import KEPT_CALLS, Ledger, Sent
from tests.sandbox.tiktok.conftest import BUSINESS, ROOT, Client, Receiver, message

SEND = ROOT + "/business/message/send/"


async def raw_send(client: Client, thread: str) -> tuple[int, str, str]:
    headers = {"Access-Token": client.token}
    async with client.session.post(client.base_url + SEND, json=message(thread), headers=headers) as answer:
        return answer.status, answer.content_type, await answer.text()


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "inside"),
    [
        ({"code": 50000}, 200, "application/json", '"code":50000'),
        ({"code": 40064, "description": "sending too fast"}, 200, "application/json", "sending too fast"),
        ({"status": 502}, 502, "application/octet-stream", ""),
        ({"status": 429, "code": 40100}, 429, "application/json", '"code":40100'),
        ({"html": True}, 200, "text/html", "<html>"),
        ({"html": True, "status": 504}, 504, "text/html", "504"),
    ],
)
async def test_errors_instead_of_the_work(
    sim: TikTokSimulator,
    client: Client,
    thread: str,
    fault: dict[str, Any],
    status: int,
    content_type: str,
    inside: str,
) -> None:
    await client.control("faults", {"kind": "error", "where": {"endpoint": "send"}, "count": 1, **fault})
    got = await raw_send(client, thread)
    assert got[:2] == (status, content_type)
    assert inside in got[2]
    assert sim.sent(thread) == []
    assert (await client.send(thread))["code"] == 0


@pytest.mark.parametrize(("kind", "done"), [("refuse", 0), ("drop_answer", 1)])
async def test_connections_that_die(sim: TikTokSimulator, client: Client, thread: str, kind: str, done: int) -> None:
    await client.control("faults", {"kind": kind, "where": {"conversation_id": thread}})
    with pytest.raises(aiohttp.ClientConnectionError):
        await raw_send(client, thread)
    assert len(sim.sent(thread)) == done
    await client.control("faults", method="DELETE")
    assert (await client.send(thread))["code"] == 0


async def test_slow_and_hanging_answers(sim: TikTokSimulator, client: Client, clock: Clock, thread: str) -> None:
    await client.control("faults", {"kind": "slow", "seconds": 30, "count": 1})
    slow = asyncio.create_task(client.send(thread))
    while not clock.live:
        await asyncio.sleep(0)
    assert not slow.done()
    clock.advance(30)
    assert (await slow)["code"] == 0
    await client.control("faults", {"kind": "hang", "count": 1})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.send(thread), 0.05)
    assert len(sim.sent(thread)) == 1


async def test_a_fault_of_another_conversation_does_not_strike(client: Client, thread: str) -> None:
    await client.control("faults", {"kind": "error", "where": {"conversation_id": "other"}})
    await client.control("faults", {"kind": "error", "where": {"endpoint": "messages"}})
    assert (await client.send(thread))["code"] == 0


async def test_a_call_keeps_the_state_through_an_outage(sim: TikTokSimulator, client: Client, thread: str) -> None:
    port = int(sim.url.rpartition(":")[2])
    await sim.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.send(thread)
    await sim.start(port)
    assert (await client.send(thread))["code"] == 0


async def test_the_whole_play_over_http(client: Client, receiver: Receiver) -> None:
    account = {"business_id": "-0cNew", "username": "newco", "access_token": "act.known", "images": False}
    assert (await client.control("accounts", account))["access_token"] == "act.known"
    person = {"business_id": BUSINESS, "username": "lena"}
    wrote = await client.control("people/writes", {**person, "content": {"body": "Hi"}, "display_name": "Lena K"})
    message_id = wrote["message_id"]
    thread = (await receiver.events(1))[0]["content"]["conversation_id"]
    await client.control("people/reacts", {"conversation_id": thread, "message_id": message_id, "emoji": "👍"})
    await client.control("people/reads", {"conversation_id": thread})
    await client.control("people/owner_writes", {"conversation_id": thread, "source": "WEB"})
    await client.control("people/arrives", {**person, "source": "ad"})
    await client.send(thread, "Welcome")
    events = [e["event"] for e in await receiver.events(5)]
    assert events == ["im_receive_msg", "im_receive_msg", "im_mark_read_msg", "im_send_msg", "im_referral_msg"]
    state = await client.control("state", method="GET")
    assert state["totals"]["send"] == 1
    assert {a["business_id"] for a in state["accounts"]} == {BUSINESS, "-0cNew"}
    shown = await client.control("conversation?person=lena", method="GET")
    assert [m["kind"] for m in shown["messages"]] == ["text", "text", "text"]
    assert shown["customer"]["display_name"] == "Lena K"
    assert shown["remaining"] == 8
    for query in ("sent", f"sent?person=lena&account={BUSINESS}"):
        found = await client.control(query, method="GET")
        assert (found["count"], [s["text"] for s in found["messages"]]) == (1, ["Welcome"])
    await client.control("sent?person=omar", method="GET", status=404)
    assert await client.control("repeats", method="GET") == []
    assert (await client.control("calls", method="GET"))[-1]["call"] == "send"
    assert await client.control("violations", method="GET") == []
    assert (await client.control("webhooks", method="GET"))["totals"]["delivered"] == 5


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("people/writes", {"username": "lena"}, 400),
        ("people/writes", {"business_id": BUSINESS, "username": 5}, 400),
        ("people/writes", {"business_id": "unknown", "username": "lena"}, 404),
        ("people/writes", {"business_id": BUSINESS, "username": "lena", "shoe_size": 43}, 400),
        ("people/writes", [], 400),
        ("people/reads", {"conversation_id": "unknown"}, 404),
        ("people/owner_configures", {"business_id": BUSINESS, "event": "im_receive_msg"}, 400),
        ("people/nobody/read", {}, 404),
        ("accounts", {"username": "x"}, 400),
        ("faults", {"kind": "earthquake"}, 400),
        ("clock", {}, 400),
        ("files", {"not": "a picture"}, 400),
        ("consent", {"account": "unknown"}, 404),
    ],
)
async def test_a_bad_control_request_is_told_why(client: Client, path: str, body: Any, status: int) -> None:
    assert (await client.control(path, body, status=status))["error"]


@pytest.mark.parametrize("changes", [{"window_messages": "many"}, {"colour": "red"}])
async def test_nonsense_changes_no_behaviour(sim: TikTokSimulator, client: Client, changes: Any) -> None:
    before = sim.options.model_dump()
    assert (await client.control("behaviour", {"window": 1, **changes}, method="PATCH", status=400))["error"]
    assert sim.options.model_dump() == before


async def test_options_clock_and_expiry_over_http(sim: TikTokSimulator, client: Client, thread: str) -> None:
    changed = await client.control("behaviour", {"window_messages": 1, "echo": "before"}, method="PATCH")
    assert changed["window_messages"] == 1
    assert [(await client.send(thread))["code"] for _ in range(2)] == [0, 40064]
    before = sim.clock.now()
    assert (await client.control("clock", {"advance": 60}))["now"] == before + 60
    await client.control(f"accounts/{BUSINESS}/expire", {})
    assert (await client.send(thread))["code"] == 40102
    await client.control("nothing", {}, status=404)
    assert (await client.control("reset")) is None
    assert sim.options.window_messages == 10
    assert await client.control("calls", method="GET") == []


async def test_the_console_follows_over_server_sent_events(sim: TikTokSimulator, client: Client, thread: str) -> None:
    headers = {"Accept": "text/event-stream"}
    async with client.session.get(client.base_url + "/_sim/events", headers=headers) as stream:
        await stream.content.readuntil(b"\n\n")
        await client.send(thread, "Hello")
        await client.send(thread, message_type="SENDER_ACTION", sender_action="TYPING")
        first = orjson.loads((await stream.content.readuntil(b"\n\n")).partition(b"data: ")[2])
        second = orjson.loads((await stream.content.readuntil(b"\n\n")).partition(b"data: ")[2])
    assert (first["kind"], first["data"]["text"]) == ("message", {"body": "Hello"})
    assert (second["kind"], second["data"]["action"]) == ("sender_action", "TYPING")


def test_the_books_stay_cheap_and_bounded_over_100_000_messages() -> None:
    ledger = Ledger(kept_sends=50_000)
    began = time.perf_counter()
    for number in range(100_000):
        ledger.record_sent(f"c{number % 1000}", Sent(f"m{number}", "TEXT", f"t{number}", number))
    assert ledger.duplicates() == []
    assert time.perf_counter() - began < 2
    assert ledger.totals["sent"] == 100_000
    assert [s.message_id for s in ledger.sent("c7")][:2] == ["m50007", "m51007"]
    ledger.record_sent("c7", Sent("again", "TEXT", "t99007", 1))
    assert ledger.duplicates() == [("c7", "t99007", 2)]
    assert sum(len(ledger.sent(f"c{n}")) for n in range(1000)) == 50_000
    ledger.clear()
    assert ledger.sent("c7") == []


async def test_recorded_calls_are_a_ring(sim: TikTokSimulator, client: Client) -> None:
    ring = sim.platform.ledger.calls
    await client.get("/business/get/", business_id=BUSINESS)
    ring.extend(ring[0] for _ in range(2 * KEPT_CALLS))
    assert len(ring) == KEPT_CALLS


async def test_as_a_process_of_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox.simulators.tiktok", "--port", "0", "--qps", "0",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        async with aiohttp.ClientSession() as session, session.get(url + "/_sim/state") as answer:
            assert (await answer.json())["behaviour"]["queries_per_second"] == 0
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
