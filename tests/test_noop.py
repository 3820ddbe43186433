"""Where the extension cannot be loaded, `nanospan` is there all the same and does nothing."""

import inspect
import sys
from pathlib import Path

import pytest

import nanospan
from nanospan import _core, _noop
from support.process import checked_python, run_python

WITHOUT_EXTENSION = "import sys; sys.modules['nanospan._core'] = None\n"


MADE = {
    "Tracer": ("name", "namespace", None),
    "SpanContext": (bytes(16), bytes(8)),
    "TraceIdRatio": (0.5,),
}


@pytest.mark.parametrize("name", [name for name in nanospan.__all__ if hasattr(_core, name)])
def test_it_has_every_public_name_and_method_of_the_extension(name):
    real, noop = getattr(_core, name), getattr(_noop, name)
    if inspect.isclass(real) and name != "SpanData":  # a SpanData is never made
        # What only raises a hint is in `dir` all the same.
        members = {name for name in dir(real) if not name.startswith("_") and hasattr(real, name)}
        assert members - set(dir(noop(*MADE.get(name, ())))) == set()


def test_the_ten_lines_of_the_readme_run_and_one_warning_says_why_nothing_happens():
    example = Path(__file__).parents[1] / "examples" / "ten_lines.py"
    completed = run_python(WITHOUT_EXTENSION + example.read_text())
    assert completed.returncode == 0
    (line,) = completed.stderr.splitlines()
    assert line.startswith("tracing is off, the extension does not load: ")


def test_stats_has_the_keys_of_the_real_one():
    assert _noop.stats().keys() == _core.stats().keys()
    assert _noop.stats()["dropped"].keys() == _core.stats()["dropped"].keys()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="_xxsubinterpreters was renamed in 3.13")
def test_in_a_subinterpreter_it_does_nothing_and_the_main_one_traces_on():
    checked_python(
        """
        import logging
        import _xxsubinterpreters as interpreters
        import nanospan

        memory = nanospan.MemoryExporter()
        nanospan.configure(exporter=memory)
        code = '''
        import logging
        logging.getLogger("nanospan").addHandler(logging.NullHandler())
        import nanospan
        nanospan.configure(exporter=nanospan.ConsoleExporter())
        with nanospan.tracing.start_as_current_span("x") as span:
            assert not span.is_recording()
        '''
        import textwrap
        interpreters.run_string(interpreters.create(), textwrap.dedent(code))
        nanospan.tracing.start_span("main").finish()
        assert [span.name for span in memory.spans()] == ["main"]
        """
    )
