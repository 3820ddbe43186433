"""Spans as plain dicts, from `SpanData` and from Google's protobuf, so that whole spans compare."""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from nanospan import SpanData

PlainSpan: TypeAlias = dict[str, Any]


def exact(value: object) -> object:
    """A form in which NaN equals NaN, while 1, 1.0 and True, or 0.0 and -0.0, differ."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return (type(value).__name__, [exact(item) for item in value])
    return f"{type(value).__name__} {value!r}"


def plain_span(span: SpanData) -> PlainSpan:
    """All that a `SpanData` says."""
    return {
        "trace_id": span.trace_id_hex,
        "span_id": span.span_id_hex,
        "parent_id": span.parent_id.hex() if span.parent_id else None,
        "trace_state": span.context.trace_state,
        "name": span.name,
        "kind": int(span.kind),
        "start_time_ns": span.start_time_ns,
        "end_time_ns": span.end_time_ns,
        "attributes": exact(span.attributes),
        "dropped_attributes_count": span.dropped_attributes_count,
        "events": [(name, time, exact(attributes)) for name, time, attributes in span.events],
        "dropped_events_count": span.dropped_events_count,
        "links": [
            (
                link.context.trace_id_hex,
                link.context.span_id_hex,
                link.context.trace_state,
                exact(link.attributes),
            )
            for link in span.links
        ],
        "dropped_links_count": span.dropped_links_count,
        "status": int(span.status),
        "status_description": span.status_description,
        "instrumentation_scope": tuple(span.instrumentation_scope),
        "resource": exact(span.resource),
    }


def google_requests(payloads: Iterable[bytes]) -> list[ExportTraceServiceRequest]:
    """Each payload decoded; Google's protobuf raises on what is no such message."""
    return [ExportTraceServiceRequest.FromString(payload) for payload in payloads]


def google_spans(payloads: Iterable[bytes]) -> list[PlainSpan]:
    """The same dicts as `plain_span`, read by Google's protobuf."""
    return [span for request in google_requests(payloads) for span in request_spans(request)]


def json_request(line: str) -> ExportTraceServiceRequest:
    """One OTLP/JSON line, read by Google's protobuf; OTLP writes ids in hex, protobuf in base64."""
    return ParseDict(
        _with_base64_ids(json.loads(line, parse_int=_int)), ExportTraceServiceRequest()
    )


def json_spans(text: str) -> list[PlainSpan]:
    """The spans of a file of OTLP/JSON lines."""
    return [span for line in text.split("\n") if line for span in request_spans(json_request(line))]


def _int(digits: str) -> float:
    """Go writes the double -0.0 as -0, an int to Python, which has no such int."""
    return -0.0 if digits == "-0" else int(digits)


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode()
        if key in {"traceId", "spanId", "parentSpanId"}
        else _with_base64_ids(item)
        for key, item in value.items()
    }


def request_spans(request: ExportTraceServiceRequest) -> Iterator[PlainSpan]:
    """The spans of one request, each with its scope and resource."""
    for resource_spans in request.resource_spans:
        resource = exact(_mapping(resource_spans.resource.attributes))
        for scope_spans in resource_spans.scope_spans:
            scope = (scope_spans.scope.name, scope_spans.scope.version or None)
            for span in scope_spans.spans:
                yield _proto_span(span) | {"instrumentation_scope": scope, "resource": resource}


def _proto_span(span: Any) -> PlainSpan:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "trace_state": span.trace_state,
        "name": span.name,
        "kind": span.kind,
        "start_time_ns": span.start_time_unix_nano,
        "end_time_ns": span.end_time_unix_nano,
        "attributes": exact(_mapping(span.attributes)),
        "dropped_attributes_count": span.dropped_attributes_count,
        "events": [
            (event.name, event.time_unix_nano, exact(_mapping(event.attributes)))
            for event in span.events
        ],
        "dropped_events_count": span.dropped_events_count,
        "links": [
            (
                link.trace_id.hex(),
                link.span_id.hex(),
                link.trace_state,
                exact(_mapping(link.attributes)),
            )
            for link in span.links
        ],
        "dropped_links_count": span.dropped_links_count,
        "status": span.status.code,
        "status_description": span.status.message or None,
    }


def _mapping(pairs: Iterable[KeyValue]) -> dict[str, object]:
    pairs = list(pairs)
    mapping = {pair.key: _value(pair.value) for pair in pairs}
    assert len(mapping) == len(pairs), "OTLP: attribute keys are unique"
    return mapping


def _value(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return tuple(_value(item) for item in value.array_value.values)
        case "kvlist_value":
            return _mapping(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)
