"""What the `OTEL_*` environment variables set, and what happens where they cannot be used."""

import logging
import os
from unittest import mock
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace as api
from opentelemetry.sdk.resources import OTELResourceDetector
from opentelemetry.sdk.trace import SpanLimits as SdkSpanLimits
from opentelemetry.sdk.trace import sampling as sdk_sampling

import nanospan
from nanospan import (
    AlwaysOff,
    AlwaysOn,
    MemoryExporter,
    ParentBased,
    QueueConfig,
    SpanContext,
    SpanLimits,
    TraceIdRatio,
    _environment,
    tracing,
)
from nanospan._core import ScriptedIds
from support.plain import google_spans
from support.process import checked_python
from support.recording import recording


@pytest.fixture
def set_variables(monkeypatch):
    """Sets variables of this process's environment, for the test."""

    def set_variables(variables):
        for name, text in variables.items():
            monkeypatch.setenv(name, text)

    return set_variables


def _warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "nanospan"]


def _exported(**options):
    memory = MemoryExporter()
    nanospan.configure(exporter=memory, **options)
    tracing.start_span("x").finish()
    (span,) = memory.spans()
    return span


# Turning it off.


@pytest.mark.parametrize("text", ["true", "TRUE", " True "])
def test_a_disabled_sdk_stays_a_no_op_without_a_thread(text):
    code = f"""
        import os
        os.environ["OTEL_SDK_DISABLED"] = {text!r}
        import nanospan
        nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
        with nanospan.tracing.start_as_current_span("x") as span:
            assert not span.is_recording()
        assert nanospan.flush()
        assert (nanospan.stats()["started"], nanospan.stats()["worker"]) == (0, "not_started")
        assert len(os.listdir("/proc/self/task")) == 1
    """
    assert checked_python(code) == ""


@pytest.mark.parametrize(("text", "warnings"), [("", 0), ("false", 0), ("False", 0), ("1", 1)])
def test_only_true_disables(set_variables, caplog, text, warnings):
    set_variables({"OTEL_SDK_DISABLED": text})
    assert _exported().name == "x"
    assert len(_warnings(caplog)) == warnings


# The resource.


@pytest.mark.parametrize(
    ("variables", "options", "name"),
    [
        ({"OTEL_SERVICE_NAME": "a"}, {}, "a"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}, {}, "b"),
        ({"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}, {}, "a"),
        ({"OTEL_SERVICE_NAME": "a"}, {"resource": {"service.name": "c"}}, "c"),
        (
            {"OTEL_SERVICE_NAME": "a"},
            {"service_name": "d", "resource": {"service.name": "c"}},
            "d",
        ),
    ],
)
def test_the_service_name_is_the_one_said_closest(set_variables, variables, options, name):
    set_variables(variables)
    assert _exported(**options).resource["service.name"] == name


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": ""},
        {"OTEL_SERVICE_NAME": "  "},
        {"OTEL_RESOURCE_ATTRIBUTES": "service.name="},
    ],
)
def test_without_a_service_name_it_is_unknown(set_variables, caplog, variables):
    set_variables(variables)
    assert _exported().resource["service.name"].startswith("unknown_service:")
    assert _warnings(caplog) == []


def test_resource_attributes_join_what_is_detected_and_yield_to_what_is_given(set_variables):
    attributes = "host.name=h1,service.instance.id=one,team=blue%2C%20green,empty=,tier=a=b"
    set_variables({"OTEL_RESOURCE_ATTRIBUTES": attributes})
    resource = _exported(resource={"team": "red"}).resource
    expected = {
        "host.name": "h1",
        "service.instance.id": "one",
        "team": "red",
        "empty": "",
        "tier": "a=b",
    }
    assert resource == {**resource, **expected}
    assert resource["process.pid"] == os.getpid()


@pytest.mark.parametrize("entry", ["alone", "=value", " = value", "a=%ff"])
def test_a_broken_resource_attribute_is_named_and_the_others_are_used(caplog, entry):
    attributes = f"first=1,{entry},,last=2"
    resource = _environment.resource({"OTEL_RESOURCE_ATTRIBUTES": attributes})
    assert resource == {"first": "1", "last": "2"}
    (warning,) = _warnings(caplog)
    assert warning.startswith(f"OTEL_RESOURCE_ATTRIBUTES={entry.strip()!r} is ignored: ")


def test_a_name_that_is_no_utf8_is_sent_all_the_same():
    code = """
        import nanospan
        memory = nanospan.MemoryExporter()
        nanospan.configure(exporter=memory)
        nanospan.tracing.start_span("x").finish()
        (span,) = memory.spans()
        print(ascii(span.resource["service.name"]))
    """
    with mock.patch.dict(os.environb, {b"OTEL_SERVICE_NAME": b"caf\xe9"}):
        assert checked_python(code) == r"'caf\ufffd'" + "\n"


_names = st.text(
    st.characters(exclude_characters=",=%", categories=["L", "N", "P", "S"]), min_size=1
)
_encoded = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: quote(text, safe=""))
_plain = st.text(st.characters(codec="ascii", exclude_characters=",%", categories=["L", "P", "S"]))
_space = st.sampled_from(["", " ", "\t"])
_entries = st.tuples(_space, _names, _space, _space, _encoded | _plain, _space)


@given(st.lists(_entries))
def test_opentelemetry_reads_the_same_resource_attributes(entries):
    text = ",".join(f"{a}{name}{b}={c}{value}{d}" for a, name, b, c, value, d in entries)
    with mock.patch.dict(os.environ, {"OTEL_RESOURCE_ATTRIBUTES": text}):
        theirs = dict(OTELResourceDetector().detect().attributes)
    ours = _environment.resource({"OTEL_RESOURCE_ATTRIBUTES": text})
    assert ours == {key: value for key, value in theirs.items() if key != "service.name" or value}


# Sampling.

_ratio = {"OTEL_TRACES_SAMPLER_ARG": "0.25"}
_SAMPLERS = {
    "always_on": AlwaysOn(),
    "ALWAYS_OFF": AlwaysOff(),
    "parentbased_always_on": ParentBased(AlwaysOn()),
    "parentbased_always_off": ParentBased(AlwaysOff()),
    "traceidratio": TraceIdRatio(0.25),
}


@pytest.mark.parametrize("name", _SAMPLERS)
def test_a_sampler_is_chosen_by_name(name):
    variables = {"OTEL_TRACES_SAMPLER": name, **_ratio}
    assert _environment.sampling(variables) == (None, _SAMPLERS[name])


def test_a_parent_based_ratio_is_the_rate_of_decisions_too(set_variables):
    set_variables({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", **_ratio})
    assert _environment.sampling(os.environ) == (0.25, None)
    set_variables({"OTEL_TRACES_SAMPLER_ARG": "1"})
    nanospan.configure(exporter=MemoryExporter())
    with tracing.start_as_current_span("x"):
        assert tracing.get_sampling_decision()


@pytest.mark.parametrize("name", ["traceidratio", "parentbased_traceidratio"])
@pytest.mark.parametrize("arg", ["", "all", "-0.1", "1.5", "nan", "inf", "0,5"])
def test_without_a_usable_ratio_everything_is_sampled(caplog, name, arg):
    variables = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": arg}
    assert _environment.sampling(variables) in [(1.0, None), (None, TraceIdRatio(1.0))]
    expected = [f"OTEL_TRACES_SAMPLER_ARG={arg!r} is ignored: "] if arg else []
    assert [warning[: len(expected[0])] for warning in _warnings(caplog)] == expected
    assert all(warning.endswith("; 1.0 is used") for warning in _warnings(caplog))


@pytest.mark.parametrize("name", ["jaeger_remote", "parentbased_jaeger_remote", "xray", "on"])
def test_an_unknown_sampler_is_named_and_the_default_is_used(set_variables, caplog, name):
    set_variables({"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": "ignored"})
    assert _exported().name == "x"
    (warning,) = _warnings(caplog)
    assert warning.startswith(f"OTEL_TRACES_SAMPLER={name!r} is ignored: it must be always_on, ")
    assert warning.endswith("; parentbased_always_on is used")


@pytest.mark.parametrize(
    "options", [{"sampling_rate": 1.0}, {"sampler": AlwaysOn()}], ids=["rate", "sampler"]
)
def test_a_sampler_or_a_rate_in_code_counts_alone(set_variables, caplog, options):
    set_variables({"OTEL_TRACES_SAMPLER": "always_off"})
    assert _exported(**options).name == "x"
    set_variables({"OTEL_TRACES_SAMPLER": "wrong", "OTEL_TRACES_SAMPLER_ARG": "wrong"})
    assert _exported(**options).name == "x"
    assert _warnings(caplog) == []


_sampler_names = st.sampled_from(sorted(sdk_sampling._KNOWN_SAMPLERS))
_args = st.floats(0, 1).map(str) | st.sampled_from(["0", "1", "", "2", "-1", "x"])
_trace_ids = st.binary(min_size=16, max_size=16).filter(any)


@given(_sampler_names, _args, _trace_ids, st.sampled_from([None, True, False]))
def test_opentelemetry_samples_the_same_traces(name, arg, trace_id, parent):
    variables = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": arg}
    with mock.patch.dict(os.environ, variables):
        sampler = sdk_sampling._get_from_env_or_default()
    number = int.from_bytes(trace_id, "big")
    flags = api.TraceFlags(api.TraceFlags.SAMPLED if parent else 0)
    theirs = api.NonRecordingSpan(api.SpanContext(number, 1, True, flags))
    context = None if parent is None else api.set_span_in_context(theirs)
    expected = sampler.should_sample(context, number, "x").decision.is_sampled()

    rate, sampler = _environment.sampling(variables)
    with recording(sampling_rate=rate, sampler=sampler, ids=ScriptedIds([trace_id], [])):
        ours = SpanContext(trace_id, b"\1" * 8, sampled=parent)
        span = tracing.start_span("x", parent=nanospan.ROOT if parent is None else ours)
        assert span.trace_id == trace_id
        assert span.context.sampled == expected
        span.finish()


# Limits and queue.

_LIMITS = {
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ("attribute_count",),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("attribute_value_length",),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": ("event_count",),
    "OTEL_SPAN_LINK_COUNT_LIMIT": ("link_count",),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": ("attribute_per_event_count",),
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": ("attribute_per_link_count",),
    "OTEL_ATTRIBUTE_COUNT_LIMIT": (
        "attribute_count",
        "attribute_per_event_count",
        "attribute_per_link_count",
    ),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("attribute_value_length",),
}
_QUEUE = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "max_entries",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "max_batch_size",
}


@pytest.mark.parametrize("variable", _LIMITS)
@pytest.mark.parametrize("text", ["0", "7", " 7 "])
def test_a_variable_sets_its_limit(variable, text):
    expected = SpanLimits(**dict.fromkeys(_LIMITS[variable], int(text)))
    assert _environment.limits({variable: text}) == expected != SpanLimits()


@pytest.mark.parametrize("variable", _QUEUE)
def test_a_variable_sets_its_bound_of_the_queue(variable):
    expected = QueueConfig(**{_QUEUE[variable]: 7})
    assert _environment.queue({variable: "7"}) == expected != QueueConfig()


@pytest.mark.parametrize(("text", "seconds"), [("250", 0.25), ("0", 0), ("5000", 5.0)])
def test_the_delay_is_in_milliseconds(text, seconds):
    expected = QueueConfig(max_coalescing_delay=seconds)
    assert _environment.queue({"OTEL_BSP_SCHEDULE_DELAY": text}) == expected


def test_the_limits_are_those_of_the_pipeline(set_variables):
    set_variables(
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"}
    )
    memory = MemoryExporter()
    nanospan.configure(exporter=memory)
    tracing.start_span("x", attributes={"a": "long", "b": "second"}).finish()
    (span,) = memory.spans()
    assert (span.attributes, span.dropped_attributes_count) == ({"a": "lon"}, 1)


def test_the_bounds_of_the_queue_are_those_of_the_pipeline(set_variables):
    set_variables({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2", "OTEL_BSP_SCHEDULE_DELAY": "60000"})
    memory = MemoryExporter()
    nanospan.configure(exporter=memory)
    for _ in range(5):
        tracing.start_span("x").finish()
    assert nanospan.flush(timeout=10)
    assert sum(len(google_spans([batch])) for batch in memory._otlp()) == 5
    assert max(len(google_spans([batch])) for batch in memory._otlp()) == 2


@given(
    st.dictionaries(
        st.sampled_from(sorted(_LIMITS)),
        st.integers(0, 2**31 - 1).map(str) | st.just(""),
        min_size=1,
    )
)
def test_opentelemetry_reads_the_same_limits(variables):
    # There an empty variable is an error, and events and links have a length of their own.
    present = {variable: text for variable, text in variables.items() if text}
    with mock.patch.dict(os.environ, present):
        theirs = SdkSpanLimits()
    assert _environment.limits(variables) == SpanLimits(
        attribute_count=theirs.max_span_attributes,
        attribute_value_length=theirs.max_span_attribute_length,
        event_count=theirs.max_events,
        link_count=theirs.max_links,
        attribute_per_event_count=theirs.max_event_attributes,
        attribute_per_link_count=theirs.max_link_attributes,
    )


@pytest.mark.parametrize("text", ["-1", "many", "1.5", "4294967296", "9" * 5000, "unset"])
@pytest.mark.parametrize("variable", _LIMITS)
def test_a_limit_that_cannot_be_is_named_once_and_its_default_is_used(caplog, variable, text):
    assert _environment.limits({variable: text}) == SpanLimits()
    (warning,) = _warnings(caplog)
    assert warning.startswith(f"{variable}={text!r} is ignored: ")
    assert warning.endswith(("; 128 is used", "; no limit is used"))


@pytest.mark.parametrize("text", ["-1", "0", "many", "1000001"])
@pytest.mark.parametrize("variable", _QUEUE)
def test_a_bound_that_cannot_be_is_named_and_its_default_is_used(caplog, variable, text):
    assert _environment.queue({variable: text}) == QueueConfig()
    (warning,) = _warnings(caplog)
    assert warning.startswith(f"{variable}={text!r} is ignored: ")
    assert warning.endswith(("; 10000 is used", "; 512 is used"))


@pytest.mark.parametrize("text", ["-1", "1.5", "1s", "3600001"])
def test_a_delay_that_cannot_be_is_named_and_its_default_is_used(caplog, text):
    assert _environment.queue({"OTEL_BSP_SCHEDULE_DELAY": text}) == QueueConfig()
    (warning,) = _warnings(caplog)
    assert warning.startswith(f"OTEL_BSP_SCHEDULE_DELAY={text!r} is ignored: ")
    assert warning.endswith("; 1000 is used")


def test_the_general_variable_is_used_where_the_spans_own_cannot_be(caplog):
    variables = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x", "OTEL_ATTRIBUTE_COUNT_LIMIT": "9"}
    assert _environment.limits(variables) == SpanLimits(
        attribute_count=9, attribute_per_event_count=9, attribute_per_link_count=9
    )
    (warning,) = _warnings(caplog)
    assert warning.startswith("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT='x' is ignored: ")
    assert warning.endswith("; OTEL_ATTRIBUTE_COUNT_LIMIT='9' is used")


@pytest.mark.parametrize(
    ("read", "options", "default"),
    [
        (_environment.limits, _environment._LIMITS, SpanLimits()),
        (_environment.queue, _environment._QUEUE, QueueConfig()),
    ],
)
def test_the_defaults_that_warnings_name_are_the_defaults(read, options, default):
    assert read({}) == default
    for text, variables in options.values():
        for variable in variables:
            assert text == "no limit" or read({variable: text}) == default


def test_limits_and_a_queue_in_code_count_alone(set_variables, caplog):
    set_variables(dict.fromkeys([*_LIMITS, *_QUEUE, "OTEL_BSP_SCHEDULE_DELAY"], "wrong"))
    assert _exported(limits=SpanLimits(), queue=QueueConfig()).name == "x"
    assert _warnings(caplog) == []


# The log.


def test_a_log_handler_that_raises_does_not_keep_the_program_from_starting(set_variables):
    class Broken(logging.Handler):
        def emit(self, record):
            raise RuntimeError("broken")

    set_variables({"OTEL_TRACES_SAMPLER": "wrong", "OTEL_BSP_MAX_QUEUE_SIZE": "wrong"})
    handler = Broken()
    logging.getLogger("nanospan").addHandler(handler)
    try:
        assert _exported().name == "x"
    finally:
        logging.getLogger("nanospan").removeHandler(handler)


def test_the_variables_are_read_at_each_configure(set_variables):
    for name in ("first", "second"):
        set_variables({"OTEL_SERVICE_NAME": name})
        assert _exported().resource["service.name"] == name
