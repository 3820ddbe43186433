"""The active span: who is parent of what starts next."""

import pytest

from nanospan import ROOT, tracing
from support.recording import OTHER

pytest_plugins = ("support.plugin",)


def _chain(*names):
    """Spans started one under the other, the last of them active."""
    spans = []
    for name in names:
        spans.append(tracing.start_span(name, parent=spans[-1] if spans else ROOT))
    tracing.set_active_span(spans[-1])
    return spans


@pytest.fixture
def chain(recording):
    spans = _chain("root", "middle", "leaf")
    yield spans
    for span in spans:
        span.finish()


def test_what_is_set_is_active_and_none_clears(recording):
    span = tracing.start_span("x")
    tracing.set_active_span(span)
    assert tracing.active_span() is span
    tracing.set_active_span(None)
    assert tracing.active_span() is None
    span.finish()


def test_the_active_span_is_shared_by_the_tracers_of_a_namespace(chain):
    assert tracing.new("own").active_span() is chain[-1]


@pytest.mark.parametrize("end", ["finish", "release"])
def test_when_the_active_span_ends_its_parent_is_active(chain, end):
    root, middle, leaf = chain
    getattr(leaf, end)()
    assert tracing.active_span() is middle
    getattr(middle, end)()
    assert tracing.active_span() is root
    getattr(root, end)()
    assert tracing.active_span() is None


def test_when_another_span_ends_the_active_one_stays(chain):
    root, middle, leaf = chain
    middle.finish()
    root.finish()
    assert tracing.active_span() is leaf


@pytest.mark.parametrize("end", ["finish", "release"])
def test_past_an_ended_parent_the_nearest_open_ancestor_is_active(chain, end):
    root, middle, leaf = chain
    getattr(middle, end)()
    leaf.finish()
    assert tracing.active_span() is root


def test_when_no_ancestor_is_open_nothing_is_active(chain):
    for span in chain:
        span.finish()
    assert tracing.active_span() is None


def test_an_end_before_the_start_leaves_the_span_active(chain):
    chain[-1].finish(1)
    assert tracing.active_span() is chain[-1]


def test_an_ancestor_of_another_namespace_never_becomes_active_here(recording):
    parent = tracing.start_span("parent")
    other = tracing.new("own", namespace=OTHER)
    child = other.start_span("child", parent=parent)
    other.set_active_span(child)
    child.finish()
    assert (other.active_span(), tracing.active_span()) == (None, None)
    parent.finish()


def test_past_another_namespaces_span_the_nearest_ancestor_of_the_same_is_active(recording):
    root = tracing.start_span("root")
    between = tracing.new("own", namespace=OTHER).start_span("between", parent=root)
    leaf = tracing.start_span("leaf", parent=between)
    tracing.set_active_span(leaf)
    leaf.finish()
    assert tracing.active_span() is root
    between.finish()
    root.finish()


def test_a_span_of_another_namespace_cannot_be_set_active(recording):
    span = tracing.new("own", namespace=OTHER).start_span("x")
    with pytest.raises(ValueError, match="namespace"):
        tracing.set_active_span(span)
    assert tracing.active_span() is None
    span.finish()


def test_a_span_that_is_not_sampled_can_be_active_too(recording):
    with tracing.start_as_current_span("x", should_sample=False) as span:
        assert tracing.active_span() is span
        child = tracing.start_span("child")
    assert child.parent_id == span.span_id
    assert not child.context.sampled


def test_a_block_restores_what_was_active_before_it(chain):
    with tracing.start_as_current_span("block", parent=ROOT) as span:
        assert tracing.active_span() is span
        tracing.set_active_span(chain[0])
    assert tracing.active_span() is chain[-1]


def test_a_block_whose_span_was_finished_inside_restores_all_the_same(chain):
    with tracing.start_as_current_span("block") as span:
        span.finish()
        assert tracing.active_span() is chain[-1]
        tracing.set_active_span(None)
    assert tracing.active_span() is chain[-1]


def test_blocks_nest(recording):
    with tracing.start_as_current_span("a") as a:
        with tracing.start_as_current_span("b") as b:
            assert (tracing.active_span(), b.parent_id) == (b, a.span_id)
        assert tracing.active_span() is a
    assert tracing.active_span() is None
