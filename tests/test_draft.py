"""Drafts: spans whose ids are known early and whose facts come later."""

import pytest

import nanospan
from nanospan import SpanContext, SpanKind, _core, tracing
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)

REMOTE = SpanContext(b"\x11" * 16, b"\x22" * 8, sampled=True)


def test_a_draft_has_ids_a_parent_and_a_decision_but_no_name_and_no_start(recording):
    with tracing.start_as_current_span("parent") as parent:
        draft = tracing.create_span(kind=SpanKind.CLIENT)
    assert (draft.trace_id, draft.parent_id) == (parent.trace_id, parent.span_id)
    assert (draft.kind, draft.context.sampled) == (SpanKind.CLIENT, True)
    assert (draft.name, draft.start_time_ns, draft.end_time_ns) == ("", 0, None)


def test_a_linked_draft_is_a_span_like_any_other():
    clock = _core.ManualClock(10)
    with new_recording(clock=clock) as recorded:
        draft = tracing.create_span(parent=REMOTE, links=[REMOTE])
        clock.tick(5)
        tracing.link_span(draft, "balancer", attributes={"try": 1})
        clock.tick(5)
        draft.finish()
        read = recorded.one("balancer")
    assert (read.start_time_ns, read.end_time_ns) == (15, 20)
    assert (read.span_id, read.parent_id) == (draft.span_id, REMOTE.span_id)
    assert (read.attributes, len(read.links)) == ({"try": 1}, 1)


def test_linking_merges_the_attributes_set_before(recording):
    draft = tracing.create_span()
    draft.set_attributes({"early": 1, "both": "early"})
    tracing.link_span(draft, "x", start_time_ns=5, attributes={"both": "late", "late": 2})
    draft.finish(6)
    read = recording.one("x")
    assert read.attributes == {"early": 1, "both": "late", "late": 2}
    assert read.start_time_ns == 5


def test_events_of_a_draft_are_kept(recording):
    draft = tracing.create_span()
    draft.add_event("early", time_ns=3)
    tracing.link_span(draft, "x")
    draft.finish()
    assert [event.name for event in recording.one("x").events] == ["early"]


@pytest.mark.parametrize("make", ["linked draft", "started span", "finished span"])
def test_only_an_unlinked_draft_can_be_linked(recording, make):
    span = tracing.create_span() if make == "linked draft" else tracing.start_span("first")
    if make == "linked draft":
        tracing.link_span(span, "first")
    if make == "finished span":
        span.finish()
    with pytest.raises(ValueError, match="span"):
        tracing.link_span(span, "second", attributes={"k": 1})
    span.finish()
    read = recording.one("first")
    assert read.attributes == {}


@pytest.mark.parametrize("end_time_ns", [None, 5])
def test_finishing_an_unlinked_draft_raises_and_it_can_still_be_linked(recording, end_time_ns):
    draft = tracing.create_span()
    with pytest.raises(ValueError, match="link_span"):
        draft.finish(end_time_ns)
    tracing.link_span(draft, "x")
    draft.finish()
    assert recording.names() == ["x"]


def test_a_draft_that_dies_is_neither_exported_nor_counted(recording, caplog):
    with tracing.start_as_current_span("root"):
        tracing.create_span()
    nanospan.flush()
    assert recording.names() == ["root"]
    assert (nanospan.stats()["abandoned"], nanospan.stats()["discarded"]) == (0, 0)
    assert nanospan.stats()["open_spans"] == 0
    assert caplog.records == []


def test_children_of_a_draft_that_dies_are_exported_once(recording):
    draft = tracing.create_span()
    child = tracing.start_span("child", parent=draft)
    assert (child.trace_id, child.parent_id) == (draft.trace_id, draft.span_id)
    child.finish()
    del child, draft
    nanospan.flush()
    assert recording.names() == ["child"]


def test_a_draft_is_not_among_the_traces_spans(recording):
    with tracing.start_as_current_span("root"):
        draft = tracing.create_span()
        assert tracing.spans() == ()
        tracing.link_span(draft, "linked")
        draft.finish()
        assert [span.name for span in tracing.spans()] == ["linked"]


def test_a_draft_decides_for_itself_when_told(recording):
    draft = tracing.create_span(should_sample=False)
    assert not draft.context.sampled
    tracing.link_span(draft, "x")
    draft.finish()
    assert recording.spans() == ()


def test_a_released_draft_is_gone(recording):
    draft = tracing.create_span()
    draft.release()
    nanospan.flush()
    assert recording.spans() == ()
    assert nanospan.stats()["open_spans"] == 0


def test_linking_sets_and_unsets_attributes_as_set_attributes_does(recording):
    draft = tracing.create_span()
    draft.set_attributes({"kept": 1, "gone": 2})
    tracing.link_span(draft, "x", attributes={"gone": None, "new": 3})
    draft.finish()
    assert recording.spans()[0].attributes == {"kept": 1, "new": 3}
