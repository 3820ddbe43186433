"""One contestant of `bench_frameworks.py`, in a process of its own: serves requests and prints how
long the fastest took.

    python benches/python/framework_loop.py '{"case": "flask", "contestant": "sdk", ...}'
"""

import asyncio
import contextvars
import gc
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import trace

# A stretch is less than a batch of anybody: export is not timed.
REQUESTS_PER_STRETCH = 100

# Serves so many requests, and gives the body of the last answer.
_Serve = Callable[[int], bytes]


_Span = tuple[str, str, str | None]  # its name, its kind, and the name of its parent


class Untraced:
    """No tracing, and no instrumentation."""

    is_instrumented = False
    is_recorded = False

    def spans(self) -> list[_Span]:
        """What has come since the last time this was asked, by name."""
        return []


class NoProvider(Untraced):
    """Instrumented, but nobody records."""

    is_instrumented = True


class Sdk(Untraced):
    is_instrumented = True
    is_recorded = True

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Keep(SpanExporter):
            def __init__(self) -> None:
                self.kept: list[ReadableSpan] = []

            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                self.kept += spans
                return SpanExportResult.SUCCESS

        self.exporter = Keep()
        self.provider = TracerProvider()
        self.provider.add_span_processor(BatchSpanProcessor(self.exporter))
        trace.set_tracer_provider(self.provider)

    def spans(self) -> list[_Span]:
        assert self.provider.force_flush()
        kept, self.exporter.kept = self.exporter.kept, []
        names = {span.context.span_id: span.name for span in kept}
        return sorted(
            (span.name, span.kind.name, names[span.parent.span_id] if span.parent else None)
            for span in kept
        )


class Nanospan(Untraced):
    is_instrumented = True
    is_recorded = True

    def __init__(self) -> None:
        import nanospan
        from nanospan.otel import TracerProvider

        self.memory = nanospan.MemoryExporter()
        # The worker sleeps until a flush.
        queue = nanospan.QueueConfig(max_batch_size=10_000, max_coalescing_delay=600)
        self.provider = TracerProvider(exporter=self.memory, queue=queue)
        trace.set_tracer_provider(self.provider)

    def spans(self) -> list[_Span]:
        assert self.provider.force_flush()
        kept = self.memory.spans()
        self.memory.clear()
        names = {span.span_id: span.name for span in kept}
        return sorted(
            (span.name, span.kind.name, names[span.parent_id] if span.parent_id else None)
            for span in kept
        )


CONTESTANTS = {
    "untraced": Untraced,
    "no provider": NoProvider,
    "sdk": Sdk,
    "nanospan.otel": Nanospan,
}


def flask(contestant: Untraced) -> _Serve:
    """A WSGI application, called as a server calls it."""
    from flask import Flask, jsonify

    app = Flask("bench")

    @app.get("/users/<int:user_id>")
    def user(user_id: int) -> Any:
        return jsonify(id=user_id)

    if contestant.is_instrumented:
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app)
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/users/123",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "bench",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }

    def start_response(status: str, headers: Any, error: Any = None) -> Callable[[bytes], None]:
        assert status == "200 OK", status
        return lambda data: None

    def serve(count: int) -> bytes:
        body = b""
        for _ in range(count):
            answer = app({**environ, "wsgi.input": io.BytesIO()}, start_response)
            body = b"".join(answer)
            answer.close()  # type: ignore[attr-defined]
        return body

    return serve


def fastapi(contestant: Untraced) -> _Serve:
    """An ASGI application, called as a server calls it."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/users/{user_id}")
    async def user(user_id: int) -> dict[str, int]:
        return {"id": user_id}

    if contestant.is_instrumented:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/users/123",
        "raw_path": b"/users/123",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench")],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_000),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def serve_all(count: int) -> bytes:
        for _ in range(count):
            sent.clear()
            await app({**scope, "headers": list(scope["headers"]), "state": {}}, receive, send)
        assert sent[0]["status"] == 200, sent
        return b"".join(message.get("body", b"") for message in sent)

    loop = asyncio.new_event_loop()
    return lambda count: loop.run_until_complete(serve_all(count))


def requests(contestant: Untraced) -> _Serve:
    """A client whose transport answers at once."""
    from requests import PreparedRequest, Response, Session
    from requests.adapters import BaseAdapter

    if contestant.is_instrumented:
        from opentelemetry.instrumentation.requests import RequestsInstrumentor

        RequestsInstrumentor().instrument()

    class Local(BaseAdapter):
        def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
            assert ("traceparent" in request.headers) == contestant.is_recorded
            response = Response()
            response.status_code = 200
            response.url = request.url or ""
            response.request = request
            response.raw = io.BytesIO(b'{"id":123}\n')
            return response

        def close(self) -> None:
            pass

    session = Session()
    session.trust_env = False  # no files of this machine
    session.mount("http://", Local())

    def serve(count: int) -> bytes:
        body = b""
        for _ in range(count):
            body = session.get("http://127.0.0.1:8000/users/123").content
        return body

    return serve


CASES: dict[str, Callable[[Untraced], _Serve]] = {
    "flask": flask,
    "fastapi": fastapi,
    "requests": requests,
}
SPANS: dict[str, list[_Span]] = {
    "flask": [("GET /users/<int:user_id>", "SERVER", None)],
    "fastapi": [
        ("GET /users/{user_id}", "SERVER", None),
        ("GET /users/{user_id} http send", "INTERNAL", "GET /users/{user_id}"),
        ("GET /users/{user_id} http send", "INTERNAL", "GET /users/{user_id}"),
    ],
    "requests": [("GET", "CLIENT", None)],
}


def main() -> None:
    """Serve, and print nanoseconds for one request as JSON."""
    given = json.loads(sys.argv[1])
    if hasattr(os, "sched_setaffinity"):
        # Workers included, which start later: as in the table of `bench_span.py`.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    contestant = CONTESTANTS[given["contestant"]]()
    serve = CASES[given["case"]](contestant)
    expected = SPANS[given["case"]] if contestant.is_recorded else []

    def stretch(count: int) -> int:
        begun = time.perf_counter_ns()
        body = contextvars.Context().run(serve, count)
        took = time.perf_counter_ns() - begun
        assert json.loads(body) == {"id": 123}, body
        assert contestant.spans() == sorted(expected * count)
        return took

    stretch(1)
    stretch(REQUESTS_PER_STRETCH)
    gc.collect()
    gc.freeze()
    best = float("inf")
    until = time.monotonic() + given["seconds"]
    while time.monotonic() < until:
        best = min(best, stretch(REQUESTS_PER_STRETCH) / REQUESTS_PER_STRETCH)
    print(json.dumps(best))


if __name__ == "__main__":
    main()
