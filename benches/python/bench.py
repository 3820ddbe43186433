"""What tracing costs: the tables of `bench_span`, `bench_late`, `bench_live`, `bench_propagation`,
`bench_frameworks`, `bench_latency` and `bench_worker`, and of `bench_peers` with --peers.

python benches/python/bench.py [--quick] [--peers] [--case NAME] [--json FILE] [--bars | --gate]
"""

import argparse
import json
import platform
import sys

import bench_frameworks
import bench_late
import bench_latency
import bench_live
import bench_peers
import bench_propagation
import bench_span
import bench_worker

BENCHES = (
    bench_span,
    bench_late,
    bench_live,
    bench_propagation,
    bench_frameworks,
    bench_latency,
    bench_worker,
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--peers", action="store_true", help="other libraries too, from PyPI")
    parser.add_argument("--case", metavar="NAME", help="only cases with NAME in their name")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers to FILE")
    parser.add_argument("--bars", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument(
        "--gate", action="store_true", help="--bars, of what has a target beside the floor alone"
    )
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}", flush=True)
    benches = {bench.__name__: bench.report for bench in BENCHES}
    if options.peers:
        benches[bench_peers.__name__] = bench_peers.report
    if options.gate:
        benches = {bench_span.__name__: bench_span.gate}
    reports = {}
    for title, bench in benches.items():
        report = bench(options.quick, options.case)
        if report:
            reports[title] = report
            print(f"{report.text}\n", flush=True)
    if not reports:
        parser.error(f"no case has {options.case!r} in its name")
    missed = [bar for report in reports.values() for bar in report.missed]
    for bar in missed:
        print(f"missed: {bar}")
    if options.json:
        data = {"python": platform.python_version()}
        with open(options.json, "w") as file:
            json.dump(data | {n: report.data for n, report in reports.items()}, file, indent=1)
    return int((options.bars or options.gate) and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
