"""The active span has two bodies: a cell changed in place, and a variable that is set. Whatever is
true of the one, which the rest of the suite runs with, is true of the other."""

import os
import subprocess
import sys
from pathlib import Path

from support.process import checked_python

_TESTS = Path(__file__).parent
_OF_THE_SCOPE = [
    "test_active_span.py",
    "test_block.py",
    "test_context.py",
    "test_fast_calls.py",
    "test_namespaces.py",
    "test_threads.py",
    "property",
]


def test_the_active_span_is_right_where_cells_cannot_be_used():
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *(_TESTS / name for name in _OF_THE_SCOPE)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NANOSPAN_NO_CELLS": "1"},
        cwd=_TESTS.parent,
    )
    assert completed.returncode == 0, completed.stdout[-4_000:]


def test_cells_are_used_on_the_pythons_that_are_known_unless_they_are_switched_off():
    code = """
        import contextvars, nanospan
        nanospan.configure(exporter=nanospan.MemoryExporter())
        with nanospan.tracing.start_as_current_span("x"):
            held = [type(value).__name__ for value in contextvars.copy_context().values()]
        print(*held)
    """
    known = sys.version_info < (3, 14) and sys.implementation.name == "cpython"
    assert checked_python(code).split() == ["_Cell" if known else "Span"]
    os.environ["NANOSPAN_NO_CELLS"] = "1"
    try:
        assert checked_python(code).split() == ["Span"]
    finally:
        del os.environ["NANOSPAN_NO_CELLS"]
