"""The service whole: every role on one log, from webhook to status; started in order, stopped in order, watched."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from structlog.testing import capture_logs

from sandbox.broker import free_port
from sandbox.valkey import ValkeyServer
from shared.channel import Account, Call, ProviderError, Receipt
from shared.contract.accounts import AccountRecord
from shared.contract.envelope import type_name
from shared.contract.errors import ErrorCode
from shared.contract.topics import Topics
from shared.runtime import tracing
from shared.runtime.accounts.sealing import new_key, public_key, seal_credentials
from shared.runtime.http.server import LONGEST_STOP, HealthChecks
from shared.runtime.outbound import answers, typing_indicator
from shared.runtime.process import main, service
from shared.runtime.process.connections import ServiceConfig, topic_specs
from shared.runtime.process.service import Service
from shared.runtime.settings import (
    BlobSettings,
    DeliverSettings,
    HttpSettings,
    KafkaSettings,
    Role,
    ServiceSettings,
    StateSettings,
    TracingSettings,
)
from shared.state.client import Client
from shared.stream.dispatcher import Dispatcher
from shared.stream.errors import Fatal, LogUnavailable
from shared.stream.lanes import CANCEL_GRACE
from shared.stream.log import TopicSpec
from shared.stream.memory import MemoryLog
from tests.shared.runtime.plain_channel import (
    CHANNEL,
    SECRET,
    MediaChannel,
    PlainChannel,
    PullingChannel,
    failure,
    item,
)

TOPICS = Topics()
KEY = new_key()
PROOF = {"x-secret": SECRET}
ACCOUNT = seal_credentials(
    {"token": "t"}, AccountRecord(account_id="acc_1", workspace_id="ws_1", channel=CHANNEL), public_key(KEY)
)


class Running:
    """A service that runs, and the log and port to reach it by."""

    def __init__(self, channel: PlainChannel, config: ServiceConfig, log: MemoryLog) -> None:
        self.channel = channel
        self.config = config
        self.log = log
        self.service = Service(channel, config)
        self.task = asyncio.create_task(self.service.run())
        self.url = f"http://127.0.0.1:{config.http.port}"

    async def get(self, path: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as client, client.get(self.url + path) as answer:
            text = await answer.text()
            return answer.status, orjson.loads(text) if text.startswith("{") else text

    async def metrics(self) -> dict[str, float]:
        """The metrics by name and labels, in the order of Prometheus' text format."""
        text = (await self.get("/metrics"))[1]
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
        }

    async def until_measured(self, name: str, value: float) -> None:
        async with asyncio.timeout(5):
            while (await self.metrics()).get(name) != value:
                await asyncio.sleep(0.01)

    async def ready(self) -> None:
        async with asyncio.timeout(10):
            while not self.task.done():
                try:
                    if (await self.get("/readyz"))[0] == 200:
                        return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.01)
        await self.task

    async def webhook(self, *items: dict[str, Any]) -> int:
        async with aiohttp.ClientSession() as client:
            url = f"{self.url}/webhooks/{CHANNEL}"
            async with client.post(url, data=orjson.dumps(list(items)), headers=PROOF) as answer:
                return answer.status

    async def command(self, kind: str, peer: str = "p1", **data: Any) -> None:
        common = {"workspace_id": "ws_1", "account_id": "acc_1", "conversation_id": f"plain:acc_1:{peer}"}
        value = orjson.dumps(common | data)
        headers = (("ce_type", type_name(kind).encode()),)
        await self.log.send(TOPICS.outbound(CHANNEL), common["conversation_id"].encode(), value, headers)

    async def values(self, topic: str, enough: int) -> list[dict[str, Any]]:
        """The JSON of a topic's records, once there are so many."""
        async with asyncio.timeout(10):
            while True:
                found = [
                    orjson.loads(record.value)
                    for number in range(await self.log.partitions(topic))
                    async for record in self.log.read_partition(topic, number)
                    if record.value
                ]
                if len(found) >= enough:
                    return found
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self.service.stop()
        async with asyncio.timeout(20):
            await self.task


@pytest.fixture
async def log(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    """A log with one account on it, and no state from other tests."""
    client = Client(valkey.url)
    await client.call("FLUSHALL")
    await client.close()
    made = MemoryLog()
    monkeypatch.setattr(service, "kafka_log", lambda *_: made)
    await made.ensure_topics(topic_specs(TOPICS, CHANNEL, 3))
    await made.send(TOPICS.accounts, b"acc_1", ACCOUNT.to_json())
    return made


@pytest.fixture
def configure(valkey: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ServiceConfig]:
    monkeypatch.setattr(service, "_spare_the_collector", lambda: None)

    def make(*roles: Role, **http: Any) -> ServiceConfig:
        return ServiceConfig(
            service=ServiceSettings(roles=roles or tuple(Role), sealing_key=SecretStr(KEY)),
            kafka=KafkaSettings(partitions=3),
            state=StateSettings(url=SecretStr(valkey.url)),
            blobs=BlobSettings(url=f"file://{tmp_path}"),
            http=HttpSettings(port=free_port(), **http),
            deliver=DeliverSettings(probe_every=60),
        )

    return make


@asynccontextmanager
async def started(channel: PlainChannel, config: ServiceConfig, log: MemoryLog) -> AsyncIterator[Running]:
    running = Running(channel, config, log)
    await running.ready()
    try:
        yield running
    finally:
        if not running.task.done():
            await running.stop()


async def test_from_webhook_to_event_and_from_command_to_status(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    channel = MediaChannel()
    channel.media["f1"] = [b"\x89PNG\r\n\x1a\n"]
    async with started(channel, configure(), log) as running:
        assert await running.webhook(item(id="m1"), item(id="m2", files=["f1"])) == 200
        events = await running.values(TOPICS.inbound(CHANNEL), 3)
        assert {event.get("provider", {}).get("message_id") for event in events} == {"m1", "m2", None}
        (state, *_) = await running.values(TOPICS.state(CHANNEL), 1)
        assert state["window"]["open"] is True
        await running.command("typing.start", command_id="t1")
        await running.command("message.send", command_id="c1", content={"kind": "text", "text": "hi"})
        (status,) = await running.values(TOPICS.statuses(CHANNEL), 1)
        assert (status["command_id"], status["state"]) == ("c1", "sent")
        assert "hi" in channel.provider.texts()
        (capabilities,) = await running.values(TOPICS.capabilities, 1)
        assert capabilities["account_id"] == "acc_1"
        _, exposed = await running.get("/metrics")
        assert 'connector_records_total{channel="plain",outcome="handled",role="deliver"}' in exposed
        assert 'connector_ready{channel="plain",dependency="state"} 1.0' in exposed
        assert 'connector_account_last_webhook_timestamp_seconds{account="acc_1",channel="plain"} 1' in exposed
        await running.until_measured('connector_consumer_lag{channel="plain",role="deliver"}', 0)
        measured = await running.metrics()
        assert measured['connector_account_sends_total{account="acc_1",channel="plain"}'] > 0
        accepted = [name for name in measured if name.startswith("connector_command_seconds_count{")]
        assert any('outcome="sent"' in name for name in accepted)
    assert channel.running is False


async def test_spans_go_to_a_collector_and_the_last_ones_at_the_end(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    sent: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        sent.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    async with TestServer(app) as collector:
        config = configure()
        config.tracing = TracingSettings(endpoint=str(collector.make_url("/")), sample=1.0)
        async with started(PlainChannel(), config, log) as running:
            assert await running.webhook(item(id="m1")) == 200
            await running.values(TOPICS.inbound(CHANNEL), 1)
            await running.command("message.send", command_id="c1", content={"kind": "text", "text": "secret words"})
            await running.values(TOPICS.statuses(CHANNEL), 1)
    told = b"".join(sent)
    assert all(name in told for name in (b"webhook", b"normalise", b"deliver", b"plain-connector"))
    assert b"secret words" not in told
    assert not tracing.wanted()


async def test_two_replicas_share_the_work_and_one_may_go(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    channel = PlainChannel()
    async with started(channel, configure(), log) as first, started(channel, configure(), log) as second:
        for number in range(30):
            await first.command(
                "message.send", f"p{number}", command_id=f"c{number}", content={"kind": "text", "text": str(number)}
            )
            if number == 10:
                await second.stop()
        await first.values(TOPICS.statuses(CHANNEL), 30)
    assert sorted(channel.provider.texts(), key=int) == [str(n) for n in range(30)]


async def test_a_role_alone_does_its_own_work_only(log: MemoryLog, configure: Callable[..., ServiceConfig]) -> None:
    channel = PlainChannel()
    async with started(channel, configure(Role.INGRESS), log) as running:
        assert await running.webhook(item(id="m1")) == 200
        async with aiohttp.ClientSession() as client, client.post(f"{running.url}/v1/preflight") as answer:
            assert answer.status == 404
        await running.values(TOPICS.raw(CHANNEL), 1)
    assert await running.values(TOPICS.inbound(CHANNEL), 0) == []
    async with started(channel, configure(Role.NORMALISE), log) as running:
        await running.values(TOPICS.inbound(CHANNEL), 1)
        assert await running.webhook(item(id="m2")) == 404


async def test_readiness_names_what_is_missing(log: MemoryLog, configure: Callable[..., ServiceConfig]) -> None:
    async with started(PlainChannel(), configure(), log) as running:
        log.available = False
        status, answer = await running.get("/readyz")
        assert (status, answer) == (503, {"ready": False, "missing": ["kafka"]})
        assert await running.webhook(item()) == 503
        assert (await running.get("/livez"))[0] == 200
        log.available = True
        assert (await running.get("/readyz"))[0] == 200


async def test_readiness_names_a_topic_that_is_gone_and_warns_of_uneven_ones(
    log: MemoryLog, configure: Callable[..., ServiceConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.process.topic_watch.WATCH_SECONDS", 0.01)
    async with started(PlainChannel(), configure(), log) as running:
        parked = TOPICS.parked(CHANNEL)
        was = log._topics.pop(parked)
        await eventually_answers(running, (503, {"ready": False, "missing": [f"topic {parked}"]}))
        assert (await running.get("/livez"))[0] == 200
        log._topics[parked] = was
        await eventually_answers(running, (200, {"ready": True, "missing": []}))
        log._topics[parked] = [*was, []]
        async with asyncio.timeout(5):
            while "warnings" not in (answer := (await running.get("/readyz"))[1]):
                await asyncio.sleep(0.01)
        assert answer["ready"] is True
        assert f"{parked} {len(was) + 1}" in answer["warnings"]


async def eventually_answers(running: Any, wanted: tuple[int, Any]) -> None:
    async with asyncio.timeout(5):
        while await running.get("/readyz") != wanted:
            await asyncio.sleep(0.01)


async def test_readiness_asks_all_at_once_and_waits_for_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.http.server.CHECK_SECONDS", 0.01)
    checks, both = HealthChecks(CHANNEL), asyncio.Barrier(2)

    async def with_the_other() -> bool:
        await both.wait()
        return True

    async def silent() -> bool:
        return await asyncio.Event().wait()

    for name, check in (("silent", silent), ("one", with_the_other), ("other", with_the_other)):
        checks.require(name, check)
    async with asyncio.timeout(5):
        assert await checks.missing() == ["accepting", "silent"]


async def test_stopping_says_so_first_and_drains(log: MemoryLog, configure: Callable[..., ServiceConfig]) -> None:
    channel = PlainChannel()
    answered = asyncio.Event()
    channel.provider.will("slow", answered)
    async with started(channel, configure(drain_delay=0.1), log) as running:
        await running.command("message.send", command_id="c1", content={"kind": "text", "text": "slow"})
        while not channel.provider.asked:
            await asyncio.sleep(0.005)
        running.service.stop()
        await asyncio.sleep(0.02)
        assert (await running.get("/readyz"))[1]["missing"] == ["accepting"]
        await asyncio.sleep(0.15)
        assert not running.task.done(), "the call under way is waited for"
        answered.set()
        await running.task
        (status,) = await running.values(TOPICS.statuses(CHANNEL), 1)
        assert status["state"] == "sent"
    with pytest.raises(aiohttp.ClientConnectionError):
        await running.get("/livez")


async def test_a_dead_role_ends_the_service(
    log: MemoryLog, configure: Callable[..., ServiceConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fatal(*_: Any) -> None:
        raise Fatal("nothing can be done")

    monkeypatch.setattr("shared.runtime.inbound.normalise.Normaliser.handle", fatal)
    async with started(PlainChannel(), configure(), log) as running:
        await running.webhook(item("odd"))
        with pytest.raises(Fatal):
            await asyncio.wait_for(running.task, 30)
    assert running.channel.running is False
    with pytest.raises(aiohttp.ClientConnectionError):
        await running.get("/livez")


async def test_too_many_bugs_in_a_row_stop_the_consumer(
    log: MemoryLog, configure: Callable[..., ServiceConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BUGS_IN_A_ROW", 2)
    monkeypatch.setattr("shared.stream.lanes.FIRST_BACKOFF", 0.001)
    async with started(PlainChannel(), configure(), log) as running:
        await running.webhook(*[item("bug", peer=f"p{n}") for n in range(4)])
        with pytest.raises(Fatal):
            await asyncio.wait_for(running.task, 30)
        letters = await running.values(TOPICS.deadletter(CHANNEL), 3)
        assert all(letter["kind"] == "bug" for letter in letters)


async def test_others_mistakes_stop_nothing(log: MemoryLog, configure: Callable[..., ServiceConfig]) -> None:
    async with started(PlainChannel(), configure(), log) as running:
        await running.webhook(*[item("never heard of", id=str(n)) for n in range(150)])
        await running.webhook(item(id="good"))
        (event,) = await running.values(TOPICS.inbound(CHANNEL), 1)
        assert event["provider"]["message_id"] == "good"
        assert len(await running.values(TOPICS.deadletter(CHANNEL), 150)) == 150


@pytest.mark.parametrize("role", [Role.NORMALISE, Role.DELIVER, Role.MEDIA, Role.PULL])
async def test_a_stalled_poll_loop_is_seen(
    role: Role, log: MemoryLog, configure: Callable[..., ServiceConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(PullingChannel(), configure(role), log) as running:
        assert (await running.get("/livez"))[0] == 200
        monkeypatch.setattr(service, "STALLED_SECONDS", -1.0)
        assert (await running.get("/livez"))[0] == 503


async def test_metrics_say_what_waits_for_what_and_which_table_records_are_no_use(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    waiting = f'connector_stalled_lanes{{channel="{CHANNEL}",reason="account_sealed",role="deliver"}}'
    still_open = f'connector_open_records{{channel="{CHANNEL}",role="deliver"}}'
    rejected = f'connector_rejected_table_records_total{{channel="{CHANNEL}",topic="{TOPICS.accounts}"}}'
    async with started(PlainChannel(), configure(), log) as running:
        before = (await running.metrics()).get(rejected, 0)
        await log.send(TOPICS.accounts, b"acc_2", b"nonsense")
        await running.until_measured(rejected, before + 1)
        there = {"account_id": "acc_2", "conversation_id": "plain:acc_2:p1"}
        await running.command("message.send", command_id="c1", content={"kind": "text", "text": "hi"}, **there)
        await running.until_measured(waiting, 1)
        assert (await running.metrics())[still_open] == 1
        mended = seal_credentials({"token": "t"}, ACCOUNT.model_copy(update={"account_id": "acc_2"}), public_key(KEY))
        await log.send(TOPICS.accounts, b"acc_2", mended.to_json())
        await running.until_measured(waiting, 0)
        await running.until_measured(still_open, 0)


async def test_it_can_be_stopped_while_it_waits_for_the_log(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    log.available = False
    running = Running(PlainChannel(), configure(), log)
    async with asyncio.timeout(10):
        while True:
            try:
                status, answer = await running.get("/readyz")
                break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)
    assert status == 503
    assert {"accepting", "kafka"} <= set(answer["missing"])
    await running.stop()


async def test_a_port_that_is_taken_is_said_and_nothing_stays_behind(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    config = configure()
    async with started(PlainChannel(), config, log):
        second = Running(PlainChannel(), config, log)
        with pytest.raises(OSError, match="address already in use"):
            await asyncio.wait_for(second.task, 10)


async def test_an_account_that_comes_later_is_served(log: MemoryLog, configure: Callable[..., ServiceConfig]) -> None:
    async with started(PullingChannel(), configure(), log) as running:
        assert isinstance(running.channel, PullingChannel)
        pulled = AccountRecord(account_id="bot", workspace_id="ws_1", channel=CHANNEL, mode="pull")
        await log.send(TOPICS.accounts, b"bot", pulled.to_json())
        async with asyncio.timeout(10):
            while not running.channel.pullers["bot"]:
                await asyncio.sleep(0.01)


class RegisteringChannel(PlainChannel):
    """Registers webhooks; `trouble` is raised for an account instead."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: dict[str, Exception] = {}
        self.registered: list[tuple[str, str]] = []

    async def check_webhook(self, account: Account, base_url: str) -> str | None:
        if trouble := self.trouble.get(account.account_id):
            raise trouble
        return None if (account.account_id, base_url) in self.registered else "not registered"

    async def register_webhook(self, account: Account, base_url: str) -> None:
        self.registered.append((account.account_id, base_url))


async def test_webhooks_are_registered_at_the_start_and_one_odd_account_costs_nobody(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    for name in ("broken", "refused"):
        record = AccountRecord(account_id=name, workspace_id="ws_1", channel=CHANNEL)
        await log.send(TOPICS.accounts, name.encode(), record.to_json())
    channel = RegisteringChannel()
    channel.trouble = {"broken": RuntimeError("a bug"), "refused": ProviderError(failure(ErrorCode.INTERNAL))}
    async with started(channel, configure(public_url="https://hooks.example"), log) as running:
        async with asyncio.timeout(5):
            while not channel.registered:
                await asyncio.sleep(0.01)
        assert channel.registered == [("acc_1", "https://hooks.example")]
        await asyncio.sleep(0.05)
        assert not running.task.done()


def test_a_signal_stops_the_process_in_order(
    log: MemoryLog, configure: Callable[..., ServiceConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    monkeypatch.setattr(main, "ServiceConfig", lambda: config)
    monkeypatch.setattr(main, "configure_logs", lambda *_: None)
    channel = PlainChannel()
    start = channel.start

    async def then_terminate() -> None:
        await start()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(channel, "start", then_terminate)
    assert main.run(lambda _: channel, ServiceSettings, []) == 0
    assert channel.running is False


# ------------------------------------------------------------------------------------------------ the end, in order


async def test_dispatchers_stop_together(
    log: MemoryLog, configure: Callable[..., ServiceConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = asyncio.Barrier(3)
    stop, begun = Dispatcher.stop, set[Dispatcher]()

    async def meet(dispatcher: Dispatcher) -> None:
        if dispatcher not in begun:
            begun.add(dispatcher)
            await everybody.wait()
        await stop(dispatcher)

    monkeypatch.setattr(Dispatcher, "stop", meet)
    async with started(PlainChannel(), configure(Role.NORMALISE, Role.DELIVER, Role.MEDIA), log) as running:
        await running.stop()
    assert len(begun) == 3


async def test_a_call_that_outlasts_the_stop_is_cut_and_reported_but_not_made_again(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    log.rebalance_timeout = 0.03
    channel = PlainChannel()
    channel.provider.will("a long upload", ("done", asyncio.Event()))
    async with started(channel, configure(Role.DELIVER), log) as running:
        await running.command("message.send", command_id="c1", content={"kind": "text", "text": "a long upload"})
        while not channel.provider.asked:
            await asyncio.sleep(0.005)
        await running.stop()
    assert await running.values(TOPICS.statuses(CHANNEL), 0) == []
    async with started(channel, configure(Role.DELIVER), log) as running:
        (status,) = await running.values(TOPICS.statuses(CHANNEL), 1)
    assert (status["command_id"], status["state"]) == ("c1", "uncertain")
    assert len(channel.provider.asked) == 1


async def test_answers_under_way_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "CLOSE_SECONDS", 0.01)
    cut = asyncio.Event()

    class Silent(PlainChannel):
        async def perform(self, *_: Any) -> Receipt:
            try:
                await asyncio.Event().wait()
            finally:
                cut.set()
            raise AssertionError("nobody answers")

    answering = answers.Answers(Silent())
    event = SimpleNamespace(answer=Call("answer", {}))
    answering.make(SimpleNamespace(), event)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await answering.close()
    assert cut.is_set()


def test_the_longest_stop_is_the_sum_of_all_that_is_waited_for() -> None:
    kafka, http = KafkaSettings(), HttpSettings(drain_delay=7)
    drained = service.REBALANCE_SECONDS * 2 / 3 + CANCEL_GRACE
    flushed = 3 * kafka.send_timeout  # the flush, a commit under way and the last one
    assert drained + flushed <= service.REBALANCE_SECONDS, "Kafka would go on without us before we are done"
    left = kafka.send_timeout
    ended = typing_indicator.CLOSE_SECONDS + answers.CLOSE_SECONDS + kafka.send_timeout
    assert service.longest_stop(http, kafka) >= 7 + LONGEST_STOP + drained + flushed + left + ended


# ------------------------------------------------------------------------------------------------- forgotten secrets


class ForgetfulChannel(PlainChannel):
    def missing_secrets(self) -> tuple[str, ...]:
        return ("PLAIN_APP_SECRET",)


@pytest.mark.parametrize(("role", "warnings"), [(Role.INGRESS, [["PLAIN_APP_SECRET"]]), (Role.NORMALISE, [])])
async def test_a_forgotten_webhook_secret_is_said_where_webhooks_come_in(
    log: MemoryLog, configure: Callable[..., ServiceConfig], role: Role, warnings: list[list[str]]
) -> None:
    with capture_logs() as lines:
        async with started(ForgetfulChannel(), configure(role), log):
            pass
    assert [line["missing_settings"] for line in lines if line["event"] == "webhooks_refused"] == warnings


# --------------------------------------------------------------------------------------- topics that others have made


async def test_topics_with_different_partition_counts_are_refused_at_the_start(
    log: MemoryLog, configure: Callable[..., ServiceConfig]
) -> None:
    del log._topics[TOPICS.parked_files(CHANNEL)]
    await log.ensure_topics([TopicSpec(TOPICS.parked_files(CHANNEL), 2, compact=True)])
    running = Running(PlainChannel(), configure(), log)
    with pytest.raises(LogUnavailable, match=rf"the same number of partitions.*{TOPICS.parked_files(CHANNEL)} 2"):
        await asyncio.wait_for(running.task, 10)


@pytest.mark.parametrize(
    "missing", [TOPICS.accounts, TOPICS.account_health, TOPICS.capabilities, TOPICS.parked_files(CHANNEL)]
)
async def test_a_topic_that_nobody_has_made_is_named(
    log: MemoryLog, configure: Callable[..., ServiceConfig], missing: str
) -> None:
    del log._topics[missing]
    config = configure()
    config.kafka.create_topics = False
    running = Running(PlainChannel(), config, log)
    with pytest.raises(LogUnavailable, match=missing):
        await asyncio.wait_for(running.task, 10)
