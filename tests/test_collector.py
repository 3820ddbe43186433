"""What the OpenTelemetry Collector takes is in its file, whole, though it be killed."""

import json
import signal
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from support.by_hand import good_request, good_span, post
from support.collector import BUILD_TIMEOUT, collector_binary, running_collector
from support.compare import assert_same_spans
from support.process import run_python

pytest_plugins = ("support.plugin",)
pytestmark = pytest.mark.timeout(BUILD_TIMEOUT + 60)


def test_a_request_posted_by_hand_is_in_the_collectors_file(collector):
    request = good_request(good_span(), good_span())
    response, _ = post(collector.endpoint, request)
    assert response.status == 200
    assert_same_spans(collector.requests(), [request])


def test_the_collector_speaks_http2_on_its_grpc_port(collector):
    with socket.create_connection(("127.0.0.1", collector.grpc_port), timeout=10) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        frame_type = client.recv(4)[3:]
    assert frame_type == b"\4", "its first frame is its SETTINGS"


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
    with pytest.raises(OSError, match=r"refused|reset"):
        while time.monotonic() < deadline:
            post(killed.stdout.strip(), good_request())
            time.sleep(0.01)
