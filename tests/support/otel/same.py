"""One short program run with opentelemetry-sdk and with nanospan, for the tests of single rules."""

import contextvars
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from support.otel.side import CountedIds
from support.plain import exact

SHOP = Resource({"service.name": "shop"})
REMOTE = SpanContext(7, 9, True, TraceFlags(1), TraceState([("vendor", "1")]))

T = TypeVar("T")
Program: TypeAlias = Callable[[Any], T]


def run(provider_class: Any, program: Program[T], **options: Any) -> T:
    """What a program answers that is given a provider, in a context of its own."""
    given = {"resource": SHOP, "shutdown_on_exit": False, "id_generator": CountedIds(random=True)}
    provider = provider_class(**given | options)
    return contextvars.copy_context().run(program, provider)


def same(program: Program[T], **options: Any) -> T:
    """The answer of a program, once it is the same for both providers; made of plain values."""
    from nanospan import otel

    expected = run(TracerProvider, program, **options)
    answer = run(otel.TracerProvider, program, **options)
    assert exact(answer) == exact(expected), f"with nanospan {answer!r}, with the SDK {expected!r}"
    return answer


def tracer_of(provider: Any) -> Any:
    """A tracer, where any will do."""
    return provider.get_tracer("library", "1.2")


def under(span_context: SpanContext) -> Context:
    """A context with a parent that came from elsewhere."""
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())


def exporter_of(provider: Any) -> InMemorySpanExporter:
    """An exporter that keeps what the provider's spans become."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter
