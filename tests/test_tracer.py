"""Tracers: the global one, own ones by name, and the spans they start."""

import copy
import pickle

import pytest

import nanospan
from nanospan import ROOT, InstrumentationScope, SpanContext, SpanKind, tracing
from support.process import checked_python
from support.recording import fresh_name

pytest_plugins = ("support.plugin",)

REMOTE = SpanContext(b"\x11" * 16, b"\x22" * 8, sampled=True, trace_state="vendor=1")


def test_before_configure_the_global_tracer_gives_one_shared_span_that_records_nothing():
    code = """
        from nanospan import tracing
        span = tracing.start_span("x")
        print(span is tracing.new("own").create_span(), span.is_recording(), span.trace_id.hex())
    """
    assert checked_python(code) == f"True False {'00' * 16}\n"


@pytest.mark.usefixtures("unconfigured")
def test_without_a_pipeline_a_span_has_no_facts():
    span = tracing.start_span("x", kind=SpanKind.SERVER, attributes={"k": 1})
    assert (span.trace_id, span.span_id, span.parent_id) == (bytes(16), bytes(8), None)
    assert (span.attributes, span.events, span.links) == ({}, (), ())
    assert (span.is_recording(), bool(span.context.sampled)) == (False, False)


@pytest.mark.usefixtures("unconfigured")
def test_without_a_pipeline_arguments_are_not_checked():
    span = tracing.start_span(42, kind="server", parent="nobody", attributes=7)
    span.set_attribute(1, object())
    span.set_attributes(None)
    span.add_event(None, 3)
    span.add_link("no context")
    span.record_error(None)
    span.set_status("fine")
    span.finish("now")
    span.release()
    tracing.link_span(span, None)
    assert tracing.start_span("") is tracing.create_span(kind=99) is span


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: tracing.start_span(), TypeError),
        (lambda: tracing.start_span("x", colour="red"), TypeError),
        (lambda: tracing.start_span("x").set_attribute("k"), TypeError),
        (lambda: tracing.start_as_current_span(""), ValueError),
        (lambda: tracing.start_as_current_span("x", kind="server"), TypeError),
        (lambda: tracing.new(""), ValueError),
    ],
)
def test_without_a_pipeline_some_arguments_are_checked_all_the_same(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.usefixtures("unconfigured")
def test_without_a_pipeline_a_tracer_has_nothing_and_does_nothing():
    tracing.set_active_span(tracing.start_span("x"))
    tracing.process_spans(pytest.fail)
    assert (tracing.active_span(), tracing.root_span(), tracing.spans()) == (None, None, ())
    assert (tracing.set_should_sample(True), tracing.get_sampling_decision(rate=1)) == (
        False,
        False,
    )


@pytest.mark.usefixtures("unconfigured")
def test_without_a_pipeline_a_block_runs_its_body_and_lets_exceptions_out():
    with pytest.raises(KeyError), tracing.start_as_current_span("x") as span:
        assert tracing.active_span() is None
        raise KeyError(span.span_id)


def test_the_global_tracer_is_named_nanospan():
    assert (tracing.name, tracing.namespace, tracing.version) == ("nanospan", "default", None)


def test_a_tracers_name_is_default_when_not_given():
    tracer = tracing.new()
    assert (tracer.name, tracer.namespace, tracer.version) == ("default", "default", None)


def test_the_same_name_and_namespace_give_the_same_tracer():
    name = fresh_name("own")
    tracer = tracing.new(name, namespace="other")
    assert tracer is tracing.new("any").new(name, namespace="other")
    assert tracer is not tracing.new(name)


def test_a_known_tracers_first_options_win_with_one_warning(recording, caplog):
    name = fresh_name("own")
    first = tracing.new(name, version="1", sampling_rate=1.0)
    again = [tracing.new(name, version=version, sampling_rate=0.0) for version in "23"]
    assert again == [first, first]
    assert first.version == "1"
    assert first.start_span("x").context.sampled
    assert [record.levelname for record in caplog.records if name in record.getMessage()] == [
        "WARNING"
    ]


def test_asking_for_a_known_tracer_without_options_warns_of_nothing(caplog):
    name = fresh_name("own")
    assert tracing.new(name, version="1") is tracing.new(name)
    assert caplog.records == []


def test_a_span_carries_its_tracers_name_and_version(recording):
    tracing.new("shop", version="1.2").start_span("x").finish()
    assert recording.one("x").instrumentation_scope == InstrumentationScope("shop", "1.2")


def test_starting_a_span_does_not_make_it_active(recording):
    span = tracing.start_span("x")
    assert tracing.active_span() is None
    span.release()


def test_a_span_is_a_child_of_the_active_one(recording):
    with tracing.start_as_current_span("parent") as parent:
        child = tracing.new("own").start_span("child")
    assert (child.trace_id, child.parent_id) == (parent.trace_id, parent.span_id)


def test_a_given_parent_beats_the_active_span(recording):
    given = tracing.start_span("given")
    with tracing.start_as_current_span("active"):
        child = tracing.start_span("child", parent=given)
    assert (child.trace_id, child.parent_id) == (given.trace_id, given.span_id)


def test_root_as_parent_begins_a_new_trace(recording):
    with tracing.start_as_current_span("active") as active:
        span = tracing.start_span("x", parent=ROOT)
    assert span.parent_id is None
    assert span.trace_id != active.trace_id


def test_a_span_context_as_parent_is_a_remote_parent(recording):
    span = tracing.start_span("x", parent=REMOTE)
    assert (span.trace_id, span.parent_id) == (REMOTE.trace_id, REMOTE.span_id)
    assert (span.context.is_remote, span.context.trace_state) == (False, "vendor=1")
    assert REMOTE.is_remote


def test_an_ended_span_is_still_a_valid_parent(recording):
    parent = tracing.start_span("parent")
    parent.finish()
    child = tracing.start_span("child", parent=parent)
    assert (child.trace_id, child.parent_id) == (parent.trace_id, parent.span_id)


def test_the_root_span_is_the_local_root_while_it_is_open(recording):
    with tracing.start_as_current_span("root", parent=REMOTE) as root:
        with tracing.start_as_current_span("child"):
            assert tracing.root_span().span_id == root.span_id
            root.finish()
            assert tracing.root_span() is None
    assert tracing.root_span() is None


def test_spans_are_those_of_the_trace_that_finished_in_start_order(recording):
    with tracing.start_as_current_span("root"):
        first = tracing.start_span("first")
        tracing.new("own", namespace="other").start_span("second", parent=first).finish()
        first.finish()
        still_open = tracing.start_span("open")
        tracing.start_span("elsewhere", parent=ROOT).finish()
        assert [span.name for span in tracing.spans()] == ["first", "second"]
        still_open.finish()
    assert tracing.spans() == ()


def test_a_processor_sees_each_finished_span_of_the_trace(recording):
    seen = []
    with tracing.start_as_current_span("root"):
        for name in ("a", "b"):
            tracing.start_span(name).finish()
        tracing.process_spans(seen.append)
    assert [span.name for span in seen] == ["a", "b"]
    assert recording.names() == ["a", "b", "root"]


def test_a_processor_may_start_spans_and_its_exception_reaches_the_caller(recording):
    def process(span):
        tracing.start_span("made while processing").finish()
        raise LookupError(span.name)

    with tracing.start_as_current_span("root"):
        tracing.start_span("a").finish()
        with pytest.raises(LookupError, match="a"):
            tracing.process_spans(process)
    assert recording.names() == ["a", "made while processing", "root"]


def test_what_a_processor_keeps_outlives_the_trace(recording):
    with tracing.start_as_current_span("root"):
        tracing.start_span("a", attributes={"k": (1, 2)}).finish()
        (kept,) = tracing.spans()
    assert kept == recording.one("a")
    assert kept.attributes == {"k": (1, 2)}


@pytest.mark.parametrize("kind", [nanospan.Tracer, nanospan.Span, nanospan.SpanData])
def test_what_nanospan_makes_cannot_be_made_by_hand(kind):
    with pytest.raises(TypeError, match=kind.__name__):
        kind()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_span_cannot_be_copied_and_says_what_to_take_instead(recording, duplicate):
    span = tracing.start_span("x")
    with pytest.raises(TypeError, match=r"span\.context"):
        duplicate(span)
    span.finish()
