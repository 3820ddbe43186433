"""Times statements: the least of interleaved rounds, in nanoseconds for one."""

import asyncio
import contextvars
import gc
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from answer import check_request
from cases import DEPTH, Case
from contestants import SPANS_PER_STRETCH, Contestant

# Statements in a row, so that the loop around them costs little beside them.
_UNROLLED = 4
_WARM = 1
# Stretches in a row, of which all but the first find the caches as they left them.
_STRETCHES = 3

_Stretch = Callable[[Iterable[None]], int]


def _compile(statement: str, names: dict[str, object], gathered: bool = False) -> _Stretch:
    """A function that runs the statement once, unmeasured, and then in a measured loop.

    What it refers to are its own variables, as in a function that somebody would write. A
    `gathered` statement runs in an event loop, whose own start and end are not measured.
    """
    if gathered:
        names = {**names, "gather": asyncio.gather, "sleep": asyncio.sleep}
    body = "\n".join(f"        {line}" for line in (statement + "\n").splitlines() * _UNROLLED)
    warm = "\n".join(f"    {line}" for line in statement.splitlines())
    own = ", ".join(f"{name}={name}" for name in names)
    source = (
        f"{'async ' * gathered}def stretch(repeat, clock, {own}):\n"
        f"{warm}\n    begun = clock()\n    for _ in repeat:\n{body}\n    return clock() - begun\n"
    )
    scope: dict[str, Any] = dict(names)
    exec(source, scope)
    stretch: Callable[..., Any] = scope["stretch"]
    if gathered:
        loop = asyncio.new_event_loop()
        return lambda repeat: loop.run_until_complete(stretch(repeat, time.perf_counter_ns))
    return lambda repeat: stretch(repeat, time.perf_counter_ns)


class _Lane:
    """A case of a contestant."""

    def __init__(self, case: Case, contestant: Contestant) -> None:
        self.case = case
        self.contestant = contestant
        self.statement = case.write(contestant.words)
        self.run = _compile(self.statement, contestant.names, case.gathered)
        self.repeat = max(1, SPANS_PER_STRETCH // (_UNROLLED * max(1, case.spans)) - _WARM)
        self.best = float("inf")

    def stretch(self) -> None:
        self.contestant.prepare()
        before = self.contestant.arrived()
        # A context of its own: the variables of other cases would make each write of one dearer.
        context = contextvars.Context()
        taken = context.run(self.run, itertools.repeat(None, self.repeat))
        self.contestant.flush()
        arrived = self.contestant.arrived() - before
        made = (self.repeat * _UNROLLED + _WARM) * self.case.spans
        assert arrived == made, f"{self.contestant.name}: {arrived} of {made} spans arrived"
        self.contestant.forget()
        self.best = min(self.best, taken / self.repeat)

    def check(self) -> None:
        """Does the work once, and looks at what arrived."""
        self.contestant.prepare()
        before = self.contestant.arrived()
        contextvars.Context().run(self.run, itertools.repeat(None, 0))
        self.contestant.flush()
        assert self.contestant.arrived() - before == self.case.spans, self.contestant.name
        if self.case.spans == DEPTH:
            check_request(self.contestant.last_spans(), self.case.gathered)
        self.contestant.forget()


def _can_run(contestant: Contestant, case: Case) -> bool:
    statement = case.write(contestant.words)
    if any(word in statement for word in contestant.lacks):
        return False
    special = [name for name in ("not_sampled", "processed", "RAISED") if name in statement]
    return all(name in contestant.names for name in special)


def measure(
    cases: list[Case], contestants: list[Contestant], rounds: int
) -> dict[str, dict[str, float]]:
    """Nanoseconds by case and contestant."""
    lanes = [
        _Lane(case, contestant)
        for case in cases
        for contestant in contestants
        if _can_run(contestant, case)
    ]
    for lane in lanes:
        lane.check()
    loop = _compile("pass", {"nothing": None})
    empty = float("inf")
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        empty = min(empty, loop(itertools.repeat(None, 1_000)) / 1_000)
        for lane in lanes:
            for _ in range(_STRETCHES):
                lane.stretch()
    gc.unfreeze()
    times = {
        (lane.case.name, lane.contestant.name): (lane.best - empty) / _UNROLLED for lane in lanes
    }
    table: dict[str, dict[str, float]] = {}
    for case in cases:
        for contestant in contestants:
            key = (case.name, contestant.name)
            if key in times:
                less = times[case.less, contestant.name] if case.less else 0.0
                table.setdefault(case.name, {})[contestant.name] = (times[key] - less) / case.per
    return table
