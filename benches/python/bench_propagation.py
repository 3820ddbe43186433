"""What a request's headers cost: extract and inject of W3C's, beside opentelemetry-sdk.

The least of several stretches counts, per pair of calls. Take it on a quiet machine, of a build for
release; `--stretches 1 --calls 10` only shows that it runs.
"""

import argparse
from collections.abc import Callable
from timeit import repeat

from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider

import nanospan
from nanospan import propagation, tracing

HEADERS = {
    "host": "api.example.com",
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "user-agent": "python-httpx/0.27",
    "content-type": "application/json",
    "x-request-id": "b1946ac9-2492-4d23-47ec-6235b4d26111",
    "traceparent": "00-7f3c9a1e5d2b48609c1d7e4fa2b60f13-e2c4a6180b3d5f79-01",
    "tracestate": "congo=t61rcWkgMzE",
}


def of_nanospan() -> None:
    propagation.extract(HEADERS)
    propagation.inject()


def of_opentelemetry() -> None:
    propagate.extract(HEADERS)
    propagate.inject({})


def least_ns(call: Callable[[], None], stretches: int, calls: int) -> float:
    return min(repeat(call, repeat=stretches, number=calls)) / calls * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stretches", type=int, default=200)
    parser.add_argument("--calls", type=int, default=2_000)
    arguments = parser.parse_args()
    nanospan.configure(exporter=[])
    tracer = TracerProvider().get_tracer("bench")
    with tracing.start_as_current_span("request"), tracer.start_as_current_span("request"):
        assert propagation.inject().keys() == {"traceparent"}
        assert trace.get_current_span().is_recording()
        ours = least_ns(of_nanospan, arguments.stretches, arguments.calls)
        theirs = least_ns(of_opentelemetry, arguments.stretches // 10 + 1, arguments.calls)
    print(f"extract + inject: {ours:.0f} ns, opentelemetry {theirs:.0f} ns, {theirs / ours:.1f} x")


if __name__ == "__main__":
    main()
