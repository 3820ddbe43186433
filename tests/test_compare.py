"""Comparing what arrived with what was made finds every way to differ."""

import math

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.by_hand import attribute, good_request, good_span
from support.compare import assert_same_spans


def test_order_and_packing_make_no_difference():
    one, two, three = good_span(), good_span(), good_span()
    one.attributes.append(attribute("nan", math.nan))
    assert_same_spans(
        [good_request(three), good_request(two, one)], [good_request(one, two, three)]
    )


def test_no_status_is_an_unset_status():
    without, unset = good_span(), Span()
    without.ClearField("status")
    unset.CopyFrom(without)
    unset.status.SetInParent()
    assert_same_spans([good_request(without)], [good_request(unset)])


def _set(**fields):
    def change(request):
        span = request.resource_spans[0].scope_spans[0].spans[0]
        for name, value in fields.items():
            setattr(span, name, value)

    return change


def _in_span(change):
    return lambda request: change(request.resource_spans[0].scope_spans[0].spans[0])


CHANGES = {
    "name": _set(name="other"),
    "kind": _set(kind=1),
    "flags": _set(flags=1),
    "trace_state": _set(trace_state="a=1"),
    "parent_span_id": _set(parent_span_id=b""),
    "start_time_unix_nano": _set(start_time_unix_nano=1),
    "end_time_unix_nano": _set(end_time_unix_nano=1),
    "dropped_attributes_count": _set(dropped_attributes_count=9),
    "dropped_events_count": _set(dropped_events_count=9),
    "dropped_links_count": _set(dropped_links_count=9),
    "status.code": _in_span(lambda span: span.status.ClearField("code")),
    "status.message": _in_span(lambda span: span.status.ClearField("message")),
    "attributes[3].value.double_value": _in_span(
        lambda span: setattr(span.attributes[3].value, "double_value", 0.0)
    ),
    "attributes[1].value.bool_value": _in_span(
        lambda span: setattr(span.attributes[1].value, "int_value", 1)
    ),
    "attributes[7].key": _in_span(lambda span: span.attributes.append(attribute("more", 1))),
    "events[0].name": _in_span(lambda span: setattr(span.events[0], "name", "other")),
    "events[0].time_unix_nano": _in_span(lambda span: setattr(span.events[0], "time_unix_nano", 1)),
    "events[0].dropped_attributes_count": _in_span(
        lambda span: setattr(span.events[0], "dropped_attributes_count", 9)
    ),
    "links[0].trace_id": _in_span(lambda span: setattr(span.links[0], "trace_id", b"\x01" * 16)),
    "links[0].flags": _in_span(lambda span: setattr(span.links[0], "flags", 0)),
    "resource.attributes[0].value.string_value": lambda request: setattr(
        request.resource_spans[0].resource.attributes[0].value, "string_value", "other"
    ),
    "scope.name": lambda request: setattr(
        request.resource_spans[0].scope_spans[0].scope, "name", "other"
    ),
    "scope.schema_url": lambda request: setattr(
        request.resource_spans[0].scope_spans[0], "schema_url", "other"
    ),
}


@pytest.mark.parametrize("path", CHANGES)
def test_a_changed_field_is_named(path):
    made = good_request()
    arrived = good_request(*made.resource_spans[0].scope_spans[0].spans)
    assert_same_spans([arrived], [made])
    CHANGES[path](arrived)
    with pytest.raises(AssertionError) as raised:
        assert_same_spans([arrived], [made])
    assert f" {path}: made " in str(raised.value)


def test_lost_invented_and_repeated_spans_are_named():
    one, two = good_request(), good_request()
    with pytest.raises(AssertionError, match="made, but did not arrive"):
        assert_same_spans([], [one])
    with pytest.raises(AssertionError, match="arrived, but was not made"):
        assert_same_spans([one, two], [one])
    with pytest.raises(AssertionError, match="2 spans arrived, but only 1 different"):
        assert_same_spans([one, one], [one])


def test_of_many_differences_some_are_shown():
    made = [good_request() for _ in range(100)]
    with pytest.raises(AssertionError) as raised:
        assert_same_spans([], made)
    assert len(str(raised.value).splitlines()) < 30
