"""How long imports take, each in a process of its own. The bar of nanospan is the standard
library's `enum`, which it needs as almost every program does."""

import subprocess
import sys

IMPORTS = {
    "nanospan": "import nanospan",
    "floor cell": "import enum",
    "sdk": "from opentelemetry.sdk.trace import TracerProvider, export",
}


def _nanoseconds(statement: str) -> float:
    source = f"import time; t = time.perf_counter_ns(); {statement}; t = time.perf_counter_ns() - t"
    # Without `site`, which imports this and that itself, and so hides what a package needs.
    paths = f"import sys; sys.path[:] = {sys.path!r}; "
    command = [sys.executable, "-I", "-S", "-c", f"{paths}{source}; print(t)"]
    return float(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


def measure(rounds: int) -> dict[str, float]:
    """Nanoseconds by contestant, the least of interleaved rounds."""
    best = dict.fromkeys(IMPORTS, float("inf"))
    for _ in range(rounds):
        for name, statement in IMPORTS.items():
            best[name] = min(best[name], _nanoseconds(statement))
    return best
