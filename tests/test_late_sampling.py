"""The late decision: recorded first, kept or dropped when the local root finishes."""

import pytest

import nanospan
from nanospan import ROOT, QueueConfig, SpanContext, tracing
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)

_PATIENT = QueueConfig(max_coalescing_delay=3600)


@pytest.fixture
def undecided():
    """A recording in which the sampler wants nothing and the late decision may still keep it."""
    with new_recording(late_sampling=True, sampling_rate=0.0, queue=_PATIENT) as recorded:
        yield recorded


def test_a_trace_nobody_asks_for_is_dropped_and_counted(undecided):
    with tracing.start_as_current_span("root") as root:
        assert root.is_recording()
        tracing.start_span("child").finish()
    assert undecided.spans() == ()
    assert nanospan.stats()["dropped"]["unsampled"] == 2


def test_a_late_yes_keeps_the_whole_trace_also_what_finished_before(undecided):
    with tracing.start_as_current_span("root"):
        tracing.start_span("before", attributes={"k": 1}).finish()
        assert tracing.set_should_sample(True) is True
        tracing.start_span("after").finish()
    assert undecided.names() == ["after", "before", "root"]
    assert undecided.one("before").attributes == {"k": 1}


def test_the_last_decision_counts(undecided):
    with tracing.start_as_current_span("root"):
        tracing.set_should_sample(True)
        assert tracing.set_should_sample(False) is True
    assert undecided.spans() == ()


@pytest.mark.parametrize("late_sampling", [True, False])
def test_a_no_by_hand_drops_a_trace_the_sampler_wanted(late_sampling):
    with new_recording(late_sampling=late_sampling) as recorded:
        with tracing.start_as_current_span("root"):
            tracing.start_span("child").finish()
            assert tracing.set_should_sample(False) is True
        assert recorded.spans() == ()
        assert nanospan.stats()["dropped"]["unsampled"] == 2


def test_without_a_late_decision_the_samplers_counts():
    with new_recording(late_sampling=True) as recorded:
        tracing.start_span("x").finish()
        assert recorded.names() == ["x"]


@pytest.mark.parametrize("keep", [True, False])
def test_late_children_follow_the_final_decision(undecided, keep):
    with tracing.start_as_current_span("root"):
        late = tracing.start_span("late")
        tracing.set_should_sample(keep)
    late.finish()
    nanospan.flush()
    assert undecided.names() == (["late", "root"] if keep else [])


def test_the_decision_is_for_the_active_trace_only(undecided):
    with tracing.start_as_current_span("wanted"):
        with tracing.start_as_current_span("unwanted", parent=ROOT):
            pass
        tracing.set_should_sample(True)
    assert undecided.names() == ["wanted"]


def test_without_an_active_span_there_is_nothing_to_decide(undecided):
    span = tracing.start_span("x")
    assert tracing.set_should_sample(True) is False
    span.finish()
    assert undecided.spans() == ()


def test_what_must_go_before_the_decision_is_dropped_and_counted(undecided):
    with tracing.start_as_current_span("root"):
        tracing.start_span("early").finish()
        nanospan.flush()
        assert nanospan.stats()["dropped"]["late_undecided"] == 1
        tracing.start_span("later").finish()
        tracing.set_should_sample(True)
    assert undecided.names() == ["later", "root"]


def test_what_must_go_is_kept_when_the_trace_was_already_asked_for(undecided):
    with tracing.start_as_current_span("root"):
        tracing.start_span("early").finish()
        tracing.set_should_sample(True)
        nanospan.flush()
        assert undecided.names() == ["early"]
    assert undecided.names() == ["early", "root"]
    assert nanospan.stats()["dropped"]["late_undecided"] == 0


def test_a_span_that_decides_for_itself_is_kept_whatever_its_trace(undecided):
    with tracing.start_as_current_span("root"):
        with tracing.start_as_current_span("mine", should_sample=True):
            tracing.start_span("follows").finish()
        with tracing.start_as_current_span("never", should_sample=False):
            tracing.start_span("follows too").finish()
    nanospan.flush()
    assert undecided.names() == ["follows", "mine"]


def test_a_span_that_decided_against_itself_stays_out_of_a_kept_trace(undecided):
    with tracing.start_as_current_span("root"):
        with tracing.start_as_current_span("never", should_sample=False):
            tracing.start_span("follows").finish()
        tracing.set_should_sample(True)
    assert undecided.names() == ["root"]


def test_a_trace_that_is_not_recorded_never_pretends():
    with new_recording(sampling_rate=0.0, queue=_PATIENT) as recorded:
        with tracing.start_as_current_span("root"):
            before = tracing.start_span("before")
            assert tracing.set_should_sample(True) is False
            tracing.start_span("after").finish()
            before.finish()
        nanospan.flush()
        assert recorded.names() == ["after"]


def test_a_trace_one_span_of_which_got_no_record_never_pretends():
    queue = QueueConfig(max_live_spans=1, max_coalescing_delay=3600)
    with new_recording(late_sampling=True, sampling_rate=0.0, queue=queue) as recorded:
        with tracing.start_as_current_span("root"):
            beyond = tracing.start_span("beyond the cap")
            assert not beyond.is_recording()
            assert tracing.set_should_sample(True) is False
            beyond.finish()
        assert recorded.names() == ["root"]


def test_a_sampled_remote_parent_is_followed():
    parent = SpanContext(b"\x11" * 16, b"\x22" * 8, sampled=True)
    with new_recording(late_sampling=True, sampling_rate=0.0) as recorded:
        tracing.start_span("x", parent=parent).finish()
        assert recorded.names() == ["x"]


@pytest.mark.parametrize("value", [1, None, "yes"], ids=repr)
def test_the_decision_is_a_bool(undecided, value):
    with tracing.start_as_current_span("root"):
        with pytest.raises(TypeError, match="should_sample"):
            tracing.set_should_sample(value)


def test_a_decision_that_other_services_were_told_is_never_taken_back():
    with new_recording() as recorded:
        with tracing.start_as_current_span("told"):
            assert nanospan.propagation.inject()["traceparent"].endswith("-03")
            assert tracing.set_should_sample(False) is False
        with tracing.start_as_current_span("untold"):
            assert tracing.set_should_sample(False) is True
        assert recorded.names() == ["told"]


def test_a_no_that_other_services_were_told_may_become_a_yes(undecided):
    with tracing.start_as_current_span("root"):
        assert nanospan.propagation.inject()["traceparent"].endswith("-02")
        assert tracing.set_should_sample(True) is True
        assert nanospan.propagation.inject()["traceparent"].endswith("-03")
    assert undecided.names() == ["root"]


def test_the_traceparent_of_a_span_is_made_once(undecided):
    # The first of the process looks up how: it writes its own.
    nanospan.propagation.inject()
    with tracing.start_as_current_span("root"):
        first = nanospan.propagation.inject()["traceparent"]
        assert nanospan.propagation.inject()["traceparent"] is first
