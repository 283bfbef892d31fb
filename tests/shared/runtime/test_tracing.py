"""One trace from a webhook to the status of its answer, across Kafka; nothing of it where nobody wants it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import pairwise

import orjson
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.contract.topics import Topics
from shared.runtime import spans, tracing
from shared.runtime.process.service import _span_of
from shared.runtime.settings import Role, TracingSettings
from shared.runtime.spans import OtelSpans
from shared.stream.records import Record, header
from tests.shared.runtime.conftest import MakeWorld
from tests.shared.runtime.plain_channel import CHANNEL, item
from tests.shared.runtime.world import World

TOPICS = Topics()


class Collector:
    """A collector in memory, and the spans that it was sent by name."""

    def __init__(self, sample: float) -> None:
        self.exporter = InMemorySpanExporter()
        self.spans = OtelSpans("plain-connector", sample, self.exporter)
        tracing.use(self.spans)

    def sent(self) -> dict[str, spans.trace.Span]:
        self.spans._provider.force_flush()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture(autouse=True)
def nobody_wants_spans_afterwards() -> Iterator[None]:
    yield
    tracing.use(None)


async def newest(world: World, topic: str) -> Record:
    return [record async for record in world.records(topic)][-1]


async def through(world: World, traceparent: str | None) -> Record:
    """A webhook becomes an event, its answer a call and a status: each role in the trace of the record it takes up.

    Returns the status.
    """
    with tracing.span("webhook", "server", traceparent):
        (raw,) = await world.raw(item(id="m1"))
    with _span_of(Role.NORMALISE, raw):
        await world.normalise(raw)
    event = await newest(world, TOPICS.inbound(CHANNEL))
    command = await world.command(text="an answer")
    answer = Record(
        command.topic, 0, command.offset, command.key, command.value,
        (*command.headers, ("traceparent", header(event, "traceparent") or b"")), command.timestamp_ms,
    )  # fmt: skip
    with _span_of(Role.DELIVER, answer):
        await world.handle(answer)
    return await newest(world, TOPICS.statuses(CHANNEL))


async def test_one_trace_from_webhook_to_status(make_world: MakeWorld) -> None:
    world, collector = await make_world(), Collector(1.0)
    status = await through(world, None)
    sent = collector.sent()
    call = next(name for name in sent if name not in ("webhook", "normalise", "deliver"))
    chain = ["webhook", "normalise", "deliver", call]
    assert [sent[name].kind.name for name in chain] == ["SERVER", "CONSUMER", "CONSUMER", "CLIENT"]
    assert len({sent[name].context.trace_id for name in chain}) == 1
    assert sent["webhook"].parent is None
    for above, below in pairwise(chain):
        assert sent[below].parent.span_id == sent[above].context.span_id
    where = sent["deliver"].context
    assert header(status, "traceparent") == f"00-{where.trace_id:032x}-{where.span_id:016x}-01".encode()
    attributes = dict(sent["deliver"].attributes or {})
    assert attributes["messaging.destination.name"] == TOPICS.outbound(CHANNEL)
    assert "p1" not in orjson.dumps([dict(span.attributes or {}) for span in sent.values()]).decode()


@pytest.mark.parametrize(
    ("sample", "came", "flag", "exported"),
    [
        (0.0, None, b"00", False),
        (1.0, None, b"01", True),
        (0.0, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"01", True),
        (1.0, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", b"00", False),
    ],
)
async def test_whoever_begins_a_trace_decides_whether_it_is_sampled(
    sample: float, came: str | None, flag: bytes, exported: bool, make_world: MakeWorld
) -> None:
    world, collector = await make_world(), Collector(sample)
    status = await through(world, came)
    told = header(status, "traceparent") or b""
    assert told[-2:] == flag
    assert came is None or told[3:35] == came[3:35].encode()
    assert bool(collector.sent()) is exported


async def test_without_spans_a_trace_is_carried_on_as_it_came(make_world: MakeWorld) -> None:
    world = await make_world()
    status = await through(world, None)
    raw = await newest(world, TOPICS.raw(CHANNEL))
    assert header(status, "traceparent") == header(raw, "traceparent")
    assert (header(raw, "traceparent") or b"")[-3:] == b"-00"
    assert tracing.span("a", "client") is tracing.span("b", "server")


async def test_what_fails_says_its_kind_and_not_its_words() -> None:
    collector = Collector(1.0)
    with pytest.raises(KeyError), tracing.span("fails", "client"):
        raise KeyError("what somebody wrote")
    failed = collector.sent()["fails"]
    assert (failed.status.status_code.name, dict(failed.attributes or {})) == ("ERROR", {"error.type": "KeyError"})
    assert (failed.events, failed.status.description) == ((), None)


def test_a_collector_without_the_extra_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = importlib.import_module(TracingSettings.__module__)
    monkeypatch.setattr(settings, "find_spec", lambda _: None)
    assert TracingSettings().endpoint is None
    with pytest.raises(ValueError, match="the extra `tracing` is not installed"):
        TracingSettings(endpoint="http://collector:4318")
