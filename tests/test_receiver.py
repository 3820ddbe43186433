"""The strict receiver refuses what it must, and plays the failures that it was told to."""

import gzip
import socket
import time
from contextlib import closing
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

import nanospan
from nanospan import tracing
from nanospan.testing.strategies import finished_spans
from support.by_hand import Poster, attribute, good_request, good_span, post
from support.plain import google_spans
from support.receiver import running_receiver
from support.reply import (
    Accept,
    Answer,
    Garbage,
    HangUp,
    PartialSuccess,
    Silence,
    Status,
)

pytest_plugins = ("support.plugin",)


@pytest.fixture
def poster(receiver):
    """A client of the receiver."""
    poster = Poster(receiver.endpoint)
    with closing(poster.connection):
        yield poster


def test_a_good_request_is_taken_whole(receiver, poster):
    request = good_request(good_span(), good_span())
    response, body = poster.post(request)
    assert (response.status, response.headers["content-type"]) == (200, "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(body) == ExportTraceServiceResponse()
    assert receiver.wait_for(2) == google_spans([request.SerializeToString()])
    (taken,) = receiver.requests
    assert (taken.connection, taken.headers["content-type"]) == (1, "application/x-protobuf")
    assert taken.message == request


def test_gzip_is_understood(receiver, poster):
    request = good_request()
    body = gzip.compress(request.SerializeToString())
    response, _ = poster.post(body, content_encoding="gzip")
    assert response.status == 200
    assert receiver.requests[0].body == body
    assert receiver.requests[0].message == request


def test_requests_know_their_connection(receiver, poster):
    for _ in range(2):
        poster.post(good_request())
    post(receiver.endpoint, good_request())
    assert [request.connection for request in receiver.requests] == [1, 1, 2]
    assert receiver.connections == 2


def _spanless(request):
    del request.resource_spans[0].scope_spans[0].spans[:]


def _without_service_name(request):
    del request.resource_spans[0].resource.attributes[:]


def _with_empty_service_name(request):
    request.resource_spans[0].resource.attributes[0].value.string_value = ""


def _with_duplicate(spans_of):
    def spoil(request):
        spans_of(request).extend([attribute("k", 1), attribute("k", 2)])

    return spoil


def _span(request):
    return request.resource_spans[0].scope_spans[0].spans[0]


def _with(**fields):
    def spoil(request):
        span = _span(request)
        for name, value in fields.items():
            setattr(span, name, value)

    return spoil


def _with_status(code, message):
    def spoil(request):
        _span(request).status.CopyFrom(SpanStatus(code=code, message=message))

    return spoil


def _with_link(**fields):
    def spoil(request):
        for name, value in fields.items():
            setattr(_span(request).links[0], name, value)

    return spoil


def _with_unknown_field(message_of):
    def spoil(request):
        message_of(request).MergeFromString(b"\xf8\x07\x01")  # field 127, a varint

    return spoil


SPOILED = {
    "no resource_spans": lambda request: request.ClearField("resource_spans"),
    "no scope_spans": lambda request: request.resource_spans[0].ClearField("scope_spans"),
    "no spans": _spanless,
    "no service.name": _without_service_name,
    "resource: no service.name": _with_empty_service_name,
    "twice in one request": lambda request: (
        request.resource_spans[0].scope_spans.add().spans.append(_span(request))
    ),
    " trace_id: zero": _with(trace_id=bytes(16)),
    " trace_id: 0 bytes": _with(trace_id=b""),
    " trace_id: 8 bytes": _with(trace_id=b"\x01" * 8),
    " span_id: zero": _with(span_id=bytes(8)),
    " span_id: 9 bytes": _with(span_id=b"\x01" * 9),
    " parent_span_id: zero": _with(parent_span_id=bytes(8)),
    " parent_span_id: 16 bytes": _with(parent_span_id=b"\x01" * 16),
    " parent_span_id: its own": _with(span_id=b"\x01" * 8, parent_span_id=b"\x01" * 8),
    " name: empty": _with(name=""),
    " kind: 6": _with(kind=6),
    " start_time_unix_nano: none": _with(start_time_unix_nano=0),
    " before the start": _with(start_time_unix_nano=2, end_time_unix_nano=1),
    " status: code 3": _with_status(3, ""),
    " a message without an error": _with_status(1, "fine"),
    " flags: reserved bits": _with(flags=0x400),
    " flags: is remote": _with(flags=0x201),
    " trace_state: 'no member'": _with(trace_state="no member"),
    " trace_state: 'a=1,a=2'": _with(trace_state="a=1,a=2"),
    " event 'exception' time_unix_nano": lambda request: (
        _span(request).events[0].ClearField("time_unix_nano")
    ),
    " link trace_id: 15 bytes": _with_link(trace_id=b"\x01" * 15),
    " link span_id: zero": _with_link(span_id=bytes(8)),
    " link flags: reserved bits": _with_link(flags=1 << 31),
    " link trace_state": _with_link(trace_state="=="),
    "resource: two attributes 'k'": _with_duplicate(
        lambda request: request.resource_spans[0].resource.attributes
    ),
    "scope: two attributes 'k'": _with_duplicate(
        lambda request: request.resource_spans[0].scope_spans[0].scope.attributes
    ),
    "'GET /cart/{id}': two attributes 'k'": _with_duplicate(
        lambda request: _span(request).attributes
    ),
    "event 'exception': two attributes 'k'": _with_duplicate(
        lambda request: _span(request).events[0].attributes
    ),
    "link: two attributes 'k'": _with_duplicate(lambda request: _span(request).links[0].attributes),
    "attribute 'map': two attributes 'k'": _with_duplicate(
        lambda request: _span(request).attributes[6].value.kvlist_value.values
    ),
    "request: unknown field 127": _with_unknown_field(lambda request: request),
    "spans: unknown field 127": _with_unknown_field(_span),
    "array_value.values: unknown field 127": _with_unknown_field(
        lambda request: _span(request).attributes[5].value.array_value.values[0]
    ),
}


@pytest.mark.parametrize("complaint", SPOILED)
def test_a_spoiled_request_is_refused_for_its_one_fault(receiver, poster, complaint):
    request = good_request()
    SPOILED[complaint](request)
    response, body = poster.post(request)
    (said,) = receiver.take_complaints()
    assert complaint in said
    assert (response.status, SpanStatus.FromString(body).message) == (400, said)
    assert receiver.spans() == []


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"content_type": "application/json"}, "header content-type: application/json"),
        ({"content_type": "application/x-protobuf; v=1"}, "header content-type: application/x-"),
        ({"content_encoding": "deflate"}, "body: content-encoding deflate"),
        ({"content_encoding": "gzip"}, "body: Not a gzipped file"),
        ({"path": "/v1/metrics"}, "path: /v1/metrics"),
        ({"body": b"\x0a\x05oops"}, "body: "),
        ({"body": b"\x0a\x02\x0a\x00trailing"}, "body: "),
    ],
)
def test_a_wrong_envelope_is_refused(receiver, poster, changed, complaint):
    response, _ = poster.post(**{"body": good_request().SerializeToString(), **changed})
    assert response.status == 400
    assert [said.startswith(complaint) for said in receiver.take_complaints()] == [True]
    assert receiver.spans() == []


def test_text_that_is_not_utf8_is_refused(receiver, poster):
    body = good_request().SerializeToString().replace(b"GET /cart", b"\xff\xfe\xff/cart")
    response, _ = poster.post(body)
    assert response.status == 400
    (said,) = receiver.take_complaints()
    assert said.startswith("body: ")


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {t}\r\n",
            "content-length: 0 times",
        ),
        (
            b"POST /v1/traces HTTP/1.1\r\nContent-Type: {t}\r\nContent-Length: 0\r\n",
            "host: 0 times",
        ),
        (
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n",
            "content-type: 0 times",
        ),
        (
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nHost: x\r\nContent-Type: {t}\r\n"
            b"Content-Length: 0\r\n",
            "host: 2 times",
        ),
        (b"GET /v1/traces HTTP/1.1\r\nHost: x\r\n", "HTTP: 501"),
        (b"POST /v1/traces HTTP/9.9\r\n", "HTTP: 505"),
    ],
)
def test_a_wrong_head_is_refused(receiver, head, complaint):
    address = ("127.0.0.1", int(receiver.endpoint.rpartition(":")[2]))
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(head.replace(b"{t}", b"application/x-protobuf") + b"\r\n")
        answer = client.recv(65536)
    assert answer
    assert b" 200 " not in answer
    assert complaint in "; ".join(receiver.take_complaints())


def test_complaints_that_nobody_expects_fail_the_test():
    with pytest.raises(AssertionError, match="no resource_spans"):
        with running_receiver() as receiver:
            post(receiver.endpoint, b"")


def test_a_complaint_is_kept_whatever_the_reply(receiver, poster):
    receiver.reply(Status(503))
    assert poster.post(b"")[0].status == 503
    assert receiver.take_complaints() == ["request: no resource_spans"]


def test_replies_are_given_in_their_order_and_then_requests_are_accepted(receiver, poster):
    receiver.reply(Status(503, "busy", retry_after="7"), Status(307, location="http://other/"))
    first, body = poster.post(good_request())
    assert (first.status, first.headers["retry-after"]) == (503, "7")
    assert SpanStatus.FromString(body).message == "busy"
    second, _ = poster.post(good_request())
    assert (second.status, second.headers["location"]) == (307, "http://other/")
    assert receiver.spans() == []
    assert poster.post(good_request())[0].status == 200
    assert len(receiver.spans()) == 1
    assert receiver.connections == 1


def test_a_partial_success_takes_the_others(receiver, poster):
    receiver.reply(PartialSuccess(rejected=2, message="too old"))
    request = good_request(good_span(), good_span(), good_span())
    response, body = poster.post(request)
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    assert (response.status, partial.rejected_spans) == (200, 2)
    assert partial.error_message == "too old"
    assert receiver.spans() == google_spans([request.SerializeToString()])[:1]


def test_an_answer_of_any_body(receiver, poster):
    receiver.reply(Answer(b"<html>", "text/html"))
    response, body = poster.post(good_request())
    assert (response.status, response.headers["content-type"]) == (200, "text/html")
    assert body == b"<html>"
    assert len(receiver.spans()) == 1


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (HangUp(), RemoteDisconnected),
        (HangUp(after_reading=False), ConnectionResetError),
        (Garbage(b""), RemoteDisconnected),
        (Garbage(b"\x16\x03\x01 this is no HTTP\r\n"), HTTPException),
        (Garbage(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n\n"), IncompleteRead),
        (Silence(), TimeoutError),
        (Silence(after_reading=False), TimeoutError),
        (Accept(after=60), TimeoutError),
    ],
    ids=repr,
)
def test_a_failure_is_what_the_client_sees(receiver, reply, raised):
    receiver.reply(reply)
    with pytest.raises(raised):
        post(receiver.endpoint, good_request(), timeout=0.2)
    assert len(receiver.spans()) == (1 if isinstance(reply, Accept) else 0)
    assert post(receiver.endpoint, good_request())[0].status == 200


@pytest.mark.parametrize("after_reading", [True, False])
def test_a_client_that_gives_up_is_noticed(receiver, after_reading):
    receiver.reply(Silence(after_reading))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        post(receiver.endpoint, good_request(), timeout=0.2)
    while receiver.requests[0].given_up is None:
        assert time.monotonic() < begun + 10, "nobody noticed"
        time.sleep(0.005)
    assert 0.2 <= receiver.requests[0].given_up - begun < 5


def test_a_slow_answer_comes_late_and_byte_by_byte(receiver, poster):
    receiver.reply(Accept(after=0.1, spread=0.1))
    begun = time.monotonic()
    response, _ = poster.post(good_request())
    assert response.status == 200
    assert 0.2 <= time.monotonic() - begun < 5


def test_waiting_for_what_never_comes_fails_in_time(receiver):
    with pytest.raises(AssertionError, match="0 of 1 spans"):
        receiver.wait_for(1, timeout=0.05)
    with pytest.raises(AssertionError, match="0 of 1 requests"):
        receiver.wait_for_requests(1, timeout=0.05)


def test_a_receiver_ends_while_clients_still_wait():
    with running_receiver() as receiver:
        receiver.reply(Silence())
        poster = Poster(receiver.endpoint)
        with closing(poster.connection):
            poster.connection.request("POST", "/v1/traces", b"")
            receiver.wait_for_requests(1)
            receiver.end()
            receiver.take_complaints()
            with pytest.raises(ConnectionError):
                poster.connection.getresponse()
            with pytest.raises(ConnectionRefusedError):
                post(receiver.endpoint, b"")


@settings(max_examples=max(10, settings.default.max_examples // 5))
@given(st.lists(finished_spans(), min_size=1, max_size=5), st.sampled_from(["none", "gzip"]))
def test_generated_spans_leave_nothing_to_complain_of(all_facts, compression):
    with running_receiver() as receiver:
        otlp = nanospan.OtlpExporter(endpoint=receiver.endpoint, compression=compression)
        nanospan.configure(service_name="shop", exporter=otlp)
        with tracing.start_as_current_span("root"):
            for facts in all_facts:
                facts.record(tracing)
        assert nanospan.shutdown(timeout=10)
        assert len(receiver.spans()) == len(all_facts) + 1
