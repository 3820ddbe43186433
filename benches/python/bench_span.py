"""What tracing costs the application: nanospan beside the floor, opentelemetry-sdk and ddtrace.

All in one process, on one processor. Each case runs in short stretches that take turns, in a
context of its own; the least of them counts, less the empty loop. Export is not timed: a stretch is
shorter than anybody's batch, and all flush between stretches. Before a time counts, the spans that
arrived are compared with the spans that were made.

    python benches/python/bench_span.py [--quick] [--case NAME] [--json FILE] [--bars]
"""

import argparse
import json
import os
import platform
import sys
from importlib.util import find_spec

import cases
import contestants
import harness
import imports
import table


def _stay_on_one_processor() -> None:
    """Workers included, which start later. What is taken on another comes back to cold caches, and
    that would be a difference between those who have a worker and those who do not."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _wanted(all_cases: list[cases.Case], name: str | None) -> list[cases.Case]:
    chosen = [case for case in all_cases if name is None or name in case.name]
    needed = {case.less for case in chosen}
    return [case for case in all_cases if case in chosen or case.name in needed]


def measure(rounds: int, name: str | None) -> list[table.Row]:
    """Measures the cases whose name contains `name`."""
    _stay_on_one_processor()
    floor = contestants.floor_module()
    rows: dict[str, dict[str, float]] = {}
    # First: once configured, a tracer is never again as it was before.
    off = _wanted(cases.OFF, name)
    if off:
        rows |= harness.measure(off, contestants.not_configured(floor), rounds)
    on = _wanted(cases.ON + cases.NOT_SAMPLED, name)
    if on:
        running = contestants.configured(floor)
        rows |= harness.measure(on, running, rounds)
        for contestant in running:
            contestant.close()
    if name is None or name in "import":
        rows["import"] = imports.measure(max(3, rounds // 10))
    titles = {case.name: case.title for case in on + off} | {"import": "import (floor: enum)"}
    order = [case.name for case in on + off] + ["import"]
    return [table.Row(name, titles[name], rows[name]) for name in order if name in rows]


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="fewer rounds, in under a minute")
    parser.add_argument("--case", metavar="NAME", help="only cases with NAME in their name")
    parser.add_argument("--json", metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--bars", action="store_true", help="exit with 1 when a bar is missed")
    options = parser.parse_args()
    rounds = 40 if options.quick else 200
    rows = measure(rounds, options.case)
    print(f"CPython {platform.python_version()}, ns each, least of {rounds} interleaved rounds")
    print(table.render(rows))
    for package in ("floor", "ddtrace"):
        if not find_spec(package):
            print(f"note: without {package}, which is not here")
    if options.json:
        results = {"python": platform.python_version(), "rounds": rounds}
        with open(options.json, "w") as file:
            json.dump(results | {"rows": [vars(row) for row in rows]}, file, indent=1)
    missed = table.missed_bars(rows)
    for bar in missed:
        print(f"missed: {bar}")
    return int(options.bars and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
