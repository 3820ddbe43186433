"""Those who are compared, each with its spans going where they cost nothing more."""

import importlib
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer, StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY

import nanospan
from answer import PlainSpan
from cases import EVENT, Words
from raising import RAISED

# The API's own. `nanospan.otel` puts another in its place, which is not to help the SDK.
_RUNTIME_CONTEXT = context_api._RUNTIME_CONTEXT
# Below a batch of anybody: what one stretch leaves waits until it is flushed, outside the time.
SPANS_PER_STRETCH = 400


class Contestant:
    """One column of the table. `names` are what the statements of the cases refer to."""

    words = Words()

    def __init__(self, name: str, **names: object) -> None:
        self.name = name
        self.names: dict[str, object] = {"EVENT": EVENT, **names}

    def prepare(self) -> None:
        """Puts in place what all contestants share. Not timed."""

    def flush(self) -> None:
        """Lets everything that has finished arrive. Not timed."""

    def arrived(self) -> int:
        """How many spans arrived, ever."""
        return 0

    def last_spans(self) -> list[PlainSpan]:
        """What the last flush brought."""
        return []

    def forget(self) -> None:
        """Lets go of what arrived."""

    def close(self) -> None:
        """Ends what runs in the background."""


def spans_in(memory: nanospan.MemoryExporter) -> list[PlainSpan]:
    """What one of nanospan's exporters was given."""
    return [
        PlainSpan(
            name=span.name,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            start=span.start_time_ns,
            end=span.end_time_ns,
            attributes=span.attributes,
            events=[(event.name, event.attributes) for event in span.events],
            failed=span.status is nanospan.StatusCode.ERROR,
            description=span.status_description,
        )
        for span in memory.spans()
    ]


# The worker sleeps until a flush.
QUEUE = nanospan.QueueConfig(max_batch_size=10_000, max_coalescing_delay=600)


class Nanospan(Contestant):
    def __init__(self) -> None:
        self.memory = nanospan.MemoryExporter()
        nanospan.configure(service_name="bench", exporter=self.memory, queue=QUEUE)
        super().__init__(
            "nanospan",
            tracer=nanospan.tracing,
            not_sampled=nanospan.tracing.new("not sampled", sampling_rate=0),
            RAISED=RAISED,
            ERROR=nanospan.StatusCode.ERROR,
        )

    def flush(self) -> None:
        assert nanospan.flush(timeout=30)

    def forget(self) -> None:
        self.memory.clear()

    def arrived(self) -> int:
        return nanospan.stats()["sent"]

    def last_spans(self) -> list[PlainSpan]:
        return spans_in(self.memory)

    def close(self) -> None:
        nanospan.shutdown()


class Floor(Contestant):
    def __init__(self, floor: Any, body: str) -> None:
        self.floor = floor
        self.last = b""
        super().__init__(
            f"floor {body}",
            tracer=floor.Tracer("bench", body=body),
            not_sampled=floor.Tracer("not sampled", body=body, rate=0.0),
            ERROR=2,
        )

    def flush(self) -> None:
        self.last = self.floor.drain()

    def arrived(self) -> int:
        return self.floor.stats()["taken"]

    def last_spans(self) -> list[PlainSpan]:
        message = ExportTraceServiceRequest()
        message.ParseFromString(self.last)

        def attributes(pairs: Iterable[Any]) -> dict[str, object]:
            return {p.key: getattr(p.value, p.value.WhichOneof("value")) for p in pairs}

        return [
            PlainSpan(
                name=span.name,
                trace_id=span.trace_id,
                span_id=span.span_id,
                parent_id=span.parent_span_id,
                start=span.start_time_unix_nano,
                end=span.end_time_unix_nano,
                attributes=attributes(span.attributes),
                events=[(event.name, attributes(event.attributes)) for event in span.events],
                failed=span.status.code == 2,
                description=span.status.message,
            )
            for resource in message.resource_spans
            for group in resource.scope_spans
            for span in group.spans
        ]


class _Discard(SpanExporter):
    def __init__(self) -> None:
        self.count = 0
        self.last: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.count += len(spans)
        self.last = spans
        return SpanExportResult.SUCCESS


class Sdk(Contestant):
    words = Words(finish="{span}.end()", record="{span}.record_exception(RAISED)")

    def __init__(self) -> None:
        self.exporter = _Discard()
        self.providers = []
        super().__init__(
            "sdk",
            tracer=self._tracer(),
            not_sampled=self._tracer(rate=0.0),
            processed=self._tracer(SpanProcessor()),
            RAISED=RAISED,
            ERROR=StatusCode.ERROR,
        )

    def _tracer(self, *processors: SpanProcessor, rate: float = 1.0) -> object:
        resource = Resource.create({"service.name": "bench"})
        provider = TracerProvider(ParentBased(TraceIdRatioBased(rate)), resource)
        for processor in [*processors, BatchSpanProcessor(self.exporter)]:
            provider.add_span_processor(processor)
        self.providers.append(provider)
        return provider.get_tracer("bench")

    def prepare(self) -> None:
        context_api._RUNTIME_CONTEXT = _RUNTIME_CONTEXT

    def flush(self) -> None:
        for provider in self.providers:
            assert provider.force_flush()

    def arrived(self) -> int:
        return self.exporter.count

    def last_spans(self) -> list[PlainSpan]:
        return [
            PlainSpan(
                name=span.name,
                trace_id=span.context.trace_id,
                span_id=span.context.span_id,
                parent_id=span.parent.span_id if span.parent else None,
                start=span.start_time or 0,
                end=span.end_time or 0,
                attributes=dict(span.attributes or {}),
                events=[(event.name, dict(event.attributes or {})) for event in span.events],
                failed=span.status.status_code is StatusCode.ERROR,
                description=span.status.description,
            )
            for span in self.exporter.last
        ]

    def close(self) -> None:
        for provider in self.providers:
            provider.shutdown()


def floor_module() -> Any:
    """The floor, which `make bench` builds; None on machines it is not written for."""
    built = Path(__file__).parents[2] / "target" / "floor"
    sys.path.insert(0, str(built))
    try:
        return importlib.import_module("floor")
    except ImportError:
        return None


def not_configured(floor: Any) -> list[Contestant]:
    """Tracers before anything is configured; for the SDK, what its API does then."""
    found = [Contestant("nanospan", tracer=nanospan.tracing)]
    if floor:
        found.append(Contestant("floor cell", tracer=floor.Tracer("off", body="off")))
    return [*found, Contestant("sdk", tracer=NoOpTracer())]


def configured(floor: Any) -> list[Contestant]:
    """Everybody, at work."""
    found: list[Contestant] = [Nanospan()]
    if floor:
        found += [Floor(floor, "cell"), Floor(floor, "plain")]
    found.append(Sdk())
    if find_spec("ddtrace"):
        found.append(importlib.import_module("contestant_ddtrace").Ddtrace())
    return found


def through_otel(floor: Any) -> list[Contestant]:
    """Those who are called through OpenTelemetry's API, and the floor with its Context.

    From now on nanospan's own face carries the active span in that Context too.
    """
    found: list[Contestant] = [importlib.import_module("contestant_otel").OtelFace()]
    if floor:
        variable = _RUNTIME_CONTEXT._current_context
        floor.opentelemetry(variable, _SPAN_KEY, Context)
        found += [Floor(floor, "otel cell"), Floor(floor, "otel plain")]
    return [*found, Sdk()]
