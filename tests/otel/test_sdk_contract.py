"""What programs rely on in opentelemetry-sdk, rule by rule: nanospan's face does the same.

`same` runs a little program with both, and gives the answer once it is one.
"""

import asyncio
import contextvars

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
)

from support.otel.same import REMOTE, SHOP, exporter_of, same, tracer_of, under

otel = pytest.importorskip("nanospan.otel")

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
