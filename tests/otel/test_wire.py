"""What nanospan sends of OpenTelemetry's spans, beside what OpenTelemetry's own encoder makes.

The same calls go to the SDK, whose spans its OTLP encoder writes, and to nanospan, whose exporter
writes its own; whole spans compare, with their scope and resource. `support.otel.wire` says what
differs on purpose.
"""

import pytest
from hypothesis import settings
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from nanospan import FileExporter, MemoryExporter
from support.compare import assert_same_spans
from support.otel.machine import STEPS, machine_for
from support.otel.same import run, under
from support.otel.wire import LastProcessor, comparable, request_of
from support.plain import google_requests, json_request
from support.strict import complaints

otel = pytest.importorskip("nanospan.otel")

REMOTE = SpanContext(7, 9, True, TraceFlags(3), TraceState([("vendor", "1"), ("other", "2")]))
LOCAL = SpanContext(2**128 - 1, 2**64 - 1, False, TraceFlags(0))


def requests_in(exporter):
    exporter.spans()
    return google_requests(exporter._otlp())


def assert_sent(arrived, spans):
    """The requests that arrived say what the SDK's spans do."""
    assert_same_spans(map(comparable, arrived), [comparable(request_of(spans))])


class WireMachine(machine_for(otel.TracerProvider)):
    """The random calls of `test_differential`, and in the end what was sent."""

    def __init__(self):
        super().__init__()
        self.exporter = MemoryExporter()
        self.last = LastProcessor()

    def genuine(self, **options):
        return TracerProvider(active_span_processor=self.last, **options)

    def other(self, **options):
        return otel.TracerProvider(exporter=self.exporter, **options)

    def flush_options(self, given):
        # Within no time ours says that it has not sent what is on its way.
        return {**given, "timeout_millis": max(10_000, given.get("timeout_millis", 0))}

    def teardown(self):
        super().teardown()
        if self.alike and self.right.provider:
            self.right.provider.force_flush()
            assert_sent(requests_in(self.exporter), self.last.spans)


TestWhatIsSent = WireMachine.TestCase
TestWhatIsSent.settings = settings(STEPS)


def sent_alike(program, **options):
    """What nanospan sends for a program, once it is what the SDK would; by the names of spans."""
    last, exporter = LastProcessor(), MemoryExporter()
    run(TracerProvider, program, active_span_processor=last, **options)

    def flushed(provider):
        program(provider)
        assert provider.force_flush()

    run(otel.TracerProvider, flushed, exporter=exporter, **options)
    arrived = requests_in(exporter)
    assert_sent(arrived, last.spans)
    return {
        span.name: span
        for request in arrived
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    }


def everything(provider):
    """A span with all that a span can have, under a remote parent, and a child that failed."""
    tracer = provider.get_tracer("library", "1.2", "https://example.org/1", {"scope": [1, "a"]})
    parent = under(REMOTE)
    span = tracer.start_span(
        "everything",
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes={
            "bool": True,
            "int": -(2**63),
            "float": 0.5,
            "text": "ünïcödé",
            "bytes": b"\x00\xff",
            "none": None,
            "mixed": [1, "a", None, 0.5, [True]],
            "nested": {"a": {"b": [1]}, "c": b"x"},
            "empty": [],
            "too large": 2**63,
        },
        links=[Link(REMOTE, {"link": 1}), Link(LOCAL)],
        start_time=1_000,
    )
    span.add_event("first", {"event": (1.0, 2.0)}, timestamp=1_001)
    span.add_event("second", timestamp=1_002)
    span.update_name("renamed")
    span.set_attribute("bool", False)
    child = tracer.start_span(
        "child", context=trace.set_span_in_context(span), kind=SpanKind.CLIENT, start_time=1_003
    )
    child.set_status(Status(StatusCode.ERROR, "it failed"))
    child.end(1_004)
    span.set_status(StatusCode.OK)
    span.end(1_005)


def test_a_span_with_everything_is_sent_as_opentelemetrys_encoder_writes_it():
    resource = Resource({"service.name": "shop", "list": [1, 2]}, "https://example.org/2")
    assert sent_alike(everything, resource=resource).keys() == {"renamed", "child"}


def test_a_span_with_everything_breaks_no_rule_of_otlp():
    def flushed(provider):
        everything(provider)
        assert provider.force_flush()

    exporter = MemoryExporter()
    run(otel.TracerProvider, flushed, exporter=exporter)
    (request,) = requests_in(exporter)
    assert complaints(request) == []


def test_a_file_holds_what_is_sent(tmp_path):
    path, last = tmp_path / "spans.jsonl", LastProcessor()

    def shut_down(provider):
        everything(provider)
        provider.shutdown()

    run(TracerProvider, everything, active_span_processor=last)
    run(otel.TracerProvider, shut_down, exporter=FileExporter(path))
    arrived = [json_request(line) for line in path.read_text().splitlines()]
    assert_sent(arrived, last.spans)


def test_the_flags_say_sampled_random_and_whether_the_parent_is_remote():
    def program(provider):
        tracer = provider.get_tracer("library")
        for name, parent in (("remote", REMOTE), ("local", LOCAL)):
            context = under(parent)
            tracer.start_span(name, context=context, links=[Link(parent)], start_time=1).end(2)
        tracer.start_span("root", context=Context(), start_time=1).end(2)

    spans = sent_alike(program, sampler=ALWAYS_ON)
    flags = {
        name: (span.flags, [link.flags for link in span.links]) for name, span in spans.items()
    }
    assert flags == {
        "remote": (0x303, [0x303]),
        "local": (0x101, [0x100]),
        "root": (0x103, []),
    }


def test_trace_states_of_spans_and_links_are_sent():
    def program(provider):
        parent = under(REMOTE)
        tracer = provider.get_tracer("library")
        links = [Link(REMOTE), Link(LOCAL)]
        tracer.start_span("x", context=parent, links=links, start_time=1).end(2)

    span = sent_alike(program)["x"]
    assert span.trace_state == "vendor=1,other=2"
    assert [link.trace_state for link in span.links] == ["vendor=1,other=2", ""]


def test_what_a_limit_dropped_is_counted_in_what_is_sent():
    def program(provider):
        three = {"a": 1, "b": 2, "c": 3}
        links = [Link(REMOTE, three), Link(LOCAL, three)]
        tracer = provider.get_tracer("library")
        span = tracer.start_span("x", attributes=three, links=links, start_time=1)
        for name in ("first", "second", "third"):
            span.add_event(name, three, timestamp=2)
        span.set_attribute("d", "a long text")
        span.end(3)

    limits = SpanLimits(
        max_span_attributes=2,
        max_events=1,
        max_links=1,
        max_event_attributes=2,
        max_link_attributes=1,
        max_attribute_length=3,
    )
    span = sent_alike(program, span_limits=limits)["x"]
    assert (span.dropped_attributes_count, span.dropped_events_count) == (2, 2)
    assert (span.events[0].dropped_attributes_count, span.dropped_links_count) == (1, 1)
    assert [pair.key for pair in span.attributes] == ["c", "d"]


def test_a_span_that_is_recorded_but_not_sampled_is_not_sent():
    class RecordOnly(Sampler):
        def should_sample(self, *given, **options):
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self):
            return "RecordOnly"

    def program(provider):
        provider.get_tracer("library").start_span("x", start_time=1).end(2)

    assert sent_alike(program, sampler=RecordOnly()) == {}


def test_what_a_processor_replaces_on_end_is_sent():
    class Redactor(SpanProcessor):
        def on_end(self, span):
            span._name = "redacted"
            span._attributes = {"password": "***", "kept": span._attributes["kept"]}
            span._status = Status(StatusCode.ERROR, "changed")
            span._events = ()

    def program(provider):
        provider.add_span_processor(Redactor())
        attributes = {"password": "secret", "kept": [1, None]}
        span = provider.get_tracer("library").start_span("x", attributes=attributes, start_time=1)
        span.add_event("e")
        span.end(2)

    assert sent_alike(program).keys() == {"redacted"}


def test_what_a_processor_changes_in_place_on_end_is_sent():
    """The SDK's attributes cannot be changed there any more; redactors still try."""

    class Redactor(SpanProcessor):
        def on_end(self, span):
            span._attributes["password"] = "***"
            del span._attributes["token"]

    def program(provider):
        provider.add_span_processor(Redactor())
        attributes = {"password": "secret", "token": "secret", "kept": 1}
        provider.get_tracer("library").start_span("x", attributes=attributes).end()
        provider.force_flush()

    with pytest.raises(TypeError):
        run(TracerProvider, program)
    exporter = MemoryExporter()
    run(otel.TracerProvider, program, exporter=exporter)
    (span,) = exporter.spans()
    assert span.attributes == {"password": "***", "kept": 1}
