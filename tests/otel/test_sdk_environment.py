"""The environment variables that opentelemetry-sdk reads act on nanospan's face as on the SDK's."""

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext

from support.otel.same import REMOTE, run, same, tracer_of, under

otel = pytest.importorskip("nanospan.otel")


def test_the_default_resource_names_nanospan():
    """OpenTelemetry asks an SDK of another maker to give its own name."""

    def program(provider):
        attributes = provider.resource.attributes
        return {key: attributes[key] for key in ("telemetry.sdk.name", "telemetry.sdk.language")}

    answer = run(otel.TracerProvider, program, resource=None)
    assert answer == {"telemetry.sdk.name": "nanospan", "telemetry.sdk.language": "python"}


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
