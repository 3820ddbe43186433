"""The facts of `tests/vectors`: each entry is judged; one that says `applies: false` is listed."""

from typing import Any

import pytest

from nanospan import ROOT, AlwaysOn, Span, SpanContext, TraceIdRatio, _core, tracing
from support.recording import fresh_name, recording
from support.vectors import Entry, applying, ours

_PARENT_SPAN_ID = b"\x01" * 8


@applying("sampler.json")
def test_the_ratio_sampler_answers_as_opentelemetrys(entry):
    parent = SpanContext(bytes.fromhex(entry["trace_id"]), _PARENT_SPAN_ID)
    with recording(sampler=TraceIdRatio(entry["rate"])):
        sampled = tracing.start_span("judged", parent=parent).context.sampled
    assert sampled == ours(entry)["sampled"] == entry["otel_python_trace_id_ratio"]


@applying("sampling-decision.json")
def test_the_decision_on_a_trace_answers_as_its_strategy_says(entry):
    given = entry["given"]
    with recording(sampling_rate=given["global_rate"]):
        if given["has_root_span"]:
            parent = SpanContext(bytes.fromhex(given["trace_id"]), _PARENT_SPAN_ID)
            tracing.set_active_span(tracing.start_span("root", parent=parent))
        answers = {
            strategy: tracing.get_sampling_decision(
                given["parent_sampled"], given["rate"], strategy=strategy
            )
            for strategy in entry["expect"]
        }
    assert answers == ours(entry)


def _context(facts: Entry) -> SpanContext:
    ids = bytes.fromhex(facts["trace_id"]), bytes.fromhex(facts["span_id"])
    return SpanContext(*ids, sampled=facts["should_sample"])


def _activate(facts: Entry) -> None:
    """Makes the entry's active span, with its very ids, active."""
    span = tracing.start_span("active", parent=ROOT, should_sample=facts["should_sample"])
    tracing.set_active_span(span)
    assert (span.trace_id_hex, span.span_id_hex) == (facts["trace_id"], facts["span_id"])


def _start(given: Entry) -> Span:
    tracer = tracing.new(fresh_name("vector"), sampling_rate=given["tracer_rate"])
    options = dict(given.get("options", {}))
    if "span_kind" in options:
        options["kind"] = options.pop("span_kind")
    if "parent" in options:
        options["parent"] = _context(options["parent"])
    if given["call"] == "create":
        return tracer.create_span(**options)
    return tracer.start_span(given["name"], **options)


@applying("span-creation.json")
def test_a_span_is_created_from_its_options_its_parent_and_the_sampler(entry):
    given, expected = entry["given"], ours(entry)
    active = given.get("active")
    ids = active and _core.ScriptedIds(
        [bytes.fromhex(active["trace_id"])], [bytes.fromhex(active["span_id"])]
    )
    with recording(sampler=AlwaysOn(), ids=ids):
        if active:
            _activate(active)
        if "raises" in expected:
            with pytest.raises((TypeError, ValueError), match="name"):
                _start(given)
        else:
            _assert_created(_start(given), expected)


def _assert_created(span: Span, expected: Entry) -> None:
    parent_id = expected["parent_id"] and bytes.fromhex(expected["parent_id"])
    assert (span.parent_id, span.context.sampled, span.kind, span.start_time_ns > 0) == (
        parent_id,
        expected["should_sample"],
        expected["kind"],
        expected["has_start_time"],
    )
    if expected["trace_id"] != "generated":
        assert span.trace_id_hex == expected["trace_id"]
    assert any(span.trace_id)
    assert any(span.span_id)


def _record(facts: Entry) -> None:
    span = tracing.start_span(
        facts["name"],
        kind=facts.get("kind", 1),
        start_time_ns=facts["start_time_ns"],
        attributes=facts.get("attributes"),
    )
    for event in facts.get("events", ()):
        span.add_event(event["name"], event["attributes"], time_ns=event["time_ns"])
    span.set_status(facts.get("status", 0))
    span.finish(facts["end_time_ns"])


def _from_proto(value: Any) -> Any:
    """A protobuf message in the words of the vectors: proto field names, ids in hex."""
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "ListFields"):
        return {field.name: _from_proto(item) for field, item in value.ListFields()}
    if isinstance(value, bool | int | float | str):
        return value
    return [_from_proto(item) for item in value]


@applying("otlp-span.json")
def test_a_span_is_encoded_with_the_fields_of_otlp(entry):
    facts, expected = entry["span"], ours(entry)
    ids = _core.ScriptedIds([bytes.fromhex(facts["trace_id"])], [bytes.fromhex(facts["span_id"])])
    with recording(ids=ids) as recorded:
        _record(facts)
        (span,) = recorded.proto_spans()
    absent = {"parent_span_id": "", "kind": 0, "status": {"code": 0}}
    read = absent | _from_proto(span)
    assert {key: read[key] for key in expected} == expected
