"""RPC spans: client and server of one gRPC call, and a call that comes too late."""

from collections.abc import Callable

import nanospan
from nanospan import SpanContext, SpanKind, StatusCode

tracer = nanospan.tracing.new("examples.rpc", version="1.0")

# What the conventions for gRPC count as the server's own failure; the other codes say that the
# caller asked for something it cannot have.
SERVER_ERRORS = {
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
}


def call(method: str, server: tuple[str, int], transport: Callable[[SpanContext], str]) -> str:
    """Calls `method` under a client span; `transport` carries the span's context along."""
    with tracer.start_as_current_span(
        method,
        kind=SpanKind.CLIENT,
        attributes={
            "rpc.system.name": "grpc",
            "rpc.method": method,
            "server.address": server[0],
            "server.port": server[1],
            "rpc.request.metadata.x-tenant": ["blue"],
        },
    ) as span:
        code = transport(span.context)
        span.set_attribute("rpc.response.status_code", code)
        if code != "OK":
            span.set_attribute("error.type", code)
            span.set_status(StatusCode.ERROR)
        return code


def serve(
    method: str,
    server: tuple[str, int],
    client: tuple[str, int],
    caller: SpanContext,
    answer: Callable[[], str],
) -> str:
    """Answers `method` under a server span whose parent is the caller's span."""
    with tracer.start_as_current_span(
        method,
        kind=SpanKind.SERVER,
        parent=SpanContext(caller.trace_id, caller.span_id, sampled=caller.sampled),
        attributes={
            "rpc.system.name": "grpc",
            "rpc.method": method,
            "server.address": server[0],
            "server.port": server[1],
            "client.address": client[0],
            "client.port": client[1],
            "network.peer.address": client[0],
            "network.peer.port": client[1],
            "network.transport": "tcp",
        },
    ) as span:
        code = answer()
        span.set_attribute("rpc.response.status_code", code)
        if code in SERVER_ERRORS:
            span.set_attribute("error.type", code)
            span.set_status(StatusCode.ERROR)
        return code


def example() -> None:
    """One call that another process answers, and one that nobody answers in time."""
    stock, shop = ("stock.example", 50051), ("10.0.0.7", 40112)

    def to_server(caller: SpanContext) -> str:
        return serve("shop.Stock/Reserve", stock, shop, caller, lambda: "NOT_FOUND")

    with tracer.start_as_current_span("checkout"):
        call("shop.Stock/Reserve", stock, to_server)
        call("shop.Stock/Release", stock, lambda _: "DEADLINE_EXCEEDED")


if __name__ == "__main__":
    nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
    example()
    nanospan.shutdown()
