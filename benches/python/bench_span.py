"""What tracing costs the application, side by side with opentelemetry-sdk in one process.

Each case runs in rounds that alternate between the two, in a context of its own; the least of the
rounds counts, less the empty loop. Export is not timed on either side: both flush between rounds,
nanospan into memory and the SDK's batch processor into an exporter that only counts. Before a time
is believed, the number of spans that arrived is compared with the number that were made.

    python benches/python/bench_span.py [--quick] [--json FILE]
"""

import argparse
import contextvars
import json
import operator
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from opentelemetry.trace import StatusCode as OtelStatusCode

import nanospan
from nanospan import StatusCode

Work = Callable[[int], None]


class _Counting(SpanExporter):
    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: object) -> SpanExportResult:
        self.spans += len(spans)  # type: ignore[arg-type]
        return SpanExportResult.SUCCESS


def _cases(tracer: Any, end: str, ok: object) -> dict[str, Work]:
    """The same work on either side: only the word for ending a span and the status differ."""
    finish = operator.methodcaller(end)

    def start_and_end(count: int) -> None:
        for _ in range(count):
            finish(tracer.start_span("span"))

    def block(count: int) -> None:
        for _ in range(count):
            with tracer.start_as_current_span("span"):
                pass

    def attributes(count: int) -> None:
        for _ in range(count):
            with tracer.start_as_current_span("span") as span:
                span.set_attribute("http.request.method", "GET")
                span.set_attribute("http.response.status_code", 200)
                span.set_attribute("url.path", "/cart/17")

    def request(count: int) -> None:
        for _ in range(count):
            with tracer.start_as_current_span("1") as span:
                _fill(span, ok)
                with tracer.start_as_current_span("2") as span:
                    _fill(span, ok)
                    with tracer.start_as_current_span("3") as span:
                        _fill(span, ok)
                        with tracer.start_as_current_span("4") as span:
                            _fill(span, ok)

    return {
        "start_span + finish": start_and_end,
        "with start_as_current_span": block,
        "with + 3 attributes": attributes,
        "request of 4 spans": request,
    }


def _fill(span: Any, status: object) -> None:
    """Eight attributes, an event and a status: what a span of an instrumented request holds."""
    span.set_attribute("http.request.method", "GET")
    span.set_attribute("url.path", "/cart/17")
    span.set_attribute("http.route", "/cart/{id}")
    span.set_attribute("http.response.status_code", 200)
    span.set_attribute("server.port", 8080)
    span.set_attribute("cache.hit", True)
    span.set_attribute("cart.total", 12.5)
    span.set_attribute("user.id", "u-1234567")
    span.add_event("cache.miss", {"key": "cart"})
    span.set_status(status)


SPANS = {"request of 4 spans": 4}


def measure(rounds: int, count: int) -> list[dict[str, object]]:
    """Return a row for each case: nanoseconds for one, on either side, and their ratio."""
    memory = nanospan.MemoryExporter()
    queue = nanospan.QueueConfig(max_entries=100_000, max_bytes=1 << 28)
    nanospan.configure(service_name="bench", exporter=memory, queue=queue)
    counting = _Counting()
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(counting, max_queue_size=100_000))
    ours = _cases(nanospan.tracing, "finish", StatusCode.OK)
    theirs = _cases(provider.get_tracer("bench"), "end", Status(OtelStatusCode.OK))
    rows = []
    for case in ours:
        best = {"nanospan": float("inf"), "sdk": float("inf")}
        for _ in range(rounds):
            sent_before = nanospan.stats()["sent"]
            counted_before = counting.spans
            best["nanospan"] = min(best["nanospan"], _time(ours[case], count))
            assert nanospan.flush(timeout=30)
            best["sdk"] = min(best["sdk"], _time(theirs[case], count))
            provider.force_flush()
            made = count * SPANS.get(case, 1)
            assert nanospan.stats()["sent"] - sent_before == made, "nanospan lost spans"
            assert counting.spans - counted_before == made, "the SDK lost spans"
            memory.clear()
        rows.append({"case": case, **best, "ratio": best["sdk"] / best["nanospan"]})
    nanospan.shutdown()
    provider.shutdown()
    return rows


def _time(work: Work, count: int) -> float:
    def empty(count: int) -> None:
        for _ in range(count):
            pass

    def run(work: Work) -> int:
        begun = time.perf_counter_ns()
        contextvars.Context().run(work, count)
        return time.perf_counter_ns() - begun

    return (run(work) - run(empty)) / count


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args()
    rows = measure(rounds=5 if options.quick else 40, count=1_000)
    print(f"CPython {platform.python_version()}, ns each, least of interleaved rounds")
    print(f"{'':28}{'nanospan':>10}{'sdk':>10}{'sdk / nanospan':>16}")
    for row in rows:
        print(f"{row['case']:28}{row['nanospan']:10.0f}{row['sdk']:10.0f}{row['ratio']:16.1f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
