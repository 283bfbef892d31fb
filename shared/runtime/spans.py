"""Spans by OpenTelemetry, sent over OTLP. Imported only where spans are wanted: it needs the extra `tracing`.

A span never holds what an exception says: that may repeat what people wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from shared.runtime.tracing import Kind

_KINDS = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER, "client": SpanKind.CLIENT}
_CARRIER = "traceparent"


class OtelSpans:
    """`Spans` of one service. Whoever began a trace has decided whether it is sampled; of those that begin here,
    `sample` (0 to 1) are."""

    def __init__(self, service: str, sample: float, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            sampler=ParentBased(TraceIdRatioBased(sample)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("channel-connectors")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, kind: Kind, traceparent: str | None, attributes: Mapping[str, str | int]
    ) -> Iterator[object]:
        context = self._propagator.extract({_CARRIER: traceparent}) if traceparent else None
        with self._tracer.start_as_current_span(
            name,
            context,
            _KINDS[kind],
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as made:
            try:
                yield made
            except BaseException as failure:
                made.set_attribute("error.type", type(failure).__name__)
                made.set_status(Status(StatusCode.ERROR))
                raise

    def current(self) -> str | None:
        here = trace.get_current_span().get_span_context()
        if not here.is_valid:
            return None
        # The one flag that every reader knows: whether it is sampled.
        return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags & TraceFlags.SAMPLED:02x}"

    def stop(self) -> None:
        """Send what is left, and end. Blocks while the collector is waited for."""
        self._provider.shutdown()


def over_otlp(service: str, endpoint: str, sample: float) -> OtelSpans:
    """Spans that go to a collector's OTLP/HTTP endpoint (`http://collector:4318`)."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    return OtelSpans(service, sample, exporter)
