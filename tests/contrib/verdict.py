"""What became of the tests of a suite, and what that says about a provider.

Knows nothing of processes or environments: reads what plugin.py wrote.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Outcomes(NamedTuple):
    """What became of each test of a suite with one provider."""

    passed: frozenset[str]
    failed: dict[str, str]
    """Why each of the others did not pass, the skipped ones too."""
    provided: int
    """How many of the tests that passed were given a provider."""
    ended: str = ""
    """How the process ended, if too early."""
    second_try: frozenset[str] = frozenset()
    """Which of those that passed did so only when the suite was run again."""


class Verdict(NamedTuple):
    """How a provider does on a suite, measured by the SDK."""

    differing: dict[str, str]
    """Passes with the SDK only, and is not left out: why it does not with ours."""
    not_run: frozenset[str]
    """Passes with the SDK, is not left out, and never began with ours."""
    left_out: frozenset[str]
    """Passes with the SDK only, as left_out.py says."""
    stale: frozenset[str]
    """Is left out without need: passes with both, or not with the SDK."""


def read(lines: Iterable[str], ended: str = "") -> Outcomes:
    """The outcomes that plugin.py wrote down."""
    passed: set[str] = set()
    failed: dict[str, str] = {}
    provided = 0
    for line in lines:
        row = json.loads(line)
        if row["outcome"] == "started":
            failed[row["test"]] = ended
        elif row["outcome"] == "passed":
            del failed[row["test"]]
            passed.add(row["test"])
            provided += row["provided"]
        else:
            failed[row["test"]] = row["why"]
    return Outcomes(frozenset(passed), failed, provided, ended)


def either(first: Outcomes, second: Outcomes) -> Outcomes:
    """A test has passed if it did in one of two runs."""
    passed = first.passed | second.passed
    return Outcomes(
        passed,
        {test: why for test, why in (second.failed | first.failed).items() if test not in passed},
        max(first.provided, second.provided),
        first.ended or second.ended,
        passed - first.passed,
    )


def judge(sdk: Outcomes, ours: Outcomes, left_out: Mapping[str, str]) -> Verdict:
    """What passes with the SDK must pass with ours, unless it is left out."""
    missed = sdk.passed - ours.passed
    wanting = missed - left_out.keys()
    return Verdict(
        {test: ours.failed[test] for test in sorted(wanting & ours.failed.keys())},
        wanting - ours.failed.keys(),
        missed & left_out.keys(),
        left_out.keys() - missed,
    )
