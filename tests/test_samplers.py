"""The samplers together: branches, rules, limits, thresholds that travel, and callables."""

import itertools
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nanospan
from nanospan import (
    ROOT,
    AlwaysOff,
    AlwaysOn,
    AlwaysRecord,
    ConsistentProbability,
    ParentBased,
    RateLimited,
    Rule,
    RuleBased,
    SpanContext,
    SpanKind,
    TraceIdRatio,
    tracing,
)
from nanospan._core import ManualClock
from support.recording import fresh_name
from support.recording import recording as new_recording

ids = st.binary(min_size=16, max_size=16).filter(lambda value: any(value[:8]) and any(value[8:]))
rates = st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.1, 1e-9, 1 / 3]) | st.floats(0, 1)


def remote(sampled, *, trace_id=b"\xff" * 16, trace_state=""):
    return SpanContext(trace_id, b"\x22" * 8, sampled=sampled, trace_state=trace_state)


def started(sampler, **options):
    """The context of a span that started by the sampler."""
    with new_recording(sampler=sampler):
        return tracing.start_span("span", **{"parent": ROOT, **options}).context


# What follows from the parent.

BRANCHES = {
    "remote_parent_sampled": (True, True),
    "remote_parent_not_sampled": (False, True),
    "local_parent_sampled": (True, False),
    "local_parent_not_sampled": (False, False),
}


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("parents", BRANCHES)
def test_each_branch_has_a_sampler_of_its_own(branch, parents):
    branches = {name: AlwaysOff() for name in BRANCHES} | {branch: AlwaysOn()}
    root = RuleBased([Rule(AlwaysOn(), name="sampled")], otherwise=AlwaysOff())
    sampled, is_remote = BRANCHES[parents]
    with new_recording(sampler=ParentBased(root, **branches)):
        local = tracing.start_span("sampled" if sampled else "not", parent=ROOT)
        assert local.context.sampled is sampled
        child = tracing.start_span("child", parent=remote(sampled) if is_remote else local)
        assert child.context.sampled is (branch == parents)


def test_a_local_parent_that_the_sampler_decided_on_has_its_branch():
    asked = RuleBased([Rule(AlwaysOn(), name="on")], otherwise=AlwaysOff())
    turned = ParentBased(
        asked, local_parent_sampled=AlwaysOff(), local_parent_not_sampled=AlwaysOn()
    )
    with new_recording(sampler=turned) as recorded:
        for name in ("on", "off"):
            with tracing.start_as_current_span(name):
                tracing.start_span(f"under {name}").finish()
        nanospan.flush()
        assert sorted(recorded.names()) == ["on", "under off"]


def test_the_strategies_have_their_names():
    never = TraceIdRatio(0.0)
    honoured = ParentBased.by_strategy("parent_probability_fallback", never)
    judged = ParentBased.by_strategy("parent_drop_probability_fallback", never)
    assert started(honoured, parent=remote(True)).sampled is True
    assert started(judged, parent=remote(True)).sampled is False
    always = ParentBased.by_strategy("parent_drop_probability_fallback", AlwaysOn())
    assert [started(always, parent=remote(each)).sampled for each in (True, False, None)] == [
        True,
        False,
        True,
    ]


@given(ids, st.sampled_from([None, True, False]), rates)
def test_a_strategy_decides_as_get_sampling_decision_does(trace_id, sampled, rate):
    for strategy in ("parent_probability_fallback", "parent_drop_probability_fallback"):
        sampler = ParentBased.by_strategy(strategy, TraceIdRatio(rate))
        with new_recording(sampler=sampler):
            span = tracing.start_span("span", parent=remote(sampled, trace_id=trace_id))
            tracing.set_active_span(span)
            said = tracing.get_sampling_decision(sampled, rate, strategy=strategy)
            assert span.context.sampled is said


@pytest.mark.parametrize("strategy", ["parent", "", None, 1])
def test_an_unknown_strategy_raises(strategy):
    with pytest.raises((TypeError, ValueError), match="strategy"):
        ParentBased.by_strategy(strategy, AlwaysOn())


# Rules.


def test_rules_pick_by_name_tracer_and_kind():
    other = tracing.new(fresh_name("library.http"))
    sampler = RuleBased(
        [
            Rule(AlwaysOff(), name="GET /health*"),
            Rule(AlwaysOff(), tracer="library.*", kind=SpanKind.CLIENT),
            Rule(AlwaysOn(), kind=SpanKind.CLIENT),
            Rule(AlwaysOn(), name="GET /?"),
        ],
        otherwise=AlwaysOff(),
    )
    with new_recording(sampler=sampler) as recorded:
        for tracer, kind, name in itertools.product(
            (tracing, other),
            (SpanKind.CLIENT, SpanKind.SERVER),
            ("GET /healthz", "GET /x", "GET /xy"),
        ):
            tracer.start_span(f"{name}", kind=kind, parent=ROOT).finish()
        nanospan.flush()
        assert [(span.name, span.kind) for span in recorded.spans()] == [
            ("GET /x", SpanKind.CLIENT),
            ("GET /xy", SpanKind.CLIENT),
            ("GET /x", SpanKind.SERVER),
            ("GET /x", SpanKind.SERVER),
        ]


def test_a_rule_without_anything_to_match_raises():
    with pytest.raises(ValueError, match="name, tracer or kind"):
        Rule(AlwaysOn())


# So many a second.


def test_so_many_traces_a_second_by_the_clock_of_the_trace():
    clock = ManualClock(1_700_000_000_000_000_000)
    with new_recording(sampler=ParentBased(RateLimited(5)), clock=clock) as recorded:
        for second in range(4):
            for number in range(50):
                with tracing.start_as_current_span(f"{second} {number}", parent=ROOT):
                    tracing.start_span("child").finish()
                clock.tick(10_000_000)
            clock.tick(500_000_000)
        nanospan.flush()
        names = recorded.names()
    roots = [name for name in names if name != "child"]
    assert len(names) == 2 * len(roots)
    per_second = [sum(root.startswith(f"{second} ") for root in roots) for second in range(4)]
    # A full bucket at first, and what half a second of rest leaves in it later.
    assert per_second == [7, 5, 5, 5]


# Thresholds that travel with the trace.


def continued(span):
    """What another service gets of a span."""
    context = span.context
    return SpanContext(
        context.trace_id,
        context.span_id,
        sampled=context.sampled,
        trace_state=context.trace_state,
    )


def through(samplers, trace_id):
    """The contexts of a trace that goes through services with these samplers, one after another."""
    context = SpanContext(trace_id, b"\x22" * 8)
    contexts = []
    for sampler in samplers:
        with new_recording(sampler=sampler):
            context = continued(tracing.start_span("span", parent=context))
        contexts.append(context)
    return contexts


@given(ids, st.lists(rates, min_size=2, max_size=5))
def test_services_with_different_rates_that_follow_parents_never_break_a_trace(trace_id, chain):
    contexts = through([ParentBased(ConsistentProbability(rate)) for rate in chain], trace_id)
    assert len({context.sampled for context in contexts}) == 1
    assert len({context.trace_state for context in contexts}) == 1


@given(ids, st.lists(rates, min_size=2, max_size=5))
def test_services_that_sample_less_than_their_parents_never_lack_a_parent(trace_id, chain):
    def rarer(rate):
        sampler = ConsistentProbability(rate)
        return ParentBased(sampler, remote_parent_sampled=sampler)

    contexts = through([rarer(rate) for rate in chain], trace_id)
    sampled = [context.sampled for context in contexts]
    assert sampled == sorted(sampled, reverse=True)
    for index, context in enumerate(contexts):
        if context.sampled:
            lowest = min(chain[: index + 1])
            assert math.isclose(context.adjusted_count * lowest, 1, rel_tol=1e-6)
        else:
            assert context.adjusted_count is None


@given(ids, rates, rates)
def test_a_service_with_a_lower_rate_samples_a_subset(trace_id, one, another):
    lower, higher = sorted((one, another))
    contexts = through([ConsistentProbability(higher), ConsistentProbability(lower)], trace_id)
    assert contexts[0].sampled or not contexts[1].sampled


def test_a_span_says_how_many_it_stands_for():
    context = started(ConsistentProbability(0.25), parent=remote(None))
    assert (context.sampled, context.trace_state, context.adjusted_count) == (True, "ot=th:c", 4.0)
    assert started(ConsistentProbability(0.0)).adjusted_count is None


def test_children_in_the_process_have_the_threshold_of_their_root():
    with new_recording(sampler=ParentBased(ConsistentProbability(1.0))):
        with tracing.start_as_current_span("root", parent=ROOT):
            with tracing.start_as_current_span("child") as child:
                assert child.context.trace_state == "ot=th:0"


def test_other_members_of_the_tracestate_stay():
    parent = remote(None, trace_state="a=1,ot=rv:ffffffffffffff;x:y,b=2")
    context = started(ConsistentProbability(0.5), parent=parent)
    assert context.trace_state == "ot=th:8;rv:ffffffffffffff;x:y,a=1,b=2"


def test_randomness_that_was_given_decides_before_the_trace_id():
    parent = remote(None, trace_state="ot=rv:00000000000000")
    assert started(ConsistentProbability(0.5), parent=parent).sampled is False


def test_a_threshold_that_is_not_true_any_more_goes():
    parent = remote(True, trace_state="ot=th:8,a=1")
    for sampler in (AlwaysOn(), AlwaysOff(), TraceIdRatio(1.0), RateLimited(1), lambda _: True):
        assert started(sampler, parent=parent).trace_state == "a=1"
    assert started(ParentBased(TraceIdRatio(1.0)), parent=parent).adjusted_count == 2.0


@pytest.mark.parametrize("decision", [True, False])
def test_a_decision_by_hand_takes_the_threshold_away(decision):
    with new_recording(sampler=ParentBased(ConsistentProbability(0.5))):
        parent = remote(True, trace_state="ot=th:8,a=1")
        root = tracing.start_span("root", parent=parent, should_sample=decision)
        assert root.context.trace_state == "a=1"
        assert tracing.start_span("child", parent=root).context.trace_state == "a=1"
        follows = tracing.start_span("follows", parent=parent)
        child = tracing.start_span("child", parent=follows, should_sample=decision)
        assert (follows.context.adjusted_count, child.context.adjusted_count) == (2.0, None)
        assert child.context.trace_state == "a=1"


# Rates that change.


@pytest.mark.parametrize("kind", [TraceIdRatio, ConsistentProbability, RateLimited])
def test_a_rate_that_is_set_counts_at_once_wherever_the_sampler_is(kind):
    sampler = kind(0)
    with new_recording(
        sampler=ParentBased(RuleBased([Rule(sampler, name="*")], otherwise=sampler))
    ):
        assert tracing.start_span("x", parent=ROOT).context.sampled is False
        sampler.rate = 1
        assert (sampler.rate, tracing.start_span("x", parent=ROOT).context.sampled) == (1, True)


@pytest.mark.parametrize("kind", [TraceIdRatio, ConsistentProbability, RateLimited])
@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf, "1", None, True])
def test_a_wrong_rate_raises_and_changes_nothing(kind, rate):
    with pytest.raises((TypeError, ValueError), match=r"rate must be .*, got"):
        kind(rate)
    sampler = kind(0.5)
    with pytest.raises((TypeError, ValueError), match=r"rate must be .*, got"):
        sampler.rate = rate
    assert sampler.rate == 0.5


def test_rates_may_change_while_threads_sample():
    sampler = TraceIdRatio(1.0)
    is_over = threading.Event()

    def change():
        while not is_over.is_set():
            sampler.rate = 1.0

    with new_recording(sampler=sampler):
        thread = threading.Thread(target=change)
        thread.start()
        answers = {tracing.start_span("x", parent=ROOT).context.sampled for _ in range(2_000)}
        is_over.set()
        thread.join()
    assert answers == {True}


# Recorded for this process only.


def test_what_is_dropped_can_be_recorded_and_is_not_sent():
    with new_recording(sampler=AlwaysRecord(AlwaysOff())) as recorded:
        span = tracing.start_span("span", attributes={"key": 1})
        assert (span.is_recording(), span.context.sampled) == (True, False)
        assert span.attributes == {"key": 1}
        span.finish()
        nanospan.flush()
        assert recorded.names() == []
    assert started(AlwaysRecord(AlwaysOn())).sampled is True


def test_children_of_spans_recorded_for_this_process_are_so_too():
    with new_recording(sampler=ParentBased(AlwaysRecord(AlwaysOff()))) as recorded:
        with tracing.start_as_current_span("root"):
            assert tracing.start_span("child").is_recording() is False
    with new_recording(sampler=AlwaysRecord(ParentBased(AlwaysOff()))) as recorded:
        with tracing.start_as_current_span("root"):
            child = tracing.start_span("child")
            assert (child.is_recording(), child.context.sampled) == (True, False)
            child.finish()
        nanospan.flush()
        assert recorded.names() == []


def test_a_late_decision_finds_what_was_only_recorded():
    with new_recording(sampler=AlwaysRecord(AlwaysOff()), late_sampling=True) as recorded:
        with tracing.start_as_current_span("root"):
            tracing.start_span("child").finish()
            assert tracing.set_should_sample(True)
        nanospan.flush()
        assert sorted(recorded.names()) == ["child", "root"]


# Callables.


def test_a_callable_is_told_what_is_known_and_decides():
    told = []

    def sampler(asked):
        told.append((asked.name, asked.kind, asked.tracer, asked.trace_id, asked.parent))
        return asked.kind is SpanKind.SERVER

    tracer = tracing.new(fresh_name("mine"))
    with new_recording(sampler=sampler):
        root = tracer.start_span("root", kind=SpanKind.SERVER, parent=ROOT)
        child = tracer.start_span("child", kind=SpanKind.CLIENT, parent=root)
        other = tracer.start_span("other", kind=SpanKind.SERVER, parent=remote(True))
        assert [span.context.sampled for span in (root, child, other)] == [True, False, True]
    assert told == [
        ("root", SpanKind.SERVER, tracer.name, root.trace_id, None),
        ("child", SpanKind.CLIENT, tracer.name, root.trace_id, root.context),
        ("other", SpanKind.SERVER, tracer.name, b"\xff" * 16, remote(True)),
    ]


def test_a_callable_may_be_anywhere_in_a_sampler():
    sampler = ParentBased(RuleBased([Rule(lambda _: True, name="mine")], otherwise=AlwaysOff()))
    with new_recording(sampler=sampler) as recorded:
        for name in ("mine", "other"):
            with tracing.start_as_current_span(name, parent=ROOT):
                tracing.start_span(f"under {name}").finish()
        assert recorded.names() == ["mine", "under mine"]


@pytest.mark.parametrize("wrong", [lambda _: 1 / 0, lambda _: 1, lambda _: None, lambda: True])
def test_a_callable_that_fails_is_a_no_and_logged_once(caplog, wrong):
    with new_recording(sampler=wrong):
        spans = [tracing.start_span("x", parent=ROOT) for _ in range(3)]
        assert {span.context.sampled for span in spans} == {False}
    (record,) = caplog.records
    assert "which is logged once" in record.getMessage()
    assert record.exc_info


def test_spans_that_a_callable_starts_itself_are_not_sampled():
    inner = []

    def sampler(asked):
        inner.append(tracing.start_span("inner", parent=ROOT))
        inner[-1].finish()
        return True

    with new_recording(sampler=sampler) as recorded:
        tracing.start_span("outer", parent=ROOT).finish()
        assert (recorded.names(), len(inner)) == (["outer"], 1)


def test_a_callable_may_change_the_pipeline():
    def sampler(asked):
        nanospan.configure(sampler=AlwaysOff(), exporter=[])
        return True

    with new_recording(sampler=sampler):
        assert tracing.start_span("x", parent=ROOT).context.sampled is True
        assert tracing.start_span("x", parent=ROOT).context.sampled is False


# What is no sampler.


@pytest.mark.parametrize("wrong", [AlwaysOn, 0.5, "always_on", object()])
def test_what_is_no_sampler_raises_wherever_one_is_asked_for(wrong):
    for name, make in {
        "sampler": lambda: nanospan.configure(sampler=wrong, exporter=[]),
        "root": lambda: ParentBased(wrong),
        "remote_parent_sampled": lambda: ParentBased(AlwaysOn(), remote_parent_sampled=wrong),
        "local_parent_not_sampled": lambda: ParentBased(AlwaysOn(), local_parent_not_sampled=wrong),
        "otherwise": lambda: RuleBased([], otherwise=wrong),
    }.items():
        with pytest.raises(TypeError, match=f"^{name} must be a sampler, "):
            make()
    for make in (lambda: Rule(wrong, name="x"), lambda: AlwaysRecord(wrong)):
        with pytest.raises(TypeError, match=r"^sampler must be a sampler, "):
            make()


@pytest.mark.parametrize("rules", [None, Rule(AlwaysOn(), name="x"), [AlwaysOn()], "rules"])
def test_what_is_no_list_of_rules_raises(rules):
    with pytest.raises(TypeError, match="rules must be a list or tuple of Rule"):
        RuleBased(rules, otherwise=AlwaysOn())


def test_samplers_are_equal_and_shown_by_how_they_are_made():
    shown = (
        'RuleBased([Rule(RateLimited(5.0), name="a*", tracer="b", kind=2)], '
        "otherwise=ParentBased(TraceIdRatio(0.5), remote_parent_sampled=AlwaysRecord(AlwaysOff()), "
        "local_parent_not_sampled=ConsistentProbability(0.25)))"
    )
    names = {name: getattr(nanospan, name) for name in nanospan.__all__}
    one, other = eval(shown, names), eval(shown, names)
    assert repr(one) == shown
    assert one == other
    assert one != AlwaysOn()
