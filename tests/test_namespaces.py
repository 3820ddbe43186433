"""Namespaces: tracers with an active span of their own."""

import pytest

from nanospan import tracing
from support.recording import OTHER

pytest_plugins = ("support.plugin",)


@pytest.fixture
def other():
    return tracing.new("own", namespace=OTHER)


def test_another_namespaces_active_span_is_not_seen(recording, other):
    with tracing.start_as_current_span("here") as here:
        assert other.active_span() is None
        with other.start_as_current_span("there") as there:
            assert (tracing.active_span(), other.active_span()) == (here, there)
        assert (tracing.active_span(), other.active_span()) == (here, None)
    assert recording.one("there").parent_id is None
    assert there.trace_id != here.trace_id


def test_tracers_of_one_namespace_share_its_active_span(recording, other):
    with other.start_as_current_span("parent") as parent:
        child = tracing.new("second", namespace=OTHER).start_span("child")
    assert child.parent_id == parent.span_id


def test_another_namespaces_active_span_can_be_the_parent(recording, other):
    with tracing.start_as_current_span("parent") as parent:
        with other.start_as_current_span("child", parent=tracing.active_span()) as child:
            assert (child.trace_id, child.parent_id) == (parent.trace_id, parent.span_id)
            assert tracing.active_span() is parent
    assert recording.names() == ["child", "parent"]


def test_a_local_trace_is_one_whatever_its_namespaces(recording, other):
    with tracing.start_as_current_span("root") as root:
        with other.start_as_current_span("child", parent=root):
            tracing.start_span("sibling").finish()
            assert other.root_span().span_id == root.span_id
            assert [span.name for span in other.spans()] == ["sibling"]


def test_without_an_active_span_a_namespace_has_no_trace(recording, other):
    with tracing.start_as_current_span("root"):
        tracing.start_span("child").finish()
        assert (other.root_span(), other.spans()) == (None, ())
        assert other.set_should_sample(False) is False
        assert other.get_sampling_decision(rate=1.0) is False
    assert recording.names() == ["child", "root"]


def test_the_spans_of_all_namespaces_are_exported_with_their_tracers_names(recording, other):
    with tracing.start_as_current_span("here"), other.start_as_current_span("there"):
        pass
    assert {span.name: span.instrumentation_scope.name for span in recording.spans()} == {
        "here": "nanospan",
        "there": "own",
    }
