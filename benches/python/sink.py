"""A receiver of OTLP over HTTP that costs little while it receives: it keeps what comes, and reads
it when it is asked how many spans that were. Prints its port; GET answers with the number.

    python benches/python/sink.py
"""

import gzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.bodies.append(body)
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:
        self._answer(str(sum(map(spans_in, self.bodies))).encode(), "text/plain")

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def spans_in(body: bytes) -> int:
    request = ExportTraceServiceRequest.FromString(body)
    groups = (group for resource in request.resource_spans for group in resource.scope_spans)
    return sum(len(group.spans) for group in groups)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
