"""One contestant of `bench_latency.py`, in a process of its own: serves requests and prints how
long each took.

    python benches/python/latency_loop.py '{"contestant": "nanospan", "rate": 500, ...}'
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from cases import EVENT, Words, request

_Serve = Callable[[], None]
# A thread that wakes on a free processor runs sooner than this.
_PREEMPTED_NS = 5_000


def work(amount: int) -> int:
    """Some Python that does not wait and allocates little."""
    total = 0
    for i in range(amount):
        total += i * i % 7
    return total


class Untraced:
    """The work of the request, and not a word about it."""

    words: Words | None = None
    names: dict[str, object]

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.names = {}

    def finish(self) -> int:
        """Sends what is left. How many spans arrived."""
        return 0


class Nanospan(Untraced):
    words = Words()

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        import nanospan

        self.nanospan = nanospan
        nanospan.configure(service_name="bench", exporter=nanospan.OtlpExporter(endpoint))
        self.names = {"tracer": nanospan.tracing, "ERROR": nanospan.StatusCode.ERROR}

    def finish(self) -> int:
        self.nanospan.shutdown(timeout=30)
        return _arrived(self.endpoint)


class Sdk(Untraced):
    words = Words(finish="{span}.end()")

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace import StatusCode

        self.provider = TracerProvider()
        self.provider.add_span_processor(self.sender(f"{endpoint}/v1/traces"))
        self.names = {"tracer": self.provider.get_tracer("bench"), "ERROR": StatusCode.ERROR}

    def sender(self, url: str) -> Any:
        """What takes spans to the receiver."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return BatchSpanProcessor(OTLPSpanExporter(url))

    def finish(self) -> int:
        # Not `force_flush`, which sends from this thread: what is left is for the worker to send.
        self.provider.shutdown()
        return _arrived(self.endpoint)


class Fastotel(Sdk):
    """The SDK's spans, and a worker written in Rust. Of `bench_peers`."""

    def sender(self, url: str) -> Any:
        from fastotel import OTLPSpanProcessor

        return OTLPSpanProcessor(endpoint=url)


CONTESTANTS = {"untraced": Untraced, "nanospan": Nanospan, "sdk": Sdk, "fastotel": Fastotel}


def _arrived(endpoint: str) -> int:
    with urllib.request.urlopen(endpoint, timeout=60) as answer:
        return int(answer.read())


def serve(contestant: Untraced, amount: int) -> _Serve:
    """The request of the table with work in each span."""
    line = f"work({amount})\n"
    body = request(work=line)(contestant.words) if contestant.words else line * 4
    indented = "".join(f"    {row}\n" for row in body.splitlines())
    scope: dict[str, Any] = {"work": work, "EVENT": EVENT, **contestant.names}
    exec(f"def serve():\n{indented}", scope)
    compiled: _Serve = scope["serve"]
    return compiled


class Preemption:
    """How long this thread has been ready to run and did not, as the kernel counts it."""

    def __init__(self) -> None:
        self.file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self.before = self.waited()

    def waited(self) -> int:
        return int(os.pread(self.file, 64, 0).split()[1])

    def happened(self) -> bool:
        """Whether it waited since the last question."""
        before, self.before = self.before, self.waited()
        return self.before - before > _PREEMPTED_NS


def closed_loop(serve: _Serve, seconds: float) -> tuple[list[int], list[bool]]:
    """One request after the other. What each took, and whether the kernel let it run."""
    clock = time.perf_counter_ns
    took, own = [], []
    preemption = Preemption()
    begun = clock()
    until = begun + int(seconds * 1e9)
    while begun < until:
        serve()
        took.append(clock() - begun)
        own.append(not preemption.happened())
        begun = clock()
    return took, own


def open_loop(serve: _Serve, seconds: float, rate: int) -> tuple[list[int], list[bool]]:
    """A request is due each 1 / `rate` seconds, whether or not the one before has been served.

    Its time counts from when it was due: who waits in line waits too. A line that began while the
    kernel ran something else is not the program's own, until it has been worked off. Who cannot
    keep up is stopped after twice the time.
    """
    clock, sleep = time.perf_counter_ns, time.sleep
    period = 1_000_000_000 // rate
    took, own = [], []
    preemption = Preemption()
    disturbed = False
    due = clock()
    until = due + int(2e9 * seconds)
    for _ in range(int(seconds * rate)):
        if clock() > until:
            break
        due += period
        ahead = due - clock()
        if ahead > 0:
            disturbed = False
            sleep(ahead / 1e9)
        serve()
        took.append(clock() - due)
        disturbed |= preemption.happened()
        own.append(not disturbed)
    return took, own


def _of_other_threads() -> int:
    """Processor time, in nanoseconds."""
    return time.process_time_ns() - time.thread_time_ns()


def main() -> None:
    """Serve, and print the results as JSON."""
    given = json.loads(sys.argv[1])
    contestant = CONTESTANTS[given["contestant"]](given["endpoint"])
    serve_one = serve(contestant, given["amount"])
    worker = _of_other_threads()
    warm, _ = closed_loop(serve_one, given["warm_up"])
    cpu = time.process_time_ns()
    begun = time.perf_counter_ns()
    if given["rate"]:
        took, own = open_loop(serve_one, given["seconds"], given["rate"])
    else:
        took, own = closed_loop(serve_one, given["seconds"])
    cpu = time.process_time_ns() - cpu
    elapsed = time.perf_counter_ns() - begun
    arrived = contestant.finish()
    worker = _of_other_threads() - worker
    made = 4 * (len(took) + len(warm)) if contestant.words else 0
    results = {"took": took, "own": own, "cpu_ns": cpu, "elapsed_ns": elapsed, "worker_ns": worker}
    print(json.dumps(results | {"arrived": arrived, "dropped": made - arrived}))


if __name__ == "__main__":
    main()
