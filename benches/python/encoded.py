"""What arrived as OTLP, read by Google's protobuf."""

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from answer import PlainSpan


def spans_in_request(data: bytes) -> list[PlainSpan]:
    """The spans of one request."""
    message = ExportTraceServiceRequest.FromString(data)

    def attributes(pairs: Iterable[Any]) -> dict[str, object]:
        return {p.key: getattr(p.value, p.value.WhichOneof("value")) for p in pairs}

    return [
        PlainSpan(
            name=span.name,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_span_id,
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            attributes=attributes(span.attributes),
            events=[(event.name, attributes(event.attributes)) for event in span.events],
            failed=span.status.code == 2,
            description=span.status.message,
        )
        for resource in message.resource_spans
        for group in resource.scope_spans
        for span in group.spans
    ]
