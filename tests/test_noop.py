"""Where the extension cannot be loaded, `nanospan` is there all the same and does nothing."""

import inspect
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import nanospan
from nanospan import _core, _noop
from nanospan.otel import TracerProvider
from nanospan.otel import _noop as noop_of_otel
from support.process import checked_python, run_python

WITHOUT_EXTENSION = "import sys; sys.modules['nanospan._core'] = None\n"


MADE = {
    "Tracer": ("name", "namespace", None),
    "SpanContext": (bytes(16), bytes(8)),
    "TraceIdRatio": (0.5,),
    "ConsistentProbability": (0.5,),
    "RateLimited": (5,),
}


@pytest.mark.parametrize("name", [name for name in nanospan.__all__ if hasattr(_core, name)])
def test_it_has_every_public_name_and_method_of_the_extension(name):
    real, noop = getattr(_core, name), getattr(_noop, name)
    if inspect.isclass(real) and name not in ("SpanData", "SamplingInput"):  # those are never made
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


def quiet_python(code):
    silence = "import logging; logging.getLogger('nanospan').addHandler(logging.NullHandler())\n"
    checked_python(WITHOUT_EXTENSION + silence + dedent(code))


def test_install_leaves_the_global_provider_as_it_is_and_returns_one_that_does_nothing():
    quiet_python(
        """
        import nanospan
        import nanospan.otel
        from opentelemetry import trace

        before = trace.get_tracer_provider()
        provider = nanospan.install(service_name="shop", exporter=nanospan.MemoryExporter())
        assert isinstance(provider, trace.NoOpTracerProvider)
        assert trace.get_tracer_provider() is before
        for tracer in (trace.get_tracer("shop"), provider.get_tracer("shop")):
            with tracer.start_as_current_span("GET /cart") as span:
                assert isinstance(span, nanospan.otel.Span)
                assert not span.is_recording()
        provider.add_span_processor(object())
        assert provider.force_flush()
        provider.shutdown()
        """
    )


CONFIGURE = """
from nanospan.otel._configurator import NanospanConfigurator
NanospanConfigurator().configure()
"""


@pytest.mark.parametrize(
    "way",
    ["import os; os.environ['OTEL_PYTHON_TRACER_PROVIDER'] = 'nanospan'", CONFIGURE],
    ids=["variable", "configurator"],
)
def test_opentelemetrys_own_ways_to_our_provider_lead_to_one_that_does_nothing(way):
    quiet_python(
        way
        + """
from opentelemetry import trace
assert isinstance(trace.get_tracer_provider(), trace.NoOpTracerProvider)
assert not trace.get_tracer("shop").start_span("GET /cart").is_recording()
"""
    )


def test_its_provider_has_every_public_name_of_the_real_one():
    public = {name for name in dir(TracerProvider) if not name.startswith("_")}
    assert public - set(dir(noop_of_otel.TracerProvider)) == set()


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
