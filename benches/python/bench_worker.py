"""What the worker takes of the processor to encode a span and to send it, beside the worker of
opentelemetry-sdk.

The closed loop of `bench_latency`, each run in a process of its own, from its first span until the
receiver has them all. The worker's time is that of the process less that of the thread that
serves. The queues hold all that can be made, and a run counts only if all its spans arrived. The
least of a few runs counts.
"""

import sys
from collections.abc import Iterable

import bench_latency
from report import Report

# All read it: the SDK's worker is slower than the loop, and what it dropped it would not pay for.
_QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "1000000"}


def measure(
    contestants: Iterable[str], quick: bool, python: str = sys.executable, **environment: str
) -> dict[str, float]:
    """Nanoseconds for a span, by contestant."""
    rounds, seconds = (2, 1.0) if quick else (4, 3.0)
    amount = bench_latency.amount_of_work()
    least = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for contestant in least:
            run = bench_latency.run(contestant, 0, seconds, amount, python, **_QUEUE, **environment)
            assert run["arrived"], f"{contestant}: nothing arrived"
            assert not run["dropped"], f"{contestant}: {run['dropped']} spans did not arrive"
            least[contestant] = min(least[contestant], run["worker_ns"] / run["arrived"])
    return least


def report(quick: bool, name: str | None) -> Report | None:
    """The line, if `name` says so."""
    if name is not None and name not in "worker":
        return None
    data = measure(["nanospan", "sdk"], quick)
    head = f"{'processor time of the worker':28}{'nanospan':>13}{'sdk':>13}{'sdk/nanospan':>14}"
    line = f"{'a span encoded and sent, ns':28}{data['nanospan']:13,.0f}{data['sdk']:13,.0f}"
    text = f"{head}\n{line}{data['sdk'] / data['nanospan']:14.1f}"
    return Report(text=text, data=data, missed=[])
