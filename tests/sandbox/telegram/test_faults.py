"""Planned misbehaviour of the Bot API."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from pydantic import ValidationError
from telegram.error import Forbidden, NetworkError, RetryAfter

from sandbox.simulators.common import Fault, Faults


async def test_flood_control_names_the_seconds_twice(stage, sim, http):
    sim.faults.add("error", status=429, retry_after=7, where={"chat": stage.person}, count=2)
    with pytest.raises(RetryAfter) as flood:
        await stage.bot.send_message(stage.person, "hi")
    assert int(getattr(flood.value.retry_after, "total_seconds", lambda: flood.value.retry_after)()) == 7
    answer = await http("POST", f"/bot{stage.token}/sendMessage", {"chat_id": stage.person, "text": "hi"})
    assert answer.json == {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 7",
        "parameters": {"retry_after": 7},
    }
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert sim.sent(stage.person) == []
    await stage.bot.send_message(stage.person, "hi")  # the fault is used up


async def test_blocked_and_server_errors(stage, sim, http):
    sim.faults.add("error", status=403, where={"method": "sendMessage"}, count=1)
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await stage.bot.send_message(stage.person, "hi")
    sim.faults.add("error", status=500, description="Internal Server Error: restart", count=1)
    with pytest.raises(NetworkError, match="restart"):
        await stage.bot.send_message(stage.person, "hi")
    sim.faults.add("error", status=502, html=True, count=1)
    answer = await http("POST", f"/bot{stage.token}/getMe")
    assert (answer.status, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert "502 Bad Gateway" in answer.text
    assert sim.counters["answers_502"] == 1


async def test_the_answer_is_lost_but_the_message_is_not(stage, sim, http):
    sim.faults.add("drop_answer", count=1)
    with pytest.raises(aiohttp.ClientError):
        await http("POST", f"/bot{stage.token}/sendMessage", {"chat_id": stage.person, "text": "hi"})
    assert [sent.text for sent in sim.sent(stage.person)] == ["hi"]


async def test_refused_before_the_work(stage, sim, http):
    sim.faults.add("refuse", where={"bot": stage.bot_id}, count=1)
    with pytest.raises(aiohttp.ClientError):
        await http("POST", f"/bot{stage.token}/sendMessage", {"chat_id": stage.person, "text": "hi"})
    assert sim.sent(stage.person) == []


async def test_slow_answers_are_still_given(stage, sim):
    sim.faults.add("slow", seconds=20, count=1)
    sending = asyncio.create_task(stage.bot.send_message(stage.person, "hi"))
    async with asyncio.timeout(5):
        while not sim.clock.live:
            await asyncio.sleep(0)
    assert sim.sent(stage.person) == []
    sim.clock.advance(20)
    assert (await sending).text == "hi"


async def test_a_hanging_call_does_nothing_and_ends_with_the_client(stage, sim, http):
    sim.faults.add("hang", count=1)
    with pytest.raises(TimeoutError):
        await http("POST", f"/bot{stage.token}/sendMessage", {"chat_id": stage.person, "text": "hi"}, seconds=0.1)
    assert sim.sent(stage.person) == []


async def test_downloads_can_fail_too(stage, sim, http):
    upload = sim.upload(b"x", "a.txt")
    wire = await sim.customer.send_file(stage.bot_id, stage.person, "document", upload)
    path = (await stage.bot.get_file(wire["document"]["file_id"])).file_path.removeprefix(sim.url)
    sim.faults.add("error", status=503, where={"method": "download"}, count=1)
    assert (await http("GET", path)).status == 503
    assert (await http("GET", path)).text == "x"


def test_probability_is_seeded():
    def draw(seed: int) -> list[bool]:
        faults = Faults(Fault, seed)
        faults.add("error", probability=0.5)
        return [faults.take(frozenset({"error"}), {}) is not None for _ in range(50)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert 10 < sum(draw(1)) < 40


@pytest.mark.parametrize("settings", [{"kind": "explode"}, {"kind": "error", "status": 200}, {"kind": "slow", "x": 1}])
def test_senseless_faults_are_refused(settings):
    with pytest.raises(ValidationError):
        Faults(Fault).add(**settings)
