"""What a late decision costs the application: the request of four full spans when its trace is
sampled, when it is undecided and dropped or kept at its end, and when it is not recorded at all.

A process of its own, on one processor. The four take turns with new pipelines; the least of many
stretches counts, and what arrived is counted after each. Export is not timed.
"""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import cases
import nanospan
from nanospan import Keep, MemoryExporter, QueueConfig
from report import Report

REQUESTS = 100
_QUEUE = QueueConfig(max_coalescing_delay=3600, max_batch_size=100_000, max_entries=100_000)
# Name, options of `configure`, and how many spans of a request arrive.
CASES: list[tuple[str, dict[str, Any], int]] = [
    ("sampled", {"sampling_rate": 1.0}, cases.DEPTH),
    (
        "undecided, then dropped",
        {"sampling_rate": 0.0, "keep": Keep(errors=False, slower_than=3600)},
        0,
    ),
    ("undecided, then kept", {"sampling_rate": 0.0, "keep": Keep()}, cases.DEPTH),
    ("not sampled", {"sampling_rate": 0.0}, 0),
]


def compiled() -> Callable[[Any], None]:
    """Serves as many requests as it is told."""
    body = cases.request()(cases.Words())
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    names: dict[str, Any] = {"ERROR": nanospan.StatusCode.ERROR, "EVENT": cases.EVENT}
    exec(f"def serve(tracer, repeat):\n    for _ in range(repeat):\n{lines}", names)
    serve = names["serve"]
    tracer = nanospan.tracing.new("bench")
    return lambda repeat: serve(tracer, repeat)


def measure(rounds: int) -> dict[str, float]:
    """Nanoseconds for a request, by case."""
    serve = compiled()
    least = {name: float("inf") for name, _, _ in CASES}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for name, options, spans in CASES:
            memory = MemoryExporter()
            nanospan.configure(exporter=memory, queue=_QUEUE, **options)
            serve(10)
            begun = time.perf_counter_ns()
            serve(REQUESTS)
            least[name] = min(least[name], (time.perf_counter_ns() - begun) / REQUESTS)
            arrived = len(memory.spans())
            assert arrived == (REQUESTS + 10) * spans, (name, arrived)
    return least


def report(quick: bool, name: str | None) -> Report | None:
    """The table, if `name` says so."""
    if name is not None and name not in "late":
        return None
    command = [sys.executable, __file__, "20" if quick else "100"]
    data = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    sampled = data["sampled"]
    lines = [f"{case:28}{ns:13,.0f}{ns / sampled:15.2f}" for case, ns in data.items()]
    head = f"{'a late decision, ns':28}{'request':>13}{'to sampled':>15}"
    return Report(text="\n".join([head, *lines]), data=data, missed=[])


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(json.dumps(measure(int(sys.argv[1]))))
