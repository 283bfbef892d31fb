"""Logs and metrics: machine-readable, and free of everything that is somebody's."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import logging
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client.metrics import MetricWrapperBase

from shared.channel import ProviderError
from shared.contract.errors import ErrorCode
from shared.runtime import metrics
from shared.runtime.logs import MASK, Masking, about, configure_logs
from shared.stream.records import Record
from tests.shared.runtime.plain_channel import failure, item
from tests.shared.runtime.world import World

PHONE = "+4915112345678"
EMAIL = "ida@example.org"
TOKENS = ("plain-AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1", "plain-Gm0PX4ZCpsBAKZCexample", "plain-abcdefABCDEFabcdef")
SECRETS = (re.compile(r"plain-\w{16,}"),)  # what a channel says that its own look like
masked = Masking(SECRETS).masked


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is written to standard error at DEBUG."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logs("DEBUG", SECRETS)
    yield written
    structlog.reset_defaults()
    logging.basicConfig(level="WARNING", handlers=[logging.NullHandler()], force=True)


@pytest.mark.parametrize(
    "text",
    [
        PHONE,
        "4915112345678",
        "call +49 151 123 45 678 now",
        "(+1) 555 0100 and +1 (555) 010-0123",
        "plain:acc_1:4915112345678",
        "wa_4915112345678",
        "chat -1001234567890",
        EMAIL,
        f"to <{EMAIL}>, please",
        "Authorization: Bearer abc.def",
        *TOKENS,
    ],
)
def test_what_is_somebodys_is_masked(text: str) -> None:
    shown = masked(text)
    assert MASK in shown
    for secret in (r"\d{6,}", "ida@", "abc.def", "AAHdq", "Gm0PX", "abcdef"):
        assert not re.search(secret, shown), shown


@pytest.mark.parametrize(
    "value",
    [
        {"token": "x", "inner": {"api_key": "y", "Authorization": "z", "phone": "1", "text": "hello"}},
        {PHONE: "as a key"},
        [PHONE, (EMAIL, {TOKENS[0]})],
        4915112345678,
        -1001234567890,
        PHONE.encode(),
        ValueError(f"no such number: {PHONE}"),
        failure(ErrorCode.RECIPIENT_UNKNOWN, detail=EMAIL),
    ],
)
def test_it_is_masked_wherever_it_is(value: Any) -> None:
    shown = json.dumps(masked(value))
    for secret in ("4915112345678", "1001234567890", "ida@", "AAHdq", "hello", '"x"', '"y"', '"z"'):
        assert secret not in shown


@pytest.mark.parametrize(
    "value", ["acc_1", "rate_limited", 404, 1.5, True, None, "2026-11-22T10:00:00.000Z", "10.0.0.1"]
)
def test_what_is_nobodys_stays(value: object) -> None:
    assert masked(value) == value


def test_a_line_is_json_and_an_exception_is_its_type_and_place(lines: io.StringIO) -> None:
    log = structlog.get_logger()
    try:
        raise ValueError(f"the number {PHONE}")
    except ValueError as bug:
        log.error("it_failed", account_id="acc_1", exc_info=bug)
        log.warning("again", exc_info=True)
        logging.getLogger("some.library").exception("it failed for %s", PHONE)
    first, second, third = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (first["event"], first["level"], first["exception"]) == ("it_failed", "error", "ValueError")
    assert first["at"].startswith("test_logs.py:")
    assert second["exception"] == third["exception"] == "ValueError"
    assert (third["logger"], third["level"], third["event"]) == ("some.library", "error", f"it failed for {MASK}")
    assert third["at"].startswith("test_logs.py:")
    assert PHONE not in lines.getvalue()


def test_every_line_about_a_record_says_which(lines: io.StringIO) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    carried = ("traceparent", f"00-{trace}-b7ad6b7169203331-00".encode())
    event = Record("t.inbound", 3, 412345678, b"plain:acc_1:4915112345678", b"{}", (("ce_id", b"evt_1"), carried), 5)
    command = Record("t.outbound", 1, 7, b"plain:acc_1:p1", b'{"command_id": "cmd_1"}', (("ce_type", b"x"), carried), 5)
    raw = Record("t.raw", 0, -1, None, b"\xff", (("account_id", b"acc_2"),), 5)

    async def work(record: Record) -> None:
        about(record)
        structlog.get_logger().info("at_work", topic="of its own")
        await asyncio.create_task(helping())

    async def helping() -> None:
        logging.getLogger("some.library").warning("helping")

    async def everybody() -> None:
        await asyncio.gather(*(asyncio.create_task(work(record)) for record in (event, command, raw)))

    asyncio.run(everybody())
    structlog.get_logger().info("outside")
    *told, outside = [json.loads(line) for line in lines.getvalue().splitlines() if "asyncio" not in line]
    assert "offset" not in outside
    assert [line["topic"] for line in told[:3]] == ["of its own"] * 3
    first, second, third = told[3:]
    conversation = first.pop("conversation")
    assert (first["account_id"], first["id"], first["trace_id"]) == ("acc_1", "evt_1", trace)
    assert (first["topic"], first["partition"], first["offset"]) == ("t.inbound", 3, 412345678)
    assert (second["account_id"], second["id"], second["offset"]) == ("acc_1", "cmd_1", 7)
    assert second["conversation"] != conversation
    assert (third["account_id"], "conversation" in third, "id" in third) == ("acc_2", False, False)
    assert "4915112345678" not in lines.getvalue()


def test_libraries_that_log_requests_are_quiet(lines: io.StringIO) -> None:
    for name in ("aiohttp.access", "aiokafka.consumer"):
        logging.getLogger(name).info("POST https://provider.example/%s", TOKENS[0])
    assert lines.getvalue() == ""


@pytest.mark.parametrize(("level", "heard"), [("INFO", 0), ("DEBUG", 1)])
def test_what_kafkas_client_warns_of_is_shown_at_debug(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, level: str, heard: int
) -> None:
    monkeypatch.setattr("sys.stderr", lines)
    configure_logs(level, SECRETS)
    logging.getLogger("aiokafka").error('Unable connect to "kafka:9093": %s', "certificate verify failed")
    logging.getLogger("aiokafka.conn").debug("Request to kafka:9093 3: SaslAuthenticateRequest(%s)", TOKENS[0])
    assert lines.getvalue().count("certificate verify failed") == heard
    assert "SaslAuthenticate" not in lines.getvalue()


@pytest.mark.parametrize("messages", [1_600, pytest.param(10_000, marks=pytest.mark.chaos)])
async def test_messages_at_debug_leave_nothing_behind(
    world: World, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    """Names, numbers, texts and tokens go in on every path that logs; none of it comes out."""
    chance = random.Random(3)
    perform = world.channel.perform

    async def perform_or_break(call: Any, *arguments: Any, **named: Any) -> Any:
        trouble = chance.random()
        if trouble < 0.05:
            raise RuntimeError(f"{PHONE} {EMAIL} {TOKENS[0]} secret words")
        if trouble < 0.1:
            detail = f"{PHONE} is not a number; {TOKENS[1]}"
            raise ProviderError(failure(ErrorCode.RECIPIENT_UNKNOWN, detail=detail, provider_code="1"))
        return await perform(call, *arguments, **named)

    monkeypatch.setattr(world.channel, "perform", perform_or_break)

    address = {"phone": PHONE, "email": EMAIL}
    aliases = [{"kind": "phone", "value": PHONE}, {"kind": "email", "value": EMAIL}]
    person = {"text": "secret words", "name": "Ida", "aliases": aliases, "address": address, "answer": True}
    for first in range(0, messages, 200):
        items = [item(id=f"m{n}", peer=f"p{n % 200}", **person) for n in range(first, first + 200)]
        items += [item(f"{PHONE} {EMAIL}"), item(account=TOKENS[2])]
        await asyncio.gather(*map(world.normalise, await world.raw(*items)))
        texts = [f"secret words to {PHONE} at {EMAIL}"] * 30
        commands = [await world.command(text=t, conversation_id=f"plain:acc_1:p{n}") for n, t in enumerate(texts)]
        commands.append(await world.record(f"secret words {PHONE}".encode()))
        await asyncio.gather(*map(world.process.deliverer.handle, commands))
    await world.process.answers.close()
    written = lines.getvalue()
    assert written.count("perform_failed") > 2, "nothing was logged: the test shows nothing"
    for secret in (
        "4915112345678",
        "151123",
        "ida@",
        "example.org",
        "Ida",
        "secret words",
        "AAHdq",
        "Gm0PX",
        "abcdefABC",
    ):
        assert secret not in written
    exposed = metrics.exposition().decode()
    for secret in ("4915112345678", "ida@", "Ida", "secret", "AAHdq", "plain:acc"):
        assert secret not in exposed


# --------------------------------------------------------------------------------------------------------- metrics

PERSONAL = {
    "conversation",
    "conversation_id",
    "account",
    "account_id",
    "peer",
    "phone",
    "user",
    "contact",
    "chat",
    "email",
}


def catalogue() -> list[MetricWrapperBase]:
    return [value for _, value in inspect.getmembers(metrics) if isinstance(value, MetricWrapperBase)]


def test_no_label_names_a_person_and_few_an_account() -> None:
    """Accounts only where the label is bounded: see `by_account`."""
    assert len(catalogue()) > 20
    for metric in catalogue():
        personal = PERSONAL & set(metric._labelnames)
        assert not personal - {"account"}, metric._name
        assert not personal or metric._name.startswith(f"{metrics.PREFIX}_account_"), metric._name


def test_every_metric_says_what_it_counts_and_has_a_channel() -> None:
    for metric in catalogue():
        assert metric._documentation.endswith("."), metric._name
        assert metric._labelnames[0] == "channel", metric._name
    names = [metric._name for metric in catalogue()]
    assert len(names) == len(set(names))


def test_the_exposition_is_prometheus_text() -> None:
    metrics.COMMANDS.labels("plain", "message.send").inc()
    text = metrics.exposition().decode()
    assert "# TYPE connector_commands_total counter" in text
    assert 'connector_commands_total{channel="plain",type="message.send"}' in text
