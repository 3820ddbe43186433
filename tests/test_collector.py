"""What the OpenTelemetry Collector takes is in its file, whole, though it be killed."""

import json
import signal
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nanospan
from nanospan import FileExporter, SpanLimits, tracing
from nanospan.testing.strategies import finished_spans
from support.by_hand import good_request, good_span, post
from support.collector import BUILD_TIMEOUT, collector_binary, running_collector
from support.compare import assert_same_spans
from support.plain import google_spans, json_request, request_spans
from support.process import checked_python, run_python

pytest_plugins = ("support.plugin",)
pytestmark = pytest.mark.timeout(BUILD_TIMEOUT + 60)

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_a_request_posted_by_hand_is_in_the_collectors_file(collector):
    request = good_request(good_span(), good_span())
    response, _ = post(collector.endpoint, request)
    assert response.status == 200
    assert_same_spans(collector.requests(), [request])
    assert collector.spans() == google_spans([request.SerializeToString()])


def _grpc_call(path, message):
    """The bytes of a client that makes one call (RFC 9113, RFC 7541 and "gRPC over HTTP2")."""

    def frame(kind, flags, stream, payload):
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
        return head + stream.to_bytes(4, "big") + payload

    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    headers |= {"content-type": "application/grpc", "te": "trailers"}
    block = b"".join(
        b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in header)
        for header in headers.items()
    )
    payload = message.SerializeToString()
    data = b"\0" + len(payload).to_bytes(4, "big") + payload
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"")  # SETTINGS
        + frame(1, 4, 1, block)  # HEADERS, END_HEADERS
        + frame(0, 1, 1, data)  # DATA, END_STREAM
    )


def test_a_call_of_grpc_made_by_hand_is_in_the_collectors_file(collector):
    request = good_request(good_span())
    path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with socket.create_connection(("127.0.0.1", collector.grpc_port), timeout=10) as client:
        client.sendall(_grpc_call(path, request))
        deadline = time.monotonic() + 10
        while not collector.requests():
            assert time.monotonic() < deadline, client.recv(65536)
            time.sleep(0.005)
    assert_same_spans(collector.requests(), [request])


def test_a_collector_that_is_killed_keeps_what_it_acknowledged(collector):
    acknowledged = []
    ports = (collector.http_port, collector.grpc_port)
    for _ in range(3):
        for _ in range(20):
            request = good_request(good_span())
            assert post(collector.endpoint, request)[0].status == 200
            acknowledged.append(request)
        collector.kill()
        with pytest.raises(ConnectionRefusedError):
            post(collector.endpoint, good_request())
        collector.restart()
    assert_same_spans(collector.requests(), acknowledged)
    assert ports == (collector.http_port, collector.grpc_port)


def test_a_line_cut_off_by_the_kill_does_not_spoil_the_next(collector):
    first, second = good_request(), good_request()
    post(collector.endpoint, first)
    with collector.file.open("ab") as file:
        file.write(b'{"resourceSpans":[{"resou')
    collector.kill()
    collector.restart()
    post(collector.endpoint, second)
    assert_same_spans(collector.requests(), [first, second])


def test_a_forgotten_request_is_gone_and_the_next_is_there(collector):
    post(collector.endpoint, good_request())
    collector.forget()
    assert collector.requests() == []
    request = good_request()
    post(collector.endpoint, request)
    assert_same_spans(collector.requests(), [request])


@pytest.fixture
def zipkin():
    """The address of a Zipkin server, and the bodies that it was sent."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/api/v2/spans", bodies
        server.shutdown()
        serving.join()


def test_the_collector_hands_spans_on_to_zipkin(zipkin, tmp_path):
    address, bodies = zipkin
    span = good_span()
    with running_collector(tmp_path, zipkin=address) as collector:
        assert post(collector.endpoint, good_request(span))[0].status == 200
    (body,) = bodies
    (zipkin_span,) = json.loads(body)
    assert (zipkin_span["id"], zipkin_span["name"]) == (span.span_id.hex(), span.name.lower())


def test_a_collector_ends_with_the_process_that_started_it(tmp_path):
    collector_binary()
    killed = run_python(
        """
import os, signal, sys
from pathlib import Path
from support.collector import running_collector
with running_collector(Path(sys.argv[1])) as collector:
    print(collector.endpoint, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path,
    )
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    with pytest.raises(ConnectionRefusedError):
        while time.monotonic() < deadline:
            with suppress(ConnectionResetError):
                post(killed.stdout.strip(), good_request())
            time.sleep(0.01)


@pytest.fixture(scope="module")
def lasting_collector(tmp_path_factory):
    """One Collector for many examples."""
    with running_collector(tmp_path_factory.mktemp("collector")) as collector:
        yield collector


def _requests_in(path):
    """What a `FileExporter` wrote."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json_request(line) for line in text.split("\n") if line]


@settings(max_examples=max(10, settings.default.max_examples // 5))
@given(
    all_facts=st.lists(finished_spans(), min_size=1, max_size=5),
    compression=st.sampled_from(["none", "gzip"]),
    limits=st.sampled_from(
        [
            SpanLimits(),
            SpanLimits(attribute_count=2, event_count=1, link_count=1),
            SpanLimits(attribute_per_event_count=1, attribute_per_link_count=1),
        ]
    ),
)
def test_whatever_is_made_arrives_whole(lasting_collector, all_facts, compression, limits):
    lasting_collector.forget()
    made = lasting_collector.file.with_name("made.jsonl")
    made.unlink(missing_ok=True)
    otlp = nanospan.OtlpExporter(endpoint=lasting_collector.endpoint, compression=compression)
    nanospan.configure(service_name="shop", exporter=[FileExporter(made), otlp], limits=limits)
    with tracing.start_as_current_span("root"):
        for facts in all_facts:
            facts.record(tracing.new("own", version="1"))
    assert nanospan.shutdown(timeout=10)
    assert nanospan.stats()["sent"] == len(all_facts) + 1
    assert_same_spans(lasting_collector.requests(), _requests_in(made))


def test_the_spans_of_the_demos_shop_arrive_whole(collector, tmp_path):
    said = checked_python(
        """
import asyncio, json, sys
from pathlib import Path
import nanospan
sys.path.insert(0, sys.argv[1])
from demo import serve_and_load
made, endpoint = sys.argv[2:]
nanospan.configure(
    service_name="shop",
    exporter=[nanospan.FileExporter(made), nanospan.OtlpExporter(endpoint=endpoint)],
    sampling_rate=0.8,
)
asyncio.run(serve_and_load(Path(made).with_name("shop.db"), 40))
assert nanospan.shutdown(timeout=10)
print(json.dumps(nanospan.stats()))
""",
        EXAMPLES,
        tmp_path / "made.jsonl",
        collector.endpoint,
    )
    stats = json.loads(said)
    made = _requests_in(tmp_path / "made.jsonl")
    assert (
        stats["sent"]
        == stats["finished"]
        == sum(len(list(request_spans(request))) for request in made)
        > 40
    )
    assert_same_spans(collector.requests(), made)
