"""Bad input: what raises, what it says, and that nothing is recorded half.

A message names the argument, what came, and what is allowed.
"""

from collections.abc import Mapping

import pytest

import nanospan
from nanospan import FileExporter, Link, SpanContext, TraceIdRatio, tracing

pytest_plugins = ("support.plugin",)

_NAN = float("nan")
_CONTEXT = SpanContext(b"\x11" * 16, b"\x22" * 8)


def _open_and_active():
    span = tracing.start_span("open", start_time_ns=5, attributes={"k": 1})
    tracing.set_active_span(span)
    return span


# What raises on any call that starts a span: the options, the error, and words of its message.
_START = {
    "name is a number": ({"name": 5}, TypeError, ["name", "int", "str"]),
    "name is None": ({"name": None}, TypeError, ["name", "NoneType", "str"]),
    "name is bytes": ({"name": b"x"}, TypeError, ["name", "bytes", "str"]),
    "name is empty": ({"name": ""}, ValueError, ["name", "empty"]),
    "kind is text": ({"kind": "server"}, TypeError, ["kind", "str", "SpanKind"]),
    "kind is a bool": ({"kind": True}, TypeError, ["kind", "bool", "SpanKind"]),
    "kind is a float": ({"kind": 1.0}, TypeError, ["kind", "float", "SpanKind"]),
    "kind is None": ({"kind": None}, TypeError, ["kind", "NoneType", "SpanKind"]),
    "kind is too large": ({"kind": 6}, ValueError, ["kind", "6", "0", "5"]),
    "kind is negative": ({"kind": -1}, ValueError, ["kind", "-1", "0", "5"]),
    "kind is huge": ({"kind": 2**80}, ValueError, ["kind", "0", "5"]),
    "start is text": ({"start_time_ns": "now"}, TypeError, ["start_time_ns", "str", "int"]),
    "start is a float": ({"start_time_ns": 1.5}, TypeError, ["start_time_ns", "float", "int"]),
    "start is a bool": ({"start_time_ns": True}, TypeError, ["start_time_ns", "bool", "int"]),
    "start is negative": ({"start_time_ns": -1}, ValueError, ["start_time_ns", "-1"]),
    "start is huge": ({"start_time_ns": 2**64}, ValueError, ["start_time_ns"]),
    "decision is a number": ({"should_sample": 1}, TypeError, ["should_sample", "int", "bool"]),
    "decision is text": ({"should_sample": "no"}, TypeError, ["should_sample", "str", "bool"]),
    "parent is text": ({"parent": "root"}, TypeError, ["parent", "str", "Span"]),
    "parent is a tracer": ({"parent": tracing}, TypeError, ["parent", "Tracer", "Span"]),
    "parent is a tuple of ids": ({"parent": (b"", b"")}, TypeError, ["parent", "tuple", "Span"]),
    "attributes are a list": ({"attributes": [1]}, TypeError, ["attributes", "list"]),
    "attributes are text": ({"attributes": "k=v"}, TypeError, ["attributes", "str"]),
    "a key is a number": ({"attributes": {"a": 1, 2: 3}}, TypeError, ["attributes", "int", "str"]),
    "a key is bytes": ({"attributes": {b"k": 1}}, TypeError, ["attributes", "bytes", "str"]),
    "links are a number": ({"links": 5}, TypeError, ["links", "int"]),
    "links are None": ({"links": None}, TypeError, ["links", "NoneType"]),
    "a link is text": ({"links": [_CONTEXT, "x"]}, TypeError, ["links", "str", "SpanContext"]),
    "a link is of bytes": ({"links": [Link(b"x")]}, TypeError, ["links", "bytes", "SpanContext"]),
    "a link has a bad key": (
        {"links": [_CONTEXT, Link(_CONTEXT, {1: 2})]},
        TypeError,
        ["links", "int", "str"],
    ),
}

# The same for calls on the open span or its tracer.
_CALLS = {
    "finish(text)": (lambda s: s.finish("now"), TypeError, ["end_time_ns", "str", "int"]),
    "finish(bool)": (lambda s: s.finish(True), TypeError, ["end_time_ns", "bool", "int"]),
    "finish(float)": (lambda s: s.finish(1e9), TypeError, ["end_time_ns", "float", "int"]),
    "finish(negative)": (lambda s: s.finish(-5), ValueError, ["end_time_ns", "-5"]),
    "finish(huge)": (lambda s: s.finish(2**64), ValueError, ["end_time_ns"]),
    "set_attribute(number)": (lambda s: s.set_attribute(1, 2), TypeError, ["key", "int", "str"]),
    "set_attribute(None)": (
        lambda s: s.set_attribute(None, 2),
        TypeError,
        ["key", "NoneType", "str"],
    ),
    "set_attributes(list)": (lambda s: s.set_attributes([1]), TypeError, ["attributes", "list"]),
    "set_attributes(None)": (
        lambda s: s.set_attributes(None),
        TypeError,
        ["attributes", "NoneType"],
    ),
    "set_attributes(bad key last)": (
        lambda s: s.set_attributes({"k": 2, "new": 3, 4: 5}),
        TypeError,
        ["attributes", "int", "str"],
    ),
    "add_event(number)": (lambda s: s.add_event(5), TypeError, ["name", "int", "str"]),
    "add_event(None)": (lambda s: s.add_event(None), TypeError, ["name", "NoneType", "str"]),
    "add_event(attributes text)": (
        lambda s: s.add_event("e", "k=v"),
        TypeError,
        ["attributes", "str"],
    ),
    "add_event(bad key)": (
        lambda s: s.add_event("e", {1: 2}),
        TypeError,
        ["attributes", "int", "str"],
    ),
    "add_event(time text)": (
        lambda s: s.add_event("e", time_ns="now"),
        TypeError,
        ["time_ns", "str", "int"],
    ),
    "add_event(time bool)": (
        lambda s: s.add_event("e", time_ns=False),
        TypeError,
        ["time_ns", "bool", "int"],
    ),
    "add_event(time negative)": (
        lambda s: s.add_event("e", time_ns=-1),
        ValueError,
        ["time_ns", "-1"],
    ),
    "add_link(span)": (lambda s: s.add_link(s), TypeError, ["context", "Span", "SpanContext"]),
    "add_link(bytes)": (lambda s: s.add_link(b"x"), TypeError, ["context", "bytes", "SpanContext"]),
    "add_link(bad key)": (
        lambda s: s.add_link(_CONTEXT, {1: 2}),
        TypeError,
        ["attributes", "int", "str"],
    ),
    "record_error(number)": (lambda s: s.record_error(5), TypeError, ["error", "int", "str"]),
    "record_error(class)": (
        lambda s: s.record_error(ValueError),
        TypeError,
        ["error", "type", "xception"],
    ),
    "set_status(text)": (
        lambda s: s.set_status("error"),
        TypeError,
        ["status", "str", "StatusCode"],
    ),
    "set_status(bool)": (lambda s: s.set_status(True), TypeError, ["status", "bool", "StatusCode"]),
    "set_status(None)": (
        lambda s: s.set_status(None),
        TypeError,
        ["status", "NoneType", "StatusCode"],
    ),
    "set_status(3)": (lambda s: s.set_status(3), ValueError, ["status", "3", "0", "2"]),
    "set_status(-1)": (lambda s: s.set_status(-1), ValueError, ["status", "-1", "0", "2"]),
    "set_status(description number)": (
        lambda s: s.set_status(2, 5),
        TypeError,
        ["description", "int", "str"],
    ),
    "set_active_span(text)": (
        lambda s: tracing.set_active_span("x"),
        TypeError,
        ["span", "str", "Span"],
    ),
    "set_active_span(context)": (
        lambda s: tracing.set_active_span(s.context),
        TypeError,
        ["span", "SpanContext", "Span"],
    ),
    "link_span(text)": (
        lambda s: tracing.link_span("x", "name"),
        TypeError,
        ["span", "str", "Span"],
    ),
    "process_spans(number)": (
        lambda s: tracing.process_spans(5),
        TypeError,
        ["processor", "int", "call"],
    ),
    "set_should_sample(number)": (
        lambda s: tracing.set_should_sample(1),
        TypeError,
        ["should_sample", "int", "bool"],
    ),
    "get_sampling_decision(parent number)": (
        lambda s: tracing.get_sampling_decision(1),
        TypeError,
        ["parent_sampled", "int", "bool"],
    ),
    "get_sampling_decision(rate 2)": (
        lambda s: tracing.get_sampling_decision(rate=2),
        ValueError,
        ["rate", "2", "0", "1"],
    ),
    "get_sampling_decision(rate text)": (
        lambda s: tracing.get_sampling_decision(rate="1"),
        TypeError,
        ["rate", "str"],
    ),
    "get_sampling_decision(strategy)": (
        lambda s: tracing.get_sampling_decision(strategy="guess"),
        ValueError,
        ["strategy", "guess", "parent_probability_fallback", "parent_drop_probability_fallback"],
    ),
    "new(number)": (lambda s: tracing.new(5), TypeError, ["name", "int", "str"]),
    "new(empty)": (lambda s: tracing.new(""), ValueError, ["name", "empty"]),
    "new(namespace number)": (
        lambda s: tracing.new("bad", namespace=5),
        TypeError,
        ["namespace", "int", "str"],
    ),
    "new(version number)": (
        lambda s: tracing.new("bad", version=1),
        TypeError,
        ["version", "int", "str"],
    ),
    "new(rate 1.5)": (
        lambda s: tracing.new("bad", sampling_rate=1.5),
        ValueError,
        ["sampling_rate", "1.5", "0", "1"],
    ),
    "new(rate NaN)": (
        lambda s: tracing.new("bad", sampling_rate=_NAN),
        ValueError,
        ["sampling_rate", "nan", "0", "1"],
    ),
    "new(rate text)": (
        lambda s: tracing.new("bad", sampling_rate="1"),
        TypeError,
        ["sampling_rate", "str"],
    ),
}

# The same for what is made by hand.
_MADE = {
    "trace id text": (
        lambda: SpanContext("11" * 16, b"\x22" * 8),
        TypeError,
        ["trace_id", "str", "bytes"],
    ),
    "trace id short": (
        lambda: SpanContext(b"\x11" * 8, b"\x22" * 8),
        ValueError,
        ["trace_id", "8 bytes", "16"],
    ),
    "trace id zero": (
        lambda: SpanContext(bytes(16), b"\x22" * 8),
        ValueError,
        ["trace_id", "zero"],
    ),
    "span id number": (lambda: SpanContext(b"\x11" * 16, 5), TypeError, ["span_id", "int"]),
    "span id long": (
        lambda: SpanContext(b"\x11" * 16, b"\x22" * 16),
        ValueError,
        ["span_id", "16 bytes", "8"],
    ),
    "span id zero": (
        lambda: SpanContext(b"\x11" * 16, bytes(8)),
        ValueError,
        ["span_id", "zero"],
    ),
    "sampled number": (
        lambda: SpanContext(b"\x11" * 16, b"\x22" * 8, sampled=1),
        TypeError,
        ["sampled", "int", "bool"],
    ),
    "trace state bytes": (
        lambda: SpanContext(b"\x11" * 16, b"\x22" * 8, trace_state=b"a=b"),
        TypeError,
        ["trace_state", "bytes", "str"],
    ),
    "rate NaN": (lambda: TraceIdRatio(_NAN), ValueError, ["rate", "nan", "0", "1"]),
    "rate 2": (lambda: TraceIdRatio(2), ValueError, ["rate", "2", "0", "1"]),
    "rate text": (lambda: TraceIdRatio("0.5"), TypeError, ["rate", "str"]),
    "root sampler": (lambda: nanospan.ParentBased(0.5), TypeError, ["root", "float"]),
    "path number": (lambda: FileExporter(5), TypeError, ["path", "int"]),
}


def _assert_raises(call, error, words):
    with pytest.raises((TypeError, ValueError)) as raised:
        call()
    assert type(raised.value) is error
    message = str(raised.value)
    assert [word for word in words if word not in message] == [], message


def _enter(name, **options):
    tracing.start_as_current_span(name, **options).__enter__()


# A draft has fewer facts.
_DRAFT_FACTS = {"kind", "should_sample", "parent", "links"}
_STARTS = {
    f"{start.__name__}, {what}": (start, *case)
    for what, case in _START.items()
    for start in (tracing.start_span, _enter, tracing.create_span)
    if start != tracing.create_span or case[0].keys() <= _DRAFT_FACTS
}


@pytest.mark.parametrize(("start", "options", "error", "words"), _STARTS.values(), ids=_STARTS)
def test_a_span_with_a_bad_fact_is_not_started(recording, start, options, error, words):
    if start != tracing.create_span:
        options = {"name": "x", **options}
    _assert_raises(lambda: start(**options), error, words)
    assert tracing.active_span() is None
    assert nanospan.stats()["open_spans"] == nanospan.stats()["started"] == 0


@pytest.mark.parametrize(("call", "error", "words"), _CALLS.values(), ids=_CALLS)
def test_a_bad_argument_leaves_the_span_as_it_was(recording, call, error, words):
    span = _open_and_active()
    _assert_raises(lambda: call(span), error, words)
    assert (span.attributes, span.events, span.links) == ({"k": 1}, (), ())
    assert (span.status, span.end_time_ns, tracing.active_span()) == (0, None, span)
    span.finish()
    assert recording.names() == ["open"]


@pytest.mark.parametrize(("make", "error", "words"), _MADE.values(), ids=_MADE)
def test_what_is_made_by_hand_checks_its_facts(make, error, words):
    _assert_raises(make, error, words)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": ""}, ValueError, ["name", "empty"]),
        ({"name": 5}, TypeError, ["name", "int", "str"]),
        ({"start_time_ns": "now"}, TypeError, ["start_time_ns", "str", "int"]),
        ({"attributes": {1: 2}}, TypeError, ["attributes", "int", "str"]),
    ],
)
def test_a_draft_linked_with_a_bad_fact_stays_a_draft(recording, options, error, words):
    draft = tracing.create_span()
    draft.set_attribute("k", 1)
    _assert_raises(lambda: tracing.link_span(draft, **{"name": "x", **options}), error, words)
    assert (draft.name, draft.start_time_ns, draft.attributes) == ("", 0, {"k": 1})
    tracing.link_span(draft, "x")
    draft.finish()
    assert recording.names() == ["x"]


@pytest.mark.parametrize(
    "call",
    [
        lambda span: tracing.start_span(),
        lambda span: tracing.start_span("x", "kind"),
        lambda span: tracing.start_span("x", colour="red"),
        lambda span: tracing.start_span("x", name="y"),
        lambda span: span.set_attribute("k"),
        lambda span: span.set_attribute("k", 1, 2),
        lambda span: span.add_event(),
        lambda span: span.add_event("e", None, 5),
        lambda span: span.finish(1, 2),
        lambda span: span.release(1),
        lambda span: tracing.create_span("x"),
        lambda span: tracing.link_span(span),
    ],
)
def test_too_few_too_many_or_unknown_arguments_raise(recording, call):
    span = _open_and_active()
    with pytest.raises(TypeError):
        call(span)
    span.finish()
    assert recording.names() == ["open"]


class _Broken(Mapping):
    """Raises after its first item."""

    def __getitem__(self, key):
        return 2

    def __iter__(self):
        yield "k"
        raise LookupError("half way")

    def __len__(self):
        return 2


def test_a_mapping_that_raises_half_way_sets_nothing(recording):
    span = _open_and_active()
    with pytest.raises(LookupError, match="half way"):
        span.set_attributes(_Broken())
    assert span.attributes == {"k": 1}
    span.finish()


@pytest.mark.parametrize("links", [lambda: iter([_CONTEXT, 5]), lambda: (1 / 0 for _ in "x")])
def test_links_that_turn_bad_half_way_start_nothing(recording, links):
    with pytest.raises((TypeError, ZeroDivisionError)):
        tracing.start_span("x", links=links())
    assert nanospan.stats()["open_spans"] == 0
