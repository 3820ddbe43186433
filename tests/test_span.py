"""One span: its facts, its end, and what can still be read of it afterwards."""

import copy
import logging
import pickle
import re
import weakref

import pytest

import nanospan
from nanospan import (
    Event,
    Link,
    ReleasedSpanError,
    SpanContext,
    SpanKind,
    StatusCode,
    _core,
    tracing,
)
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)

REMOTE = SpanContext(b"\x11" * 16, b"\x22" * 8, sampled=True)


def test_a_new_span_is_internal_unset_and_open(recording):
    span = tracing.start_span("x")
    assert (span.name, span.kind, span.status) == ("x", SpanKind.INTERNAL, StatusCode.UNSET)
    assert (span.parent_id, span.end_time_ns, span.status_description) == (None, None, None)
    assert (span.attributes, span.events, span.links) == ({}, (), ())
    assert span.is_recording()
    span.finish()


def test_ids_are_bytes_and_hex_and_differ_from_span_to_span(recording):
    spans = [tracing.start_span("x") for _ in range(100)]
    assert {(len(span.trace_id), len(span.span_id)) for span in spans} == {(16, 8)}
    assert all(bytes.fromhex(span.trace_id_hex) == span.trace_id for span in spans)
    assert all(bytes.fromhex(span.span_id_hex) == span.span_id for span in spans)
    assert len({span.trace_id for span in spans}) == len({span.span_id for span in spans}) == 100
    for span in spans:
        span.finish()


def test_a_spans_context_has_its_ids_and_decision(recording):
    span = tracing.start_span("x")
    assert (span.context.trace_id, span.context.span_id) == (span.trace_id, span.span_id)
    assert (span.context.sampled, span.context.is_remote) == (True, False)
    span.finish()


def test_contexts_with_the_same_ids_and_decision_are_equal(recording):
    span = tracing.start_span("x")
    assert span.context == span.context
    assert len({span.context, span.context}) == 1
    assert SpanContext(b"\x11" * 16, b"\x22" * 8, sampled=True) == REMOTE != span.context
    span.finish()


def test_the_clock_is_read_at_start_event_and_finish():
    clock = _core.ManualClock(1_000)
    with new_recording(clock=clock) as recorded:
        span = tracing.start_span("x")
        clock.tick(5)
        span.add_event("middle")
        clock.tick(7)
        span.finish()
        read = recorded.one("x")
    assert (read.start_time_ns, read.events[0].time_ns, read.end_time_ns) == (1_000, 1_005, 1_012)


def test_children_lie_inside_their_parents_in_time(recording):
    with tracing.start_as_current_span("parent") as parent:
        with tracing.start_as_current_span("child") as child:
            pass
    assert parent.start_time_ns <= child.start_time_ns <= child.end_time_ns <= parent.end_time_ns


def test_the_last_write_of_an_attribute_wins_and_none_unsets(recording):
    span = tracing.start_span("x", attributes={"a": 1, "b": 2, "nothing": None})
    span.set_attribute("a", "two")
    span.set_attributes({"b": None, "c": [1, 2]})
    span.set_attribute("never set", None)
    assert span.attributes == {"a": "two", "c": (1, 2)}
    span.finish()


def test_attributes_are_copied_when_set(recording):
    given = {"list": [1]}
    span = tracing.start_span("x", attributes=given)
    given["list"].append(2)
    given["later"] = 3
    span.attributes["read"] = "back"
    assert span.attributes == {"list": (1,)}
    span.finish()


def test_events_keep_their_order_times_and_attributes(recording):
    span = tracing.start_span("x", start_time_ns=10)
    span.add_event("second", {"k": "v"}, time_ns=20)
    span.add_event("", time_ns=15)
    assert span.events == (Event("second", 20, {"k": "v"}), Event("", 15, {}))
    span.finish()


def test_links_are_given_at_the_start_or_added(recording):
    other = SpanContext(b"\x33" * 16, b"\x44" * 8)
    span = tracing.start_span("x", links=[REMOTE, Link(other, {"k": 1})])
    span.add_link(other, {"k": 2})
    assert [(link.context.span_id, link.attributes) for link in span.links] == [
        (REMOTE.span_id, {}),
        (other.span_id, {"k": 1}),
        (other.span_id, {"k": 2}),
    ]
    span.finish()


def test_any_iterable_of_links_will_do(recording):
    span = tracing.start_span("x", links=(context for context in [REMOTE]))
    assert [link.context.trace_id for link in span.links] == [REMOTE.trace_id]
    span.finish()


@pytest.mark.parametrize("kind", range(6))
def test_a_kind_may_be_given_by_its_number(recording, kind):
    span = tracing.start_span("x", kind=kind)
    span.finish()
    assert span.kind is SpanKind(kind)
    assert recording.one("x").kind is SpanKind(kind)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], (StatusCode.UNSET, None)),
        ([(StatusCode.ERROR, "why")], (StatusCode.ERROR, "why")),
        ([(2, None)], (StatusCode.ERROR, None)),
        ([(StatusCode.ERROR, "first"), (StatusCode.ERROR, "last")], (StatusCode.ERROR, "last")),
        ([(StatusCode.ERROR, "why"), (StatusCode.OK, None)], (StatusCode.OK, None)),
        ([(StatusCode.OK, "no description"), (StatusCode.ERROR, "late")], (StatusCode.OK, None)),
        ([(StatusCode.UNSET, "no description")], (StatusCode.UNSET, None)),
    ],
)
def test_ok_is_final_and_a_description_counts_only_with_an_error(recording, calls, expected):
    span = tracing.start_span("x")
    for call in calls:
        span.set_status(*call)
    assert (span.status, span.status_description) == expected
    span.finish()
    assert (recording.one("x").status, recording.one("x").status_description) == expected


def test_a_span_finished_twice_keeps_its_first_end(recording):
    span = tracing.start_span("checkout", start_time_ns=5)
    span.finish(end_time_ns=10)
    span.finish(end_time_ns=20)
    span.finish()
    assert recording.one("checkout").end_time_ns == span.end_time_ns == 10


def test_a_span_may_end_when_it_starts(recording):
    tracing.start_span("x", start_time_ns=5).finish(5)
    assert recording.one("x").end_time_ns == 5


def test_an_end_before_the_start_is_logged_and_the_span_stays_open(recording, caplog):
    span = tracing.start_span("backwards", start_time_ns=1_000)
    tracing.set_active_span(span)
    span.finish(end_time_ns=999)
    assert (span.end_time_ns, span.is_recording()) == (None, True)
    assert tracing.active_span() is span
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("nanospan", logging.WARNING)
    assert re.search("backwards.*1", record.getMessage())
    span.finish(1_001)
    assert recording.one("backwards").end_time_ns == 1_001


def test_writes_to_an_ended_span_are_ignored_and_counted(recording):
    span = tracing.start_span("x", attributes={"k": 1})
    span.finish()
    span.set_attribute("k", 2)
    span.set_attributes({"k": 2})
    span.add_event("late")
    span.add_link(REMOTE)
    span.record_error("late")
    span.set_status(StatusCode.ERROR)
    read = recording.one("x")
    assert (read.attributes, read.events, read.links) == ({"k": 1}, (), ())
    assert read.status == StatusCode.UNSET
    assert nanospan.stats()["ignored_writes"] == 6


def test_a_finished_span_is_readable_until_its_trace_is_handed_over(recording):
    with tracing.start_as_current_span("root"):
        child = tracing.start_span("child", attributes={"k": 1}, links=[REMOTE])
        child.add_event("e", time_ns=1)
        child.finish()
        assert (child.attributes, child.events) == ({"k": 1}, (Event("e", 1, {}),))
        assert [link.context.span_id for link in child.links] == [REMOTE.span_id]
    for read in ("attributes", "events", "links"):
        with pytest.raises(ReleasedSpanError, match=read):
            getattr(child, read)


def test_ids_name_times_and_status_are_readable_for_ever(recording):
    span = tracing.start_span("x", kind=SpanKind.CLIENT, start_time_ns=1, parent=REMOTE)
    context = span.context
    span.set_status(StatusCode.ERROR, "why")
    span.finish(2)
    nanospan.flush()
    span.release()
    assert (span.context, span.parent_id) == (context, REMOTE.span_id)
    assert (span.name, span.kind, span.start_time_ns, span.end_time_ns) == ("x", 3, 1, 2)
    assert (span.status, span.status_description) == (StatusCode.ERROR, "why")
    assert not span.is_recording()


def test_a_span_released_before_its_end_is_discarded_and_counted(recording):
    with tracing.start_as_current_span("root"):
        span = tracing.start_span("unwanted")
        span.release()
        span.release()
        span.finish()
    assert recording.names() == ["root"]
    assert nanospan.stats()["discarded"] == 1
    assert nanospan.stats()["abandoned"] == 0


def test_a_span_released_after_its_end_is_still_exported(recording):
    with tracing.start_as_current_span("root"):
        span = tracing.start_span("child", attributes={"k": 1})
        span.finish()
        span.release()
        with pytest.raises(ReleasedSpanError):
            span.attributes  # noqa: B018
    assert recording.one("child").attributes == {"k": 1}


def test_a_span_that_is_not_sampled_has_ids_and_keeps_nothing(recording):
    span = tracing.start_span("x", should_sample=False, attributes={"k": 1})
    span.set_attribute("k", 2)
    span.finish()
    assert (any(span.trace_id), any(span.span_id)) == (True, True)
    assert (span.context.sampled, span.is_recording(), span.attributes) == (False, False, {})
    assert recording.spans() == ()


def test_a_span_is_no_context_manager(recording):
    span = tracing.start_span("x")
    assert not hasattr(span, "__enter__")
    assert not callable(span)
    span.finish()


def test_a_weak_reference_to_a_span_dies_with_its_last_handle(recording):
    span = tracing.start_span("x")
    reference = weakref.ref(span)
    assert reference() is span
    span.finish()
    del span
    assert reference() is None


@pytest.mark.parametrize("name", ["plain", "a\ud800b", type("Text", (str,), {})("subclass")])
def test_a_span_reads_the_name_that_is_exported(recording, name):
    span = tracing.start_span(name)
    span.finish()
    assert type(span.name) is str
    assert span.name == recording.spans()[0].name


@pytest.mark.parametrize("again", [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy])
def test_events_and_links_can_be_pickled_and_copied(recording, again):
    with tracing.start_as_current_span("x") as span:
        span.add_event("e", {"k": [1]})
        span.add_link(span.context)
        for value in (*span.events, *span.links, Link(span.context), Link(span.context, None)):
            assert again(value) == value
            assert type(again(value)) is type(value)
