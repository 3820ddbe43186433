"""What a request's headers cost: extract and inject of W3C's, beside opentelemetry-sdk.

A process of its own. The two take turns; the least of many stretches counts, per pair of calls.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from timeit import timeit

from report import Report

CALLS = 500
# How many times as fast as the SDK's it must be.
BAR = 10


def measure(rounds: int) -> dict[str, float]:
    """Nanoseconds for both calls, by contestant."""
    from opentelemetry import propagate, trace
    from opentelemetry.sdk.trace import TracerProvider

    import nanospan
    from nanospan import propagation, tracing

    headers = {
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
        propagation.extract(headers)
        propagation.inject()

    def of_opentelemetry() -> None:
        propagate.extract(headers)
        propagate.inject({})

    contestants: dict[str, Callable[[], None]] = {"nanospan": of_nanospan, "sdk": of_opentelemetry}
    least = dict.fromkeys(contestants, float("inf"))
    nanospan.configure(exporter=[])
    tracer = TracerProvider().get_tracer("bench")
    with tracing.start_as_current_span("request"), tracer.start_as_current_span("request"):
        assert propagation.inject().keys() == {"traceparent"}
        read = propagation.extract(headers).trace_id
        assert read is not None
        assert read.hex() == headers["traceparent"][3:35]
        assert trace.get_current_span().is_recording()
        for _ in range(rounds):
            for name, calls in contestants.items():
                least[name] = min(least[name], timeit(calls, number=CALLS) / CALLS * 1e9)
    return least


def report(quick: bool, name: str | None) -> Report | None:
    """The line, if `name` says so and the SDK is here."""
    if (name is not None and name not in "propagation") or not find_spec("opentelemetry.sdk"):
        return None
    command = [sys.executable, __file__, "20" if quick else "200"]
    data = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ratio = data["sdk"] / data["nanospan"]
    title = "extract + inject, W3C, ns"
    head = f"{'headers':28}{'nanospan':>13}{'sdk':>13}{'sdk/nanospan':>14}"
    line = f"{title:28}{data['nanospan']:13,.0f}{data['sdk']:13,.0f}{ratio:14.1f}"
    missed = [f"{title}: at least {BAR} times as fast as the SDK: it is {ratio:.1f}"]
    return Report(text=f"{head}\n{line}", data=data, missed=missed if ratio < BAR else [])


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
