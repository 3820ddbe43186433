"""Code run in a fresh interpreter, and what such code measures of itself."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

_TESTS = Path(__file__).parent.parent


def run_again_without_cells(file: str) -> None:
    """Runs the tests of a file where contexts cannot be told apart."""
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", file],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "NANOSPAN_NO_CELLS": "1"},
        cwd=_TESTS.parent,
    )
    assert completed.returncode == 0, completed.stdout[-4_000:]


def run_python(
    code: str | Path, *arguments: str | Path, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a new process, where `support` can be imported; past the deadline raises.

    A path is that of a program.
    """
    path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    program = [str(code)] if isinstance(code, Path) else ["-c", dedent(code)]
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": path},
    )


def checked_python(code: str | Path, *arguments: str | Path, timeout: float = 60) -> str:
    """As `run_python`, for code that must end well and say nothing on stderr; gives its stdout."""
    completed = run_python(code, *arguments, timeout=timeout)
    assert (completed.returncode, completed.stderr) == (0, ""), completed.stderr
    return completed.stdout


def resident_bytes() -> int:
    """This process's resident memory, after a garbage collection (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
