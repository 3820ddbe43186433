"""Span limits: what is beyond them is left out, and counted on the span."""

import pytest

from nanospan import Link, SpanContext, SpanLimits, tracing
from support.recording import recording as new_recording

_CONTEXT = SpanContext(b"\x11" * 16, b"\x22" * 8)


def _limited(**limits):
    return new_recording(limits=SpanLimits(**limits))


def test_attributes_beyond_the_limit_are_left_out_and_counted():
    with _limited(attribute_count=2) as recorded:
        span = tracing.start_span("x", attributes={"a": 1, "b": 2, "c": 3})
        span.set_attribute("d", 4)
        span.finish()
        read = recorded.one("x")
    assert (read.attributes, read.dropped_attributes_count) == ({"a": 1, "b": 2}, 2)


def test_at_the_limit_a_known_attribute_can_still_change_and_go():
    with _limited(attribute_count=2) as recorded:
        span = tracing.start_span("x", attributes={"a": 1, "b": 2})
        span.set_attributes({"a": "changed", "b": None, "c": 3})
        span.finish()
        read = recorded.one("x")
    assert (read.attributes, read.dropped_attributes_count) == ({"a": "changed", "c": 3}, 0)


def test_events_beyond_the_limit_are_left_out_and_counted():
    with _limited(event_count=2) as recorded:
        span = tracing.start_span("x")
        for name in "abcd":
            span.add_event(name)
        span.finish()
        read = recorded.one("x")
    assert ([event.name for event in read.events], read.dropped_events_count) == (["a", "b"], 2)


def test_links_beyond_the_limit_are_left_out_and_counted():
    with _limited(link_count=2) as recorded:
        span = tracing.start_span("x", links=[_CONTEXT] * 3)
        span.add_link(_CONTEXT)
        span.finish()
        read = recorded.one("x")
    assert (len(read.links), read.dropped_links_count) == (2, 2)


def test_attributes_of_events_and_links_have_their_own_limits():
    with _limited(attribute_per_event_count=1, attribute_per_link_count=2) as recorded:
        attributes = {"a": 1, "b": 2, "c": 3}
        span = tracing.start_span("x", links=[Link(_CONTEXT, attributes)])
        span.add_event("e", attributes)
        span.add_link(_CONTEXT, attributes)
        span.finish()
        (read,) = recorded.proto_spans()
        assert len(recorded.one("x").events[0].attributes) == 1
    assert [(len(e.attributes), e.dropped_attributes_count) for e in read.events] == [(1, 2)]
    assert [(len(k.attributes), k.dropped_attributes_count) for k in read.links] == [(2, 1)] * 2


@pytest.mark.parametrize("limit", ["attribute_count", "event_count", "link_count"])
def test_a_limit_of_nought_keeps_none(limit):
    with _limited(**{limit: 0}) as recorded:
        span = tracing.start_span("x", attributes={"a": 1}, links=[_CONTEXT])
        span.add_event("e")
        span.finish()
        read = recorded.one("x")
    kept = {
        "attribute_count": read.attributes,
        "event_count": read.events,
        "link_count": read.links,
    }
    assert [name for name, items in kept.items() if not items] == [limit]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("äöüß", "äöü"),
        (b"12345", b"123"),
        (["abcd", {"key": "abcd"}], ("abc", {"key": "abc"})),
        (12345, 12345),
        (2**70, "118"),
        ("a\U0001f600bc", "a\U0001f600b"),
    ],
    ids=repr,
)
def test_long_values_are_cut_also_inside_containers(value, expected):
    with _limited(attribute_value_length=3) as recorded:
        span = tracing.start_span("x", attributes={"k": value})
        span.add_event("e", {"k": value})
        span.finish()
        read = recorded.one("x")
    assert read.attributes == read.events[0].attributes == {"k": expected}


def test_names_are_not_cut():
    with _limited(attribute_value_length=3) as recorded:
        tracing.start_span("a long name").finish()
        assert recorded.names() == ["a long name"]


def test_without_limits_of_its_own_a_span_holds_what_opentelemetry_says():
    with new_recording() as recorded:
        span = tracing.start_span("x", attributes={f"{number}": number for number in range(200)})
        for _ in range(200):
            span.add_event("e")
            span.add_link(_CONTEXT)
        span.finish()
        read = recorded.one("x")
    assert (len(read.attributes), len(read.events), len(read.links)) == (128, 128, 128)
    assert read.dropped_attributes_count == read.dropped_events_count == 72
