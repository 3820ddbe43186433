"""What users infer, under mypy and pyright. Never run: only checked.

The calls in `refused` are mistakes. Both checkers report an ignore that nothing needs, so a call
that became legal by accident fails here.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from typing_extensions import assert_type

import nanospan
from nanospan import (
    AlwaysOff,
    AlwaysOn,
    AlwaysRecord,
    ConsistentProbability,
    ConsoleExporter,
    Event,
    FileExporter,
    InstrumentationScope,
    Link,
    MemoryExporter,
    OtlpExporter,
    ParentBased,
    Propagation,
    QueueConfig,
    RateLimited,
    ReleasedSpanError,
    RemoteContext,
    Rule,
    RuleBased,
    SamplingInput,
    Span,
    SpanContext,
    SpanData,
    SpanKind,
    SpanLimits,
    StatusCode,
    TraceIdRatio,
    Tracer,
)

tracer = nanospan.tracing
assert_type(tracer, Tracer)
assert_type(tracer.name, str)
assert_type(tracer.namespace, str)
assert_type(tracer.version, str | None)
assert_type(tracer.new("shop", sampling_rate=0.1, namespace="api", version="2"), Tracer)


def by_name(asked: SamplingInput) -> bool:
    assert_type(asked.parent, SpanContext | None)
    assert_type(asked.kind, SpanKind)
    return asked.name == asked.tracer or asked.trace_id == b""


def propagating(environ: dict[str, str]) -> None:
    shared = nanospan.propagation
    assert_type(shared, Propagation)
    ours = Propagation(extract=["b3"], inject=[nanospan.PRESERVE], trust=lambda _: "restart")
    with ours.extract(environ, trust="continue").carry() as remote:
        assert_type(remote, RemoteContext)
        assert_type(remote.span_context, SpanContext | None)
        assert_type(remote.baggage, dict[str, str])
        assert_type(RemoteContext.current(), RemoteContext | None)
        tracer.start_span("x", parent=remote, links=remote.links)
        with tracer.start_as_current_span("x", parent=remote) as span:
            headers: dict[str, str] = shared.inject(span=span)
            shared.inject([(b"a", b"b")], remote=remote, environ=True)
    shared.propagate(headers, lambda remote: remote.replace(sampled=None, baggage={"a": "b"}))
    Propagation(trust="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shared.inject(span=remote)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def configuring() -> None:
    nanospan.configure()
    nanospan.configure(exporter=())
    nanospan.configure(service_name="shop", exporter=ConsoleExporter(), sampling_rate=0.1)
    nanospan.configure(
        resource={"deployment.environment.name": "test", "host.cpus": 2},
        exporter=[FileExporter("traces.jsonl"), MemoryExporter()],
        sampler=ParentBased(TraceIdRatio(0.5)),
        limits=SpanLimits(attribute_count=16, attribute_value_length=None),
        queue=QueueConfig(max_entries=100, max_coalescing_delay=0.1),
        late_sampling=True,
    )
    nanospan.configure(exporter=(MemoryExporter(),), sampler=AlwaysOn())
    nanospan.configure(exporter=MemoryExporter(), sampler=ParentBased(AlwaysOff()))
    nanospan.configure(sampler=RuleBased([Rule(RateLimited(5), name="*")], otherwise=by_name))
    nanospan.configure(sampler=ParentBased(by_name, remote_parent_sampled=AlwaysRecord(AlwaysOn())))
    strategy = ParentBased.by_strategy("parent_drop_probability_fallback", TraceIdRatio(0.5))
    assert_type(strategy, ParentBased)
    ratio = ConsistentProbability(1)
    ratio.rate = 0.5
    assert_type(ratio.rate, float)
    assert_type(TraceIdRatio(1).rate, float)
    assert_type(nanospan.flush(timeout=1), bool)
    assert_type(nanospan.shutdown(0.5), bool)
    nanospan.configure()
    nanospan.configure(exporter=[OtlpExporter(), FileExporter("traces.jsonl")])
    OtlpExporter("http://localhost:4318", headers={"x": "y"}, timeout=3, compression="gzip")


async def flushing() -> None:
    assert_type(await nanospan.flush_async(1.5), bool)


def counting() -> None:
    stats = nanospan.stats()
    assert_type(stats["started"], int)
    assert_type(stats["dropped"], dict[str, int])
    assert_type(stats["last_error"], str | None)
    if stats["worker"] == "running":
        print(stats["queued_bytes"] // stats["queued_spans"])


def span_of_ones_own(remote: SpanContext, facts: Mapping[str, object]) -> None:
    span = tracer.start_span("checkout")
    assert_type(span, Span)
    tracer.start_span("checkout", kind=SpanKind.SERVER, parent=remote, attributes=facts)
    tracer.start_span("checkout", kind=2, parent=nanospan.ROOT, should_sample=True)
    tracer.start_span("checkout", parent=span, links=[remote, Link(remote, {"n": 1})])
    tracer.start_span("checkout", start_time_ns=5, links=(link.context for link in span.links))
    span.set_attribute("items", [1, 2.5, {"nested": b"bytes"}])
    span.set_attribute("items", None)
    span.set_attributes({"http.request.method": "GET"})
    span.add_event("cache.miss", {"key": "cart"}, time_ns=7)
    span.add_link(remote, facts)
    span.record_error("no such cart")
    span.record_error(KeyError("cart"))
    span.set_status(StatusCode.ERROR, "no such cart")
    span.set_status(2)
    span.finish(end_time_ns=10)
    span.release()


def active_span() -> None:
    assert_type(tracer.active_span(), Span | None)
    tracer.set_active_span(tracer.active_span())
    assert_type(tracer.root_span(), Span | None)
    assert_type(tracer.set_should_sample(False), bool)
    assert_type(tracer.get_sampling_decision(parent_sampled=None, rate=0.1), bool)
    tracer.get_sampling_decision(True, strategy="parent_drop_probability_fallback")
    draft = tracer.create_span(kind=SpanKind.PRODUCER)
    assert_type(draft, Span)
    tracer.link_span(draft, "balancer", attributes={"peer": "10.0.0.1"})


def reading(span: Span, context: SpanContext) -> None:
    assert_type(span.context, SpanContext)
    assert_type(span.trace_id, bytes)
    assert_type(span.span_id, bytes)
    assert_type(span.trace_id_hex, str)
    assert_type(span.span_id_hex, str)
    assert_type(span.parent_id, bytes | None)
    assert_type(span.name, str)
    assert_type(span.kind, SpanKind)
    assert_type(span.start_time_ns, int)
    assert_type(span.end_time_ns, int | None)
    assert_type(span.status, StatusCode)
    assert_type(span.status_description, str | None)
    assert_type(span.events, tuple[Event, ...])
    assert_type(span.links, tuple[Link, ...])
    assert_type(span.is_recording(), bool)
    assert_type(context.sampled, bool | None)
    assert_type(context.is_remote, bool)
    assert_type(context.trace_state, str)
    assert_type(SpanContext(b"t" * 16, b"s" * 8, sampled=True, trace_state="a=1"), SpanContext)
    assert_type(context == SpanContext(b"t" * 16, b"s" * 8), bool)
    assert_type({context: span}[context], Span)
    for event in span.events:
        assert_type(event.name, str)
        assert_type(event.time_ns, int)
        print(event.attributes["key"])
    method = span.attributes["http.request.method"]
    if isinstance(method, str):
        print(method.lower())


def finished_spans() -> None:
    spans = MemoryExporter().spans()
    assert_type(spans, tuple[SpanData, ...])
    assert_type(tracer.spans(), tuple[SpanData, ...])
    tracer.process_spans(print)
    tracer.process_spans(lambda data: data.name)
    for data in spans:
        assert_type(data.context, SpanContext)
        assert_type(data.trace_id, bytes)
        assert_type(data.span_id_hex, str)
        assert_type(data.parent_id, bytes | None)
        assert_type(data.kind, SpanKind)
        assert_type(data.end_time_ns, int)
        assert_type(data.status, StatusCode)
        assert_type(data.events, tuple[Event, ...])
        assert_type(data.links, tuple[Link, ...])
        assert_type(data.instrumentation_scope, InstrumentationScope)
        assert_type(data.instrumentation_scope.version, str | None)
        assert_type(data.dropped_attributes_count, int)


def either(span: Span | SpanData) -> str:
    """Both read alike."""
    return f"{span.name} {span.status.name} {span.attributes.get('error.type')!r}"


def with_block() -> int:
    with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER) as span:
        assert_type(span, Span)
        return 1
    # No return here: mypy and pyright know that a block swallows no exception.


@tracer.start_as_current_span("load_cart")
def load(cart: int, *, fresh: bool = False) -> str:
    return f"{cart} {fresh}"


@tracer.start_as_current_span("fetch_cart")
async def fetch(cart: int) -> str:
    return str(cart)


@tracer.start_as_current_span("rows")
def rows(count: int) -> Iterator[int]:
    yield from range(count)


@tracer.start_as_current_span("pages")
async def pages(count: int) -> AsyncIterator[int]:
    for page in range(count):
        yield page


class Cart:
    @tracer.start_as_current_span("total")
    def total(self, discount: float) -> float:
        return discount

    @staticmethod
    @tracer.start_as_current_span("empty")
    def empty() -> "Cart":
        return Cart()


async def decorated() -> None:
    assert_type(load(1, fresh=True), str)
    assert_type(await fetch(1), str)
    assert_type(rows(3), Iterator[int])
    assert_type(pages(3), AsyncIterator[int])
    assert_type(Cart.empty().total(0.5), float)
    callback: Callable[[int], str] = load
    callback(1)


def errors(span: Span) -> None:
    try:
        print(span.attributes)
    except ReleasedSpanError as error:
        assert_type(error, ReleasedSpanError)
        runtime_error: RuntimeError = error
        print(runtime_error)


def refused(span: Span, data: SpanData, context: SpanContext) -> None:
    span.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    data.attributes = {}  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with span:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    span["key"] = 1  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    span.end()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    span.set_attribute(1, "value")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    span.set_attributes({1: "value"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    span.set_attribute("key")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    span.add_event("name", {}, 7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    span.add_link(span)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    span.record_error(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    span.set_status("ERROR")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    span.finish("now")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracer("name")  # type: ignore[operator]  # pyright: ignore[reportCallIssue]
    tracer.start_span()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tracer.start_span(b"name")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracer.start_span("name", SpanKind.SERVER)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tracer.start_span("name", kind="server")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracer.start_span("name", parent=data)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracer.start_span("name", links=[data])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    tracer.link_span(data, "name")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracer.set_active_span(context)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tracer.process_spans(lambda: None)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
    tracer.get_sampling_decision(strategy="coin")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    load("cart")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    nanospan.configure("shop")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    nanospan.configure(exporter="traces.jsonl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    nanospan.configure(sampler=lambda: True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    nanospan.configure(sampler=AlwaysOn)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    nanospan.configure(sampler=0.1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    print(nanospan.stats()["no_such_count"])  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownArgumentType]
    SpanContext(b"t" * 16, b"s" * 8, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    QueueConfig(100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    class Mine(Span):  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
        pass

    print(Mine)
