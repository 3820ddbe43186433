"""What `OTEL_PROPAGATORS` makes of the shared propagation."""

from textwrap import dedent

import pytest

from nanospan import _environment
from support.process import checked_python


def _warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "nanospan"]


PROPAGATORS = {
    "": (["w3c", "baggage"], ["w3c", "baggage"]),
    "tracecontext": (["w3c"], ["w3c"]),
    "b3": (["b3"], ["b3-single"]),
    "b3multi": (["b3"], ["b3"]),
    " tracecontext , b3,b3multi,baggage ": (
        ["w3c", "b3", "baggage"],
        ["w3c", "b3-single", "b3", "baggage"],
    ),
    "jaeger,xray,ottrace,jaeger": (["jaeger", "aws", "ot"], ["jaeger", "aws", "ot"]),
    "none": ([], []),
}


@pytest.mark.parametrize(("text", "formats"), PROPAGATORS.items())
def test_propagators_are_read_from_the_environment(caplog, text, formats):
    assert _environment.propagators({"OTEL_PROPAGATORS": text}) == formats
    assert _warnings(caplog) == []


def test_a_propagator_that_is_not_known_is_named_once_and_the_rest_is_used(caplog):
    environ = {"OTEL_PROPAGATORS": "b3multi,zipkin,zipkin"}
    assert _environment.propagators(environ) == (["b3"], ["b3"])
    assert _environment.propagators({"OTEL_PROPAGATORS": "x"})[0] == ["w3c", "baggage"]
    first, second = _warnings(caplog)
    known = "tracecontext, baggage, b3, b3multi, jaeger, xray, ottrace or none"
    assert first == (f"OTEL_PROPAGATORS='zipkin' is ignored: it must be {known}; the rest is used")
    assert second == (
        f"OTEL_PROPAGATORS='x' is ignored: it must be {known}; tracecontext,baggage is used"
    )


def test_the_shared_propagation_does_what_the_environment_says_even_where_tracing_is_disabled():
    code = """
        from nanospan import propagation

        headers = {"b3": "7f3c9a1e5d2b48609c1d7e4fa2b60f13-e2c4a6180b3d5f79-1"}
        with propagation.extract(headers).carry() as remote:
            print(remote.format, propagation.inject() == headers)
    """
    variables = {"OTEL_PROPAGATORS": "b3", "OTEL_SDK_DISABLED": "true"}
    setting = f"import os; os.environ.update({variables!r})\n"
    assert checked_python(setting + dedent(code)) == "b3-single True\n"
