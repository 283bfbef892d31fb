"""The control interface over HTTP, as a console or another process uses it."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson
import pytest

from sandbox.simulators.telegram import Limits, TelegramSimulator


@pytest.fixture
def control(http):
    """`POST /_sim/<name>` and its result."""

    async def post(name: str, **arguments):
        answer = await http("POST", f"/_sim/{name}", arguments)
        assert answer.status == 200, answer.text
        return answer.json

    return post


async def test_a_conversation_by_hand(control, http, sim):
    bot = await control("setup/bot", token="4242:secret")
    person = await control("setup/person", first_name="Eva")
    await control("customer/start", bot_id=bot["id"], person_id=person["id"], payload="ad")
    call = {"chat_id": person["id"], "text": "Welcome"}
    assert (await http("POST", "/bot4242:secret/sendMessage", call)).status == 200
    await control("customer/react", bot_id=bot["id"], person_id=person["id"], message_id=2, emoji=["👍"])
    shown = (await http("GET", f"/_sim/conversation?account=4242&person={person['id']}")).json
    assert [(m["text"], m["outgoing"]) for m in shown["messages"]] == [("/start ad", False), ("Welcome", True)]
    assert shown["messages"][1]["reactions"] == {str(person["id"]): [{"type": "emoji", "emoji": "👍"}]}
    sent = (await http("GET", f"/_sim/sent?person={person['id']}")).json
    assert [one["text"] for one in sent["messages"]] == ["Welcome"]
    calls = (await http("GET", "/_sim/calls?call=sendMessage")).json
    assert calls[0]["arguments"] == call
    state = (await http("GET", "/_sim/state")).json
    assert state["counters"]["answers_200"] == 1
    assert state["bots"][0]["username"] == "support_4242_bot"
    assert "secret" not in orjson.dumps(state).decode()
    assert (await http("POST", "/_sim/reset")).status == 200
    assert sim.calls == []
    assert (await http("GET", "/_sim/sent")).json["count"] == 0
    assert len((await http("GET", f"/_sim/conversation?person={person['id']}")).json["messages"]) == 2


async def test_files_come_by_multipart(control, http, sim, image):
    bot, person = await control("setup/bot"), await control("setup/person")
    form = aiohttp.FormData()
    arguments = {"bot_id": bot["id"], "person_id": person["id"], "kind": "photo", "caption": "look"}
    form.add_field("arguments", orjson.dumps(arguments).decode())
    form.add_field("file", image(), filename="p.jpg", content_type="image/jpeg")
    answer = await http("POST", "/_sim/customer/send_file", form, encoding="multipart")
    file_id = answer.json["photo"][-1]["file_id"]
    shown = await http("GET", f"/_sim/files/{file_id}")
    assert (shown.status, shown.headers["Content-Type"]) == (200, "image/jpeg")
    assert shown.body == image()


async def test_faults_and_the_clock(stage, control, http, sim):
    fault = await control("faults", kind="error", status=429, retry_after=3, where={"bot": stage.bot_id})
    assert fault["retry_after"] == 3
    assert (await http("POST", f"/bot{stage.token}/getMe")).status == 429
    assert (await http("DELETE", "/_sim/faults")).status == 200
    assert (await http("POST", f"/bot{stage.token}/getMe")).status == 200
    before = sim.clock.now()
    await control("clock", advance=3600)
    assert sim.clock.now() == before + 3600


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "problem"),
    [
        ("POST", "customer/send", {"bot_id": 1, "person_id": 1}, 404, "no such person"),
        ("POST", "customer/send", {"bot_id": "x"}, 400, "bot_id"),
        ("POST", "customer/send", {"surprise": 1}, 400, "surprise"),
        ("POST", "customer/_say", {}, 404, "no such operation"),
        ("POST", "setup/bot", b"[]", 400, "JSON object"),
        ("POST", "setup/bot", b"{", 400, "unexpected end"),
        ("POST", "setup/bot", {"token": "abc"}, 400, "a token is"),
        ("POST", "customer/send_file",
         {"bot_id": 1, "person_id": 1, "kind": "photo", "file": {"path": "/etc/passwd"}}, 400, "Upload"),
        ("POST", "faults", {"kind": "none"}, 400, "kind"),
        ("POST", "clock", {"advance": -1}, 400, "number of seconds"),
        ("GET", "conversation?account=1&person=x", None, 400, "person: Input should be a valid integer"),
        ("GET", "conversation?account=1&person=1", None, 404, "no such conversation"),
        ("GET", "files/x", None, 404, "no such file"),
    ],
)  # fmt: skip
async def test_nonsense_is_named(sim, http, method, path, body, status, problem):
    answer = await http(method, f"/_sim/{path}", body)
    assert answer.status == status
    assert problem in answer.json["error"]


async def test_events_by_long_poll_and_as_a_stream(stage, sim, http):
    sim.customer.send(stage.bot_id, stage.person, "one")
    seen = (await http("GET", "/_sim/events?after=0&wait=5")).json
    assert [change["data"]["message"]["text"] for change in seen["changes"]] == ["/start", "one"]
    poll = asyncio.create_task(http("GET", f"/_sim/events?after={seen['last']}&wait=5"))
    async with aiohttp.ClientSession() as session:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen["last"])}
        async with session.get(f"{sim.url}/_sim/events", headers=headers) as stream:
            assert await stream.content.readline() == b": connected\n"
            await stage.bot.send_chat_action(stage.person, "typing")
            lines = [await stream.content.readline() for _ in range(3)]
    change = orjson.loads(lines[2].removeprefix(b"data: "))
    assert (change["kind"], change["data"]["action"]) == ("action", "typing")
    assert (await poll).json["changes"] == [change]


async def test_memory_is_bounded():
    simulator = TelegramSimulator(limits=Limits(messages=5, sent=4, calls=3, changes=2, files=2))
    await simulator.start()
    try:
        bot, person = simulator.setup.bot()["id"], simulator.setup.person()["id"]
        for number in range(10):
            upload = simulator.upload(b"x%d" % number, "a.txt")
            await simulator.customer.send_file(bot, person, "document", upload)
        assert len(simulator.conversation(bot, person)["messages"]) == 5
        assert len(list(simulator.world.blobs.iterdir())) == 2
        assert len(simulator.world.feed.since(0)) == 2
        token = simulator.world.bots[bot].token
        async with aiohttp.ClientSession() as session:
            for number in range(6):
                form = {"chat_id": str(person), "text": str(number)}
                async with session.post(f"{simulator.base_url}{token}/sendMessage", data=form) as answer:
                    assert answer.status == 200
        assert [sent.text for sent in simulator.sent(person)] == ["2", "3", "4", "5"]
        assert len(simulator.calls) == 3
    finally:
        await simulator.stop()


async def test_two_thousand_messages_are_counted(stage, sim):
    sim.setup.bot("77:load", open_to_all=True)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:
        numbers = iter(range(2_000))

        async def send() -> None:
            for number in numbers:
                body = {"chat_id": 1000 + number % 10, "text": f"m{number}"}
                async with session.post(f"{sim.base_url}77:load/sendMessage", json=body) as answer:
                    assert answer.status == 200

        await asyncio.gather(*(send() for _ in range(20)))
    texts = [sent.text for chat in range(1000, 1010) for sent in sim.sent(chat)]
    assert sorted(texts) == sorted(f"m{number}" for number in range(2_000))
