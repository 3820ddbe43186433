"""How long requests take while their spans are exported, beside the same requests without tracing
and beside opentelemetry-sdk.

A request is 100 us of Python and the four full spans of the table. It is served in an open loop, at
500 and at 5,000 requests a second, where its time counts from when it was due; and in a closed
loop, one after the other. The spans go over HTTP to a receiver on this machine, which counts them.
Each run is a process of its own; runs take turns, and the requests of all rounds are put together.

"own" are the requests during which the kernel let the thread run whenever it could: what is left is
the program's own, waits for the interpreter included.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import latency_loop
from report import Report

CONTESTANTS = ("untraced", "nanospan", "sdk")
RATES = {"latency 500/s": 500, "latency 5,000/s": 5_000, "latency closed loop": 0}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
WORK_NS = 100_000
# Own p99 while exporting, against the same loop without tracing; where requests are due at a time.
BAR = 1.3
# A round with a smaller share of own requests says nothing: chance decides.
LEAST_OWN = 0.3

_HERE = Path(__file__).parent


@dataclass
class Result:
    """All rounds of one contestant at one rate."""

    took: list[int] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    own_p99_us: list[float] = field(default_factory=list)  # of each round
    cpu_ns: int = 0
    elapsed_ns: int = 0
    dropped: int = 0

    def add(self, run: dict[str, Any]) -> None:
        self.took += run["took"]
        own = [took for took, own in zip(run["took"], run["own"], strict=True) if own]
        self.own += own
        if len(own) > LEAST_OWN * len(run["took"]):
            self.own_p99_us.append(_quantiles(own)["p99"])
        self.cpu_ns += run["cpu_ns"]
        self.elapsed_ns += run["elapsed_ns"]
        self.dropped += run["dropped"]

    def summary(self) -> dict[str, Any]:
        return {
            "requests": len(self.took),
            "per_second": len(self.took) / (self.elapsed_ns / 1e9),
            "cpu_us": self.cpu_ns / 1e3 / len(self.took),
            "raw_us": _quantiles(self.took),
            "own_share": len(self.own) / len(self.took),
            "own_us": _quantiles(self.own),
            "histogram_us": _histogram(self.took),
            "own_histogram_us": _histogram(self.own),
            "own_p99_us_of_rounds": self.own_p99_us,
            "dropped": self.dropped,
        }


def _quantiles(took: list[int]) -> dict[str, float]:
    ordered = sorted(took)
    last = len(ordered) - 1
    return {name: ordered[round(q * last)] / 1e3 for name, q in QUANTILES.items()} if took else {}


def _histogram(took: list[int]) -> dict[str, int]:
    """How many took how long, in two digits."""
    counts = Counter(float(f"{ns / 1e3:.2g}") for ns in took)
    return {f"{us:.0f}": counts[us] for us in sorted(counts)}


def amount_of_work() -> int:
    """How much work takes a quarter of WORK_NS: there is some in each span."""
    amount, best = 1_000, 1 << 60
    for _ in range(500):
        begun = time.perf_counter_ns()
        latency_loop.work(amount)
        best = min(best, time.perf_counter_ns() - begun)
    return amount * WORK_NS // 4 // best


def run(
    contestant: str,
    rate: int,
    seconds: float,
    amount: int,
    python: str = sys.executable,
    **environment: str,
) -> dict[str, Any]:
    """What one contestant's process prints at its end."""
    command = [sys.executable, str(_HERE / "sink.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sink:
        try:
            assert sink.stdout
            given = {
                "contestant": contestant,
                "rate": rate,
                "seconds": seconds,
                "warm_up": 0.3,
                "amount": amount,
                "endpoint": f"http://127.0.0.1:{sink.stdout.readline().strip()}",
            }
            command = [python, str(_HERE / "latency_loop.py"), json.dumps(given)]
            loop = subprocess.run(
                command,
                check=True,
                stdout=subprocess.PIPE,
                timeout=300,
                env={**os.environ, **environment},
            )
        finally:
            sink.kill()
    results: dict[str, Any] = json.loads(loop.stdout)
    return results


def measure(rounds: int, seconds: float, name: str | None) -> dict[str, dict[str, Any]]:
    """Summaries by rate and contestant, of the rates whose name contains `name`."""
    amount = amount_of_work()
    rates = {title: rate for title, rate in RATES.items() if name is None or name in title}
    results = {title: {who: Result() for who in CONTESTANTS} for title in rates}
    for _ in range(rounds):
        for title, rate in rates.items():
            for contestant, result in results[title].items():
                result.add(run(contestant, rate, seconds, amount))
    return {
        title: {who: result.summary() for who, result in by_contestant.items()}
        for title, by_contestant in results.items()
    }


def render(summaries: dict[str, dict[str, Any]]) -> str:
    """A line for each contestant at each rate; microseconds."""
    head = ["", "req/s", "cpu", *QUANTILES, "own", *QUANTILES, "dropped"]
    lines = [_line(head)]
    for title, by_contestant in summaries.items():
        lines.append(title)
        for contestant, summary in by_contestant.items():
            cells = [f"  {contestant}", f"{summary['per_second']:,.0f}", f"{summary['cpu_us']:.0f}"]
            cells += [_short(value) for value in summary["raw_us"].values()]
            cells.append(f"{summary['own_share']:.0%}")
            own = summary["own_us"]
            cells += [_short(own[name]) if own else "-" for name in QUANTILES]
            lines.append(_line([*cells, f"{summary['dropped']:,}"]))
    return "\n".join(lines)


def _short(us: float) -> str:
    return f"{us:,.0f}" if us < 100_000 else f"{us / 1e6:.2f} s"


def _line(cells: list[str]) -> str:
    return f"{cells[0]:12}" + "".join(cell.rjust(9) for cell in cells[1:])


def missed_bars(summaries: dict[str, dict[str, Any]]) -> list[str]:
    """What nanospan measured and missed, where requests are due at a time."""
    missed = []
    for title, by_contestant in summaries.items():
        ours, untraced = by_contestant["nanospan"], by_contestant["untraced"]
        if not RATES[title]:
            continue
        if ours["dropped"]:
            missed.append(f"{title}: {ours['dropped']} spans were dropped, and none should be")
        # The quietest round of each: on a shared machine the least is what repeats.
        p99, untraced_p99 = ours["own_p99_us_of_rounds"], untraced["own_p99_us_of_rounds"]
        if not p99 or not untraced_p99:
            missed.append(f"{title}: the machine was too busy for an answer")
            continue
        ratio = min(p99) / min(untraced_p99)
        if ratio > BAR:
            missed.append(f"{title}: own p99 is {ratio:.2f} times that without tracing, not {BAR}")
    return missed


def report(quick: bool, name: str | None) -> Report | None:
    """The table of the rates whose name contains `name`; None when there is none."""
    rounds, seconds = (2, 1.5) if quick else (4, 4.0)
    summaries = measure(rounds, seconds, name)
    if not summaries:
        return None
    head = f"latency while exporting, us, {rounds} rounds of {seconds} s"
    return Report(
        text=f"{head}\n{render(summaries)}", data=summaries, missed=missed_bars(summaries)
    )
