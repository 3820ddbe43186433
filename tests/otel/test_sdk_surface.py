"""All that a provider, a tracer and a span have to offer to pass for those of opentelemetry-sdk.

What instrumentations, processors, exporters and tests were seen to use; rules are tested in
`test_sdk_contract`.
"""

import asyncio
import inspect
import json
from unittest.mock import Mock

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    _TracerConfig,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind

from support.otel.same import REMOTE, SHOP, exporter_of, run, same, tracer_of, under
from support.process import checked_python

otel = pytest.importorskip("nanospan.otel")

# The provider.


def test_a_provider_shows_what_it_was_made_of():
    limits, sampler = SpanLimits(max_events=3), ALWAYS_OFF

    def program(provider):
        return [
            provider.resource is SHOP,
            provider.sampler is sampler,
            provider._span_limits is limits,
            provider._disabled,
            provider._atexit_handler,
            provider.id_generator.is_trace_id_random(),
            provider._active_span_processor._span_processors,
        ]

    expected = [True, True, True, False, None, True, ()]
    assert same(program, span_limits=limits, sampler=sampler) == expected


def test_a_provider_takes_its_arguments_in_the_sdks_order():
    given = inspect.signature(otel.TracerProvider).parameters.values()
    names = [each.name for each in given if each.kind is each.POSITIONAL_OR_KEYWORD]
    expected = ["sampler", "resource", "shutdown_on_exit", "active_span_processor"]
    assert names == [*expected, "id_generator", "span_limits"]


def test_tracers_are_one_for_each_scope():
    scopes = [
        {"instrumenting_module_name": "a"},
        {"instrumenting_module_name": "a", "instrumenting_library_version": ""},
        {"instrumenting_module_name": "a", "instrumenting_library_version": "1"},
        {"instrumenting_module_name": "a", "schema_url": "https://example.org"},
        {"instrumenting_module_name": "a", "attributes": {}},
        {"instrumenting_module_name": "a", "attributes": {"k": [1]}},
        {"instrumenting_module_name": "a", "attributes": {"k": (1,)}},
        {"instrumenting_module_name": "b"},
    ]

    def program(provider):
        tracers = [provider.get_tracer(**scope) for scope in scopes]
        return [tracers.index(tracer) for tracer in tracers]

    assert same(program) == [0, 0, 2, 3, 0, 5, 5, 7]


def test_the_scope_of_a_span_is_that_of_its_tracer():
    def program(provider):
        url, attributes = "https://example.org", {"k": 1}
        tracer = provider.get_tracer("library", None, url, attributes)
        scope = tracer.start_span("x").instrumentation_scope
        return scope.name, scope.version, scope.schema_url, dict(scope.attributes)

    assert same(program) == ("library", "", "https://example.org", {"k": 1})


def test_a_tracer_without_a_name_is_logged_as_an_error(caplog):
    def program(provider):
        caplog.clear()
        name = provider.get_tracer("").start_span("x").instrumentation_scope.name
        return name, [record.levelname for record in caplog.records]

    assert same(program) == ("", ["ERROR"])


def test_shutdown_and_force_flush_go_to_each_processor():
    def program(provider):
        calls = []

        class Noting(SpanProcessor):
            def shutdown(self):
                calls.append("shutdown")

            def force_flush(self, timeout_millis=0):
                calls.append(0 < timeout_millis <= 500)
                return len(calls) < 3

        provider.add_span_processor(Noting())
        provider.add_span_processor(Noting())
        first, second = provider.force_flush(500), provider.force_flush(timeout_millis=500)
        provider.shutdown()
        return first, second, calls

    assert same(program) == (True, False, [True] * 4 + ["shutdown"] * 2)


def test_a_provider_is_shut_down_when_the_program_ends_unless_told_otherwise():
    program = """
        from opentelemetry.sdk.trace import SpanProcessor
        from nanospan.otel import TracerProvider

        class Noting(SpanProcessor):
            def __init__(self, name):
                self.name = name

            def shutdown(self):
                print(self.name)

        for name, at_exit in (("asked", True), ("not asked", False), ("done before", True)):
            provider = TracerProvider(shutdown_on_exit=at_exit)
            provider.add_span_processor(Noting(name))
        provider.shutdown()
    """
    assert checked_python(program).split("\n") == ["done before", "asked", ""]


def test_a_new_resource_is_merged_and_reaches_tracers_made_before():
    def program(provider):
        tracer = tracer_of(provider)
        before = tracer.start_span("before")
        provider._update_resource(Resource({"more": 1}))
        after = tracer.start_span("after")
        resources = (before.resource, after.resource, tracer.resource, provider.resource)
        return [dict(resource.attributes) for resource in resources]

    merged = {"service.name": "shop", "more": 1}
    assert same(program) == [{"service.name": "shop"}, merged, merged, merged]


def test_tracers_can_be_switched_off_by_scope():
    def program(provider):
        tracer = tracer_of(provider)
        provider._set_tracer_configurator(
            tracer_configurator=lambda scope: _TracerConfig(scope.name != "library")
        )
        span = tracer.start_span("x", context=under(REMOTE))
        return (
            span.get_span_context() == REMOTE,
            span.is_recording(),
            tracer.start_span("root", context=Context()).get_span_context().is_valid,
            provider.get_tracer("other").start_span("x").is_recording(),
        )

    assert same(program) == (True, False, False, True)


# What a provider is given.


@pytest.mark.parametrize("kind", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
def test_a_multi_processor_of_the_sdk_can_be_given(kind):
    def program(provider):
        exporter = exporter_of(provider)
        tracer_of(provider).start_span("x").end()
        return [span.name for span in exporter.get_finished_spans()]

    assert run(otel.TracerProvider, program, active_span_processor=kind()) == ["x"]


def test_a_processor_gets_the_span_and_the_context_as_given():
    def program(provider):
        processor = Mock(spec=SpanProcessor)
        provider.add_span_processor(processor)
        tracer, context = tracer_of(provider), Context({"a": 1})
        with tracer.start_as_current_span("first") as first:
            second = tracer.start_span("second", context=context)
        starts = processor.on_start.call_args_list
        (ended,) = processor.on_end.call_args.args
        return [
            starts[0].args[0] is first,
            starts[0].kwargs == {"parent_context": None},
            starts[1].args[0] is second,
            starts[1].kwargs["parent_context"] is context,
            processor._on_ending.call_args.args[0] is first,
            isinstance(ended, ReadableSpan),
            ended.name,
        ]

    assert same(program) == [True] * 6 + ["first"]


def test_a_processor_added_later_gets_the_end_of_spans_already_started():
    def program(provider):
        span = tracer_of(provider).start_span("x")
        exporter = exporter_of(provider)
        span.end()
        return [span.name for span in exporter.get_finished_spans()]

    assert same(program) == ["x"]


def test_the_processors_can_be_replaced_from_outside():
    def program(provider):
        first, second = exporter_of(provider), exporter_of(provider)
        processors = provider._active_span_processor
        processors._span_processors = tuple(reversed(processors._span_processors))[:1]
        tracer_of(provider).start_span("x").end()
        return [len(exporter.get_finished_spans()) for exporter in (first, second)]

    assert same(program) == [0, 1]


def test_the_sdks_batch_processor_works():
    def program(provider):
        exporter = InMemorySpanExporter()
        provider.add_span_processor(BatchSpanProcessor(exporter))
        for number in range(3):
            tracer_of(provider).start_span(f"{number}").end()
        flushed = provider.force_flush()
        names = [span.name for span in exporter.get_finished_spans()]
        provider.shutdown()
        return flushed, names

    assert same(program) == (True, ["0", "1", "2"])


def test_a_sampler_is_asked_with_what_the_caller_gave():
    def program(provider):
        provider.sampler.asked.clear()
        context, link = Context({"a": 1}), Link(REMOTE)
        attributes = {"given": 1}
        span = tracer_of(provider).start_span(
            "x", context=context, kind=SpanKind.CLIENT, attributes=attributes, links=[link]
        )
        (asked,) = provider.sampler.asked
        return [
            asked[0] is context,
            asked[1] == span.get_span_context().trace_id,
            asked[2:4] == ("x", SpanKind.CLIENT),
            asked[4] is attributes,
            asked[5][0] is link,
            dict(span.attributes),
            span.get_span_context().trace_state.to_header(),
            tracer_of(provider).start_span("not sampled").is_recording(),
        ]

    class Asked(Sampler):
        asked = []  # noqa: RUF012

        def should_sample(self, *given):
            self.asked.append(given)
            decision = Decision.DROP if given[2] == "not sampled" else Decision.RECORD_AND_SAMPLE
            state = trace.TraceState([("sampler", "1")])
            return SamplingResult(decision, {"from the sampler": True}, state)

        def get_description(self):
            return "Asked"

    expected = [True] * 5 + [{"from the sampler": True}, "sampler=1", False]
    assert same(program, sampler=Asked()) == expected


def test_an_id_generator_makes_the_ids():
    class Ids(IdGenerator):
        def generate_trace_id(self):
            return 11

        def generate_span_id(self):
            return 12

    def program(provider):
        context = tracer_of(provider).start_span("x").get_span_context()
        return context.trace_id, context.span_id, int(context.trace_flags)

    assert same(program, id_generator=Ids()) == (11, 12, 1)


# The tracer.


def test_a_block_makes_its_span_current_and_gives_back_what_was():
    def program(provider):
        before = trace.get_current_span()
        with tracer_of(provider).start_as_current_span("x") as span:
            inside = trace.get_current_span() is span
        return inside, trace.get_current_span() is before, span.is_recording()

    assert same(program) == (True, True, False)


def test_a_block_can_leave_its_span_open():
    def program(provider):
        with tracer_of(provider).start_as_current_span("x", end_on_exit=False) as span:
            pass
        return span.is_recording()

    assert same(program) is True


def test_a_block_decorates_functions_and_starts_a_span_for_each_call():
    def program(provider):
        exporter = exporter_of(provider)

        @tracer_of(provider).start_as_current_span("x", attributes={"a": 1})
        def double(number):
            """Twice the number."""
            return 2 * number, trace.get_current_span().name

        answers = (double(2), double(number=3), double.__name__, double.__doc__)
        return answers, [dict(span.attributes) for span in exporter.get_finished_spans()]

    answers = ((4, "x"), (6, "x"), "double", "Twice the number.")
    assert same(program) == (answers, [{"a": 1}, {"a": 1}])


def test_a_block_decorates_coroutines_and_lasts_as_long_as_they_do():
    def program(provider):
        exporter = exporter_of(provider)

        @tracer_of(provider).start_as_current_span("x")
        async def wait(number):
            await asyncio.sleep(0)
            return trace.get_current_span().name, len(exporter.get_finished_spans()) == number

        async def wait_twice():
            return await wait(0), await wait(1)

        both = asyncio.run(wait_twice())
        return inspect.iscoroutinefunction(wait), both, len(exporter.get_finished_spans())

    assert same(program) == (True, (("x", True), ("x", True)), 2)


def test_nothing_starts_before_a_block_is_entered():
    def program(provider):
        exporter = exporter_of(provider)
        tracer_of(provider).start_as_current_span("never entered")
        with pytest.raises(TypeError):
            tracer_of(provider).start_as_current_span("x", no_such_argument=1)
        return len(exporter.get_finished_spans())

    assert same(program) == 0


def test_a_tracer_shows_its_resource():
    assert same(lambda provider: tracer_of(provider).resource is SHOP) is True


# The span.


def test_an_open_span_can_be_read():
    def program(provider):
        span = tracer_of(provider).start_span(
            "x", kind=SpanKind.SERVER, attributes={"a": [1]}, links=[Link(REMOTE)], start_time=1
        )
        span.add_event("e", {"b": 1}, timestamp=2)
        (event,) = span.events
        return {
            "name": span.name,
            "kind": span.kind,
            "attributes": (dict(span.attributes), span.attributes.get("missing")),
            "event": (event.name, event.timestamp, dict(event.attributes)),
            "links": len(span.links),
            "times": (span.start_time, span.end_time),
            "status": (span.status.status_code, span.status.is_ok, span.status.is_unset),
            "parent": span.parent,
            "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
            "context": span.context is span.get_span_context(),
            "recording": span.is_recording(),
        }

    assert same(program)["attributes"] == ({"a": (1,)}, None)


def test_what_a_span_shows_cannot_be_changed_through_it():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": 1}, links=[Link(REMOTE)])
        span.add_event("e", {"b": 1})
        refused = []
        for mapping in (span.attributes, span.events[0].attributes, span.links[0].attributes):
            with pytest.raises(TypeError):
                mapping["c"] = 1
            refused.append(dict(mapping))
        return refused, type(span.events), type(span.links)

    assert same(program)[0] == [{"a": 1}, {"b": 1}, {}]


def test_a_span_can_still_be_read_after_its_end():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": 1}, start_time=1)
        span.add_event("e", {"b": 1}, timestamp=2)
        span.add_link(REMOTE, {"c": 1})
        span.end(3)
        return (
            (span.name, dict(span.attributes), span.start_time, span.end_time),
            [(event.name, dict(event.attributes)) for event in span.events],
            [(int(link.context.trace_id), dict(link.attributes)) for link in span.links],
        )

    expected = (("x", {"a": 1}, 1, 3), [("e", {"b": 1})], [(7, {"c": 1})])
    assert same(program) == expected


def test_an_ended_span_prints_itself_as_json():
    def program(provider):
        exporter = exporter_of(provider)
        attributes = {"a": [1, None], "b": {"c": 0.5}}
        tracer = tracer_of(provider)
        links = [Link(REMOTE, {"d": 1})]
        span = tracer.start_span("x", under(REMOTE), SpanKind.CLIENT, attributes, links, 10**9)
        span.add_event("e", timestamp=2 * 10**9)
        span.set_status(trace.StatusCode.ERROR, "why")
        span.end(3 * 10**9)
        (ended,) = exporter.get_finished_spans()
        return ended.to_json(), ended.to_json(indent=None)

    indented, plain = same(program)
    assert json.loads(indented) == json.loads(plain)
    assert json.loads(plain)["start_time"] == "1970-01-01T00:00:01.000000Z"


def test_the_span_of_on_start_can_be_made_readable():
    """Several exporters that show spans at their start do that."""

    def program(provider):
        names = []

        class Early(SpanProcessor):
            def on_start(self, span, parent_context=None):
                readable = span._readable_span()
                names.append((readable.name, isinstance(readable, ReadableSpan), span is readable))

        provider.add_span_processor(Early())
        tracer_of(provider).start_span("x")
        return names

    assert same(program) == [("x", True, False)]


def test_what_one_processor_replaces_is_what_the_next_one_gets():
    def program(provider):
        class Redactor(SpanProcessor):
            def on_end(self, span):
                span._name = "redacted"
                span._attributes = {**span._attributes, "password": "***"}
                span._events, span._links, span._kind = (), [], SpanKind.SERVER
                span._status = trace.Status(trace.StatusCode.ERROR, "changed")
                span._start_time, span._end_time, span._parent = 1, 2, None

        provider.add_span_processor(Redactor())
        exporter = exporter_of(provider)
        span = tracer_of(provider).start_span("x", attributes={"password": "1", "a": 1})
        span.add_event("e")
        span.end()
        (ended,) = exporter.get_finished_spans()
        return (ended.to_json(indent=None), dict(span.attributes), span.name)

    _, attributes, name = same(program)
    assert (attributes, name) == ({"password": "1", "a": 1}, "x")
