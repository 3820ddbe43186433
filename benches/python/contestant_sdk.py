"""opentelemetry-sdk with its batch processor, and an exporter that discards."""

from collections.abc import Iterable
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer, StatusCode

from answer import PlainSpan
from cases import Words
from contestants import Contestant
from raising import RAISED

# The API's own. `nanospan.otel` puts another in its place, which is not to help the SDK.
RUNTIME_CONTEXT = context_api._RUNTIME_CONTEXT


def no_op() -> Contestant:
    """What the API does when nothing is configured."""
    return Contestant("sdk", tracer=NoOpTracer())


class Discard(SpanExporter):
    def __init__(self) -> None:
        self.count = 0
        self.last: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.count += len(spans)
        self.last = spans
        return SpanExportResult.SUCCESS


def spans_of(spans: Iterable[ReadableSpan]) -> list[PlainSpan]:
    """What an exporter was given."""
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
        for span in spans
    ]


class Sdk(Contestant):
    words = Words(finish="{span}.end()", record="{span}.record_exception(RAISED)")

    def __init__(self, name: str = "sdk") -> None:
        self.exporter = Discard()
        self.providers: list[TracerProvider] = []
        super().__init__(
            name,
            tracer=self._tracer(),
            not_sampled=self._tracer(rate=0.0),
            processed=self._tracer(SpanProcessor()),
            RAISED=RAISED,
            ERROR=StatusCode.ERROR,
        )

    def _tracer(self, *processors: SpanProcessor, rate: float = 1.0) -> object:
        resource = Resource.create({"service.name": "bench"})
        provider = TracerProvider(ParentBased(TraceIdRatioBased(rate)), resource)
        for processor in [*processors, self.sender()]:
            provider.add_span_processor(processor)
        self.providers.append(provider)
        return provider.get_tracer("bench")

    def sender(self) -> SpanProcessor:
        """What takes a provider's spans to where they arrive."""
        return BatchSpanProcessor(self.exporter)

    def prepare(self) -> None:
        context_api._RUNTIME_CONTEXT = RUNTIME_CONTEXT

    def flush(self) -> None:
        for provider in self.providers:
            assert provider.force_flush()

    def arrived(self) -> int:
        return self.exporter.count

    def last_spans(self) -> list[PlainSpan]:
        return spans_of(self.exporter.last)

    def close(self) -> None:
        for provider in self.providers:
            provider.shutdown()
