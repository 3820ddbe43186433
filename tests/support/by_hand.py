"""Traces as OTLP, made and posted without nanospan."""

import time
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from itertools import count
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from support.reply import PROTOBUF

_ids = count(1)


def attribute(key: str, value: object) -> KeyValue:
    """One attribute; lists and dicts nest."""
    return KeyValue(key=key, value=_any_value(value))


def _any_value(value: object) -> AnyValue:
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(_any_value, value)))
        case dict():
            values = [attribute(key, item) for key, item in value.items()]
            return AnyValue(kvlist_value=KeyValueList(values=values))
    raise TypeError(type(value).__name__)


def good_span() -> Span:
    """A span with something in every field, and ids of its own."""
    now = time.time_ns()
    number = next(_ids)
    trace_id, span_id = number.to_bytes(16, "big"), number.to_bytes(8, "little")
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=b"\x07" * 8,
        trace_state="vendor=1,other@tenant=a b",
        flags=0x301,
        name="GET /cart/{id}",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=now,
        end_time_unix_nano=now + 1_500,
        attributes=[
            attribute("text", "ünïcödé"),
            attribute("yes", True),
            attribute("int", -(2**63)),
            attribute("double", -0.0),
            attribute("bytes", b"\x00\xff"),
            attribute("list", [1, "two", None, [3.5]]),
            attribute("map", {"a": {"b": []}, "": False}),
        ],
        dropped_attributes_count=1,
        dropped_events_count=2,
        dropped_links_count=3,
        status=Status(code=Status.STATUS_CODE_ERROR, message="why"),
    )
    span.events.add(
        name="exception",
        time_unix_nano=now + 500,
        attributes=[attribute("exception.type", "ValueError")],
        dropped_attributes_count=4,
    )
    span.links.add(
        trace_id=b"\x08" * 16,
        span_id=b"\x09" * 8,
        trace_state="a=b",
        flags=0x101,
        attributes=[attribute("why", "follows")],
        dropped_attributes_count=5,
    )
    return span


def good_request(*spans: Span) -> ExportTraceServiceRequest:
    """A request of these spans, or of one, under one resource and one scope."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.append(attribute("service.name", "by hand"))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "scope", "1.0"
    scope_spans.spans.extend(spans or [good_span()])
    return request


class Poster:
    """Posts on one connection, which it keeps as long as the server does."""

    def __init__(self, endpoint: str, timeout: float = 10.0) -> None:
        address = urlsplit(endpoint)
        assert address.hostname
        self.connection = HTTPConnection(address.hostname, address.port, timeout=timeout)

    def post(
        self,
        body: bytes | ExportTraceServiceRequest,
        path: str = "/v1/traces",
        **headers: str,
    ) -> tuple[HTTPResponse, bytes]:
        """The answer and its body; `content_type=` and the like are headers."""
        payload = body if isinstance(body, bytes) else body.SerializeToString()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request("POST", path, payload, {"content-type": PROTOBUF, **named})
        response = self.connection.getresponse()
        return response, response.read()


def post(
    endpoint: str, body: bytes | ExportTraceServiceRequest, timeout: float = 10.0
) -> tuple[HTTPResponse, bytes]:
    """As `Poster.post`, on a connection of its own."""
    poster = Poster(endpoint, timeout)
    with closing(poster.connection):
        return poster.post(body)
