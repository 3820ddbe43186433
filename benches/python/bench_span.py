"""What tracing costs the application: nanospan beside the floor and opentelemetry-sdk; then
nanospan.otel beside opentelemetry-sdk, both called through OpenTelemetry's API.

Each table is made by a process of its own, on one processor, and by another without cells for the
ratios of set and set back (`span_loop.py`). There each case runs in short stretches that take
turns, in a context of its own; the least of them counts, less the empty loop. Export is not timed:
a stretch is shorter than anybody's batch, and all flush between stretches. Before a time counts,
the spans that arrived are compared with the spans that were made.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bars
import cases
import contestants
import imports
import table
from bars import Row
from report import Report

# Who makes a table, and of which cases; in this order.
_TABLES = {
    "configured": cases.ON + cases.NOT_SAMPLED,
    "not_configured": cases.OFF,
    "through_otel": cases.OTEL + cases.PROCESSED,
}
_TITLES = {case.name: case.title for all_cases in _TABLES.values() for case in all_cases}
_IMPORT = "import"
# A row that missed a bar is measured again, with so many times the rounds, and so often at most,
# before it counts: neighbours disturb, and where a process has its memory moves a row by a few
# percent.
_AGAIN = 3
_TRIES = 3

# Names of cases, by how the active span is carried.
Wanted = dict[str, set[str]]


@contextmanager
def on_one_processor() -> Iterator[None]:
    """Of the processes that are started inside, workers included. What is taken on another comes
    back to cold caches, and that would be a difference between those who have a worker and those
    who do not."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def run(
    who: str,
    names: Iterable[str],
    rounds: int,
    *arguments: str,
    python: str = sys.executable,
    **environment: str,
) -> dict[str, dict[str, float]]:
    """Nanoseconds by case and contestant, of a process of its own."""
    given = {"who": who, "cases": sorted(names), "rounds": rounds, "arguments": arguments}
    command = [python, str(Path(__file__).with_name("span_loop.py")), json.dumps(given)]
    environment = {**os.environ, "NANOSPAN_NO_CELLS": "", **environment}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    rows: dict[str, dict[str, float]] = json.loads(done.stdout)
    return rows


def measure(wanted: Wanted, rounds: int) -> dict[str, Row]:
    """Rows by case, those that others are less included."""
    rows: dict[str, Row] = {}
    for who, all_cases in _TABLES.items():
        for body, without_cells in (("cell", ""), ("plain", "1")):
            names = {case.name for case in all_cases if case.name in wanted[body]}
            if not names:
                continue
            for name, ns in run(who, names, rounds, NANOSPAN_NO_CELLS=without_cells).items():
                rows.setdefault(name, Row(name, _TITLES[name], {})).ns.update(ns)
        if who == "not_configured" and _IMPORT in wanted["cell"]:
            ns = imports.measure(max(3, rounds // 10))
            rows[_IMPORT] = Row(_IMPORT, "import (floor: enum)", ns)
    return rows


def _all_with(name: str | None) -> Wanted:
    names = {case for case in [*_TITLES, _IMPORT] if name is None or name in case}
    # No span becomes active where nothing is configured, and no import does either.
    off = {_IMPORT, *(case.name for case in cases.OFF)}
    return {"cell": names, "plain": names - off}


def _with_targets(name: str | None) -> Wanted:
    return {
        body: {case for case in bars.TARGETS if body in bars.TARGETS[case] and (name or "") in case}
        for body in ("cell", "plain")
    }


def report(quick: bool, name: str | None) -> Report | None:
    """The tables of the cases whose name contains `name`; None when there is none."""
    wanted = _all_with(name)
    if not any(wanted.values()):
        return None
    rows, notes = _measure_again(wanted, _rounds(quick))
    if not contestants.floor_module():
        notes.append("note: without floor, which is not here")
    return _report(rows, _rounds(quick), notes, missed=[])


def gate(quick: bool, name: str | None) -> Report | None:
    """As `report`, of what has a target beside the floor, all of which must have been measured."""
    wanted = _with_targets(name)
    if not any(wanted.values()):
        return None
    if not contestants.floor_module():
        return Report(text="note: no target is held, as the floor is not here", data={}, missed=[])
    rows, notes = _measure_again(wanted, _rounds(quick))
    unmeasured = bars.unmeasured(rows.values(), wanted["cell"] | wanted["plain"])
    return _report(rows, _rounds(quick), notes, unmeasured)


def _rounds(quick: bool) -> int:
    return 40 if quick else 200


def _measure_again(wanted: Wanted, rounds: int) -> tuple[dict[str, Row], list[str]]:
    """The rows, those that missed a bar measured again until they reach it or that is enough; and
    notes on what was."""
    titles: dict[str, int] = {}
    with on_one_processor():
        rows = measure(wanted, rounds)
        for _ in range(_TRIES):
            doubtful = bars.missed(rows.values())
            if not doubtful:
                break
            again = {body: {bar.case for bar in doubtful if bar.body == body} for body in wanted}
            for name, row in measure(again, _AGAIN * rounds).items():
                if name in again["cell"] | again["plain"]:
                    rows[name].ns |= row.ns
                    titles[row.title] = titles.get(row.title, 0) + 1
    if not titles:
        return rows, []
    often = ", ".join(f"{title} ({times})" for title, times in titles.items())
    return rows, [f"note: again with {_AGAIN * rounds} rounds, after a bar was missed: {often}"]


def _report(rows: dict[str, Row], rounds: int, notes: list[str], missed: list[str]) -> Report:
    return Report(
        text="\n".join(["\n\n".join(_tables(rows.values(), rounds)), *notes]),
        data={"rounds": rounds, "rows": [row.as_data() for row in rows.values()]},
        missed=[*(bar.sentence for bar in bars.missed(rows.values())), *missed],
    )


def _tables(rows: Iterable[Row], rounds: int) -> Iterator[str]:
    head = f"ns each, least of {rounds} interleaved rounds"
    through_otel = [row for row in rows if row.is_through_otel]
    own = [row for row in rows if not row.is_through_otel]
    if own:
        yield f"{head}\n{table.render(own)}"
    if through_otel:
        yield f"{head}, through OpenTelemetry's API\n{table.render(through_otel)}"
