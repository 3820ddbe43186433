"""Cases of one table of `bench_span.py`, in a process of its own: prints nanoseconds by case and
contestant.

    python benches/python/span_loop.py '{"who": "configured", "cases": ["start"], "rounds": 40}'
"""

import json
import sys

import cases
import contestants
import harness

CASES = {
    "not_configured": cases.OFF,
    "configured": cases.ON + cases.NOT_SAMPLED,
    "through_otel": cases.OTEL + cases.PROCESSED,
    "peer": cases.ON + cases.NOT_SAMPLED,
}


def main() -> None:
    """Measure, and print the results as JSON."""
    given = json.loads(sys.argv[1])
    possible = CASES[given["who"]]
    chosen = [case for case in possible if case.name in given["cases"]]
    less = {case.less for case in chosen}
    chosen = [case for case in possible if case in chosen or case.name in less]
    running = getattr(contestants, given["who"])(*given.get("arguments", []))
    rows = harness.measure(chosen, running, given["rounds"])
    for contestant in running:
        contestant.close()
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
