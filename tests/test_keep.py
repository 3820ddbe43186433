"""What a late decision keeps of the traces that the sampler turned down."""

import pytest

import nanospan
from nanospan import (
    AlwaysOff,
    Keep,
    KeepRule,
    QueueConfig,
    SpanContext,
    StatusCode,
    TraceIdRatio,
    _core,
    configure,
    tracing,
)
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)

_PATIENT = QueueConfig(max_coalescing_delay=3600)


def recording(keep, **options):
    """A recording whose sampler wants nothing, unless `options` say otherwise."""
    return new_recording(**{"keep": keep, "sampling_rate": 0.0, "queue": _PATIENT} | options)


def request(*, fails=False, name="GET /cart", attributes=None, takes_ns=0, clock=None):
    """A root with two children, of which the second may fail."""
    with tracing.start_as_current_span(name) as root:
        tracing.start_span("first").finish()
        with tracing.start_as_current_span("second") as span:
            if fails:
                span.set_status(StatusCode.ERROR, "no")
        root.set_attributes(attributes or {})
        if clock is not None:
            clock.tick(takes_ns)


def test_a_trace_in_which_a_span_fails_is_kept_whole():
    with recording(Keep()) as recorded:
        request(fails=True)
        request()
        assert recorded.names() == ["GET /cart", "first", "second"]
        assert {span.attributes["nanospan.kept"] for span in recorded.spans()} == {"error"}
        stats = nanospan.stats()
        assert (stats["kept_traces"], stats["dropped"]["unsampled"]) == (1, 3)


def test_an_exception_that_leaves_a_block_keeps_its_trace():
    with recording(Keep()) as recorded:
        with pytest.raises(KeyError), tracing.start_as_current_span("root"):
            raise KeyError("k")
        assert recorded.names() == ["root"]


def test_failures_are_not_kept_where_that_is_not_asked_for():
    with recording(Keep(errors=False)) as recorded:
        request(fails=True)
        assert recorded.spans() == ()


def test_a_slow_root_keeps_its_trace():
    clock = _core.ManualClock(10**18)
    with recording(Keep(slower_than=0.5), clock=clock) as recorded:
        request(name="fast", takes_ns=500_000_000, clock=clock)
        request(name="slow", takes_ns=500_000_001, clock=clock)
        assert recorded.names() == ["first", "second", "slow"]
        assert recorded.one("slow").attributes == {"nanospan.kept": "slow"}


@pytest.mark.parametrize(
    ("rule", "is_kept"),
    [
        (KeepRule(name="GET *"), True),
        (KeepRule(name="second"), True),
        (KeepRule(name="POST *"), False),
        (KeepRule(attributes={"tenant": "x"}), True),
        (KeepRule(attributes={"tenant": "y"}), False),
        (KeepRule(attributes={"tenant": None}), True),
        (KeepRule(attributes={"user": None}), False),
        (KeepRule(attributes={"tries": 300, "tenant": "x"}), True),
        (KeepRule(attributes={"tries": 300.0}), False),
        (KeepRule(attributes={"roles": ["a", "b"]}), True),
        (KeepRule(name="second", attributes={"tenant": "x"}), False),
    ],
)
def test_a_rule_keeps_the_traces_with_a_span_that_matches_all_of_it(rule, is_kept):
    with recording(Keep(errors=False, rules=[rule])) as recorded:
        request(attributes={"tenant": "x", "tries": 300, "roles": ["a", "b"]})
        assert len(recorded.spans()) == (3 if is_kept else 0)
        assert all(span.attributes["nanospan.kept"] == "rule" for span in recorded.spans())


def test_no_more_traces_are_kept_than_the_budget_has_and_the_rest_is_counted():
    clock = _core.ManualClock(10**18)
    with recording(Keep(max_traces_per_second=2), clock=clock) as recorded:
        for _ in range(5):
            request(fails=True)
        assert recorded.names().count("GET /cart") == 2
        assert (nanospan.stats()["kept_traces"], nanospan.stats()["over_budget"]) == (2, 3)
        clock.tick(500_000_000)
        request(fails=True)
        assert nanospan.stats()["kept_traces"] == 3


def test_what_the_sampler_wants_is_neither_marked_nor_taken_from_the_budget():
    with recording(Keep(max_traces_per_second=0), sampling_rate=1.0) as recorded:
        request(fails=True)
        assert len(recorded.spans()) == 3
        assert recorded.one("GET /cart").attributes == {}
        assert nanospan.stats()["kept_traces"] == 0


def test_a_kept_trace_stands_for_itself_whatever_its_tracestate_said():
    parent = SpanContext(bytes([1] * 16), bytes([2] * 8), sampled=False, trace_state="a=b,ot=th:8")
    with recording(Keep()) as recorded:
        with tracing.start_as_current_span("root", parent=parent) as root:
            root.set_status(StatusCode.ERROR)
        tracing.start_span("plain").finish()
        context = recorded.one("root").context
        assert (context.trace_state, context.adjusted_count) == ("ot=th:0,a=b", 1.0)


def test_a_decision_by_hand_goes_before_what_is_asked():
    with recording(Keep()) as recorded:
        with tracing.start_as_current_span("root") as root:
            root.set_status(StatusCode.ERROR)
            tracing.set_should_sample(False)
        assert recorded.spans() == ()
        with tracing.start_as_current_span("wanted"):
            tracing.set_should_sample(True)
        assert recorded.one("wanted").attributes == {}


def test_an_undecided_trace_says_what_the_sampler_said_until_it_is_kept():
    with recording(Keep()) as recorded:
        with tracing.start_as_current_span("root") as root:
            assert root.context.sampled is False
            root.set_status(StatusCode.ERROR)
            late = tracing.start_span("late")
        assert root.context.sampled is True
        late.finish()
        nanospan.flush()
        assert recorded.names() == ["late", "root"]
        assert recorded.one("late").attributes == {"nanospan.kept": "error"}


def test_a_part_that_is_handed_over_early_is_kept_if_something_in_it_asks():
    with recording(Keep()) as recorded:
        with tracing.start_as_current_span("root"):
            with tracing.start_as_current_span("failed") as span:
                span.set_status(StatusCode.ERROR)
            assert nanospan.flush()
            assert recorded.names() == ["failed"]
            assert tracing.root_span().context.sampled is True
        assert recorded.names() == ["failed", "root"]


def test_a_part_that_is_handed_over_early_is_dropped_if_nothing_in_it_asks():
    with recording(Keep()) as recorded:
        with tracing.start_as_current_span("root") as root:
            tracing.start_span("early").finish()
            assert nanospan.flush()
            root.set_status(StatusCode.ERROR)
        assert recorded.names() == ["root"]
        assert nanospan.stats()["dropped"]["late_undecided"] == 1


def test_a_span_that_decides_for_itself_asks_for_nothing():
    with recording(Keep()) as recorded:
        with tracing.start_as_current_span("root"):
            span = tracing.start_span("own", should_sample=True)
            span.set_status(StatusCode.ERROR)
            span.finish()
        assert recorded.names() == ["own"]


def test_the_account_of_the_queue_is_even_when_kept_traces_have_been_sent():
    with recording(Keep()):
        for _ in range(50):
            request(fails=True)
        assert nanospan.flush()
        stats = nanospan.stats()
        assert (stats["queued_spans"], stats["queued_bytes"]) == (0, 0)
        assert stats["sent"] == 150


def test_many_samplers_leave_what_they_drop_to_it():
    for sampler in (AlwaysOff(), TraceIdRatio(0.0)):
        with recording(Keep(), sampling_rate=None, sampler=sampler) as recorded:
            request(fails=True)
            assert len(recorded.spans()) == 3


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Keep(errors="yes"), TypeError, "errors.*str"),
        (lambda: Keep(slower_than=-1), ValueError, "slower_than.*-1"),
        (lambda: Keep(slower_than="1"), TypeError, "slower_than.*str"),
        (lambda: Keep(rules=KeepRule(name="x")), TypeError, "rules.*KeepRule"),
        (lambda: Keep(rules=["x"]), TypeError, "rules.*str"),
        (lambda: Keep(max_traces_per_second=float("inf")), ValueError, "max_traces_per_second"),
        (lambda: KeepRule(), ValueError, "name or attributes"),
        (lambda: KeepRule(name=1), TypeError, "name.*int"),
        (lambda: KeepRule(attributes={1: "x"}), TypeError, "attributes"),
        (lambda: KeepRule(attributes={"x": object()}), ValueError, "attributes"),
        (lambda: configure(keep=True), TypeError, "keep.*bool"),
    ],
)
def test_a_mistake_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_what_is_kept_can_be_shown():
    keep = Keep(slower_than=0.5, rules=[KeepRule(name="GET *")], max_traces_per_second=10)
    assert repr(keep) == (
        'Keep(errors=True, slower_than=0.5, rules=[KeepRule(name="GET *", attributes=[])], '
        "max_traces_per_second=10.0)"
    )
