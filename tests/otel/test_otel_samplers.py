"""Our samplers decide as those of opentelemetry-sdk do, and take their place in a provider."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import sampling
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

import nanospan
from nanospan import ConsistentProbability, ParentBased, TraceIdRatio, tracing
from support.recording import recording as new_recording

otel = pytest.importorskip("nanospan.otel")

ids = st.integers(1, 2**128 - 1)
rates = st.sampled_from([0.0, 1.0, 0.5, 0.1, 1e-9, 2**-56, 2**-64, 1 / 3]) | st.floats(0, 1)
digits = st.text("0123456789abcdef", min_size=14, max_size=14)
thresholds = st.text("0123456789abcdef", min_size=1, max_size=14)
states = st.lists(
    st.builds("th:{}".format, thresholds) | st.builds("rv:{}".format, digits) | st.just("x:y"),
    unique_by=lambda field: field[:2],
    max_size=3,
).map(lambda fields: "ot=" + ";".join(fields) if fields else "")


def parent_of(trace_id, sampled, state):
    state = TraceState.from_header([state])
    flags = TraceFlags(sampled)
    context = SpanContext(trace_id, 1, is_remote=True, trace_flags=flags, trace_state=state)
    return trace.set_span_in_context(NonRecordingSpan(context))


def fields(header):
    """The SDK puts them in another order even where nothing changes."""
    return set(filter(None, header.removeprefix("ot=").split(";")))


def theirs(sampler, trace_id, sampled, state):
    parent = parent_of(trace_id, sampled, state)
    state = trace.get_current_span(parent).get_span_context().trace_state
    result = sampler.should_sample(parent, trace_id, "span", SpanKind.INTERNAL, None, (), state)
    header = result.trace_state.to_header() if result.trace_state else ""
    return result.decision.is_sampled(), header


def ours(sampler, trace_id, sampled, state):
    parent = nanospan.SpanContext(
        trace_id.to_bytes(16, "big"), b"\x01" * 8, sampled=sampled, trace_state=state
    )
    with new_recording(sampler=sampler):
        context = tracing.start_span("span", parent=parent).context
    return context.sampled, context.trace_state


@given(ids, rates)
def test_the_same_trace_and_rate_have_the_same_answer_in_both(trace_id, rate):
    sampled, _ = theirs(sampling.TraceIdRatioBased(rate), trace_id, True, "")
    assert ours(TraceIdRatio(rate), trace_id, True, "") == (sampled, "")


def _composable():
    # An experiment of the SDK's: later versions may have it elsewhere.
    return pytest.importorskip("opentelemetry.sdk.trace._sampling_experimental")


@given(ids, rates, st.booleans(), states)
def test_consistent_probability_is_that_of_the_sdk(trace_id, rate, sampled, state):
    sdk = _composable()
    sampler = sdk.composite_sampler(sdk.composable_traceid_ratio_based(rate))
    asked = trace_id, sampled, state
    expected, header = theirs(sampler, *asked)
    decided, made = ours(ConsistentProbability(rate), *asked)
    assert decided is expected
    if not fields(state) - {field for field in fields(state) if field.startswith("th:")}:
        header = header if expected else ""  # the SDK leaves the threshold if nothing else is there
    assert fields(made) == fields(header)


@given(ids, rates, states.filter(lambda state: "th:" not in state))
def test_children_of_sampled_parents_are_those_of_the_sdk(trace_id, rate, state):
    sdk = _composable()
    root = sdk.composable_traceid_ratio_based(rate)
    sampler = sdk.composite_sampler(sdk.composable_parent_threshold(root))
    asked = trace_id, True, state
    follows = ParentBased(ConsistentProbability(rate))
    assert ours(follows, *asked)[0] == theirs(sampler, *asked)[0]


@given(ids, rates)
def test_what_our_consistent_sampler_sampled_the_sdks_samples_below_it(trace_id, rate):
    sdk = _composable()
    sampled, state = ours(ConsistentProbability(rate), trace_id, False, "")
    root = sdk.composable_traceid_ratio_based(1.0)
    below = sdk.composite_sampler(sdk.composable_parent_threshold(root))
    assert theirs(below, trace_id, sampled, state) == (sampled, state)


@pytest.mark.parametrize(
    "sampler",
    [
        nanospan.AlwaysRecord(nanospan.AlwaysOff()),
        nanospan.RateLimited(0),
        nanospan.RuleBased([], otherwise=nanospan.AlwaysOff()),
        ConsistentProbability(0.0),
        lambda asked: False,
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_each_of_ours_is_a_sampler_of_a_provider(sampler):
    provider = otel.TracerProvider(sampler=sampler)
    assert provider.sampler is sampler
    span = provider.get_tracer("library").start_span("span")
    assert not span.get_span_context().trace_flags.sampled
    assert span.is_recording() is isinstance(sampler, nanospan.AlwaysRecord)
    provider.shutdown()


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("sampled", [True, False])
def test_the_sdks_parent_based_is_decided_without_python_whatever_its_branches(
    monkeypatch, rate, sampled
):
    sampler = sampling.ParentBased(
        sampling.ALWAYS_ON,
        remote_parent_sampled=sampling.TraceIdRatioBased(rate),
        remote_parent_not_sampled=sampling.ALWAYS_ON,
    )
    provider = otel.TracerProvider(sampler=sampler)
    expected, _ = theirs(sampler, 2**127 + 1, sampled, "")
    monkeypatch.setattr(sampling.ParentBased, "should_sample", None)
    tracer = provider.get_tracer("library")
    span = tracer.start_span("span", context=parent_of(2**127 + 1, sampled, ""))
    assert span.get_span_context().trace_flags.sampled is expected
    provider.shutdown()
