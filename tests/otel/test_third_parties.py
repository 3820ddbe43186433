"""What others have written for opentelemetry-sdk, unchanged on our provider.

Where it can be, the same is done on the SDK's provider, and must give the same.
"""

# ruff: noqa: E402 # the packages are imported after the look whether they are there

import io
import json
import time

import pytest

from support.programs import needs_group_otel

needs_group_otel()

import opentracing
from openinference.instrumentation import OITracer, TraceConfig, using_session
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.richconsole import RichConsoleSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.shim.opentracing_shim import create_tracer
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from rich.console import Console

import nanospan

pytest_plugins = ("support.plugin",)

RESOURCE = Resource({"service.name": "shop"}, "https://example.org/schema")
START = 1_800_000_000_000_000_000


class CountingIds(IdGenerator):
    """Gives the same ids in every run."""

    def __init__(self):
        self.last = 0

    def generate_span_id(self):
        self.last += 1
        return self.last

    def generate_trace_id(self):
        return 0xABC << 64 | self.generate_span_id()


@pytest.fixture
def ours():
    """Makes our provider, and ends it with the test."""
    from nanospan.otel import TracerProvider

    yield from _providers(TracerProvider)


@pytest.fixture
def theirs():
    """Makes the SDK's provider, and ends it with the test."""
    yield from _providers(SdkTracerProvider)


def _providers(provider_class):
    made = []

    def new(**options):
        options = {"resource": RESOURCE, "shutdown_on_exit": False, **options}
        made.append(provider_class(id_generator=CountingIds(), **options))
        return made[-1]

    yield new
    for provider in made:
        provider.shutdown()


def trace_a_request(provider):
    """Makes three spans that have something of everything."""
    tracer = provider.get_tracer("shop", "1.2", "https://example.org/scope", {"team": "carts"})
    root = tracer.start_span(
        "GET /cart", kind=SpanKind.SERVER, attributes={"http.route": "/cart"}, start_time=START
    )
    with trace.use_span(root):
        links = [Link(root.get_span_context(), {"why": "cache"})]
        load = tracer.start_span("load_cart", links=links, start_time=START + 1)
        load.add_event("cache.miss", {"keys": ["a", "b"]}, START + 2)
        load.end(START + 3)
        charge = tracer.start_span("charge_card", kind=SpanKind.CLIENT, start_time=START + 4)
        charge.set_attributes({"paid": False, "amount": 9.5, "tries": (1, 2)})
        charge.record_exception(ValueError("declined"), timestamp=START + 5)
        charge.set_status(Status(StatusCode.ERROR, "declined"))
        charge.end(START + 6)
    root.end(START + 7)


def finished(provider, run):
    """All that the SDK's own JSON says of the spans that `run` makes, without their times."""
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    run(provider)
    spans = [json.loads(span.to_json()) for span in memory.get_finished_spans()]
    for span in spans:
        assert span.pop("start_time") <= span.pop("end_time")
        for event in span["events"]:
            del event["timestamp"]
    return spans


def test_the_batch_processor_and_the_otlp_exporter_of_the_sdk_send_the_same(ours, theirs, receiver):
    sent = []
    for provider in (ours(), theirs()):
        exporter = OTLPSpanExporter(f"{receiver.endpoint}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
        trace_a_request(provider)
        assert provider.force_flush()
        sent.append(receiver.spans()[3 * len(sent) :])
    assert [span["name"] for span in sent[0]] == ["load_cart", "charge_card", "GET /cart"]
    assert sent[0] == sent[1]
    bodies = [
        request.message.SerializeToString(deterministic=True) for request in receiver.requests
    ]
    assert bodies[0] == bodies[1]


class Redactor(SpanProcessor):
    """Since 1.45 the SDK refuses changes inside of `_attributes`: a new mapping takes its place."""

    def on_end(self, span):
        span._name = "redacted"
        span._attributes = {key: value for key, value in span._attributes.items() if key != "card"}
        span._status = Status(StatusCode.OK)
        span._events = [event for event in span._events if event.name != "exception"]


def test_what_a_processor_changes_at_the_end_is_what_our_exporter_sends(ours, receiver):
    provider = ours(exporter=nanospan.OtlpExporter(receiver.endpoint))
    provider.add_span_processor(Redactor())
    with provider.get_tracer("shop").start_as_current_span("charge 4111") as span:
        span.set_attributes({"card": "4111", "amount": 9.5})
        span.record_exception(ValueError("card 4111"))
        span.add_event("declined")
    assert provider.force_flush()
    (sent,) = receiver.spans()
    assert sent["name"] == "redacted"
    assert sent["attributes"] == {"amount": "float 9.5"}
    assert sent["status"] == StatusCode.OK.value
    assert [name for name, _, _ in sent["events"]] == ["declined"]
    assert b"4111" not in receiver.requests[0].body


def test_spans_that_no_processor_changes_are_sent_as_they_were(ours, receiver):
    class Looking(SpanProcessor):
        def on_end(self, span):
            assert span._attributes["card"] == "4111"

    provider = ours(exporter=nanospan.OtlpExporter(receiver.endpoint))
    provider.add_span_processor(Looking())
    with provider.get_tracer("shop").start_as_current_span("charge") as span:
        span.set_attribute("card", "4111")
    assert provider.force_flush()
    (sent,) = receiver.spans()
    assert (sent["name"], sent["attributes"]) == ("charge", {"card": "str '4111'"})


def test_the_rich_console_draws_the_same_tree(ours, theirs):
    drawn = []
    for provider in (ours(), theirs()):
        exporter = RichConsoleSpanExporter()
        exporter.console = Console(file=io.StringIO(), width=100)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        trace_a_request(provider)
        assert provider.force_flush()
        drawn.append(exporter.console.file.getvalue())
    assert "charge_card" in drawn[0]
    assert "Description : declined" in drawn[0]
    assert drawn[0] == drawn[1]


def trace_with_opentracing(provider):
    tracer = create_tracer(provider)
    headers = {}
    with tracer.start_active_span("GET /cart", tags={"http.route": "/cart"}) as scope:
        scope.span.set_baggage_item("user", "7")
        tracer.inject(scope.span.context, opentracing.Format.HTTP_HEADERS, headers)
        with tracer.start_active_span("load_cart") as child:
            child.span.set_operation_name("load_cart_again").log_kv({"event": "miss", "n": 1})
            child.span.set_tag("error", True)
        assert scope.span.get_baggage_item("user") == "7"
        scope.span.log_kv({"event": "done"}, time.time())
    parent = tracer.extract(opentracing.Format.HTTP_HEADERS, headers)
    tracer.start_span("job", references=[opentracing.follows_from(parent)]).finish()


def test_the_opentracing_shim_makes_the_same_spans(ours, theirs):
    spans = finished(ours(), trace_with_opentracing)
    assert [span["name"] for span in spans] == ["load_cart_again", "GET /cart", "job"]
    assert spans[2]["context"]["trace_id"] == spans[1]["context"]["trace_id"]
    assert spans == finished(theirs(), trace_with_opentracing)


def trace_an_agent(provider):
    tracer = OITracer(provider.get_tracer("agent"), config=TraceConfig(hide_inputs=True))

    @tracer.tool(description="adds")
    def add(a: int, b: int) -> int:
        return a + b

    with using_session("s-1"):
        with tracer.start_as_current_span("ask", openinference_span_kind="chain") as span:
            span.set_input("a secret")
            span.set_output(str(add(1, 2)))
            span.set_status(Status(StatusCode.OK))


def test_openinference_makes_the_same_spans(ours, theirs):
    spans = finished(ours(), trace_an_agent)
    assert [span["name"] for span in spans] == ["add", "ask"]
    assert "a secret" not in json.dumps(spans)
    assert spans[1]["attributes"]["session.id"] == "s-1"
    assert spans == finished(theirs(), trace_an_agent)
