"""What programs rely on in opentelemetry-sdk, rule by rule: nanospan's face does the same.

`same` runs a little program with both, and gives the answer once it is one.
"""

import asyncio
import contextvars

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from support.otel.same import SHOP, exporter_of, run, same

otel = pytest.importorskip("nanospan.otel")

REMOTE = SpanContext(7, 9, True, TraceFlags(1), TraceState([("vendor", "1")]))


def tracer_of(provider):
    return provider.get_tracer("library", "1.2")


def under(span_context):
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())


# What things are.


def test_a_span_passes_for_the_apis_and_the_sdks_classes():
    def program(provider):
        span = tracer_of(provider).start_span("x")
        classes = (trace.Span, sdk.ReadableSpan, sdk.Span, NonRecordingSpan)
        return [isinstance(span, each) for each in classes]

    assert same(program) == [True, True, True, False]


def test_a_provider_and_its_tracers_pass_for_the_apis_and_the_sdks_classes():
    def program(provider):
        return [
            isinstance(provider, trace.TracerProvider),
            isinstance(provider, TracerProvider),
            isinstance(tracer_of(provider), trace.Tracer),
        ]

    assert same(program) == [True] * 3


def test_what_on_end_is_given_passes_for_a_readable_span_and_is_not_the_span():
    def program(provider):
        exporter = exporter_of(provider)
        span = tracer_of(provider).start_span("x")
        span.end()
        (ended,) = exporter.get_finished_spans()
        return isinstance(ended, sdk.ReadableSpan), isinstance(ended, trace.Span), ended is span

    assert same(program) == (True, False, False)


def test_the_context_of_a_span_is_the_apis_span_context():
    def program(provider):
        context = tracer_of(provider).start_span("x").get_span_context()
        types = (type(context), type(context.trace_flags), type(context.trace_state))
        return [each.__name__ for each in types], tuple(context[:3]), context.is_valid

    names, _, _ = same(program)
    assert names == ["SpanContext", "TraceFlags", "TraceState"]


def test_a_parent_that_has_no_span_context_raises():
    def program(provider):
        with pytest.raises(TypeError):
            tracer_of(provider).start_span("x", context=under("no span context"))

    same(program)


def test_the_current_span_is_the_very_span():
    def program(provider):
        tracer = tracer_of(provider)
        with tracer.start_as_current_span("outer") as outer:
            with trace.use_span(tracer.start_span("inner")) as inner:
                seen = trace.get_current_span() is inner
            return seen, trace.get_current_span() is outer

    assert same(program) == (True, True)


def test_parents_resources_scopes_and_contexts_are_the_same_objects_each_time():
    def program(provider):
        exporter = exporter_of(provider)
        tracer = tracer_of(provider)
        with tracer.start_as_current_span("root") as root:
            child = tracer.start_span("child")
        child.end()
        ended, ended_root = exporter.get_finished_spans()[::-1]
        return [
            child.parent is root.get_span_context(),
            child.parent is root.context,
            child.resource is root.resource is provider.resource is SHOP,
            child.instrumentation_scope is root.instrumentation_scope,
            ended.context is child.context,
            ended.parent is ended_root.context,
            ended.resource is SHOP,
        ]

    assert same(program) == [True] * 7


def test_a_remote_parent_is_the_very_context_that_was_given():
    def program(provider):
        span = tracer_of(provider).start_span("x", context=under(REMOTE))
        state = span.get_span_context().trace_state
        return span.parent is REMOTE, state is REMOTE.trace_state, span.context.is_remote

    assert same(program) == (True, True, False)


# After the end.

WRITES = {
    "set_attribute": lambda span: span.set_attribute("late", 1),
    "set_attributes": lambda span: span.set_attributes({"late": 1}),
    "add_event": lambda span: span.add_event("late"),
    "add_link": lambda span: span.add_link(REMOTE),
    "update_name": lambda span: span.update_name("late"),
    "set_status": lambda span: span.set_status(StatusCode.ERROR),
    "record_exception": lambda span: span.record_exception(ValueError("late")),
    "end": lambda span: span.end(99),
}


@pytest.mark.parametrize("write", WRITES)
def test_an_ended_span_warns_and_stays_as_it_is_on(write, caplog):
    def program(provider):
        exporter = exporter_of(provider)
        span = tracer_of(provider).start_span("x", attributes={"a": 1}, start_time=1)
        span.add_event("e", timestamp=2)
        span.end(3)
        before = span.to_json()
        caplog.clear()
        WRITES[write](span)
        levels = [record.levelname for record in caplog.records]
        return levels, span.to_json() == before, len(exporter.get_finished_spans())

    assert same(program) == (["WARNING"], True, 1)


def test_a_link_that_would_be_skipped_anyway_is_not_warned_of_after_the_end(caplog):
    def program(provider):
        span = tracer_of(provider).start_span("x")
        span.end()
        caplog.clear()
        span.add_link(INVALID_SPAN_CONTEXT)
        return [record.levelname for record in caplog.records]

    assert same(program) == []


# Exceptions.


def recorded(span):
    """Type, message and escape of each exception on a span, and its status."""
    keys = ("exception.type", "exception.message", "exception.escaped")
    events = [tuple(event.attributes[key] for key in keys) for event in span.events]
    return events, span.status.status_code.name, span.status.description


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt("stop"), GeneratorExit()])
def test_a_block_of_the_span_itself_records_all_that_leaves_it(error):
    def program(provider):
        span = tracer_of(provider).start_span("x")
        with pytest.raises(type(error)):
            with span:
                raise error
        return recorded(span)

    name = type(error).__name__
    expected = ([(name, str(error), "True")], "ERROR", f"{name}: {error}")
    assert same(program) == expected


@pytest.mark.parametrize("kind", ["start_as_current_span", "use_span"])
def test_a_block_that_makes_it_current_records_exceptions(kind):
    def program(provider):
        with pytest.raises(KeyError):
            with block(provider, kind) as span:
                raise KeyError("k")
        return recorded(span), span.is_recording()

    assert same(program) == (([("KeyError", "'k'", "False")], "ERROR", "KeyError: 'k'"), False)


@pytest.mark.parametrize(
    "error", [GeneratorExit(), KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()]
)
@pytest.mark.parametrize("kind", ["start_as_current_span", "use_span"])
def test_a_block_that_makes_it_current_only_ends_on_what_is_no_exception(kind, error):
    def program(provider):
        with pytest.raises(type(error)):
            with block(provider, kind) as span:
                raise error
        return recorded(span), span.is_recording()

    assert same(program) == (([], "UNSET", None), False)


def block(provider, kind):
    tracer = tracer_of(provider)
    if kind == "use_span":
        return trace.use_span(tracer.start_span("x"), end_on_exit=True)
    return tracer.start_as_current_span("x")


@pytest.mark.parametrize("error", [StopIteration(1), StopAsyncIteration(2)], ids=repr)
def test_the_end_of_an_iteration_leaves_a_block_as_the_same_object(error):
    def program(provider):
        try:
            with tracer_of(provider).start_as_current_span("x") as span:
                raise error
        except (StopIteration, StopAsyncIteration) as out:
            return out is error, recorded(span)

    is_the_same, (events, _, _) = same(program)
    assert is_the_same
    assert len(events) == 1


@pytest.mark.parametrize("kind", ["start_as_current_span", "use_span", "start_span"])
def test_a_status_that_is_ok_stays_when_an_exception_leaves(kind):
    def program(provider):
        with pytest.raises(ValueError, match="boom"):
            with (
                tracer_of(provider).start_span("x")
                if kind == "start_span"
                else block(provider, kind) as span
            ):
                span.set_status(StatusCode.OK)
                raise ValueError("boom")
        return recorded(span)[1:]

    assert same(program) == ("OK", None)


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("status", [True, False])
@pytest.mark.parametrize("method", ["start_span", "start_as_current_span"])
def test_what_is_recorded_of_an_exception_can_be_chosen(method, recording, status):
    def program(provider):
        start = getattr(tracer_of(provider), method)
        with pytest.raises(ValueError, match="boom"):
            with start("x", record_exception=recording, set_status_on_exception=status) as span:
                raise ValueError("boom")
        return len(span.events), span.status.status_code.name

    assert same(program) == (int(recording), "ERROR" if status else "UNSET")


def test_an_exception_event_holds_the_type_with_its_module_and_the_stack():
    def program(provider):
        span = tracer_of(provider).start_span("x")
        try:
            raise asyncio.InvalidStateError("boom")
        except asyncio.InvalidStateError as error:
            span.record_exception(error, {"more": 1, "exception.message": "mine"}, timestamp=5)
        (event,) = span.events
        return event.name, event.timestamp, dict(event.attributes)

    name, time, attributes = same(program)
    stack = attributes.pop("exception.stacktrace")
    assert "in program\n    raise asyncio.InvalidStateError" in stack
    assert (name, time) == ("exception", 5)
    assert list(attributes.items()) == [
        ("exception.type", "asyncio.exceptions.InvalidStateError"),
        ("exception.message", "mine"),
        ("exception.escaped", "False"),
        ("more", 1),
    ]


# Limits and keys.


def test_at_the_limit_the_oldest_attribute_is_dropped():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": 1, "b": 2})
        span.set_attribute("c", 3)
        return list(span.attributes.items()), span.dropped_attributes

    limits = SpanLimits(max_span_attributes=2)
    assert same(program, span_limits=limits) == ([("b", 2), ("c", 3)], 1)


def test_an_attribute_that_is_set_again_moves_last():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": 1, "b": 2})
        span.set_attribute("a", 3)
        return list(span.attributes.items()), span.dropped_attributes

    limits = SpanLimits(max_span_attributes=2)
    assert same(program, span_limits=limits) == ([("b", 2), ("a", 3)], 0)


def test_text_is_truncated_by_characters_and_bytes_are_not():
    def program(provider):
        span = tracer_of(provider).start_span("x")
        span.set_attributes({"text": "äöüß", "list": ["abc"], "bytes": b"abcd", "longer key": 1})
        return dict(span.attributes)

    limits = SpanLimits(max_attribute_length=2)
    expected = {"text": "äö", "list": ("ab",), "bytes": b"abcd", "longer key": 1}
    assert same(program, span_limits=limits) == expected


@pytest.mark.parametrize("key", ["", None, 1, b"k", ()], ids=repr)
def test_set_attribute_drops_and_counts_a_key_that_is_no_text(key, caplog):
    def program(provider):
        caplog.clear()
        span = tracer_of(provider).start_span("x")
        span.set_attribute(key, 1)
        levels = [record.levelname for record in caplog.records]
        return dict(span.attributes), span.dropped_attributes, levels

    assert same(program) == ({}, 1, ["WARNING"])


def test_set_attributes_makes_text_of_keys_and_drops_and_counts_the_empty_ones():
    def program(provider):
        span = tracer_of(provider).start_span("x")
        span.set_attributes({1: "int", b"k": "bytes", "": "empty", None: "none", 0: "zero"})
        return dict(span.attributes), span.dropped_attributes

    assert same(program) == ({"1": "int", "b'k'": "bytes"}, 3)


def test_none_is_a_value():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": None, "b": [None, 1]})
        return dict(span.attributes)

    assert same(program) == {"a": None, "b": (None, 1)}


def test_events_and_links_have_limits_and_drop_the_oldest():
    def program(provider):
        span = tracer_of(provider).start_span("x", links=[Link(REMOTE, {"a": 1}), Link(REMOTE)])
        span.add_link(REMOTE, {"b": 1})
        for name in "abc":
            span.add_event(name, {"x": 1, "y": 2}, timestamp=1)
        events = [(event.name, dict(event.attributes)) for event in span.events]
        links = [dict(link.attributes) for link in span.links]
        dropped = [event.dropped_attributes for event in span.events]
        return events, links, dropped, span.dropped_events, span.dropped_links

    limits = SpanLimits(max_events=2, max_links=1, max_event_attributes=1)
    expected = ([("b", {"y": 2}), ("c", {"y": 2})], [{"b": 1}], [1, 1], 1, 2)
    assert same(program, span_limits=limits) == expected


# Links.


def test_a_link_to_nowhere_is_kept_if_it_has_attributes_or_a_trace_state():
    with_state = SpanContext(0, 0, False, trace_state=TraceState([("a", "1")]))

    def program(provider):
        links = [
            None,
            Link(INVALID_SPAN_CONTEXT),
            Link(INVALID_SPAN_CONTEXT, {"a": 1}),
            Link(with_state),
        ]
        span = tracer_of(provider).start_span("x", links=links)
        span.add_link(INVALID_SPAN_CONTEXT)
        span.add_link(with_state, {"b": 2})
        kept = [
            (link.context.trace_state.to_header(), dict(link.attributes)) for link in span.links
        ]
        return kept, span.dropped_links

    assert same(program) == ([("", {"a": 1}), ("a=1", {}), ("a=1", {"b": 2})], 0)


def test_a_link_is_the_apis_link():
    def program(provider):
        span = tracer_of(provider).start_span("x", links=[Link(REMOTE, {"a": 1})])
        (link,) = span.links
        return type(link) is Link, link.context == REMOTE, link.dropped_attributes

    assert same(program) == (True, True, 0)


# Ids, flags and the decision.


@pytest.mark.parametrize(
    "context", [INVALID_SPAN_CONTEXT, SpanContext(1, 0, True), SpanContext(2**128, 1, True)]
)
def test_a_parent_that_is_invalid_is_none(context):
    def program(provider):
        span = tracer_of(provider).start_span("x", context=under(context))
        return span.parent is None, span.context.trace_id == context.trace_id

    assert same(program) == (True, False)


def test_an_empty_context_is_a_root_even_inside_a_block():
    def program(provider):
        tracer = tracer_of(provider)
        with tracer.start_as_current_span("outer"):
            return tracer.start_span("inner", context=Context()).parent

    assert same(program) is None


@pytest.mark.parametrize("flags", [0x00, 0x01, 0x02, 0xFF], ids=hex)
def test_the_random_bit_is_the_parents_and_no_other_bit_is_handed_on(flags):
    parent = SpanContext(1, 2, True, TraceFlags(flags))

    def program(provider):
        span = tracer_of(provider).start_span("x", context=under(parent))
        return int(span.get_span_context().trace_flags)

    assert same(program, sampler=ALWAYS_ON) == 1 | (flags & 2)


@pytest.mark.parametrize("random", [True, False])
def test_the_random_bit_of_a_root_is_the_generators(random):
    def program(provider):
        provider.id_generator.is_trace_id_random = lambda: random
        return int(tracer_of(provider).start_span("x").get_span_context().trace_flags)

    assert same(program) == (3 if random else 1)


def test_a_span_that_is_not_sampled_has_its_parents_trace_and_an_id_of_its_own():
    def program(provider):
        span = tracer_of(provider).start_span("x", context=under(REMOTE))
        context = span.get_span_context()
        kept = (context.trace_id, int(context.trace_flags), context.trace_state.to_header())
        return isinstance(span, NonRecordingSpan), kept, context.span_id

    assert same(program, sampler=ALWAYS_OFF) == (True, (7, 0, "vendor=1"), 1)


# The resource.


def test_the_default_resource_names_nanospan():
    """OpenTelemetry asks an SDK of another maker to give its own name."""

    def program(provider):
        attributes = provider.resource.attributes
        return {key: attributes[key] for key in ("telemetry.sdk.name", "telemetry.sdk.language")}

    answer = run(otel.TracerProvider, program, resource=None)
    assert answer == {"telemetry.sdk.name": "nanospan", "telemetry.sdk.language": "python"}


# The environment.


def decisions(provider):
    """Which of a few traces are recorded, and how roots of one side do."""
    tracer = tracer_of(provider)
    roots = [tracer.start_span("x", context=Context()).is_recording() for _ in range(20)]
    sampled = tracer.start_span("x", context=under(REMOTE)).is_recording()
    unsampled = tracer.start_span("x", context=under(SpanContext(7, 9, True))).is_recording()
    return roots, sampled, unsampled


@pytest.mark.parametrize("argument", [None, "0.25", "many"])
@pytest.mark.parametrize(
    "name",
    [
        "always_on",
        "always_off",
        "parentbased_always_on",
        "parentbased_always_off",
        "traceidratio",
        "parentbased_traceidratio",
        "ALWAYS_OFF",
        "no_such_sampler",
    ],
)
def test_the_sampler_is_the_environments(name, argument, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    if argument:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    same(decisions)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "1"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", ""),
    ],
)
def test_a_limit_is_the_environments(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    two = {"a": "text", "b": "text"}
    counts = {f"{number}": number for number in range(200)}

    def program(provider):
        span = tracer_of(provider).start_span("x", attributes=two)
        span.add_event("first", two, timestamp=1)
        span.add_event("second", two, timestamp=1)
        span.add_link(REMOTE, two)
        span.add_link(REMOTE, two)
        full = tracer_of(provider).start_span("full", attributes=counts)
        return (
            dict(span.attributes),
            [(event.name, dict(event.attributes)) for event in span.events],
            [dict(link.attributes) for link in span.links],
            (span.dropped_attributes, span.dropped_events, span.dropped_links),
            len(full.attributes),
        )

    attributes, events, links, dropped, most = same(program)
    unlimited = (two, [("first", two), ("second", two)], [two, two], (0, 0, 0), 128)
    assert (attributes, events, links, dropped, most) != unlimited


def test_a_limit_of_the_environment_that_is_no_number_raises(monkeypatch):
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "many")
    for provider_class in (TracerProvider, otel.TracerProvider):
        with pytest.raises(ValueError, match="OTEL_SPAN_EVENT_COUNT_LIMIT"):
            provider_class(shutdown_on_exit=False)


def test_a_disabled_sdk_hands_out_tracers_that_do_nothing(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", " True ")

    def program(provider):
        tracer = tracer_of(provider)
        with tracer.start_as_current_span("x") as span:
            return type(tracer).__name__, span.is_recording(), span.get_span_context().is_valid

    assert same(program) == ("NoOpTracer", False, False)


def test_the_resource_is_the_environments(monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "a=1,b=two%20words")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from the environment")

    def program(provider):
        attributes = provider.resource.attributes
        return [attributes[key] for key in ("a", "b", "service.name")]

    assert same(program, resource=None) == ["1", "two words", "from the environment"]


# What is there while a span's processors are called.


def test_a_span_is_not_yet_current_when_it_starts_and_no_more_when_it_ends():
    def program(provider):
        current = []

        class Looking(SpanProcessor):
            def on_start(self, span, parent_context=None):
                current.append(getattr(trace.get_current_span(), "name", None))

            def _on_ending(self, span):
                current.append((getattr(trace.get_current_span(), "name", None), span.end_time))

            def on_end(self, span):
                current.append(getattr(trace.get_current_span(), "name", None))

        tracer = tracer_of(provider)
        with tracer.start_as_current_span("outer"):
            provider.add_span_processor(Looking())
            with trace.use_span(tracer.start_span("x"), end_on_exit=False) as span:
                pass
            span.end(5)
            with tracer.start_as_current_span("inner"):
                pass
            return current[:3], current[3], current[-1]

    assert same(program) == (["outer", ("outer", 5), "outer"], "outer", "outer")


def test_an_ending_span_takes_no_more(caplog):
    def program(provider):
        class Late(SpanProcessor):
            def _on_ending(self, span):
                span.set_attribute("late", 1)

        provider.add_span_processor(Late())
        exporter = exporter_of(provider)
        caplog.clear()
        tracer_of(provider).start_span("x").end()
        (ended,) = exporter.get_finished_spans()
        return dict(ended.attributes), [record.levelname for record in caplog.records]

    assert same(program) == ({}, ["WARNING"])


def test_a_block_that_is_left_in_another_context_ends_its_span():
    def program(provider):
        entered = tracer_of(provider).start_as_current_span("x")
        span = entered.__enter__()
        contextvars.copy_context().run(entered.__exit__, None, None, None)
        return span.is_recording()

    assert same(program) is False


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(StatusCode.ERROR, "why")], ("ERROR", "why")),
        ([(Status(StatusCode.ERROR, "why"),)], ("ERROR", "why")),
        ([(StatusCode.OK,), (StatusCode.ERROR, "why")], ("OK", None)),
        ([(StatusCode.ERROR, "why"), (StatusCode.OK,)], ("OK", None)),
        ([(StatusCode.ERROR, "why"), (StatusCode.UNSET,)], ("ERROR", "why")),
        ([(StatusCode.ERROR, "why"), (StatusCode.ERROR, "other")], ("ERROR", "other")),
        ([(StatusCode.OK, "why")], ("OK", None)),
        ([(Status(StatusCode.ERROR, "why"), "ignored")], ("ERROR", "why")),
    ],
)
def test_a_status_is_set_by_the_sdks_rules(given, expected):
    def program(provider):
        span = tracer_of(provider).start_span("x")
        for arguments in given:
            span.set_status(*arguments)
        return span.status.status_code.name, span.status.description

    assert same(program) == expected
