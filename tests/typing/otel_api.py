"""What users of the OpenTelemetry face infer, under mypy and pyright. Never run: only checked.

The calls in `refused` are mistakes, as in `public_api`.
"""

from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.util.types import AnyValue
from typing_extensions import assert_type

import nanospan
import nanospan.otel
from nanospan.otel import Span, Tracer, TracerProvider


def providing() -> None:
    assert_type(nanospan.install(), TracerProvider)
    assert_type(nanospan.otel.from_environment(), TracerProvider)
    provider = nanospan.otel.install(
        service_name="shop",
        resource={"host.cpus": 2},
        exporter=[nanospan.OtlpExporter(), nanospan.MemoryExporter()],
        sampling_rate=0.1,
    )
    assert_type(provider, TracerProvider)
    assert_type(provider.get_tracer("shop", "2"), trace.Tracer)
    assert_type(provider.force_flush(), bool)
    trace.set_tracer_provider(TracerProvider(exporter=nanospan.ConsoleExporter()))


def with_blocks(tracer: Tracer) -> int:
    # Where nothing is traced, it is the API's own span that travels on.
    with tracer.start_span("GET /cart", kind=trace.SpanKind.SERVER) as span:
        assert_type(span, trace.Span)
    with tracer.start_as_current_span("GET /cart", attributes={"items": [1, 2]}) as span:
        assert_type(span, trace.Span)
        if isinstance(span, Span):
            assert_type(span, Span)
        return 1
    # No return here: mypy and pyright know that a block swallows no exception.


def takes_the_place_of_the_sdk(tracer: Tracer, span: Span) -> None:
    any_tracer: trace.Tracer = tracer
    any_span: trace.Span = span
    trace.use_span(any_span, end_on_exit=True)
    any_tracer.start_span("child", context=trace.set_span_in_context(span))


def reading(span: Span) -> None:
    assert_type(span.get_span_context(), trace.SpanContext)
    assert_type(span.parent, trace.SpanContext | None)
    assert_type(span.name, str)
    assert_type(span.kind, trace.SpanKind)
    assert_type(span.start_time, int)
    assert_type(span.end_time, int | None)
    assert_type(span.status, trace.Status)
    assert_type(span.attributes, Mapping[str, AnyValue])
    assert_type(span.links, tuple[trace.Link, ...])
    assert_type([event.name for event in span.events], list[str])
    with span as same:
        assert_type(same, Span)


def decorating(tracer: Tracer) -> None:
    @tracer.start_as_current_span("load_cart")
    def load(cart: int, *, fresh: bool = False) -> str:
        return f"{cart} {fresh}"

    @tracer.start_as_current_span("fetch_cart")
    async def fetch(cart: int) -> str:
        return load(cart)

    async def decorated() -> None:
        assert_type(load(1, fresh=True), str)
        assert_type(await fetch(1), str)

    callback: Callable[[int], str] = load
    print(callback, decorated)


def refused(tracer: Tracer, span: Span) -> None:
    span.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    span.set_attribute(1, "value")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    span.set_attribute("key", object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracer.start_span("name", kind="server")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    nanospan.install("shop")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    nanospan.install(service="shop")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    nanospan.otel.install(sampling_rate="0.1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TracerProvider(exporter="traces.jsonl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
