"""What tracing costs the application: nanospan beside the floor, opentelemetry-sdk and ddtrace;
then nanospan.otel beside opentelemetry-sdk, both called through OpenTelemetry's API.

All in one process, on one processor. Each case runs in short stretches that take turns, in a
context of its own; the least of them counts, less the empty loop. Export is not timed: a stretch is
shorter than anybody's batch, and all flush between stretches. Before a time counts, the spans that
arrived are compared with the spans that were made.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import cases
import contestants
import harness
import imports
import table
from report import Report


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Workers included, which start inside. What is taken on another comes back to cold caches, and
    that would be a difference between those who have a worker and those who do not."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def _wanted(all_cases: list[cases.Case], name: str | None) -> list[cases.Case]:
    chosen = [case for case in all_cases if name is None or name in case.name]
    needed = {case.less for case in chosen}
    return [case for case in all_cases if case in chosen or case.name in needed]


def measure(rounds: int, name: str | None) -> list[table.Row]:
    """Measures the cases whose name contains `name`."""
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
    # After the others: nanospan's own face changes when its OpenTelemetry face is imported.
    otel = _wanted(cases.OTEL + cases.PROCESSED, name)
    if otel:
        running = contestants.through_otel(floor)
        rows |= harness.measure(otel, running, rounds)
        for contestant in running:
            contestant.close()
    if name is None or name in "import":
        rows["import"] = imports.measure(max(3, rounds // 10))
    titles = {case.name: case.title for case in on + off + otel}
    titles |= {"import": "import (floor: enum)"}
    order = [*(case.name for case in on + off), "import", *(case.name for case in otel)]
    return [table.Row(name, titles[name], rows[name]) for name in order if name in rows]


def report(quick: bool, name: str | None) -> Report | None:
    """The table of the cases whose name contains `name`; None when there is none."""
    rounds = 40 if quick else 200
    with _on_one_processor():
        rows = measure(rounds, name)
    if not rows:
        return None
    head = f"ns each, least of {rounds} interleaved rounds"
    through_otel = [row for row in rows if row.name.startswith("otel-")]
    own = [row for row in rows if row not in through_otel]
    tables = [f"{head}\n{table.render(own)}"] if own else []
    if through_otel:
        tables.append(f"{head}, through OpenTelemetry's API\n{table.render(through_otel)}")
    notes = [
        f"note: without {package}, which is not here"
        for package in ("floor", "ddtrace")
        if not find_spec(package)
    ]
    return Report(
        text="\n".join(["\n\n".join(tables), *notes]),
        data={"rounds": rounds, "rows": [vars(row) for row in rows]},
        missed=table.missed_bars(rows),
    )
