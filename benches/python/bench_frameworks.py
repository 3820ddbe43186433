"""What tracing adds to a request of a framework that is instrumented by OpenTelemetry's packages:
none of it, the instrumentation with nobody who records, with opentelemetry-sdk, and with
nanospan.otel in its place.

Flask and FastAPI are called as a server calls them, and requests gets its answer from its own
transport, so that no network is in it. Each contestant is a process of its own, they take turns,
and the least of many short stretches counts. Export is not timed. Before a time counts, the body
of the answer and the names, kinds and parents of all spans of the stretch are compared with what
they should be.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from report import Report

CASES = {"flask": "Flask", "fastapi": "FastAPI", "requests": "requests, as a client"}
CONTESTANTS = ("untraced", "no provider", "sdk", "nanospan.otel")
_PACKAGE = "opentelemetry.instrumentation"

_HERE = Path(__file__).parent


def _is_installed() -> bool:
    try:
        return all(find_spec(case) and find_spec(f"{_PACKAGE}.{case}") for case in CASES)
    except ModuleNotFoundError:
        return False


def _run(case: str, contestant: str, seconds: float) -> float:
    given = json.dumps({"case": case, "contestant": contestant, "seconds": seconds})
    command = [sys.executable, str(_HERE / "framework_loop.py"), given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300)
    return float(done.stdout)


def measure(rounds: int, seconds: float, name: str | None) -> dict[str, dict[str, float]]:
    """Nanoseconds by case and contestant, of the cases whose title contains `name`."""
    best = {
        case: dict.fromkeys(CONTESTANTS, float("inf"))
        for case in CASES
        if name is None or name in _title(case)
    }
    for _ in range(rounds):
        for case, by_contestant in best.items():
            for contestant, ns in by_contestant.items():
                by_contestant[contestant] = min(ns, _run(case, contestant, seconds))
    return best


def _title(case: str) -> str:
    return f"framework {case}"


def render(times: dict[str, dict[str, float]]) -> str:
    """A line for each case; microseconds."""
    lines = [_line(["", *CONTESTANTS, "sdk adds", "nanospan.otel adds"])]
    for case, ns in times.items():
        added = [ns[contestant] - ns["untraced"] for contestant in ("sdk", "nanospan.otel")]
        cells = [f"{value / 1e3:.1f}" for value in [*ns.values(), *added]]
        lines.append(_line([CASES[case], *cells]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"{cells[0]:23}" + "".join(cell.rjust(max(13, len(cell) + 2)) for cell in cells[1:])


def missed_bars(times: dict[str, dict[str, float]]) -> list[str]:
    """Where a request takes longer than with the SDK."""
    return [
        f"{CASES[case]}: a request not slower than with the SDK: it is"
        f" {ns['sdk'] / ns['nanospan.otel']:.2f}"
        for case, ns in times.items()
        if ns["nanospan.otel"] > ns["sdk"]
    ]


def report(quick: bool, name: str | None) -> Report | None:
    """The table of the cases whose title contains `name`; None when there is none."""
    if not _is_installed():
        note = "note: without frameworks, which take the dependency group otel"
        return Report(text=note, data={}, missed=[]) if name is None else None
    rounds, seconds = (2, 0.5) if quick else (6, 1.0)
    times = measure(rounds, seconds, name)
    if not times:
        return None
    head = f"a request of a framework, us, least of {rounds} processes of {seconds} s"
    return Report(text=f"{head}\n{render(times)}", data=times, missed=missed_bars(times))
