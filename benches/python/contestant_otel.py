"""nanospan through OpenTelemetry's API: the statements of opentelemetry-sdk, another provider."""

from opentelemetry import context as context_api
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode

import nanospan
from answer import PlainSpan
from cases import Words
from contestants import QUEUE, Contestant, by_body, spans_in
from nanospan.otel import TracerProvider
from raising import RAISED

_RUNTIME_CONTEXT = context_api._RUNTIME_CONTEXT


class OtelFace(Contestant):
    words = Words(finish="{span}.end()", record="{span}.record_exception(RAISED)")

    def __init__(self) -> None:
        self.memory = nanospan.MemoryExporter()
        self.count = 0
        self.providers: list[TracerProvider] = []
        super().__init__(
            by_body("otel face"),
            tracer=self._tracer(),
            not_sampled=self._tracer(rate=0.0),
            processed=self._tracer(SpanProcessor()),
            RAISED=RAISED,
            ERROR=StatusCode.ERROR,
        )

    def _tracer(self, *processors: SpanProcessor, rate: float = 1.0) -> object:
        resource = Resource.create({"service.name": "bench"})
        sampler = ParentBased(TraceIdRatioBased(rate))
        provider = TracerProvider(sampler, resource, exporter=self.memory, queue=QUEUE)
        for processor in processors:
            provider.add_span_processor(processor)
        self.providers.append(provider)
        return provider.get_tracer("bench")

    def prepare(self) -> None:
        context_api._RUNTIME_CONTEXT = _RUNTIME_CONTEXT

    def flush(self) -> None:
        for provider in self.providers:
            assert provider.force_flush()
        self.count += len(self.memory.spans())

    def forget(self) -> None:
        self.memory.clear()

    def arrived(self) -> int:
        return self.count

    def last_spans(self) -> list[PlainSpan]:
        return spans_in(self.memory)

    def close(self) -> None:
        for provider in self.providers:
            provider.shutdown()
