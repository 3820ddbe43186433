"""A service that calls others back, for the test harness of W3C Trace Context.

It takes a POST with a JSON list of `{"url": ..., "arguments": [...]}`, sends the arguments of each
to its URL, and answers when all have. Traces go on from the request into the calls. With the
harness of github.com/w3c/trace-context:

    python examples/w3c_service.py --port 5000
    SPEC_LEVEL=2 SERVICE_ENDPOINT=http://127.0.0.1:5000/ python test/test.py

Needs nothing but nanospan; ends with Ctrl-C.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

import nanospan
from nanospan import SpanKind, propagation, tracing

TIMEOUT = 5.0


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        with propagation.extract(self.headers).carry() as remote:
            with tracing.start_as_current_span("POST /", kind=SpanKind.SERVER, parent=remote):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                for call in json.loads(body or b"[]"):
                    call_back(call["url"], call["arguments"])
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the terminal for what matters."""


@tracing.start_as_current_span("POST", kind=SpanKind.CLIENT)
def call_back(url: str, arguments: list[object]) -> None:
    """Sends the arguments to the URL."""
    headers = propagation.inject({"content-type": "application/json"})
    urlopen(Request(url, json.dumps(arguments).encode(), headers), timeout=TIMEOUT).close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=5000, help="0 for any that is free")
    parser.add_argument("--file", help="where the traces go; nowhere if it is left out")
    arguments = parser.parse_args()
    exporter = nanospan.FileExporter(arguments.file) if arguments.file else []
    nanospan.configure(service_name="w3c-service", exporter=exporter)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
