"""`python -m sandbox` as a process: it starts, carries messages, and leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import signal
import smtplib
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from sandbox.broker import Tansu, kafka_missing
from sandbox.simulators.telegram import TelegramSimulator
from tests.e2e.mailservers import (
    PASSWORD,
    Dovecot,
    Postfix,
    certificate,
    dovecot_missing,
    folder_for_all,
    postfix_missing,
)
from tests.sandbox.console.running import Sandbox, alive, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
SOON = 30.0  # seconds
TOKEN = "4242:a-real-looking-token"
Start = Callable[..., Sandbox]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts sandboxes and makes sure that none outlives the test."""
    started: list[Sandbox] = []

    def one(*arguments: str, channel: str = "telegram", **environment: str) -> Sandbox:
        started.append(Sandbox("--channel", channel, *arguments, directory=tmp_path, environment=environment))
        return started[-1]

    yield one
    for sandbox in started:
        if sandbox.process.poll() is None:
            sandbox.process.kill()
            sandbox.process.wait()


def call(url: str, body: object = None) -> Any:
    """GET, or POST a JSON body; the JSON answer."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=SOON) as answer:
        return json.load(answer)


def next_record(sandbox: Sandbox, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Follow the console's events until a record is as wanted."""
    with urllib.request.urlopen(f"{sandbox.url}/api/events", timeout=SOON) as stream:
        for line in stream:
            if line.startswith(b"data: ["):
                for record in json.loads(line.removeprefix(b"data: ")):
                    if wanted(record):
                        return dict(record)
    raise AssertionError("the stream ended")


def answer_to(sandbox: Sandbox, received: dict[str, Any], text: str) -> dict[str, Any]:
    """Send as the agent; the status that follows."""
    message = received["value"]
    command = {
        "type": "message.send",
        "account_id": message["account_id"],
        "conversation_id": message["conversation_id"],
        "content": {"kind": "text", "text": text},
    }
    command_id = call(f"{sandbox.url}/api/channels/{message['channel']}/commands", command)["command_id"]
    return next_record(sandbox, lambda r: r["topic"].endswith(".statuses") and r["value"]["command_id"] == command_id)


def is_received(text: str) -> Callable[[dict[str, Any]], bool]:
    return lambda r: r["topic"].endswith(".inbound") and r["value"].get("content", {}).get("text") == text


def test_a_message_goes_through_and_ctrl_c_leaves_nothing(start: Start) -> None:
    """Also on another port of the console than the one that was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sandbox = start("--console-port", str(port))
        sandbox.wait_ready()
    assert f"port {port} is taken" in sandbox.output
    assert call(f"{sandbox.url}/api/world")["channels"][0]["name"] == "telegram"
    children = sandbox.children()
    assert len(children) == 5, children  # broker, state, simulator, service, janitor
    ada = f"{sandbox.url}/api/channels/telegram/people/701000001"
    call(f"{ada}/write", {"text": "Is anybody there?"})
    received = next_record(sandbox, is_received("Is anybody there?"))
    assert received["value"]["sender"]["display_name"] == "Ada Lindqvist"
    assert answer_to(sandbox, received, "Yes")["value"]["state"] == "sent"
    assert [message["text"] for message in call(ada)["messages"]] == ["Is anybody there?", "Yes"]
    assert sandbox.end(signal.SIGINT) == 0, sandbox.output
    assert alive(children) == {} and sandbox.left_behind() == []


async def test_a_broker_that_runs_already_is_used_and_left_alone(start: Start) -> None:
    async with Tansu() as broker:
        sandbox = start("--kafka", broker.bootstrap)
        await asyncio.to_thread(sandbox.wait_ready)
        assert len(sandbox.children()) == 4, sandbox.children()  # state, simulator, service, janitor
        assert sandbox.where("Kafka") == broker.bootstrap
        assert f"bootstrap.servers={broker.bootstrap}" in sandbox.where("Clients")
        ada = f"{sandbox.url}/api/channels/telegram/people/701000001"
        await asyncio.to_thread(call, f"{ada}/write", {"text": "Is anybody there?"})
        await asyncio.to_thread(next_record, sandbox, is_received("Is anybody there?"))
        assert await asyncio.to_thread(sandbox.end, signal.SIGINT) == 0, sandbox.output
        assert broker.nodes[0].exit_status is None
        consumer = AIOKafkaConsumer("channels.telegram.inbound", bootstrap_servers=broker.bootstrap)
        async with consumer:
            assert sum((await consumer.end_offsets(consumer.assignment())).values()) == 1


@pytest.mark.kafka
@pytest.mark.chaos
@pytest.mark.skipif(kafka_missing() is not None, reason=f"real Kafka: {kafka_missing()}")
def test_apache_kafka_is_started_and_stopped(start: Start) -> None:
    sandbox = start("--broker", "apache")
    sandbox.wait_ready()
    children = sandbox.children()
    assert any("kafka.Kafka" in command for command in children.values()), children
    assert "enable.idempotence=true" in sandbox.where("Clients")
    ada = f"{sandbox.url}/api/channels/telegram/people/701000001"
    call(f"{ada}/write", {"text": "Is anybody there?"})
    received = next_record(sandbox, is_received("Is anybody there?"))
    assert answer_to(sandbox, received, "Yes")["value"]["state"] == "sent"
    assert sandbox.end(signal.SIGINT) == 0, sandbox.output
    assert alive(children) == {} and sandbox.left_behind() == []


def test_a_dead_child_is_named_and_ends_the_world(start: Start) -> None:
    sandbox = start()
    sandbox.wait_ready()
    children = sandbox.children()
    service = next(pid for pid, command in children.items() if "services.telegram" in command)
    os.kill(service, signal.SIGKILL)
    assert sandbox.process.wait(SOON) == 1
    assert "telegram was killed by signal 9; its last words:" in sandbox.output
    assert '"event": "started"' in sandbox.output
    assert alive(children) == {} and sandbox.left_behind() == []


def test_kill_9_leaves_nothing(start: Start) -> None:
    sandbox = start()
    sandbox.wait_ready()
    children = sandbox.children()
    sandbox.end(signal.SIGKILL)
    wait_for(lambda: alive(children) == {} and sandbox.left_behind() == [], SOON)


def test_being_stopped_while_starting_leaves_nothing(start: Start) -> None:
    sandbox = start()
    wait_for(lambda: len(sandbox.children()) >= 4, SOON)
    children = sandbox.children()
    assert sandbox.end(signal.SIGTERM) == 0, sandbox.output
    assert "Everything is ready" not in sandbox.output
    assert alive(children) == {} and sandbox.left_behind() == []


def test_a_start_that_fails_says_why_and_leaves_nothing(start: Start) -> None:
    sandbox = start(HTTP_MAX_BODY="plenty")
    assert sandbox.process.wait(60) == 1
    assert 'telegram ended with exit status 2; its last words:\n    {"variable": "HTTP_MAX_BODY"' in sandbox.output
    assert sandbox.left_behind() == []


def test_a_given_port_that_is_taken_is_said_at_once(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sandbox = start("--port", f"telegram={port}")
        assert sandbox.process.wait(SOON) == 1
    assert f"port {port}, given for telegram, is taken" in sandbox.output
    assert sandbox.left_behind() == []


def test_an_unknown_process_cannot_have_a_port(start: Start) -> None:
    sandbox = start("--port", "postgres=5432")
    assert sandbox.process.wait(SOON) == 2
    assert "postgres is none of kafka, valkey" in sandbox.output


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSimulator]:
    """Stands for the real Telegram: the sandbox does not know that it is none."""
    simulator = TelegramSimulator()
    simulator.setup.bot(TOKEN)
    await simulator.start()
    yield simulator
    await simulator.stop()


async def test_with_a_bot_token_there_is_no_simulator_and_the_bot_is_polled(
    start: Start, telegram: TelegramSimulator
) -> None:
    sandbox = start(TELEGRAM_BOT_TOKEN=TOKEN, TELEGRAM_API_URL=telegram.url)
    await asyncio.to_thread(sandbox.wait_ready)
    assert "the real provider, by long polling" in sandbox.where("Telegram")
    assert not any("simulators" in command for command in sandbox.children().values())
    (channel,) = (await asyncio.to_thread(call, f"{sandbox.url}/api/world"))["channels"]
    assert channel["actions"] is None
    person = telegram.setup.person(first_name="Ida")
    telegram.customer.send(4242, person["id"], "From my own phone")
    received = await asyncio.to_thread(next_record, sandbox, is_received("From my own phone"))
    status = await asyncio.to_thread(answer_to, sandbox, received, "From the console")
    assert status["value"]["state"] == "sent"
    assert [sent.text for sent in telegram.sent(person["id"])] == ["From the console"]
    assert await asyncio.to_thread(sandbox.end) == 0
    assert TOKEN not in sandbox.output


MAIL_SERVERS_MISSING = dovecot_missing() or postfix_missing()


@pytest.mark.chaos  # a sandbox and two mail servers: not every run needs them
@pytest.mark.skipif(MAIL_SERVERS_MISSING is not None, reason=f"real mail servers: {MAIL_SERVERS_MISSING}")
async def test_with_an_address_there_is_no_simulator_and_the_mailbox_is_pulled(start: Start) -> None:
    """`make run` with a real mailbox: IMAP and SMTP over TLS, with a password, as a provider has them."""
    ours, ida = "support@shop.example", "ida@people.example"
    with folder_for_all() as folder:
        tls = certificate(folder)
        dovecot = Dovecot(folder / "dovecot", tls=tls)
        await dovecot.start()
        postfix = Postfix(
            folder / "postfix", {"people.example": f"lmtp:inet:127.0.0.1:{dovecot.lmtp}"}, auth=dovecot.auth, tls=tls
        )
        await postfix.start()
        try:
            sandbox = start(
                channel="email",
                EMAIL_ADDRESS=ours,
                EMAIL_IMAP=f"127.0.0.1:{dovecot.imaps}",
                EMAIL_SMTP=f"127.0.0.1:{postfix.smtps}",
                EMAIL_PASSWORD=PASSWORD,
                EMAIL_CA_FILE=str(tls[0]),
            )
            await asyncio.to_thread(sandbox.wait_ready)
            assert not any("simulators" in command for command in sandbox.children().values())
            with smtplib.LMTP("127.0.0.1", dovecot.lmtp) as client:
                head = f"From: Ida <{ida}>\r\nTo: {ours}\r\nSubject: Cup\r\nMessage-ID: <1@x>"
                client.sendmail(ida, [ours], f"{head}\r\n\r\nFrom my own mailbox")
            received = await asyncio.to_thread(next_record, sandbox, is_received("From my own mailbox"))
            status = await asyncio.to_thread(answer_to, sandbox, received, "From the console")
            assert status["value"]["state"] == "sent", status
            (raw,) = await dovecot.mails(ida)
            answer = email.message_from_bytes(raw, policy=email.policy.default)
            assert (answer["Subject"], answer["In-Reply-To"]) == ("Re: Cup", "<1@x>")
            assert answer["From"].addresses[0].addr_spec == ours
            assert await asyncio.to_thread(sandbox.end) == 0
            assert PASSWORD not in sandbox.output
        finally:
            await postfix.stop()
            await dovecot.stop()
