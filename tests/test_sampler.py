"""Samplers: their laws, their order, and how often they say yes."""

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import nanospan
from nanospan import ROOT, AlwaysOff, AlwaysOn, ParentBased, SpanContext, TraceIdRatio, tracing
from support.recording import fresh_name
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)

_ids = st.binary(min_size=16, max_size=16).filter(any)
_rates = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.1, 0.5, 5e-324, 2**-64])


def _remote(sampled, trace_id=b"\x11" * 16):
    return SpanContext(trace_id, b"\x22" * 8, sampled=sampled)


def _kept(trace_id, *rates):
    """What a trace of this id is judged at each rate."""
    with new_recording():
        with tracing.start_as_current_span("root", parent=_remote(None, trace_id)):
            return [tracing.get_sampling_decision(rate=rate) for rate in rates]


@given(_ids, _rates)
@example(b"\xff" * 8 + b"\x7f" + b"\xff" * 7, 0.5)
@example(b"\xff" * 8 + b"\x80" + b"\x00" * 7, 0.5)
@example(b"\x01" + b"\x00" * 15, 2**-64)
def test_the_low_half_of_the_trace_id_is_compared_with_the_rate(trace_id, rate):
    low = int.from_bytes(trace_id[8:], "big")
    assert _kept(trace_id, rate) == [low < round(rate * 2**64)]


@given(_ids, _rates, _rates)
def test_a_lower_rate_keeps_a_subset_of_what_a_higher_one_keeps(trace_id, one, another):
    lower, higher = _kept(trace_id, *sorted((one, another)))
    assert higher or not lower


@given(_ids, _rates)
def test_the_same_trace_gets_the_same_answer_each_time(trace_id, rate):
    assert len(set(_kept(trace_id, rate, rate, rate))) == 1


@given(_ids)
def test_rate_one_keeps_all_and_rate_nought_none(trace_id):
    assert _kept(trace_id, 1.0, 0.0, 1, 0) == [True, False, True, False]


@given(_ids, _rates)
def test_the_sampler_and_the_decision_on_a_trace_agree(trace_id, rate):
    with new_recording(sampler=TraceIdRatio(rate)):
        span = tracing.start_span("x", parent=_remote(None, trace_id))
        tracing.set_active_span(span)
        assert span.context.sampled == tracing.get_sampling_decision(rate=rate)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_the_share_of_sampled_traces_is_the_rate(rate):
    count = 100_000
    with new_recording(sampling_rate=rate):
        sampled = 0
        for _ in range(count):
            span = tracing.start_span("x")
            sampled += span.context.sampled
            span.release()
    six_sigma = 6 * math.sqrt(count * rate * (1 - rate))
    assert abs(sampled - count * rate) < six_sigma


def test_random_ids_have_no_bit_that_is_usually_the_same(recording):
    count = 5_000
    ones = [0] * 192
    for _ in range(count):
        span = tracing.start_span("x")
        bits = int.from_bytes(span.trace_id + span.span_id, "big")
        span.release()
        for position in range(192):
            ones[position] += bits >> position & 1
    assert all(abs(number - count / 2) < 6 * math.sqrt(count / 4) for number in ones)


@pytest.mark.parametrize(
    ("options", "parent", "expected"),
    [
        ({}, ROOT, True),
        ({}, _remote(False), False),
        ({"sampling_rate": 0}, ROOT, False),
        ({"sampling_rate": 0}, _remote(True), True),
        ({"sampling_rate": 1}, _remote(False), False),
        ({"sampling_rate": 1}, _remote(None), True),
        ({"sampler": AlwaysOn()}, _remote(False), True),
        ({"sampler": AlwaysOff()}, _remote(True), False),
        ({"sampler": TraceIdRatio(0.0)}, _remote(True), False),
        ({"sampler": ParentBased(AlwaysOff())}, _remote(True), True),
        ({"sampler": ParentBased(AlwaysOff())}, _remote(None), False),
        ({"sampler": ParentBased(ParentBased(AlwaysOn()))}, ROOT, True),
    ],
)
def test_a_rate_means_parent_based_and_a_sampler_is_asked_as_it_is(options, parent, expected):
    with new_recording(**options) as recorded:
        span = tracing.start_span("x", parent=parent)
        span.finish()
        assert span.context.sampled is expected
        assert len(recorded.spans()) == expected


@pytest.mark.parametrize("decision", [True, False])
@pytest.mark.parametrize("options", [{"sampler": AlwaysOn()}, {"sampler": AlwaysOff()}])
@pytest.mark.parametrize("parent", [ROOT, _remote(True), _remote(False)], ids=repr)
def test_an_explicit_should_sample_decides_whatever_sampler_and_parent_say(
    decision, options, parent
):
    with new_recording(**options) as recorded:
        span = tracing.start_span("x", parent=parent, should_sample=decision)
        span.finish()
        assert span.context.sampled is decision
        assert len(recorded.spans()) == decision


@pytest.mark.parametrize("decision", [True, False])
def test_children_follow_a_parent_that_decided_for_itself(decision):
    with new_recording(sampling_rate=float(not decision)) as recorded:
        with tracing.start_as_current_span("root", should_sample=decision):
            tracing.start_span("child").finish()
        assert recorded.names() == (["child", "root"] if decision else [])


def test_a_span_that_decides_for_itself_is_exported_out_of_an_unsampled_trace():
    with new_recording(sampling_rate=0.0) as recorded:
        with tracing.start_as_current_span("root"):
            tracing.start_span("mine", should_sample=True).finish()
        nanospan.flush()
        assert recorded.names() == ["mine"]


def test_an_own_tracer_has_its_own_rate():
    never = tracing.new(fresh_name("never"), sampling_rate=0)
    always = tracing.new(fresh_name("always"), sampling_rate=1)
    with new_recording(sampling_rate=0.0) as recorded:
        for tracer in (never, always, tracing, tracing.new(fresh_name("as configured"))):
            tracer.start_span(tracer.name).finish()
        assert recorded.names() == [always.name]


def test_an_own_rate_still_follows_the_parent():
    never = tracing.new(fresh_name("never"), sampling_rate=0)
    with new_recording() as recorded:
        with tracing.start_as_current_span("root"):
            never.start_span("child").finish()
        assert recorded.names() == ["child", "root"]


def test_the_decisions_rate_is_the_configured_one_when_not_given():
    for rate in (0.0, 1.0):
        with new_recording(sampling_rate=rate), tracing.start_as_current_span("root"):
            assert tracing.get_sampling_decision() is bool(rate)


def test_without_any_rate_the_decision_is_no():
    with new_recording(), tracing.start_as_current_span("root"):
        assert tracing.get_sampling_decision() is False
        assert tracing.get_sampling_decision(True) is True


@given(_ids, st.sampled_from([None, True, False]), _rates)
def test_the_strategies_differ_only_in_what_a_parents_yes_means(trace_id, parent, rate):
    with new_recording():
        with tracing.start_as_current_span("root", parent=_remote(None, trace_id)):
            honoured = tracing.get_sampling_decision(parent, rate)
            judged = tracing.get_sampling_decision(
                parent, rate, strategy="parent_drop_probability_fallback"
            )
    if parent is None:
        assert honoured == judged
    else:
        assert honoured == parent
        assert judged <= parent


def test_a_ratio_sampler_says_its_rate():
    assert TraceIdRatio(0.25).rate == 0.25


@given(st.floats())
def test_a_rate_outside_nought_to_one_raises(rate):
    assume(not 0 <= rate <= 1)
    with pytest.raises(ValueError, match="rate"):
        TraceIdRatio(rate)
