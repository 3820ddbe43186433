"""HTTP spans: a server that answers one request, and asks another server on the way."""

from collections.abc import Callable
from typing import NamedTuple

import nanospan
from nanospan import SpanKind, StatusCode

tracer = nanospan.tracing.new("examples.http", version="1.0")


class Request(NamedTuple):
    """What both sides know of a request; `host` is the Host header."""

    method: str
    scheme: str
    host: tuple[str, int]
    path: str
    query: str
    headers: dict[str, str]


def serve(request: Request, route: str, peer: tuple[str, int], page: Callable[[], int]) -> int:
    """Runs `page` under a server span; an answer of 500 and above is the server's error."""
    with tracer.start_as_current_span(
        f"{request.method} {route}",
        kind=SpanKind.SERVER,
        attributes={
            "http.request.method": request.method,
            "http.route": route,
            "url.scheme": request.scheme,
            "url.path": request.path,
            "url.query": request.query,
            "server.address": request.host[0],
            "server.port": request.host[1],
            "client.address": request.headers["x-forwarded-for"],
            "network.peer.address": peer[0],
            "network.peer.port": peer[1],
            "network.protocol.version": "1.1",
            "user_agent.original": request.headers["user-agent"],
            "http.request.header.x-request-id": [request.headers["x-request-id"]],
        },
    ) as span:
        status = page()
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)
        return status


def send(request: Request, transport: Callable[[Request], int], resend: int = 0) -> int:
    """Calls another server under a client span; 400 and above is an error to the one who asks."""
    url = f"{request.scheme}://{request.host[0]}:{request.host[1]}{request.path}"
    with tracer.start_as_current_span(
        request.method,
        kind=SpanKind.CLIENT,
        attributes={
            "http.request.method": request.method,
            "url.full": f"{url}?{request.query}" if request.query else url,
            "server.address": request.host[0],
            "server.port": request.host[1],
            "network.protocol.version": "1.1",
        },
    ) as span:
        if resend:
            span.set_attribute("http.request.resend_count", resend)
        status = transport(request)
        span.set_attribute("http.response.status_code", status)
        if status >= 400:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)
        return status


def example() -> None:
    """A cart page whose stock look-up fails once and succeeds when sent again."""
    answers = iter([503, 200])
    stock = Request("GET", "http", ("stock.example", 8080), "/items", "id=4", {})

    def page() -> int:
        for attempt in range(2):
            if send(stock, lambda _: next(answers), resend=attempt) == 200:
                return 200
        return 502

    request = Request(
        "GET",
        "https",
        ("shop.example", 443),
        "/cart/7",
        "currency=eur",
        {
            "user-agent": "curl/8.5.0",
            "x-forwarded-for": "203.0.113.9",
            "x-request-id": "5d0c",
        },
    )
    serve(request, "/cart/{id}", ("10.0.0.2", 51234), page)


if __name__ == "__main__":
    nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
    example()
    nanospan.shutdown()
