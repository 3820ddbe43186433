"""What becomes of attributes, events and links: nanospan's face keeps what the SDK keeps."""

import pytest
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, SpanContext, TraceState

import nanospan
from support.otel.same import REMOTE, same, tracer_of

pytest.importorskip("nanospan.otel")


def test_at_the_limit_the_oldest_attribute_is_dropped():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": 1, "b": 2})
        span.set_attribute("c", 3)
        return list(span.attributes.items()), span.dropped_attributes

    limits = SpanLimits(max_span_attributes=2)
    assert same(program, span_limits=limits) == ([("b", 2), ("c", 3)], 1)


def test_an_attribute_that_is_set_again_moves_last():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": 1, "b": 2})
        span.set_attribute("a", 3)
        return list(span.attributes.items()), span.dropped_attributes

    limits = SpanLimits(max_span_attributes=2)
    assert same(program, span_limits=limits) == ([("b", 2), ("a", 3)], 0)


def test_text_is_truncated_by_characters_and_bytes_are_not():
    def program(provider):
        span = tracer_of(provider).start_span("x")
        span.set_attributes({"text": "äöüß", "list": ["abc"], "bytes": b"abcd", "longer key": 1})
        return dict(span.attributes)

    limits = SpanLimits(max_attribute_length=2)
    expected = {"text": "äö", "list": ("ab",), "bytes": b"abcd", "longer key": 1}
    assert same(program, span_limits=limits) == expected


@pytest.mark.parametrize("key", ["", None, 1, b"k", ()], ids=repr)
def test_set_attribute_drops_and_counts_a_key_that_is_no_text(key, caplog):
    def program(provider):
        caplog.clear()
        span = tracer_of(provider).start_span("x")
        span.set_attribute(key, 1)
        levels = [record.levelname for record in caplog.records]
        return dict(span.attributes), span.dropped_attributes, levels

    assert same(program) == ({}, 1, ["WARNING"])


def test_set_attributes_makes_text_of_keys_and_drops_and_counts_the_empty_ones():
    def program(provider):
        span = tracer_of(provider).start_span("x")
        span.set_attributes({1: "int", b"k": "bytes", "": "empty", None: "none", 0: "zero"})
        return dict(span.attributes), span.dropped_attributes

    assert same(program) == ({"1": "int", "b'k'": "bytes"}, 3)


def test_none_is_a_value():
    def program(provider):
        span = tracer_of(provider).start_span("x", attributes={"a": None, "b": [None, 1]})
        return dict(span.attributes)

    assert same(program) == {"a": None, "b": (None, 1)}


def test_events_and_links_have_limits_and_drop_the_oldest():
    def program(provider):
        span = tracer_of(provider).start_span("x", links=[Link(REMOTE, {"a": 1}), Link(REMOTE)])
        span.add_link(REMOTE, {"b": 1})
        for name in "abc":
            span.add_event(name, {"x": 1, "y": 2}, timestamp=1)
        events = [(event.name, dict(event.attributes)) for event in span.events]
        links = [dict(link.attributes) for link in span.links]
        dropped = [event.dropped_attributes for event in span.events]
        return events, links, dropped, span.dropped_events, span.dropped_links

    limits = SpanLimits(max_events=2, max_links=1, max_event_attributes=1)
    expected = ([("b", {"y": 2}), ("c", {"y": 2})], [{"b": 1}], [1, 1], 1, 2)
    assert same(program, span_limits=limits) == expected


def test_a_link_to_nowhere_is_kept_if_it_has_attributes_or_a_trace_state():
    with_state = SpanContext(0, 0, False, trace_state=TraceState([("a", "1")]))

    def program(provider):
        links = [
            None,
            Link(INVALID_SPAN_CONTEXT),
            Link(INVALID_SPAN_CONTEXT, {"a": 1}),
            Link(with_state),
        ]
        span = tracer_of(provider).start_span("x", links=links)
        span.add_link(INVALID_SPAN_CONTEXT)
        span.add_link(with_state, {"b": 2})
        kept = [
            (link.context.trace_state.to_header(), dict(link.attributes)) for link in span.links
        ]
        return kept, span.dropped_links

    assert same(program) == ([("", {"a": 1}), ("a=1", {}), ("a=1", {"b": 2})], 0)


@pytest.mark.parametrize("ids", [(2**128, 1), (1, 2**64)])
def test_a_link_whose_ids_are_too_large_to_be_sent_is_left_out_and_counted(ids):
    # The SDK keeps it, and its exporter then loses the batch.
    too_large = SpanContext(*ids, is_remote=True)
    provider = nanospan.otel.TracerProvider()
    span = tracer_of(provider).start_span("x", links=[Link(too_large, {"a": 1})])
    span.add_link(too_large, {"a": 1})
    assert (list(span.links), span.dropped_links) == ([], 2)


def test_a_link_is_the_apis_link():
    def program(provider):
        span = tracer_of(provider).start_span("x", links=[Link(REMOTE, {"a": 1})])
        (link,) = span.links
        return type(link) is Link, link.context == REMOTE, link.dropped_attributes

    assert same(program) == (True, True, 0)
