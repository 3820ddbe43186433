"""What is wrong with an OTLP request of traces, by OpenTelemetry's rules and by nanospan's own.

The rules are those of the comments in OTLP's `.proto` files, of the trace API and SDK, and of W3C
Trace Context. Stricter than OTLP, for nanospan promises it: no span without a name, no request
without spans.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

_TRACE_STATE_MEMBER = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_\-*/@]{0,255})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_FLAGS_OF_TRACE_CONTEXT = 0xFF
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200


def complaints(request: ExportTraceServiceRequest) -> list[str]:
    """All that is wrong with it, each with its place; empty for a good one."""
    return [*_unknown_fields("request", request), *_request(request)]


def _request(request: ExportTraceServiceRequest) -> Iterator[str]:
    if not request.resource_spans:
        yield "request: no resource_spans"
    seen: set[tuple[bytes, bytes]] = set()
    for resource_spans in request.resource_spans:
        yield from _resource(resource_spans)
        for scope_spans in resource_spans.scope_spans:
            yield from _attributes("scope", scope_spans.scope.attributes)
            if not scope_spans.spans:
                yield "scope_spans: no spans"
            for span in scope_spans.spans:
                if (span.trace_id, span.span_id) in seen:
                    yield f"{_name(span)}: twice in one request"
                seen.add((span.trace_id, span.span_id))
                yield from _span(_name(span), span)


def _resource(resource_spans: ResourceSpans) -> Iterator[str]:
    attributes = resource_spans.resource.attributes
    yield from _attributes("resource", attributes)
    if not any(a.key == "service.name" and a.value.string_value for a in attributes):
        yield "resource: no service.name"
    if not resource_spans.scope_spans:
        yield "resource_spans: no scope_spans"


def _name(span: Span) -> str:
    return f"span {span.name!r}"


def _span(where: str, span: Span) -> Iterator[str]:
    yield from _id(f"{where} trace_id", span.trace_id, 16)
    yield from _id(f"{where} span_id", span.span_id, 8)
    if span.parent_span_id:
        yield from _id(f"{where} parent_span_id", span.parent_span_id, 8)
        if span.parent_span_id == span.span_id:
            yield f"{where} parent_span_id: its own"
    if not span.name:
        yield f"{where} name: empty"
    if span.kind not in range(6):
        yield f"{where} kind: {span.kind}"
    if not span.start_time_unix_nano:
        yield f"{where} start_time_unix_nano: none"
    if span.end_time_unix_nano < span.start_time_unix_nano:
        yield f"{where} end_time_unix_nano: before the start"
    if span.status.code not in range(3):
        yield f"{where} status: code {span.status.code}"
    if span.status.message and span.status.code != 2:
        yield f"{where} status: a message without an error"
    yield from _flags(where, span.flags)
    yield from _trace_state(where, span.trace_state)
    yield from _attributes(where, span.attributes)
    for event in span.events:
        yield from _attributes(f"{where} event {event.name!r}", event.attributes)
        if not event.time_unix_nano:
            yield f"{where} event {event.name!r} time_unix_nano: none"
    for link in span.links:
        yield from _id(f"{where} link trace_id", link.trace_id, 16)
        yield from _id(f"{where} link span_id", link.span_id, 8)
        yield from _flags(f"{where} link", link.flags)
        yield from _trace_state(f"{where} link", link.trace_state)
        yield from _attributes(f"{where} link", link.attributes)


def _id(where: str, value: bytes, size: int) -> Iterator[str]:
    if len(value) != size:
        yield f"{where}: {len(value)} bytes"
    elif not any(value):
        yield f"{where}: zero"


def _flags(where: str, flags: int) -> Iterator[str]:
    if flags & ~(_FLAGS_OF_TRACE_CONTEXT | _HAS_IS_REMOTE | _IS_REMOTE):
        yield f"{where} flags: reserved bits in {flags:#x}"
    if flags & _IS_REMOTE and not flags & _HAS_IS_REMOTE:
        yield f"{where} flags: is remote, without saying that this is known"


def _trace_state(where: str, trace_state: str) -> Iterator[str]:
    if not trace_state:
        return
    members = [member.strip(" \t") for member in trace_state.split(",")]
    matches = [_TRACE_STATE_MEMBER.fullmatch(member) for member in members if member]
    keys = [match["key"] for match in matches if match]
    if len(keys) < len(matches) or len(keys) > 32 or len(set(keys)) < len(keys):
        yield f"{where} trace_state: {trace_state!r}"


def _attributes(where: str, attributes: Iterable[KeyValue]) -> Iterator[str]:
    seen: set[str] = set()
    for attribute in attributes:
        if attribute.key in seen:
            yield f"{where}: two attributes {attribute.key!r}"
        seen.add(attribute.key)
        yield from _nested_keys(f"{where} attribute {attribute.key!r}", attribute.value)


def _nested_keys(where: str, value: Any) -> Iterator[str]:
    for item in value.array_value.values:
        yield from _nested_keys(where, item)
    yield from _attributes(where, value.kvlist_value.values)


def _unknown_fields(where: str, message: Message) -> Iterator[str]:
    for unknown in UnknownFieldSet(message):
        yield f"{where}: unknown field {unknown.field_number}"
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in [value] if isinstance(value, Message) else value:
            yield from _unknown_fields(f"{where}.{field.name}", item)
