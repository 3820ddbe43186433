"""What OpenTelemetry's OTLP encoder makes of spans, and what nanospan sends on purpose instead."""

import time
from collections.abc import Iterable
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SynchronousMultiSpanProcessor

from support.otel.differences import INTENDED, alike

_FLAGS_OF_TRACE_CONTEXT = 0xFF
_MINUTE_NS = 60 * 10**9
_THE_CLOCK = 2**63


class LastProcessor(SynchronousMultiSpanProcessor):
    """Keeps the sampled spans as the processors left them, as an exporter behind all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[ReadableSpan] = []
        self._shut_down = False

    def on_end(self, span: ReadableSpan) -> None:
        super().on_end(span)
        if span.context.trace_flags.sampled and not self._shut_down:
            self.spans.append(span)

    def shutdown(self) -> None:
        super().shutdown()
        self._shut_down = True


def request_of(spans: Iterable[ReadableSpan]) -> ExportTraceServiceRequest:
    """The request that nanospan should send for spans of the SDK; the spans are used up.

    It is the SDK's, but for what its spans are meant to hold (see `differences`), and for two
    things that the specification asks for and the SDK leaves out: the flags have the bits of W3C
    Trace Context too, and links have their trace state.
    """
    by_id = {span.context.span_id.to_bytes(8, "big"): span for span in spans}
    for span in by_id.values():
        for described in (span, *span.events, *span.links):
            _hold_what_is_meant(described._attributes)
    request = encode_spans(list(by_id.values()))
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for encoded in scope_spans.spans:
                span = by_id[encoded.span_id]
                # No reader knows what to do with a span that ends before it starts.
                encoded.end_time_unix_nano = max(
                    encoded.start_time_unix_nano, encoded.end_time_unix_nano
                )
                encoded.flags |= span.context.trace_flags & _FLAGS_OF_TRACE_CONTEXT
                for encoded_link, link in zip(encoded.links, span.links, strict=True):
                    encoded_link.flags |= link.context.trace_flags & _FLAGS_OF_TRACE_CONTEXT
                    encoded_link.trace_state = link.context.trace_state.to_header()
    return request


def _hold_what_is_meant(attributes: Any) -> None:
    if isinstance(attributes, BoundedAttributes):
        attributes._dict = _as_meant(attributes._dict)


def _as_meant(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_meant(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_as_meant(item) for item in value)
    return alike(value, INTENDED)


def comparable(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """A request without readings of the clock and without texts that are meant to differ."""
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                span.start_time_unix_nano = _given_time(span.start_time_unix_nano)
                span.end_time_unix_nano = _given_time(span.end_time_unix_nano)
                for event in span.events:
                    event.time_unix_nano = _given_time(event.time_unix_nano)
                    for pair in event.attributes:
                        if pair.value.HasField("string_value"):
                            pair.value.string_value = alike(pair.value.string_value, INTENDED)
    return request


def _given_time(time_ns: int) -> int:
    return _THE_CLOCK if abs(time.time_ns() - time_ns) < _MINUTE_NS else time_ns
