"""How the outcomes of contrib's test suites are judged; tests/contrib/run.py runs them."""

import json
import re
from pathlib import Path

from contrib.left_out import LEFT_OUT
from contrib.suites import BASE, SUITES
from contrib.verdict import Outcomes, Verdict, either, judge, read

CONSTRAINTS = Path(__file__).parent / "contrib" / "constraints.txt"
WITH_SDK = Outcomes(passed=frozenset("abc"), failed={"d": "needs a server"}, provided=3)


def verdict(differing=(), not_run="", left_out="", stale=""):
    return Verdict(dict(differing), frozenset(not_run), frozenset(left_out), frozenset(stale))


def test_what_passes_with_the_sdk_must_pass_with_ours():
    ours = Outcomes(frozenset("a"), {"b": "wrong", "d": "wrong"}, provided=1)
    assert judge(WITH_SDK, ours, {}) == verdict(differing={"b": "wrong"}, not_run="c")


def test_what_is_left_out_may_fail():
    ours = Outcomes(frozenset("a"), {"b": "wrong"}, provided=1)
    assert judge(WITH_SDK, ours, {"b": "why", "c": "why"}) == verdict(left_out="bc")


def test_what_is_left_out_without_need_is_named():
    ours = Outcomes(frozenset("abc"), {}, provided=3)
    left_out = {"a": "passes", "d": "fails with the SDK", "x": "is no test"}
    assert judge(WITH_SDK, ours, left_out) == verdict(stale="adx")


def test_a_test_that_began_and_did_not_end_has_failed():
    lines = [
        {"test": "a", "outcome": "started"},
        {"test": "a", "outcome": "passed", "provided": True},
        {"test": "b", "outcome": "started"},
        {"test": "b", "outcome": "failed", "why": "wrong", "provided": True},
        {"test": "c", "outcome": "started"},
    ]
    outcomes = read(map(json.dumps, lines), ended="SIGSEGV")
    assert outcomes == Outcomes(frozenset("a"), {"b": "wrong", "c": "SIGSEGV"}, 1, "SIGSEGV")


def test_a_test_has_passed_if_it_did_in_one_of_two_runs():
    first = Outcomes(frozenset("a"), {"b": "late", "c": "late"}, 1, "SIGSEGV")
    second = Outcomes(frozenset("b"), {"a": "late", "c": "very late"}, 1)
    both = Outcomes(frozenset("ab"), {"c": "late"}, 1, "SIGSEGV", second_try=frozenset("b"))
    assert either(first, second) == both


def test_every_package_that_a_suite_needs_is_pinned():
    pinned = set(re.findall(r"^(.+)==", CONSTRAINTS.read_text(), re.MULTILINE))
    needed = {*BASE, *(need for suite in SUITES for need in (suite.package, *suite.needs))}
    assert needed <= {name.lower().replace("_", "-") for name in pinned}


def test_only_tests_of_known_suites_are_left_out():
    assert LEFT_OUT.keys() <= {suite.name for suite in SUITES}
